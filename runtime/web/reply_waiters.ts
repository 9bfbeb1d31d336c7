import type { Run } from "../model/run.ts";
import type { EventIdentity, Reply } from "../store/store.ts";

/**
 * Requests that wait for the `reply` step of their event. Told by the runner, after the reply is on disk; one process
 * only, as is the connection that waits.
 */
export class ReplyWaiters {
  readonly #waiting = new Map<string, Set<Waiter>>();
  /** Requests that want a reply, by event: from before their delivery, when they do not know their runs yet. */
  readonly #wanted = new Map<string, number>();

  /** Whether anybody still wants a reply to the event. */
  isAwaited(event: EventIdentity): boolean {
    return this.#wanted.has(keyOf(event));
  }

  /** Replies to the events are wanted until `answer` has made the response. */
  async during<T>(events: EventIdentity[], answer: () => Promise<T>): Promise<T> {
    for (const event of events) this.#count(keyOf(event), 1);
    try {
      return await answer();
    } finally {
      for (const event of events) this.#count(keyOf(event), -1);
    }
  }

  /** A run recorded a reply to the event. */
  answered(event: EventIdentity, reply: Reply): void {
    for (const waiter of this.#of(event)) waiter.settle({ reply });
  }

  /** A run of the event ended; once none of its runs can reply any more nobody needs to wait on. */
  ended(event: EventIdentity, { id, rule, state }: Pick<Run, "id" | "rule" | "state">): void {
    for (const waiter of this.#of(event)) {
      if (state === "failed" && waiter.runs.has(id)) waiter.failed.push(rule);
      waiter.runs.delete(id);
      if (waiter.runs.size === 0) waiter.settle({ failed: waiter.failed });
    }
  }

  /** Lets all requests go without a reply, as at the end of draining. */
  release(): void {
    for (const waiters of [...this.#waiting.values()]) for (const waiter of [...waiters]) waiter.settle({});
  }

  /**
   * Waits until a reply is recorded, all the runs have ended, or the signal is aborted.
   */
  wait(event: EventIdentity, runs: string[], signal: AbortSignal): Promise<WaitOutcome> {
    const key = keyOf(event);
    return new Promise((resolve) => {
      const giveUp = () => waiter.settle({});
      const waiter: Waiter = {
        runs: new Set(runs),
        failed: [],
        settle: (outcome) => {
          signal.removeEventListener("abort", giveUp);
          const waiters = this.#waiting.get(key);
          waiters?.delete(waiter);
          if (waiters?.size === 0) this.#waiting.delete(key);
          resolve(outcome);
        },
      };
      this.#waiting.set(key, (this.#waiting.get(key) ?? new Set()).add(waiter));
      signal.addEventListener("abort", giveUp);
      if (signal.aborted || runs.length === 0) giveUp();
    });
  }

  #count(key: string, change: 1 | -1): void {
    const count = (this.#wanted.get(key) ?? 0) + change;
    if (count === 0) this.#wanted.delete(key);
    else this.#wanted.set(key, count);
  }

  #of(event: EventIdentity): Waiter[] {
    return this.#waiting.size === 0 ? [] : [...this.#waiting.get(keyOf(event)) ?? []];
  }
}

/** What became of a wait; neither is there if it ran out, or the runs ended well without a reply. */
export interface WaitOutcome {
  reply?: Reply;
  /** The rules whose runs failed, once all runs have ended without a reply. */
  failed?: string[];
}

interface Waiter {
  runs: Set<string>;
  failed: string[];
  settle(outcome: WaitOutcome): void;
}

function keyOf({ source, id }: EventIdentity): string {
  return JSON.stringify([source, id]);
}
