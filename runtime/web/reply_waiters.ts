import type { Run } from "../model/run.ts";
import type { EventIdentity, Reply } from "../store/store.ts";

/**
 * Requests that wait for the `reply` step of their event. The runner calls this after the reply is on disk. Limited to one
 * process, like the waiting connection itself.
 */
export class ReplyWaiters {
  readonly #waiting = new Map<string, Set<Waiter>>();
  /** Requests that want a reply, by event. They are counted before the delivery, when their runs are not known yet. */
  readonly #wanted = new Map<string, number>();

  /** Whether any request still wants a reply to the event. */
  isAwaited(event: EventIdentity): boolean {
    return this.#wanted.has(keyOf(event));
  }

  /** Marks replies to the events as wanted until `answer` has made the response. */
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

  /** A run of the event ended; when none of its runs can reply any more, the wait ends. */
  ended(event: EventIdentity, { id, rule, state }: Pick<Run, "id" | "rule" | "state">): void {
    for (const waiter of this.#of(event)) {
      if (state === "failed" && waiter.runs.has(id)) waiter.failed.push(rule);
      waiter.runs.delete(id);
      if (waiter.runs.size === 0) waiter.settle({ failed: waiter.failed });
    }
  }

  /** Ends all waits without a reply, as at the end of draining. */
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

/** The outcome of a wait. Both are absent if it timed out, or the runs succeeded without a reply. */
export interface WaitOutcome {
  reply?: Reply;
  /** The rules whose runs failed, if all runs have ended without a reply. */
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
