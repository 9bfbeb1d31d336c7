import { createHash } from "node:crypto";
import type { ActionContext, ActionServices, ModuleCall } from "../actions/action.ts";
import { RequestLimits } from "../actions/http_send.ts";
import { actions } from "../actions/index.ts";
import { Mailer } from "../actions/mailer.ts";
import type { Clock } from "../host/clock.ts";
import { logLine } from "../host/log_line.ts";
import type { LiveOutputs } from "../host/program_output.ts";
import type { RunFiles } from "../host/run_files.ts";
import type { CauseSigner } from "../ingest/cause.ts";
import type { Ingest } from "../ingest/ingest.ts";
import { parseArgs } from "../language/checker/check_rule.ts";
import { nameSecrets } from "../language/expressions/recorded_args.ts";
import { checkValues, sayProblem } from "../language/fields/check_values.ts";
import { parseDuration } from "../model/duration.ts";
import { recordError, RetryAfterError, TerminalError } from "../model/errors.ts";
import { causeOf } from "../model/event.ts";
import type { Json, JsonObject } from "../model/json.ts";
import type { Definition, Rule } from "../model/rule.ts";
import { definitionKey, nameOfTarget, type Target } from "../model/target.ts";
import { type BundledModule, EMIT, type ExecuteStep, type StepAnswer } from "../workers/workers.ts";
import { patchedSource } from "./patched_source.ts";
import type { RunnerOptions } from "./runner_options.ts";
import { GRACE, withTimeout } from "./timeout.ts";

/** What the actions of one rule version can reach: the program's services, its memory and its own modules. */
export function servicesFor(
  rule: Rule,
  options: Pick<RunnerOptions, "services" | "store" | "isolates" | "clock" | "surroundings" | "standIn">,
): ActionServices {
  const { services, store, isolates, clock } = options;
  return {
    ...services,
    getState: async (key) => {
      const found = await store.getState([key], clock.now());
      // A key may have the name of a property that every object has: constructor.
      return Object.hasOwn(found, key) ? found[key] : undefined;
    },
    callModule: (call, context) => callCode(rule, call, { isolates, clock }, context),
    patched: (context) => patchedSource(rule, options, context),
  };
}

/** What the program offers to the actions of all rules, in runs and in polls. */
export interface ProgramServices extends Omit<ActionServices, "getState" | "callModule" | "patched"> {
  /** Requests per destination host, from `whenthen.yaml`. */
  limits: RequestLimits;
  /** Uses `smtp` of `whenthen.yaml`. */
  mailer: Mailer;
}

/**
 * @param childEnv the environment that children inherit: without secrets
 * @param secretOf the value of a secret, by name
 */
export function programServices(
  options: {
    clock: Clock;
    ingest: Ingest;
    signer: CauseSigner;
    files: RunFiles;
    outputs?: LiveOutputs;
    childEnv: () => Record<string, string>;
    secretOf: (name: string) => string | undefined;
    awaitsReply: ActionServices["awaitsReply"];
    connections: ActionServices["connections"];
    fleets: ActionServices["fleets"];
    traceHeaders?: ActionServices["traceHeaders"];
    /** See {@link RequestLimits}. */
    share?: () => number;
  },
): ProgramServices {
  const { clock, ingest, signer, files, outputs, childEnv, secretOf, awaitsReply, connections, fleets } = options;
  const { traceHeaders, share } = options;
  const limits = new RequestLimits(clock, share);
  const mailer = new Mailer(secretOf);
  return {
    limits,
    mailer,
    childEnv,
    awaitsReply,
    log: logLine,
    emit: (event, run) => ingest.publish({ ...event, source: `/rules/${run.rule}`, cause: causeOf(run) }),
    causeHeader: (run) => signer.sign(causeOf(run)),
    ...traceHeaders && { traceHeaders },
    sendMail: (mail, signal) => mailer.send(mail, signal),
    createFile: (file) => files.create(file),
    readFile: (file) => files.read(file),
    runFolder: (run) => files.folderOf(run),
    keepFiles: (left) => files.keepLeft(left),
    privateFolder: () => files.privateFolder(),
    ...outputs && { showOutput: (run, step, charset) => outputs.open(run, step, charset) },
    secretOf,
    connections,
    fleets,
    admitRequest: (url, signal) => limits.admit(url, signal),
  };
}

type CallOptions = Pick<RunnerOptions, "isolates" | "clock">;

/**
 * Calls code that a rule names: an exported function, or a function of a source or an action. Its `http` sends requests as the
 * step in `context` would.
 * @throws TerminalError if the values do not fit the inputs
 */
