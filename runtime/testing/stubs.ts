import { Buffer } from "node:buffer";
import type { Action, ActionContext, Outcome, TaskFleets } from "../actions/action.ts";
import { actions } from "../actions/index.ts";
import { commandAction, commandLine, runArgs } from "../actions/call.ts";
import type { Mail, SentMail } from "../actions/mailer.ts";
import { checkSet } from "../commands/check_set.ts";
import { writeExactJson } from "../formats/exact_json.ts";
import type { ChildEnd } from "../host/spawn.ts";
import { STUB_KEYS, type StubbedKind } from "../language/checker/test_kinds.ts";
import { stepNames } from "../language/expectation.ts";
import { hintAtUnknownKey } from "../language/hints.ts";
import { TerminalError, TimeoutError } from "../model/errors.ts";
import { type Repeatable, toHeaders } from "../model/event.ts";
import type { TaskOrder, TaskResult } from "../model/fleet.ts";
import { asJson, isObject, type Json, type JsonObject } from "../model/json.ts";
import type { Command } from "../model/rule.ts";

/** A step that needs an answer. */
export interface AskingStep {
  kind: string;
  path: string;
  /** The target of a `call`, and the command that it is. */
  target?: string;
  command?: Command;
}

/** A poll's source, or one item of it, that needs an answer. */
export interface AskingSource extends Pick<AskingStep, "kind" | "path"> {
  method?: string;
  /** Executes it as outside of tests. */
  real: Action;
}

/** An example answer for each kind that acts on the outside world, for messages. */
const EXAMPLES: Record<string, string> = {
  http: "{ status: 200 }",
  run: '{ stdout: "…" }',
  call: "what it returns",
  one: "the item",
  update: "the item as it is then",
  mail: "{}",
  task: "{ <device>: { return: … } }",
};

/**
 * The world as a test describes it: its answers to steps, and a record of their calls. Only contact with the world is
 * replaced; how an action interprets an answer (statuses, exit codes, formats) is real.
 */
export class Stubs {
  /** Oldest first, each with its step. */
  readonly calls: JsonObject[] = [];
  /** Calls without an answer: they fail the test, even if the rule handles the error. */
  readonly missing: string[] = [];
  readonly #given: Record<string, Json>;
  /** How many answers of each list were used. */
  readonly #used = new Map<string, number>();

  constructor(given: Record<string, Json>) {
    this.#given = given;
  }

  /** An action to execute instead of that of the step's kind; undefined if that does not touch the world. */
  standIn(step: AskingStep): Action | undefined {
    if (step.command !== undefined) return this.#command(step, step.command);
    const named = stepNames(step.path).find((name) => this.has(name));
    const isAction = step.kind === "call" && /\.ya?ml$/.test(step.target ?? "");
    if (named === undefined && (isAction || !Object.hasOwn(EXAMPLES, step.kind))) return undefined;
    const name = named ?? step.kind;
    const what = `Step "${step.path}"`;
    const requests = named === undefined && step.kind === "call" ? this.#requestsOf(stepNames(step.path)) : undefined;
    const real = requests && this.#overHttp(actions.call, requests, what);
    const execute = executors[step.kind] ?? giveAnswer;
    return {
      ...actions[step.kind] ?? actions.call,
      execute: (args, context) => {
        // Reading an item changes nothing outside.
        if (Object.hasOwn(EXAMPLES, step.kind) && step.kind !== "one") this.calls.push({ ...args, step: context.path });
        if (real) return real.execute(args, context);
        return this.#stubbed(what, () => this.#answer(name, what, step.kind), (give) => execute(args, context, give));
      },
    };
  }

