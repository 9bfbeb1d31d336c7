import { z } from "zod";
import type { Args } from "../language/kind.ts";
import { keepTime, passTime, type Timetable } from "./timetable.ts";
import { defineTrigger } from "./trigger.ts";

const WITH_ZONE = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(:\d{2}(\.\d+)?)?(Z|[+-]\d{2}:?\d{2})$/;

const schemas = {
  kind: "at",
  main: z.string(),
  options: {},
} as const;

/** Fires once at one time. If the program was down then, it fires later, however late; not if the time was past at first load. */
export const at = defineTrigger({
  ...schemas,
  summary: "Emits once, at a date and time",
  address: (args) => `at ${args.at}`,
  check(args) {
    const text = args.at;
    if (WITH_ZONE.test(text) && !Number.isNaN(Date.parse(text))) return [];
    return [`expected a time with its offset such as 2027-01-01T09:00:00+01:00, got "${text}"`];
  },
  attach: (context) => keepTime(context, timetableOf(context.args)),
  pass: (context) => passTime(context, timetableOf(context.args)),
});

function timetableOf(args: Args<typeof schemas>): Timetable {
  const moment = Date.parse(args.at);
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
