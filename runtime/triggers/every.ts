import { z } from "zod";
import { formatDuration } from "../model/duration.ts";
import type { JsonObject } from "../model/json.ts";
import { duration } from "../language/fields/field.ts";
import { keepTime, MISSED, passTime, type Timetable } from "./timetable.ts";
import type { TriggerKind } from "./trigger.ts";

/** Shorter intervals than this are a slip of the pen. */
const SHORTEST_INTERVAL = 100;

/** A true interval: the next occurrence is one interval after the last, across restarts too. */
export const every: TriggerKind = {
  kind: "every",
  summary: "Emits at an interval, the first time one interval after the rule is first loaded",
  main: duration(),
  options: { missed: z.enum(MISSED).default("last") },
  address: (args) => `every ${formatDuration(args.every as number)}`,
  check: (args) => checkInterval(args.every as number),
  attach: (context) => keepTime(context, timetableOf(context.args)),
  pass: (context) => passTime(context, timetableOf(context.args)),
};

/** What is wrong with an interval that something is repeated at. */
export function checkInterval(interval: number): string[] {
  if (interval >= SHORTEST_INTERVAL) return [];
  return [`expected an interval of at least ${formatDuration(SHORTEST_INTERVAL)}, got ${formatDuration(interval)}`];
}

function timetableOf(args: JsonObject): Timetable {
  const interval = args.every as number;
  return {
    type: "every",
    schedule: (mark) => ({
      after: (time) => mark + (Math.floor((time - mark) / interval) + 1) * interval,
      before: (time) => mark + (Math.ceil((time - mark) / interval) - 1) * interval,
    }),
    missed: args.missed as Timetable["missed"],
    window: Infinity,
  };
}
