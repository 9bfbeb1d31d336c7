import { z } from "zod";
import type { Outcome } from "../../actions/action.ts";
import { BY_FUNCTION, patchInCode } from "../../actions/patch.ts";
import { taskInCode } from "../../actions/task.ts";
import {
  duration,
  type FieldInfo,
  hasTemplate,
  number,
  rate,
  type Resolved,
  retrySchema,
} from "../../language/arg_types.ts";
import { parseArgs } from "../../language/checker/check_rule.ts";
import { nameSecrets } from "../../language/expressions/recorded_args.ts";
import { mapArgs } from "../../language/expressions/template.ts";
import { defineKind, type Kind } from "../../language/kind.ts";
import { mapFields } from "../../language/map_args.ts";
import { TerminalError, TimeoutError } from "../../model/errors.ts";
import type { Json, JsonObject } from "../../model/json.ts";
import type { RetryPolicy } from "../../model/rule.ts";
import { attemptStep, computeStep, STANDARD_DELAYS } from "../attempt.ts";
import type { StepOutcome, Suspended } from "../outcome.ts";
import type { StepFrame } from "../step_frame.ts";
import { type ActionStep, runAction, targetOf } from "../steps/action_step.ts";
import { notOn } from "../steps/control.ts";
import { runForm } from "../steps/form.ts";
import { runStop } from "../steps/if_parallel_stop.ts";
import { stepKinds } from "../steps/index.ts";
import { runSteps } from "../steps/sequence.ts";
import { runWaitFor, runWaitUntil, schemasOfCode, waitFor } from "../steps/wait.ts";
import type { PendingStep } from "./pending_steps.ts";

/** The parts of a step that the function executes itself. */
interface Executing {
  /** Runs one attempt of a `do`, or the function of a `patch` with the given item. */
  compute(attempt: number, signal: AbortSignal, given?: Json): Promise<Outcome | Suspended>;
  /** The branches of an `each`, `all` or `any`. */
  branch(args: JsonObject): Promise<StepOutcome>;
}

/** Runs one `step.*` call. A call that does not match its kind's schema fails the step. */
export function runCall(step: PendingStep, around: StepFrame, executing: Executing): Promise<StepOutcome> {
  const { path, kind, after, signal } = step;
  const frame: StepFrame = { ...around, signal };
  const { context } = frame;
  let checked: CheckedCall;
  try {
    checked = checkCall(path, kind, step.call.args, context.options.clock.now());
  } catch (thrown) {
    return computeStep(context, { path, kind, after }, signal, () => Promise.reject(thrown));
  }
  const { args, timeout, retry } = checked;
  const recorded = nameSecrets(args, context.options.isolates.handedSecrets(context.rule.version));
  const common = { path, kind, after, timeout, args: () => Promise.resolve({ used: args, recorded }) };
  const asAction = (compute?: ActionStep["compute"]) => {
    const task = { ...common, retry, target: targetOf(args), ...compute && { compute } };
    return runAction(task, frame, runSteps);
  };
  switch (kind) {
    case "do":
      if (context.options.standIn?.({ kind, path })) return asAction();
      return attemptStep(context, {
        ...common,
        begunAt: step.call.begunAt,
        retry: retry ?? { attempts: 1, ...STANDARD_DELAYS },
        worthRetrying: () => true,
        prepare: () => Promise.resolve(null),
        act: (_args, attempt, makeSignal) => executing.compute(attempt, makeSignal()),
      }, signal);
    case "each":
    case "all":
    case "any":
      return executing.branch(args);
    case "task":
      // Its timeout is one of each device.
      return runAction(
        { ...common, timeout: undefined, retry, continuesOnError: args.onError === "continue" },
        frame,
        runSteps,
      );
    case "patch":
      return args.patch === BY_FUNCTION ? asAction(computing(executing)) : asAction();
    case "wait":
      return runWaitUntil(common, context, signal);
    case "waitFor":
      return runWaitFor(common, context, signal);
    case "form":
      return runForm(common, frame, runSteps);
    case "stop":
      return runStop(common, context, signal);
    default:
      return asAction();
  }
}

/** The function of a step that another one executes. */
function computing({ compute }: Executing): ActionStep["compute"] {
  return async (attempt, signal, given) => {
    const computed = await compute(attempt, signal, given);
    if ("output" in computed) return computed.output;
    throw new TimeoutError("Its function still computes an earlier attempt");
  };
}

/** A `step.*` call, checked. */
interface CheckedCall {
  args: JsonObject;
  timeout?: number;
  retry?: RetryPolicy;
}

