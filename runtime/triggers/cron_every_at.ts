import { z } from "zod";
import { readFeedDate } from "../formats/feed_dates.ts";
import { duration, type Template } from "../language/arg_types.ts";
import { cronProblem, cronSchedule, zone, zoneOf } from "../language/fields/cron_schedule.ts";
import { type Args, readArgs } from "../language/kind.ts";
import { formatDuration } from "../model/duration.ts";
import type { JsonObject } from "../model/json.ts";
import { keepTime, missedOption, passTime, type Timetable } from "./timetable.ts";
import { defineTrigger } from "./trigger.ts";

const HOUR = 3_600_000;

const CRON = {
  kind: "cron",
  main: z.string(),
  options: {
    timezone: zone.optional().describe("By default the variable TZ, else UTC"),
    missed: missedOption(),
    window: duration().default(HOUR).describe("How late a missed occurrence may still fire"),
  },
} as const;

/** A cron pattern in a time zone: five fields, or six with seconds first. */
export const cron = defineTrigger({
  ...CRON,
  summary: "Emits at the times of a cron pattern",
  address: (args) => `cron ${args.cron} ${zoneOf(args.timezone)}`,
  check(args, now) {
    const problem = cronProblem(args.cron, args.timezone, now);
    return problem === undefined ? [] : [problem];
  },
  attach: (context) => keepTime(context, timetableOfCron(context.args)),
  pass: (context) => passTime(context, timetableOfCron(context.args)),
});

/**
 * The next times at which a cron trigger fires, for listings.
 * @param now milliseconds since the epoch, like the results
 */
export function nextTimes(args: JsonObject, now: number, count: number): number[] {
  const { cron, timezone } = readArgs(CRON, args);
  const schedule = cronSchedule(cron, timezone);
  const times: number[] = [];
  for (let time = schedule.after(now); time !== undefined && times.length < count; time = schedule.after(time)) {
    times.push(time);
  }
  return times;
}

function timetableOfCron({ cron, timezone, missed, window }: Args<typeof CRON>): Timetable {
  const schedule = cronSchedule(cron, timezone);
  return {
    type: "cron",
    schedule: () => schedule,
    missed,
    window,
  };
}

/** A shorter interval is taken for a mistake. */
const SHORTEST_INTERVAL = 100;

const EVERY = {
  kind: "every",
  main: duration(),
  options: { missed: missedOption() },
} as const;

/** A true interval: each occurrence is one interval after the last, also across restarts. */
export const every = defineTrigger({
  ...EVERY,
  summary: "Emits at an interval, the first time one interval after the rule is first loaded",
  address: (args) => `every ${formatDuration(Number(args.every))}`,
  check: (args) => checkInterval(args.every),
  attach: (context) => keepTime(context, timetableOfEvery(context.args)),
  pass: (context) => passTime(context, timetableOfEvery(context.args)),
});

/** What is wrong with an interval of repetition. */
export function checkInterval(given: number | Template): string[] {
  // The value of a template is not known yet: it gives NaN, which is refused.
  const interval = Number(given);
  if (interval >= SHORTEST_INTERVAL) return [];
  return [`expected an interval of at least ${formatDuration(SHORTEST_INTERVAL)}, got ${formatDuration(interval)}`];
}

function timetableOfEvery({ every: interval, missed }: Args<typeof EVERY>): Timetable {
  return {
    type: "every",
    schedule: (mark) => ({
      after: (time) => mark + (Math.floor((time - mark) / interval) + 1) * interval,
      before: (time) => mark + (Math.ceil((time - mark) / interval) - 1) * interval,
    }),
    missed,
    window: Infinity,
  };
}

const WITH_ZONE = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(:\d{2}(\.\d+)?)?(Z|[+-]\d{2}:?\d{2})$/;

const AT = {
  kind: "at",
  main: z.string(),
  options: {},
} as const;

/** Fires once at one time. If the program was down then, it fires later, however late; not if the time was past at first load. */
export const at = defineTrigger({
  ...AT,
  summary: "Emits once, at a date and time",
  address: (args) => `at ${args.at}`,
  check(args) {
    const text = args.at;
    if (!WITH_ZONE.test(text)) {
      return [`expected a time with its offset such as 2027-01-01T09:00:00+01:00, got "${text}"`];
    }
    return momentOf(text) === undefined ? [`there is no time ${text}; write a day that its month has`] : [];
  },
  warn(args, now) {
    if (momentOf(args.at)! > now) return [];
    return [`${args.at} is in the past: it fires only to catch up on a downtime; write a time to come, or remove it`];
  },
  attach: (context) => keepTime(context, timetableOfAt(context.args)),
  pass: (context) => passTime(context, timetableOfAt(context.args)),
});

/** Undefined for a day that does not exist, which `Date.parse` takes for one of the next month. */
function momentOf(text: string): number | undefined {
  const time = readFeedDate(text);
  return time === null ? undefined : Date.parse(time);
}

function timetableOfAt(args: Args<typeof AT>): Timetable {
  const moment = momentOf(args.at)!;
  return {
    type: "at",
    schedule: () => ({
      after: (time) => time < moment ? moment : undefined,
      before: (time) => time > moment ? moment : undefined,
    }),
    missed: "last",
    window: Infinity,
    isDone: (mark) => mark === moment,
  };
}
