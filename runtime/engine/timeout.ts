import type { Cancel, Clock } from "../host/clock.ts";
import { formatDuration } from "../model/duration.ts";
import { StillRunningError, TimeoutError } from "../model/errors.ts";

/** A limit on how long something may take. */
interface TimeLimit {
  /** For the message: `Step "tell"`. */
  what: string;
  /** Milliseconds from now; absent if only the signal ends it. */
  ms?: number;
  /** The whole limit, for the message, if `ms` is the rest of it. */
  of?: number;
  /** Milliseconds so far that do not count, such as those in which a run only waited. */
  excluded?: () => number;
  /** Milliseconds after which an action that ignores its signal is abandoned; absent if it always stops. */
  grace?: number;
}

/** A child process gets 2 s between TERM and KILL; an action that takes longer than this ignores its signal. */
export const GRACE = 5_000;

/**
 * Runs something that ends with its signal: when the time is up, or when the given signal is aborted.
 * @param act receives what makes its signal: work that ends at once needs neither a signal nor a timer
 * @returns its result, even if it succeeded after its signal was aborted; not as a promise if it ended at once
 * @throws TimeoutError when the time was up, the signal's reason when that was aborted, else what `act` threw; a
 * StillRunningError of `act` in any case
 */
export function withTimeout<T>(
  clock: Clock,
  limit: TimeLimit,
  signal: AbortSignal,
  act: (makeSignal: () => AbortSignal) => T | Promise<T>,
): T | Promise<T> {
  signal.throwIfAborted();
  let stop: AbortController | undefined;
  const acting = act(() => (stop ??= new AbortController()).signal);
  if (!(acting instanceof Promise)) return acting;
  return endInTime(clock, limit, signal, acting, stop ??= new AbortController());
}

/** @param stop ends the work */
async function endInTime<T>(
  clock: Clock,
  limit: TimeLimit,
  signal: AbortSignal,
  acting: Promise<T>,
  stop: AbortController,
): Promise<T> {
  const { what, ms, of = ms, excluded, grace } = limit;
  const leftBehind = grace === undefined ? undefined : Promise.withResolvers<never>();
  let cancelGrace: Cancel | undefined;
  const end = (reason: unknown) => {
    stop.abort(reason);
    if (leftBehind) cancelGrace ??= clock.after(grace!, () => leftBehind.reject(reason));
  };
  const tooLate = () => end(new TimeoutError(`${what} took longer than its timeout of ${formatDuration(of!)}`));
  const cancel = ms === undefined ? undefined : afterCounted(clock, ms, excluded, tooLate);
  // Not AbortSignal.any, which costs more than all the rest here.
  const stopped = () => end(signal.reason);
  signal.addEventListener("abort", stopped);
  try {
    return await (leftBehind ? Promise.race([acting, leftBehind.promise]) : acting);
  } catch (thrown) {
    throw stop.signal.aborted && !(thrown instanceof StillRunningError) ? stop.signal.reason : thrown;
  } finally {
    cancel?.();
    cancelGrace?.();
    signal.removeEventListener("abort", stopped);
  }
}

/** Calls back after this many milliseconds, not counting the excluded ones. */
function afterCounted(clock: Clock, ms: number, excluded: () => number = () => 0, call: () => void): Cancel {
  const end = clock.ticks() + ms - excluded();
  const look = () => {
    const left = end + excluded() - clock.ticks();
    if (left <= 0) call();
    else cancel = clock.after(left, look);
  };
  let cancel = clock.after(ms, look);
  return () => cancel();
}
