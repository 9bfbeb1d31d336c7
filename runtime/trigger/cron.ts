import process from "node:process";
import { Cron } from "croner";
import { z } from "zod";
import type { JsonObject } from "../model/json.ts";
import { duration } from "../rule/field.ts";
import { keepTime, MISSED, passTime, type Schedule, type Timetable } from "./timetable.ts";
import type { TriggerKind } from "./trigger.ts";

const HOUR = 3_600_000;

const zone = z.string().superRefine((name, context) => {
  if (isZone(name)) return;
  const expected = "a time zone such as Europe/Berlin";
  context.addIssue({ code: "custom", message: `expected ${expected}`, params: { expected }, input: name });
});

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
  address: (args) => `cron ${args.cron} ${zoneOf(args)}`,
  check(args, now) {
    try {
      if (scheduleOf(args).after(now) !== undefined) return [];
      return [`the cron "${args.cron}" never fires: there is no such date; write a day that one of its months has`];
    } catch (error) {
      const reason = error instanceof Error ? error.message.replace(/^Cron\w+: /, "") : String(error);
      if (!isZone(zoneOf(args))) return [`expected a time zone such as Europe/Berlin, got "${zoneOf(args)}"`];
      return [`expected a cron pattern such as "30 8 * * 1-5", got "${args.cron}": ${reason}`];
    }
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
  const pattern = new Cron(args.cron as string, {
    paused: true,
    timezone: zoneOf(args),
    mode: "5-or-6-parts",
    // "0 2,14 * * *" must not be skipped on the day on which there is no 02:00, as "0 2 * * *" is not.
    fixedTimeRule: "no-wildcard",
  });
  return {
    after: (time) => pattern.nextRun(new Date(time))?.getTime(),
    before: (time) => pattern.previousRuns(1, new Date(time))[0]?.getTime(),
  };
}

function zoneOf(args: JsonObject): string {
  return (args.timezone as string | undefined) ?? (process.env.TZ || "UTC");
}

function isZone(name: string): boolean {
  try {
    return new Intl.DateTimeFormat("en", { timeZone: name }) !== undefined;
  } catch {
    return false;
  }
}
