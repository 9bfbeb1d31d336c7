import assert from "node:assert/strict";
import { Clients } from "../e2e/torture/clients.ts";
import { between, pause } from "../e2e/torture/size.ts";
import { until } from "../e2e/until.ts";
import type { Replica, Replicas } from "./replicas.ts";

/** What a sender knows about an event that it sent. */
export interface Delivered {
  id: string;
  /** Events of one key are sent one after the other, each once the previous one is acknowledged. */
  key: string;
  /** How often it was answered 202. */
  accepted: number;
  runs: string[];
}

export interface SendersOptions {
  /** A webhook whose identity is `event.data.id`. */
  path: string;
  /** How many runs each event starts. */
  runs: number;
  /** Events in flight at a time, each of its own key. */
  count: number;
  /** Milliseconds that each sender pauses after an answer. @default 0 */
  rest?: number;
  /** More data of each event. */
  more?: Record<string, string>;
  /** Sent and acknowledged after each event, with its id as data. */
  then?: string;
  /** To which replicas. @default all that are up */
  to?: () => Replica[];
}

/**
 * Send events to replicas until they are stopped, three in ten twice, to different ones. Like real providers they send
 * unanswered and refused ones again, to any replica. Each answer must be an acknowledgement or 503 with `Retry-After`.
 */
export class Senders extends Clients {
  readonly delivered = new Map<string, Delivered>();
  /** `performance.now()` at each acknowledgement. */
  readonly answeredAt: number[] = [];
  refused = 0;
  #keys = 0;
  #failure: Error | undefined;

  constructor(private readonly replicas: Replicas, private readonly options: SendersOptions) {
    super(options.count);
  }

  /** Drops what it knows of events so far, for hours of them. @returns how many they were */
  forget(): number {
    const { size } = this.delivered;
    this.delivered.clear();
    this.answeredAt.length = 0;
    return size;
  }

  /** Milliseconds of the longest time without an acknowledgement since then. */
  longestGap(since: number): number {
    const times = [since, ...this.answeredAt.filter((at) => at > since), performance.now()];
    return Math.max(...times.slice(1).map((at, index) => at - times[index]));
  }

  /** Waits until so many more events were acknowledged. @throws what is wrong with an answer */
  async more(count: number): Promise<void> {
    const enough = this.answeredAt.length + count;
    const look = () =>
      this.#failure === undefined ? Promise.resolve(this.answeredAt.length) : Promise.reject(this.#failure);
    await until(`${count} acknowledgements`, look, (now) => now >= enough);
  }

  protected override async goOn(): Promise<void> {
    try {
      await this.#sendAll();
    } catch (error) {
      this.#failure ??= error as Error;
      throw error;
    }
  }

  async #sendAll(): Promise<void> {
    const key = `k${++this.#keys}`;
    for (let number = 1; !this.enough; number++) {
      const sent: Delivered = { id: `${key}-${number}`, key, accepted: 0, runs: [] };
      this.delivered.set(sent.id, sent);
      const copies = Math.random() < 0.3 ? 2 : 1;
      await Promise.all(Array.from({ length: copies }, () => this.#deliver(sent)));
      if (this.options.then !== undefined) await this.#follow(this.options.then, sent.id);
      await pause(this.options.rest ?? 0);
    }
  }

  async #deliver(sent: Delivered): Promise<void> {
    const { path, more } = this.options;
    const { body, status } = await this.#insist(path, { id: sent.id, key: sent.key, ...more });
    assert.equal(body.duplicate, status === 200, sent.id);
    assert.equal(body.runs.length, this.options.runs, `${sent.id} has a run for each rule`);
    if (status === 202) sent.accepted++;
    if (sent.runs.length > 0) assert.deepEqual(body.runs, sent.runs, sent.id);
    sent.runs = body.runs;
  }

  async #follow(type: string, id: string): Promise<void> {
    await this.#insist("/events", { type, id: `${type}-${id}`, source: "senders", data: { id } });
  }

  /** Sends until it is acknowledged. */
  async #insist(path: string, body: unknown) {
    for (;;) {
      assert.ok(!this.gone, "the test is over");
      const answer = await this.#send(path, body);
      if (answer !== undefined) return answer;
      await pause(between(10, 50));
    }
  }

  /** @returns undefined if it was not acknowledged */
  async #send(path: string, body: unknown) {
    const candidates = this.options.to?.() ?? this.replicas.up;
    if (candidates.length === 0) return undefined;
    const replica = candidates[between(0, candidates.length - 1)];
    const before = replica.disturbed;
    const answer = await replica.post(path, body).catch((error: Error) => error);
    if (answer instanceof Error) {
      const isExplained = () => Promise.resolve(before.isAway || replica.disturbed.times !== before.times);
      // Its log may arrive later than the end of the connection.
      await until(`a reason why ${replica.name} did not answer: ${answer.message}`, isExplained, (is) => is, 5_000);
      return undefined;
    }
    if (answer.status === 503) {
      assert.ok(Number(answer.retryAfter) > 0, `503 without Retry-After: ${JSON.stringify(answer.body)}`);
      this.refused++;
      return undefined;
    }
    assert.ok(
      [200, 202].includes(answer.status),
      `${answer.status} of ${replica.name}: ${JSON.stringify(answer.body)}\n${replica.program.output.slice(-5_000)}`,
    );
    this.answeredAt.push(performance.now());
    return answer;
  }
}
