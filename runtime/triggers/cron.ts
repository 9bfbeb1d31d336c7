import { z } from "zod";
import type { JsonObject } from "../model/json.ts";
import { cronProblem, cronSchedule, zone, zoneOf } from "../language/fields/cron_schedule.ts";
import { duration } from "../language/fields/field.ts";
import type { Args } from "../language/kind.ts";
import { keepTime, MISSED, passTime, type Timetable } from "./timetable.ts";
import { defineTrigger } from "./trigger.ts";

const HOUR = 3_600_000;

const schemas = {
  kind: "cron",
  main: z.string(),
  options: {
    timezone: zone.optional(),
    missed: z.enum(MISSED).default("last"),
    window: duration().default(HOUR),
  },
} as const;

/** A cron pattern in a time zone: five fields, or six with seconds first. */
export const cron = defineTrigger({
  ...schemas,
  summary: "Emits at the times of a cron pattern",
  address: (args) => `cron ${args.cron} ${zoneOf(args.timezone)}`,
  check(args, now) {
    const problem = cronProblem(args.cron, args.timezone, now);
    return problem === undefined ? [] : [problem];
  },
  attach: (context) => keepTime(context, timetableOf(context.args)),
  pass: (context) => passTime(context, timetableOf(context.args)),
});

/**
 * The next times at which a cron trigger fires, for listings.
 * @param now milliseconds since the epoch, like the results
 */
export function nextTimes(args: JsonObject, now: number, count: number): number[] {
  const schedule = cronSchedule(args.cron as string, args.timezone as string | undefined);
  const times: number[] = [];
  for (let time = schedule.after(now); time !== undefined && times.length < count; time = schedule.after(time)) {
    times.push(time);
  }
  return times;
}

function timetableOf({ cron, timezone, missed, window }: Args<typeof schemas>): Timetable {
  const schedule = cronSchedule(cron, timezone);
  return {
    type: "cron",
    schedule: () => schedule,
    missed,
    window,
  };
}