export async function callCode(
  rule: Rule,
  call: ModuleCall,
  { isolates, clock }: CallOptions,
  context: ActionContext<unknown>,
): Promise<Json> {
  const { inputs, method, more = {}, name = "" } = call;
  const module = method === "listen" ? shared(moduleOf(rule, call)) : moduleOf(rule, call);
  const definition = rule.definitions?.[definitionKey(call)];
  const begin = () => executor(clock, () => isolates.handedSecrets(module.version), call, context);
  if (definition === undefined) {
    return await isolates.callFunction(module, name, { ...inputs, ...more }, context.signal, begin);
  }
  const wanted = method ?? (definition.kind === "action" ? "run" : "read");
  const values = readInputs(definition, inputs, nameOfTarget(call));
  return await isolates.callDefinition(module, { name, method: wanted, inputs: values, more }, begin, context.signal);
}

function moduleOf(rule: Rule, target: Target): BundledModule {
  const code = rule.modules[target.path];
  if (code === undefined) {
    throw new TerminalError(
      `Cannot call ${nameOfTarget(target)}: the file is not part of ${rule.id}; name it as text after "call"`,
    );
  }
  const { path } = target;
  return path === "" ? { version: rule.version, file: rule.file, code } : {
    version: `${rule.version}:${path}`,
    file: path,
    code,
  };
}

/** The module with a version that all rules share: a source that listens holds a worker as long as its rule is live. */
function shared(module: BundledModule): BundledModule {
  return { ...module, version: createHash("sha256").update(module.code).digest("hex") };
}

function readInputs({ inputs }: Definition, given: JsonObject, name: string): JsonObject {
  const { values, problems } = checkValues(inputs, given);
  if (problems.length === 0) return values;
  // Values may hold secrets: a message names those that do not fit only by their field.
  const reasons = problems.map((problem) =>
    problem.kind === "unfit" ? `${problem.key}: its value does not fit` : sayProblem(problem)
  );
  throw new TerminalError(`Cannot call ${name}: ${reasons.join("; ")}`);
}

/**
 * Executes the calls of the code. Its requests are numbered, so that each has the same idempotency key on each attempt: a
 * call that begins again needs a new executor.
 */
function executor(
  clock: CallOptions["clock"],
  secrets: () => ReadonlyMap<string, string>,
  { emit, auth }: ModuleCall,
  context: ActionContext<unknown>,
): ExecuteStep {
  let count = 0;
  return async (call) => {
    try {
      if (call.kind === EMIT && emit !== undefined) {
        await emit(call.args);
        return { kind: "result", output: null };
      }
      if (call.kind !== "http") throw new TerminalError(`${call.kind} is not for this code`);
      const path = `${context.path}/http${++count === 1 ? "" : `#${count}`}`;
      return {
        kind: "result",
        output: await request(withAuth(call.args, auth), path, { clock, secrets: secrets() }, context),
      };
    } catch (thrown) {
      if (context.signal.aborted) throw context.signal.reason;
      return failed(thrown);
    }
  };
}

/** A request without `auth` uses the connection of its step or poll. */
function withAuth(args: JsonObject, auth: ModuleCall["auth"]): JsonObject {
  return auth === undefined || args.auth !== undefined ? args : { ...args, auth };
}

async function request(
  args: JsonObject,
  path: string,
  { clock, secrets }: { clock: CallOptions["clock"]; secrets: ReadonlyMap<string, string> },
  context: ActionContext<unknown>,
): Promise<Json> {
  const { timeout, ...given } = args;
  const { http } = actions;
  const parsed = parseArgs(http, given);
  if ("problems" in parsed) throw new TerminalError(`Cannot send ${String(args.http)}: ${parsed.problems.join("; ")}`);
  if (parsed.args.save !== undefined) throw new TerminalError(`"save" writes to a run's folder: only a step has it`);
  const recorded = nameSecrets(parsed.args, secrets);
  const limit = {
    what: `The request ${String(args.http)}`,
    ms: readTimeout(timeout, http.defaults.timeout),
    grace: GRACE,
  };
  const outcome = await withTimeout(clock, limit, context.signal, (makeSignal) =>
    http.execute(parsed.args, {
      ...context,
      recorded: recorded === parsed.args ? undefined : recorded,
      path,
      signal: makeSignal(),
    }));
  return outcome.output;
}

function readTimeout(timeout: Json | undefined, standard: number): number {
  if (timeout === undefined) return standard;
  const ms = typeof timeout === "string" ? parseDuration(timeout) : undefined;
  if (ms === undefined) {
    throw new TerminalError(`expected a duration such as 30s as timeout, got ${JSON.stringify(timeout)}`);
  }
  return ms;
}

/** The error with its class: if the code throws it again, the step or poll is retried as the class says. */
function failed(thrown: unknown): StepAnswer {
  const { name, ...error } = recordError(thrown);
  if (thrown instanceof RetryAfterError) {
    return { kind: "failed", error: { ...error, name: "RetryAfterError", retryAfter: thrown.retryAfter } };
  }
  return { kind: "failed", error: { ...error, name: thrown instanceof TerminalError ? "TerminalError" : name } };
}
