import { z } from "zod";
import type { Schedule } from "../language/fields/cron_schedule.ts";
import { messageOf } from "../model/errors.ts";
import { StoreFullError } from "../store/store.ts";
import type { Detach, TriggerContext, TriggerEvent } from "./trigger.ts";

/** What happens to occurrences that fell due while the program was down. */
const MISSED = ["skip", "last", "all"] as const;

/** The option `missed`. */
export function missedOption() {
  return z.enum(MISSED).default("last").describe(
    "What happens to occurrences that fell due while the program was down",
  );
}

export interface Timetable {
  type: string;
  /** @param mark the last occurrence that is done; the schedule may count from it */
  schedule(mark: number): Schedule;
  missed: typeof MISSED[number];
  /** A missed occurrence is made up for if it is at most this many milliseconds old. */
  window: number;
  /** True if a mark in the future is an occurrence that was emitted, not the result of a wrong clock. */
  isDone?(mark: number): boolean;
}

/** An occurrence that is at most this late counts as on time: the program was busy or just restarted. */
const ON_TIME = 60_000;
/** A mark may be this far ahead, because the clock was corrected in small steps. */
const CLOCK_SLACK = 60_000;
/** At most this many missed occurrences are caught up, even if `missed` is `all`. */
const MOST_MISSED = 1_000;
/**
 * Emits the occurrences of a timetable as events. The id of an event is its scheduled time. The mark (everything up to it is
 * done) moves in the same transition as the events, so no restart, reload or clock step emits an occurrence twice.
 * Occurrences from before the rule was first loaded are not made up for.
 */
export function keepTime(context: TriggerContext<unknown>, timetable: Timetable): Detach {
  return keepGoing(context, async () => {
    const next = await emitDue(context, timetable);
    context.report(null);
    return next;
  }).detach;
}

/** One pass for `whenthen once`: all that fell due since the last pass counts as on time, however long ago. */
export async function passTime(context: TriggerContext<unknown>, timetable: Timetable): Promise<void> {
  const missed = timetable.missed === "all" ? "all" : "last";
  await emitDue(context, { ...timetable, missed, window: Infinity });
  context.report(null);
}

/** @returns when the next occurrence is due, or undefined if there is none */
async function emitDue(context: TriggerContext<unknown>, timetable: Timetable): Promise<number | undefined> {
  const { clock, store, rule, trigger } = context;
  const now = clock.now();
  let mark = readMark(await store.getMark({ rule: rule.id, trigger: trigger.id }));
  const ahead = mark !== undefined && mark > now + CLOCK_SLACK && !timetable.isDone?.(mark);
  if (ahead) {
    context.log.warn(
      `${trigger.id} had its last occurrence at ${iso(mark!)}, which is in the future: it continues from now`,
    );
  }
  if (mark === undefined || ahead) {
    mark = now;
    await context.ingest([], { mark: iso(mark) });
  }
  const schedule = timetable.schedule(mark);
  const newest = schedule.before(now + 1);
  if (newest === undefined || newest <= mark) return schedule.after(mark);
  const due = dueOccurrences(context, timetable, schedule, mark, now);
  await context.ingest(due.map((time) => eventOf(timetable.type, time)), { mark: iso(newest) });
  return timetable.schedule(newest).after(newest);
}

/** The occurrences to emit, in order: after the mark, up to now. */
function dueOccurrences(
  context: TriggerContext<unknown>,
  { missed, window }: Timetable,
  schedule: Schedule,
  mark: number,
  now: number,
): number[] {
  const oldest = now - (missed === "skip" ? ON_TIME : Math.max(window, ON_TIME));
  const most = missed === "all" ? MOST_MISSED : 1;
  const due: number[] = [];
  let time = schedule.before(now + 1);
  for (; time !== undefined && time > mark && time >= oldest && due.length < most; time = schedule.before(time)) {
    due.unshift(time);
  }
  if (due.length === MOST_MISSED && time !== undefined && time > mark && time >= oldest) {
    context.log.warn(
      `${context.trigger.id} missed more than ${MOST_MISSED} occurrences: only the last ${MOST_MISSED} are caught up`,
    );
  }
  return due;
}

function eventOf(type: string, time: number): TriggerEvent {
  return { id: iso(time), type, time: iso(time), data: { scheduled: iso(time) } };
}

function readMark(mark: unknown): number | undefined {
  const time = typeof mark === "string" ? Date.parse(mark) : NaN;
  return Number.isNaN(time) ? undefined : time;
}

function iso(time: number): string {
  return new Date(time).toISOString();
}

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
