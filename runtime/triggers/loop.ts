import { messageOf } from "../model/errors.ts";
import { StoreFullError } from "../store/store.ts";
import type { Detach, TriggerContext } from "./trigger.ts";

/** When work that failed is attempted again. */
const RETRY = 10_000;

export interface Loop {
  /** Has the work done now, or right after the one that is under way. */
  wake(): void;
  detach: Detach;
}

/**
 * Does work that recurs, such as a trigger's, now, and again each time it asks for. Never twice at once; failures are reported and
 * attempted again. It is also done when the clock was set back, for what it waits for may then be years away.
 * @param work gives the time at which it is to be done again, or undefined where it never is
 */
export function keepGoing(
  context: Pick<TriggerContext, "clock" | "signal" | "report">,
  work: () => Promise<number | undefined>,
): Loop {
  const { clock, signal } = context;
  let cancel = () => {};
  let working = Promise.resolve();
  let queued = false;
  const wake = () => {
    if (queued) return;
    queued = true;
    working = working.then(async () => {
      queued = false;
      cancel();
      if (signal.aborted) return;
      const next = await attempt();
      if (!signal.aborted && next !== undefined) cancel = clock.at(next, wake);
    });
  };
  const attempt = async () => {
    try {
      return await work();
    } catch (error) {
      if (!signal.aborted) context.report(messageOf(error));
      return clock.now() + (error instanceof StoreFullError ? error.retryAfter * 1_000 : RETRY);
    }
  };
  const forget = clock.onRollback(wake);
  wake();
  const detach = async () => {
    forget();
    cancel();
    await working;
  };
  return { wake, detach };
}
