import { z } from "zod";
import type { JsonObject } from "../model/json.ts";
import { cronProblem, cronSchedule, type Schedule, zone, zoneOf } from "../language/fields/cron_schedule.ts";
import { duration } from "../language/fields/field.ts";
import { keepTime, MISSED, passTime, type Timetable } from "./timetable.ts";
import type { TriggerKind } from "./trigger.ts";

const HOUR = 3_600_000;

/** A cron pattern of five fields, or six with seconds in front, in a time zone. */
export const cron: TriggerKind = {
  kind: "cron",
  summary: "Emits at the times of a cron pattern",
  main: z.string(),
  options: {
    timezone: zone.optional(),
    missed: z.enum(MISSED).default("last"),
    window: duration().default(HOUR),
  },
  address: (args) => `cron ${args.cron} ${zoneOf(args.timezone as string | undefined)}`,
  check(args, now) {
    const problem = cronProblem(args.cron as string, args.timezone as string | undefined, now);
    return problem === undefined ? [] : [problem];
  },
  attach: (context) => keepTime(context, timetableOf(context.args)),
  pass: (context) => passTime(context, timetableOf(context.args)),
};

/**
 * The next times that a cron fires, for listings.
 * @param now milliseconds since the epoch; so are the results
 */
export function nextTimes(args: JsonObject, now: number, count: number): number[] {
  const schedule = scheduleOf(args);
  const times: number[] = [];
  for (let time = schedule.after(now); time !== undefined && times.length < count; time = schedule.after(time)) {
    times.push(time);
  }
  return times;
}

function timetableOf(args: JsonObject): Timetable {
  const schedule = scheduleOf(args);
  return {
    type: "cron",
    schedule: () => schedule,
    missed: args.missed as Timetable["missed"],
    window: args.window as number,
  };
}

function scheduleOf(args: JsonObject): Schedule {
  return cronSchedule(args.cron as string, args.timezone as string | undefined);
}