/** What every call takes. */
export const CALL_OPTIONS = z.object({
  timeout: duration().optional().describe("For one attempt"),
  retry: retrySchema.optional().describe("The number of attempts, or the whole policy"),
});
/** Fields whose values are not text. */
const VALUES: ReadonlySet<FieldInfo["is"]> = new Set(["duration", "rate", "size", "number", "boolean"]);

function notHere(kind: string) {
  const never = notOn(`step.${kind}`, "its branches");
  return { timeout: never, retry: never };
}

/** What `step.each` takes: the number of its items. */
export const eachSchemas = {
  kind: "each",
  main: number({ min: 0, integer: true }),
  options: {
    max: number({ min: 1, integer: true }).optional(),
    rate: rate().optional(),
    onError: z.enum(["stop", "continue"]).optional(),
    ...notHere("each"),
  },
} as const;

/** Kinds whose arguments differ between a function and a YAML file: `match` has values; branches have names or a number. */
const kindsOfCode: Record<string, Kind> = {
  waitFor: { ...waitFor, options: schemasOfCode.options },
  patch: patchInCode,
  task: taskInCode,
  each: { ...eachSchemas, summary: "Runs a function for every item of a list" },
  all: defineKind({
    kind: "all",
    summary: "Runs branches concurrently",
    main: z.array(z.string()),
    options: { join: number({ min: 1, integer: true }).optional(), ...notHere("all") },
    check({ all, join }) {
      const count = all.length;
      return typeof join === "number" && join > count
        ? [`join: ${join} of ${count} branches can never succeed; write at most ${count}`]
        : [];
    },
  }),
  any: {
    kind: "any",
    summary: "Runs branches concurrently until one has succeeded",
    main: z.array(z.string()).min(1, { error: "expected at least one branch" }),
    options: notHere("any"),
  },
};

/** The kind of a `step.*` call; undefined if there is none. */
export function kindOfCall(kind: string): Kind | undefined {
  return kindsOfCode[kind] ?? stepKinds[kind];
}

/**
 * Checks a function's arguments for a step against its kind's schema; every kind knows `timeout` and `retry`.
 * @throws TerminalError
 */
export function checkCall(path: string, kind: string, raw: JsonObject, now: number): CheckedCall {
  const known = kindOfCall(kind);
  // Most calls of `do` have a name and a function only.
  if (known === undefined && Object.keys(raw).length === 0) return { args: {} };
  const { timeout, retry, ...rest } = raw;
  const options = CALL_OPTIONS.safeParse({ timeout, retry });
  const unresolved = templatesIn(raw, known);
  if (unresolved.length > 0) {
    const hint = "code has no ${{ }}: give the value itself, such as config.x";
    throw new TerminalError(`Cannot run step "${path}": ${unresolved.join("; ")}; ${hint}`);
  }
  const checked = known === undefined ? { args: {} } : checkKind(known, raw, rest, now);
  if (options.success && "args" in checked) {
    return { args: checked.args, ...options.data as Resolved<typeof options.data> };
  }
  // If the kind itself checks an option, it reports the problem.
  const issues = options.error?.issues.filter(({ path: [name] }) => !Object.hasOwn(known?.options ?? {}, name)) ?? [];
  const problems = [
    ...issues.map((issue) => `${issue.path.join(".")}: ${issue.message}`),
    ...("problems" in checked ? checked.problems : []),
  ];
  throw new TerminalError(`Cannot run step "${path}": ${problems.join("; ")}`);
}

/** Templates in options that are no text. Nothing resolves them in code, which has the values itself. */
function templatesIn(raw: JsonObject, kind: Kind | undefined): string[] {
  const found: string[] = [];
  const visit: Parameters<typeof mapFields>[2] = (info, value, below) => {
    if (info !== undefined && VALUES.has(info.is) && hasTemplate(value)) {
      found.push(`${below.join(".")}: expected ${info.expected}, got ${JSON.stringify(value)}`);
    }
    return value;
  };
  const { timeout, retry, ...rest } = raw;
  mapFields(CALL_OPTIONS, { timeout, retry }, visit);
  if (kind !== undefined) mapArgs(kind, rest, visit);
  return found;
}

/** @param rest without the options that every kind has, for kinds that do not check these themselves */
function checkKind(
  kind: Kind,
  raw: JsonObject,
  rest: JsonObject,
  now: number,
): { args: JsonObject } | { problems: string[] } {
  const own = Object.entries(raw).filter(([name]) => Object.hasOwn(rest, name) || Object.hasOwn(kind.options, name));
  const parsed = parseArgs(kind, Object.fromEntries(own));
  const wrong = "args" in parsed ? kind.check?.(parsed.args, now) ?? [] : [];
  return wrong.length > 0 ? { problems: wrong } : parsed;
}
