import type { EventIdentity, Reply } from "../store/store.ts";

/**
 * Requests that wait for the `reply` step of their event. Told by the runner, after the reply is on disk; one process
 * only, as is the connection that waits.
 */
export class ReplyWaiters {
  readonly #waiting = new Map<string, Set<Waiter>>();

  /** A run recorded a reply to the event. */
  answered(event: EventIdentity, reply: Reply): void {
    for (const waiter of this.#of(event)) waiter.settle(reply);
  }

  /** A run of the event ended; once none of its runs can reply any more nobody needs to wait on. */
  ended(event: EventIdentity, run: string): void {
    for (const waiter of this.#of(event)) {
      waiter.runs.delete(run);
      if (waiter.runs.size === 0) waiter.settle(undefined);
    }
  }

  /** Lets all requests go without a reply, as at the end of draining. */
  release(): void {
    for (const waiters of [...this.#waiting.values()]) for (const waiter of [...waiters]) waiter.settle(undefined);
  }

  /**
   * Waits until a reply is recorded, all the runs have ended, or the signal is aborted.
   * @returns the reply, or undefined where there is none
   */
  wait(event: EventIdentity, runs: string[], signal: AbortSignal): Promise<Reply | undefined> {
    const key = keyOf(event);
    return new Promise((resolve) => {
      const giveUp = () => waiter.settle(undefined);
      const waiter: Waiter = {
        runs: new Set(runs),
        settle: (reply) => {
          signal.removeEventListener("abort", giveUp);
          const waiters = this.#waiting.get(key);
          waiters?.delete(waiter);
          if (waiters?.size === 0) this.#waiting.delete(key);
          resolve(reply);
        },
      };
      this.#waiting.set(key, (this.#waiting.get(key) ?? new Set()).add(waiter));
      signal.addEventListener("abort", giveUp);
      if (signal.aborted || runs.length === 0) giveUp();
    });
  }

  #of(event: EventIdentity): Waiter[] {
    return this.#waiting.size === 0 ? [] : [...this.#waiting.get(keyOf(event)) ?? []];
  }
}

interface Waiter {
  runs: Set<string>;
  settle(reply: Reply | undefined): void;
}

function keyOf({ source, id }: EventIdentity): string {
  return JSON.stringify([source, id]);
}
