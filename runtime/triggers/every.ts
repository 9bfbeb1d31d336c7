import { z } from "zod";
import { formatDuration } from "../model/duration.ts";
import { duration, type Template } from "../language/fields/field.ts";
import type { Args } from "../language/kind.ts";
import { keepTime, MISSED, passTime, type Timetable } from "./timetable.ts";
import { defineTrigger } from "./trigger.ts";

/** A shorter interval is taken for a mistake. */
const SHORTEST_INTERVAL = 100;

const schemas = {
  kind: "every",
  main: duration(),
  options: { missed: z.enum(MISSED).default("last") },
} as const;

/** A true interval: each occurrence is one interval after the last, also across restarts. */
export const every = defineTrigger({
  ...schemas,
  summary: "Emits at an interval, the first time one interval after the rule is first loaded",
  address: (args) => `every ${formatDuration(Number(args.every))}`,
  check: (args) => checkInterval(args.every),
  attach: (context) => keepTime(context, timetableOf(context.args)),
  pass: (context) => passTime(context, timetableOf(context.args)),
});

/** What is wrong with an interval of repetition. */
export function checkInterval(given: number | Template): string[] {
  // The value of a template is not known yet: it gives NaN, which is refused.
  const interval = Number(given);
  if (interval >= SHORTEST_INTERVAL) return [];
  return [`expected an interval of at least ${formatDuration(SHORTEST_INTERVAL)}, got ${formatDuration(interval)}`];
}

function timetableOf({ every: interval, missed }: Args<typeof schemas>): Timetable {
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
