import assert from "node:assert/strict";
import { type Answered, type Program } from "../program.ts";
import { Clients } from "./clients.ts";
import { between, pause } from "./size.ts";

/** The runs of an order, by rule, and what its customer knows about each answer. */
export interface Order {
  runs: Record<string, string>;
  /** By rule: the form that was answered, the amounts that were sent, one for each attempt, and the one that was accepted. */
  forms: Record<string, { id: string; sent: number[]; accepted?: number }>;
}

/**
 * Customers, each with an order after the other: it is placed, paid for, approved in a form, and the wait at its end is skipped.
 * Every request is repeated until it is answered, by whichever program is running.
 */
export class Customers extends Clients {
  readonly orders = new Map<number, Order>();

  /** @param rules their paths below `/hooks`; each starts a run for each order */
  constructor(count: number, private readonly rules: string[]) {
    super(count);
  }

  protected override async goOn(): Promise<void> {
    while (!this.enough) {
      const id = this.orders.size;
      const order: Order = { runs: {}, forms: {} };
      this.orders.set(id, order);
      for (const rule of this.rules) await this.#place(rule, id, order);
      const approve = () => Promise.all(this.rules.map((rule) => this.#approve(rule, id, order)));
      // The payment comes before the runs reach their wait, or long after.
      if (id % 3 !== 0) await this.#pay(id);
      await approve();
      if (id % 3 === 0) await this.#pay(id);
      await Promise.all(this.rules.map((rule) => this.#goOn(order.runs[rule])));
    }
  }

  async #place(rule: string, id: number, order: Order): Promise<void> {
    const { status, body } = await this.#ask((program) => program.post(`/hooks/${rule}`, { id }));
    assert.ok(status === 202 || status === 200, `${status} for order ${id}`);
    [order.runs[rule]] = body.runs;
  }

  async #pay(id: number): Promise<void> {
    const event = { specversion: "1.0", type: "paid", source: "/bank", id: String(id), data: { id, amount: id * 10 } };
    const { status } = await this.#ask((program) => program.post("/events", event));
    assert.ok(status === 202 || status === 200, `${status} for the payment of ${id}`);
  }

  /** Each attempt has another amount, so that the run shows which one counted. */
  async #approve(rule: string, id: number, order: Order): Promise<void> {
    const run = order.runs[rule];
    const form = await this.#find(`a form of run ${run}`, async (program) => {
      const forms: Answered[] = await program.api("forms?limit=1000");
      return forms.find((form) => form.run === run)?.id as string | undefined;
    });
    // At once, or after the person asked had time to be notified.
    if (id % 2 === 0) await pause(between(0, 300));
    const sent: number[] = [];
    const { status } = await this.#ask((program) => {
      sent.push(sent.length + 1);
      return program.post(`/api/forms/${form}`, { as: "anna", values: { amount: sent.at(-1)! } });
    });
    assert.ok(status === 200 || status === 409 && sent.length > 1, `${status} for the answer to ${form}`);
    order.forms[rule] = { id: form, sent, ...status === 200 && { accepted: sent.at(-1)! } };
  }

  /** Skips the wait at the end of a run. */
  async #goOn(run: string): Promise<void> {
    await this.#find(`the last wait of run ${run}`, async (program) => {
      const trace = await program.api(`runs/${run}`);
      return trace.run.waits?.some(({ step }: Answered) => step === "rest") || undefined;
    });
    let asked = 0;
    const { status, body } = await this.#ask((program) => {
      asked++;
      return program.post(`/api/runs/${run}/skip`, { step: "rest", by: "anna" });
    });
    assert.ok(status === 200 || status === 409 && asked > 1, `${status} for the skip in ${run}: ${body.error}`);
  }

  /** Repeats a request until there is something. */
  async #find<T>(what: string, look: (program: Program) => Promise<T | undefined>): Promise<T> {
    const end = performance.now() + 600_000;
    for (;;) {
      const found = await this.#ask(async (program) => ({ status: 200, found: await look(program) }));
      if (found.found !== undefined) return found.found;
      assert.ok(performance.now() < end, `600 s without ${what}`);
      await pause(50);
    }
  }

  /** Repeats a request until there is an answer. */
  async #ask<T extends { status: number }>(question: (program: Program) => Promise<T>): Promise<T> {
    for (;;) {
      assert.ok(!this.gone, "the test is over");
      const answer = this.program && await question(this.program).catch(() => undefined);
      if (answer !== undefined && answer.status !== 503) return answer;
      await pause(20);
    }
  }
}
