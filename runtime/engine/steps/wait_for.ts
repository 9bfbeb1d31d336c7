import { z } from "zod";
import { exactDuration } from "../../model/duration.ts";
import type { Json, JsonObject } from "../../model/json.ts";
import { duration, expression, json, template } from "../../language/fields/field.ts";
import { type Args, resolvedArgs } from "../../language/kind.ts";
import { asIn } from "../../language/checker/sentences.ts";
import { evaluate } from "../../language/expressions/expression.ts";
import { recordExpression } from "../../language/expressions/recorded_args.ts";
import { describeWait } from "../../store/describe_wait.ts";
import { inScope, pathIn, type RunContext } from "../step_frame.ts";
import { later } from "./moment.ts";
import type { StepOutcome } from "../outcome.ts";
import { type Control, defineControl, notTaken, resolveStepArgs, type StepArgs } from "./control.ts";
import { runWait } from "./wait_step.ts";

/** Parts of an event that `match` can read. */
const PARTS = ["id", "source", "type", "subject", "time", "data", "http", "cause"];

const schemas = {
  kind: "waitFor",
  main: z.union([template(), z.array(template()).min(1)]).describe("Its type, a pattern such as order.*, or a list"),
  options: {
    match: z.record(z.string(), expression(), asIn("match: { data.id: event.data.id }")).optional()
      .describe("The values that it must have, by path: { data.id: steps.order.body.id }"),
    timeout: duration().optional().describe("How long to wait; by default until it comes"),
    retry: notTaken("waitFor has one attempt, which lasts until its timeout"),
  },
} as const;

/** The same for a function, which gives the values of a `match` themselves. */
export const schemasOfCode = {
  ...schemas,
  options: { ...schemas.options, match: z.record(z.string(), json()).optional() },
} as const;

/** Waits for an event. */
export const waitFor: Control = defineControl({
  ...schemas,
  summary: "Waits for an event, also for one accepted since the run began",
  controls: true,
  check({ match = {} }) {
    return Object.keys(match).filter((path) => !isEventPath(path)).map((path) => {
      return `match: "${path}" is not a part of an event; write a path such as data.id, which begins with one of ${
        PARTS.join(", ")
      }`;
    });
  },
  execute(step, frame) {
    const args = async () => {
      const { used, recorded } = await resolveStepArgs(waitFor, step.args, frame);
      const { match = {} } = step.args;
      const evaluated = await inScope(frame, (scope) => ({
        used: mapValues(match, (text) => evaluate(text, scope)),
        recorded: mapValues(match, (text) => recordExpression(text, scope, frame.unresolved)),
      }));
      return { used: { ...used, match: evaluated.used }, recorded: { ...recorded, match: evaluated.recorded } };
    };
    return runWaitFor({ path: pathIn(frame, step.id), args }, frame.context, frame.signal);
  },
});

/** Waits for an event, for a YAML step or `step.waitFor`. `match` contains the values themselves. */
export function runWaitFor(
  { args, ...step }: { path: string; after?: string; args(): Promise<StepArgs> },
  context: RunContext,
  signal: AbortSignal,
): Promise<StepOutcome> {
  return runWait(context, {
    ...step,
    kind: waitFor.kind,
    begin: async () => {
      const { used, recorded } = await args();
      const { waitFor: types, match = {}, timeout } = resolvedArgs(schemasOfCode, used);
      const input = { match: {}, ...recorded, ...(timeout !== undefined && { timeout: exactDuration(timeout) }) };
      const due = timeout === undefined ? {} : { due: later(context.options.clock.now(), timeout) };
      return { input, ...due, wait: { kind: "event", types: [types].flat(), match } };
    },
    describe: ({ path, input }) => {
      const { waitFor: types = path, match = {} } = input as Partial<Args<typeof schemasOfCode>>;
      return describeWait({ kind: "event", types: [types].flat(), match });
    },
  }, signal);
}

function mapValues(match: Record<string, string>, map: (text: string) => Json): JsonObject {
  return Object.fromEntries(Object.entries(match).map(([path, text]) => [path, map(text)]));
}

function isEventPath(path: string): boolean {
  const [part, ...keys] = path.split(".");
  return PARTS.includes(part) && keys.every((key) => key !== "");
}