  /** A command is answered by the stub of its step or its id: as for `run`, and `files`. */
  #command({ path, kind }: AskingStep, command: Command): Action {
    const name = stepNames(path).find((name) => this.has(name)) ?? command.id;
    const what = `Step "${path}"`;
    return {
      ...commandAction(command),
      execute: async (args, context) => {
        const { argv = [] } = checkSet(command, Object.entries(args.with ?? {}));
        this.calls.push({
          command: command.id,
          argv,
          ...args.stdin !== undefined && { stdin: args.stdin },
          step: context.path,
        });
        const { recorded: _recorded, ...plain } = context;
        const line = commandLine(command, command.program, argv);
        let files: Json = [];
        const answer = () => {
          const whole = this.#answer(name, what, kind, EXAMPLES.run);
          if (!isObject(whole)) return whole;
          const { files: left = [], ...rest } = whole;
          files = left;
          return rest;
        };
        const execute = (give: Give) => executors.run(asJson(runArgs(args, line, ".")), plain, give);
        const { output } = await this.#stubbed(what, answer, execute);
        return { output: { ...isObject(output) && output, argv, files } };
      },
    };
  }

  /**
   * The action for the source of a poll: answered by the stub of the trigger's name or address, or by `poll`; one of its items
   * by `one`. If there is none but one of its requests, its code runs.
   */
  source({ path: trigger, kind, method, real }: AskingSource): Action {
    const name = method === "one" ? "one" : this.has(trigger) ? trigger : "poll";
    const requests = this.has(name) ? undefined : this.#requestsOf([trigger, "poll"]);
    if (requests !== undefined) return this.#overHttp(real, requests, `The trigger "${trigger}"`);
    const execute = executors[kind] ?? giveAnswer;
    const what = `${name === "one" ? "An item of the" : "The"} trigger "${trigger}"`;
    return {
      ...actions[kind],
      execute: (args, context) =>
        this.#stubbed(what, () => this.#answer(name, what, kind), (give) => execute(args, context, give)),
    };
  }

  has(name: string): boolean {
    return Object.hasOwn(this.#given, name);
  }

  /** Whether the source of a poll has answers. */
  hasSource(trigger: string): boolean {
    return this.has(trigger) || this.has("poll") || this.#requestsOf([trigger, "poll"]) !== undefined;
  }

  /** The stub for the requests that the code of one of these sends. */
  #requestsOf(names: string[]): string | undefined {
    return names.map((name) => `${name}/http`).find((name) => this.has(name));
  }

  /** Executes code for real; each of its requests is answered by a stub. */
  #overHttp(real: Action, name: string, what: string): Action {
    const answer = () => this.#answer(name, `A request of ${lowerFirst(what)}`, "http");
    return {
      ...real,
      execute: (args, context) => this.#stubbed(what, answer, (give) => real.execute(args, withAnswers(context, give))),
    };
  }

  /**
   * Runs an action over a stub. Errors of the stub itself, and its timeout, are thrown as they are, whatever the action
   * throws.
   */
  async #stubbed(
    what: string,
    answer: () => Json,
    execute: (give: Give) => Promise<Outcome> | Outcome,
  ): Promise<Outcome> {
    let failure: Error | undefined;
    const give: Give = (convert) => {
      try {
        const answered = answer();
        if (isTimeout(answered)) throw failure = new TimeoutError(`${what} took longer than its timeout`);
        return convert(answered);
      } catch (error) {
        if (error instanceof StubError) this.missing.push((failure = error).message);
        throw error;
      }
    };
    try {
      return await execute(give);
    } catch (error) {
      throw failure ?? error;
    }
  }

  #answer(name: string, what: string, kind: string, example = EXAMPLES[kind]): Json {
    if (!this.has(name)) {
      throw new StubError(
        `${what} acts on the outside world and has no stub; add it, as in stub: { ${name}: ${example} }`,
      );
    }
    const given = this.#given[name];
    if (!Array.isArray(given)) return given;
    const used = this.#used.get(name) ?? 0;
    this.#used.set(name, used + 1);
    if (used < given.length) return given[used];
    throw new StubError(
      `${what} asks for answer ${used + 1} of the stub "${name}", which has ${given.length}; add one`,
    );
  }
}

/** Gives the next answer, converted into what the action gets from the world. */
type Give = <T>(convert: (answer: Json) => T) => T;

type Execute = (args: JsonObject, context: ActionContext, give: Give) => Promise<Outcome> | Outcome;

/** Actions that reach the world through services are executed themselves: the services give the answer. */
const executors: Record<string, Execute> = {
  http: (args, context, give) => actions.http.execute(args, withAnswers(context, give)),
  run: (args, context, give) =>
    actions.run.execute(
      args,
      withServices(context, {
        runChild: async ({ output }) => {
          const end = await Promise.try(give, answerChild);
          await output?.(Buffer.from(end.stdout.text));
          return end;
        },
      }),
    ),
  mail: (args, context, give) =>
    actions.mail.execute(
      args,
      withServices(context, { sendMail: (mail) => Promise.try(() => give((answer) => answerMail(mail, answer))) }),
    ),
  task: (args, context, give) =>
    actions.task.execute(args, withServices(context, { fleets: () => stubbedFleets(give) })),
};

/** Fleets whose devices are those of the stub, by name: `{ return }` or `{ error }`. */
function stubbedFleets(give: Give): TaskFleets {
  return {
    async task(order, onResults) {
      await onResults(give((answer) => answerDevices(answer, order)));
    },
  };
}

