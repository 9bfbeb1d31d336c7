import { dirname, join } from "node:path";
import type { Action } from "../actions/action.ts";
import { call, commandAction } from "../actions/call.ts";
import { actions } from "../actions/index.ts";
import { parseArgs } from "../language/checker/check_rule.ts";
import { resolvedArgs } from "../language/kind.ts";
import { recordError } from "../model/errors.ts";
import { newId } from "../model/id.ts";
import { isObject, type Json, type JsonObject } from "../model/json.ts";
import type { Rule } from "../model/rule.ts";
import { CONDITION_STEP, type StepRecord } from "../model/run.ts";
import { readTarget } from "../model/target.ts";
import type { Verdict } from "../model/event.ts";
import {
  type BundledModule,
  type CodeScope,
  InterruptedError,
  InvalidEventError,
  RuleCodeError,
} from "../workers/workers.ts";
import type { SourceCalling } from "../triggers/trigger.ts";
import { mayAct } from "./acting.ts";
import { requestItem } from "./patched_source.ts";
import type { RunnerOptions } from "./runner_options.ts";
import { servicesFor } from "./services.ts";
import type { RunContext } from "./step_frame.ts";
import { GRACE, withTimeout } from "./timeout.ts";

/** The bundled module of a TypeScript rule. */
export function codeOf(rule: Rule): BundledModule {
  return { version: rule.version, file: rule.file, code: rule.modules[""] };
}

/** What a rule's functions see besides `step`. */
export function codeScope({ run, rule, records, options }: RunContext, alone: number): CodeScope {
  return {
    run: { id: run.id, attempt: alone + 1 },
    rule: { id: rule.id, file: rule.file },
    event: run.event,
    trigger: rule.triggers.findIndex((trigger) => trigger.id === run.trigger),
    config: rule.config,
    ...run.inputs && { inputs: run.inputs },
    alone: alone > 0,
    ahead: !options.shared && !options.standIn && records.recorded.every((path) => path === CONDITION_STEP),
  };
}

/** Milliseconds that a function `if` may take. */
const CONDITION_TIMEOUT = 10_000;

interface ConditionAnswer {
  record: StepRecord;
  verdict: "yes" | Verdict;
}

/**
 * Calls the function `if` of a TypeScript rule.
 * @param alone how often a watchdog ended its worker
 * @throws Interruption, InterruptedError, or RuleCodeError if the worker was ended and the call is to be repeated in a
 * worker of its own
 */
export async function askCondition(context: RunContext, alone: number, signal: AbortSignal): Promise<ConditionAnswer> {
  const { rule, options: { clock, isolates } } = context;
  await mayAct(context.options, signal);
  const startedAt = clock.now();
  const record = (ending: Pick<StepRecord, "state" | "output" | "error">): StepRecord => {
    return { path: CONDITION_STEP, kind: "if", attempts: 1, startedAt, endedAt: clock.now(), ...ending };
  };
  const limit = { what: `The function if of ${rule.id}`, ms: CONDITION_TIMEOUT, grace: GRACE };
  const ask = (makeSignal: () => AbortSignal) =>
    isolates.askCondition(codeOf(rule), codeScope(context, alone), makeSignal());
  try {
    const holds = await withTimeout(clock, limit, signal, ask);
    const verdict = holds ? "yes" : { kind: "condition" as const, reason: "The function if returned false" };
    return { record: record({ state: "succeeded", output: holds }), verdict };
  } catch (thrown) {
    if (signal.aborted) throw signal.reason;
    if (thrown instanceof InterruptedError || (thrown instanceof RuleCodeError && thrown.blocked && alone === 0)) {
      throw thrown;
    }
    const error = recordError(thrown);
    const kind = thrown instanceof InvalidEventError ? "condition" : "error";
    return { record: record({ state: "failed", error }), verdict: { kind, reason: reasonOf(thrown, error.message) } };
  }
}

function reasonOf(thrown: unknown, message: string): string {
  if (thrown instanceof InvalidEventError) return message;
  const again = thrown instanceof RuleCodeError && thrown.blocked ? ", also in a worker of its own" : "";
  return `The function if failed${again}: ${message}`;
}

