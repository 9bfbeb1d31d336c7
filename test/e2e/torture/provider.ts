import assert from "node:assert/strict";
import type { Answered, Program } from "../program.ts";
import { Clients } from "./clients.ts";
import { pause } from "./size.ts";

/** What a provider knows about an event that it sent. */
export interface Sent {
  /** How often it was answered 202. */
  accepted: number;
  runs: string[];
}

export interface ProviderOptions {
  path: string;
  /** How many runs each event starts. */
  runs: number;
  /** Events in flight at a time. */
  senders: number;
  /** Milliseconds that each sender pauses after an answer. @default 0 */
  rest?: number;
}

/**
 * Sends new events until it is stopped, several at a time, to the current program. Like a real provider it keeps
 * the answers, and sends unanswered events again with the same identity.
 */
export class Provider extends Clients {
  readonly sent = new Map<number, Sent>();

  constructor(private readonly options: ProviderOptions) {
    super(options.senders);
  }

  /** The program knows each event, with the same runs; all are delivered again. */
  async checkKnown(program: Program): Promise<void> {
    await eightAtATime(this.sent, async ([id, known]) => {
      assert.ok(known.accepted <= 1, `event ${id} was accepted ${known.accepted} times`);
      const { status, body } = await program.post(this.options.path, { id });
      assert.equal(status, 200, `event ${id} is known`);
      assert.deepEqual(body.runs, known.runs);
    });
  }

  protected override async goOn(): Promise<void> {
    for (; !this.enough; await pause(this.options.rest ?? 0)) {
      const id = this.sent.size;
      const sent: Sent = { accepted: 0, runs: [] };
      this.sent.set(id, sent);
      while (!this.gone && !await this.#deliver(id, sent)) await pause(20);
    }
  }

  /** @returns whether it was answered */
  async #deliver(id: number, sent: Sent): Promise<boolean> {
    const answer = await this.program?.post(this.options.path, { id }).catch(() => undefined);
    if (answer === undefined || answer.status === 503) return false;
    this.#note(id, sent, answer);
    return true;
  }

  #note(id: number, sent: Sent, { status, body }: { status: number; body: Answered }): void {
    assert.ok([200, 202].includes(status), `event ${id} was answered ${status}`);
    assert.equal(body.duplicate, status === 200, `event ${id}`);
    assert.equal(body.runs.length, this.options.runs, `event ${id} has a run for each rule`);
    if (status === 202) sent.accepted++;
    if (sent.runs.length > 0) assert.deepEqual(body.runs, sent.runs);
    sent.runs = body.runs;
  }
}

/** A rule's part of a listing of the API, page by page to its end. */
export async function listAll(
  program: Pick<Program, "api">,
  what: "events" | "runs",
  rule: string,
): Promise<Answered[]> {
  const all: Answered[] = [];
  for (let more = true; more;) {
    const last = all.at(-1);
    // A run may have a key, too, which is that of its concurrency group.
    const before = last === undefined ? "" : `&before=${what === "events" ? last.key : last.id}`;
    const page = await program.api(`${what}?rule=${rule}&limit=1000${before}`);
    all.push(...page);
    more = page.length === 1_000;
  }
  return all;
}

/** Does all the work, eight pieces concurrently. */
export async function eightAtATime<T>(items: Iterable<T>, work: (item: T) => Promise<void>): Promise<void> {
  const left = items[Symbol.iterator]();
  await Promise.all(Array.from({ length: 8 }, async () => {
    for (let next = left.next(); !next.done; next = left.next()) await work(next.value);
  }));
}