/** @throws StubError if the stub does not fit */
function answerDevices(stub: Json, { to, job, done }: TaskOrder): TaskResult[] {
  if (!isObject(stub)) throw new StubError(`The stub of task is ${EXAMPLES.task}, got ${writeExactJson(stub)}`);
  const answers: JsonObject = stub;
  const names = Array.isArray(to) ? to : typeof to === "string" && to !== "all" ? [to] : Object.keys(stub);
  return names.filter((device) => !done?.has(device)).map((device) => {
    const { error = null, return: returned = null } = answerOf(answers, device);
    const outcome = { success: error === null, error: error === null ? null : String(error), return: returned };
    return { job, device, worker: "test", ...outcome, at: new Date(0).toISOString(), executionTime: 0 };
  });
}

/** @throws StubError if the stub has no answer for the device */
function answerOf(stub: JsonObject, device: string): JsonObject {
  const answer = stub[device];
  const keys = isObject(answer) ? Object.keys(answer) : ["none"];
  if (isObject(answer) && keys.every((key) => ["error", "return"].includes(key))) return answer;
  throw new StubError(
    `The stub of task says nothing about the device ${device}; add it, as in task: { ${device}: { return: 42 } }, or { error: "…" }`,
  );
}

/** The network answers by a stub. */
function withAnswers(context: ActionContext, give: Give): ActionContext {
  return withServices(context, {
    admitRequest: () => Promise.resolve(),
    fetch: () => Promise.try(give, answerRequest),
  });
}

function lowerFirst(text: string): string {
  return text.charAt(0).toLowerCase() + text.slice(1);
}

function isTimeout(answer: Json): boolean {
  return typeof answer === "object" && answer !== null && "timeout" in answer && answer.timeout === true;
}

function withServices(context: ActionContext, services: Partial<ActionContext["services"]>): ActionContext {
  return { ...context, services: { ...context.services, ...services } };
}

/** The answer is the result; `{ error: … }` is a failure. */
function giveAnswer(_args: JsonObject, _context: ActionContext, give: Give): Outcome {
  const output = give((answer) => answer);
  if (typeof output === "object" && output !== null && "error" in output && Object.keys(output).length === 1) {
    throw new Error(String(output.error));
  }
  return { output };
}

/** A step needs an answer that the test's stubs do not provide. */
class StubError extends TerminalError {
  override name = "StubError";
}

const BODILESS = [204, 205, 304];

/** The response of the network: `{ status, headers, body }`, each with a default; `{ error }` makes the network fail. */
function answerRequest(answer: Json): Response {
  const { status: code = 200, headers: given, body = null } = read(answer, "http");
  const status = Number(code);
  const headers = toHeaders(isObject(given) ? repeatables(given) : {});
  if (body === null || BODILESS.includes(status)) return new Response(null, { status, headers });
  if (!headers.has("content-type")) {
    headers.set("content-type", typeof body === "string" ? "text/plain" : "application/json");
  }
  return new Response(typeof body === "string" ? body : writeExactJson(body), { status, headers });
}

function repeatables(fields: JsonObject): Record<string, Repeatable> {
  return Object.fromEntries(
    Object.entries(fields).map(([name, value]) => [name, Array.isArray(value) ? value.map(String) : String(value)]),
  );
}

/** How a command ends: `{ code, stdout, stderr }`; values other than text become JSON. `{ error }` makes its start fail. */
function answerChild(answer: Json): ChildEnd {
  const { code = 0, stdout = "", stderr = "" } = read(answer, "run");
  const kept = (output: Json) => ({ text: typeof output === "string" ? output : writeExactJson(output), dropped: 0 });
  return { code: Number(code), stdout: kept(stdout), stderr: kept(stderr) };
}

/** The mail server's response: all recipients are accepted unless `{ accepted, rejected }` says otherwise. */
function answerMail(mail: Mail, answer: Json): SentMail {
  const given = read(answer, "mail");
  return { messageId: `<${mail.id}@test>`, accepted: mail.to.map(({ address }) => address), rejected: [], ...given };
}

/** @throws Error if the answer is a failure, StubError if the step cannot get such an answer */
function read(answer: Json, kind: StubbedKind): JsonObject {
  const keys = STUB_KEYS[kind];
  if (typeof answer !== "object" || answer === null || Array.isArray(answer)) {
    throw new StubError(`The stub of ${kind} is { ${keys.join(", ")} }, got ${writeExactJson(answer)}`);
  }
  const unknown = Object.keys(answer).find((key) => !keys.includes(key));
  if (unknown !== undefined) {
    throw new StubError(`The stub of ${kind} has no "${unknown}"; ${hintAtUnknownKey(unknown, keys)}`);
  }
  if (answer.error !== undefined) throw new Error(String(answer.error));
  return answer;
}
