import { TerminalError } from "../../model/errors.ts";
import { hasTemplate, template } from "../../language/fields/field.ts";
import { type Args, resolvedArgs } from "../../language/kind.ts";
import { pathIn, type RunContext } from "../step_frame.ts";
import { A_MOMENT, isZone, parseDue, parseMoment } from "./moment.ts";
import type { StepOutcome } from "../outcome.ts";
import { type Control, defineControl, notTaken, resolveStepArgs, type StepArgs } from "./control.ts";
import { runWait } from "./wait_step.ts";

const DUE = `a duration such as 1h, or ${A_MOMENT}`;
const notHere = notTaken("a wait step does not take this: it ends at its time; write until for the latest one");

const schemas = {
  kind: "wait",
  main: template().describe("A duration such as 1h, a time, or the next 09:00"),
  options: {
    until: template().optional().describe("A time at which it ends at the latest"),
    timezone: template().optional().describe("The zone of a time such as 09:00; by default the variable TZ, else UTC"),
    timeout: notHere,
    retry: notHere,
    onTimeout: notHere,
  },
} as const;

/** Waits for a while, or until a time. */
export const wait: Control = defineControl({
  ...schemas,
  summary: "Waits for a while, or until a time",
  controls: true,
  check(args, now) {
    const { wait, until, timezone } = args;
    const isWrong = (text: string | undefined, parse: (text: string, now: number) => unknown) =>
      text !== undefined && !hasTemplate(text) && parse(text, now) === undefined;
    return [
      ...isWrong(wait, parseDue) ? [`expected ${DUE}, got "${wait}"; write it as in wait: 1h or wait: "09:00"`] : [],
      ...isWrong(until, parseMoment) ? [`until: expected ${A_MOMENT}, got "${until}"; a duration goes in wait`] : [],
      ...isWrong(timezone, (name) => isZone(name) || undefined)
        ? [`timezone: there is no time zone "${timezone}"; write one such as Europe/Berlin`]
        : [],
    ];
  },
  execute(step, frame) {
    const args = () => resolveStepArgs(wait, step.args, frame);
    return runWaitUntil({ path: pathIn(frame, step.id), args }, frame.context, frame.signal);
  },
});

/** Waits for a while or until a time, of a YAML step or of `step.wait`. The result is null. */
export async function runWaitUntil(
  { args, ...step }: { path: string; after?: string; args(): Promise<StepArgs> },
  context: RunContext,
  signal: AbortSignal,
): Promise<StepOutcome> {
  const outcome = await runWait(context, {
    ...step,
    kind: wait.kind,
    begin: async () => {
      const { used, recorded } = await args();
      return {
        input: recorded,
        due: dueOf(resolvedArgs(schemas, used), context.options.clock.now()),
        wait: { kind: "time" },
      };
    },
    describe: ({ path }) => `the time of step "${path}"`,
  }, signal);
  return outcome.kind === "result" ? { kind: "result", output: null } : outcome;
}

/** @throws TerminalError if a time or the zone cannot be read */
function dueOf({ wait, until, timezone }: Args<typeof schemas>, now: number): number {
  const cannot = (what: string, text: string, expected: string) =>
    new TerminalError(`Cannot wait ${what} "${text}": expected ${expected}`);
  if (timezone !== undefined && !isZone(timezone)) {
    throw cannot("in the time zone", timezone, "one such as Europe/Berlin");
  }
  const due = parseDue(wait, now, timezone);
  if (due === undefined) throw cannot("for", wait, DUE);
  if (until === undefined) return due;
  const latest = parseMoment(until, now, timezone);
  if (latest === undefined) throw cannot("until", until, A_MOMENT);
  return Math.min(due, latest);
}