/** Options of {@link runSource}. */
export interface SourceOptions
  extends Pick<RunnerOptions, "services" | "store" | "isolates" | "clock" | "folder" | "surroundings"> {
  /** An action to execute instead of the source's own, which is `real`: for tests. */
  standIn?: (source: { kind: string; path: string; method?: string; real: Action }) => Action | undefined;
}

/**
 * Runs a step outside a run, as the source of a poll: `{ http, … }`, `{ run, … }` or `{ call }`. There is one
 * attempt within the kind's timeout, and nothing is recorded; the poll decides how to handle a failure. Templates were
 * resolved with the trigger.
 * @param input what a called function gets besides its arguments: its cursor
 * @returns the step's output
 */
export async function runSource(
  { standIn: standInOf, ...options }: SourceOptions,
  rule: Rule,
  trigger: string,
  source: JsonObject,
  input: JsonObject,
  signal: AbortSignal,
  how: SourceCalling = {},
): Promise<Json> {
  const kind = Object.keys(source).find((key) => Object.hasOwn(actions, key));
  if (kind === undefined) {
    throw new Error(`Cannot poll ${JSON.stringify(source)}: expected one of "http", "run", "call"`);
  }
  const real = kind === "call" ? calling(rule, options.folder, input, how) : actions[kind];
  const standIn = standInOf?.({ kind, path: trigger, method: how.method, real });
  const own = standIn || how.method !== "one" ? undefined : requesting(rule, trigger, input, options);
  const action = standIn ?? own ?? real;
  const parsed = own ? { args: {} } : parseArgs(action, source);
  if ("problems" in parsed) throw new Error(`Cannot poll ${kind}: ${parsed.problems.join("; ")}`);
  const { clock, folder } = options;
  const now = clock.now();
  const time = new Date(now).toISOString();
  const event = { id: trigger, source: `/rules/${rule.id}/${trigger}`, type: "poll", time, data: null };
  const unlimited = how.method === "listen" ? "listen" : how.unlimited;
  const limit = unlimited !== undefined ? { what: unlimited, grace: GRACE } : {
    what: `The poll's ${kind}`,
    ms: action.defaults.timeout,
    grace: GRACE,
  };
  const outcome = await withTimeout(clock, limit, signal, (makeSignal) =>
    action.execute(parsed.args, {
      run: { id: newId(now), rule: rule.id, trigger, event },
      path: kind,
      attempt: 1,
      signal: makeSignal(),
      folder,
      ruleFolder: join(folder, dirname(rule.file)),
      services: servicesFor(rule, options),
      // A look is repeated as a whole, so its parts are not recorded.
      parts: { read: () => [], add: () => Promise.resolve() },
    }));
  return outcome.output;
}

/** Sends the trigger's own request for one item, if it has one. */
function requesting(
  rule: Rule,
  trigger: string,
  input: JsonObject,
  { surroundings, clock }: Pick<RunnerOptions, "surroundings" | "clock">,
): Action | undefined {
  const request = rule.triggers.find(({ id }) => id === trigger)?.args.one;
  if (!isObject(request)) return undefined;
  const scope = { ...surroundings(rule.id), config: rule.config, $hosts: rule.hosts, $now: clock.now(), ...input };
  const execute: Action["execute"] = async (_args, context) => {
    return { output: await requestItem(request, scope, context) };
  };
  return { ...actions.http, execute };
}

/** Calls the code of a source, or a command. */
function calling(rule: Rule, folder: string, more: JsonObject, { method, emit }: SourceCalling): Action {
  const ruleFolder = join(folder, dirname(rule.file));
  return {
    ...actions.call,
    execute: async (args, context) => {
      const { call: name, with: inputs = {}, auth } = resolvedArgs(call, args);
      const target = readTarget(folder, ruleFolder, name);
      const command = rule.commands?.[target.path];
      if (command !== undefined) return await commandAction(command).execute(args, context);
      return { output: await context.services.callModule({ ...target, inputs, method, more, emit, auth }, context) };
    },
  };
}
