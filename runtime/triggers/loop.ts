import { messageOf } from "../model/errors.ts";
import { StoreFullError } from "../store/store.ts";
import type { Detach, TriggerContext } from "./trigger.ts";

/** How long after a failure the work is attempted again. */
const RETRY = 10_000;

export interface Loop {
  /** Does the work now, or right after the run in progress. */
  wake(): void;
  detach: Detach;
}

/**
 * Does recurring work, such as a trigger's: now, and again at each time that the work returns. It never runs twice at once.
 * Failures are reported and attempted again. The work also runs when the clock jumps back, as the planned time may then be
 * years away.
 * @param work returns the time of its next run, or undefined if there is none
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
