import type { Event } from "../model/event.ts";
import type { Json, JsonObject } from "../model/json.ts";
import { type DeviceSpec, TaskDefinition } from "../sdk/device.ts";
import { type StandardSchema, validate } from "../sdk/event_data.ts";
import { RuleDefinition } from "../sdk/rule.ts";
import { CodeDefinition, definitionOf, definitions } from "../sdk/source.ts";
import { TriggerDefinition } from "../sdk/trigger_definition.ts";
import { plainJson, plainObject } from "./plain_json.ts";
import type { Ask } from "./step_caller.ts";
import { reviveThrown } from "./thread_messages.ts";
import type { UserCode } from "./user_code.ts";
import {
  type Declaration,
  type Described,
  EMIT,
  InvalidEventError,
  type SourceCall,
  type StepCall,
} from "./workers.ts";

const FUNCTION = { function: true };

/**
 * What a rule declares, as plain data with the keys of a YAML file. A rule with validators but no `if` gets a function
 * `if`, so that an invalid event gets a verdict instead of a failed run.
 */
export function declarationOf(rule: RuleDefinition): Declaration {
  const { when, ...rest } = rule.spec;
  const validates = triggersOf(rule).some((trigger) => trigger.schema !== undefined);
  const entries: [string, unknown][] = [["when", Array.isArray(when) ? when.map(entryOf) : entryOf(when)]];
  if (validates && rest.if === undefined) entries.push(["if", FUNCTION]);
  for (const [key, value] of Object.entries(rest)) {
    if (value !== undefined) entries.push([key, typeof value === "function" ? FUNCTION : value]);
  }
  return plainObject(Object.fromEntries(entries), "the rule");
}

/** The entries under `when`, as a list. */
export function triggersOf(rule: RuleDefinition): TriggerDefinition[] {
  const { when } = rule.spec;
  return [when].flat().filter((trigger) => trigger instanceof TriggerDefinition);
}

function entryOf(trigger: unknown): unknown {
  return trigger instanceof TriggerDefinition ? trigger.entry : trigger;
}

/**
 * The rule that a module exports as default; undefined if the module is a helper.
 * @throws Error if it looks like a rule but was not made by `rule()`
 */
export function ruleOf(exported: unknown): RuleDefinition | undefined {
  if (exported instanceof RuleDefinition) return exported;
  if (typeof exported === "object" && exported !== null && "when" in exported && "then" in exported) {
    throw new Error(
      "the default export has `when` and `then` but is not made by rule(): write export default rule({ … })",
    );
  }
  return undefined;
}

/** An event with the output of a validator as its data. */
interface ValidatedEvent extends Omit<Event, "data"> {
  data: unknown;
}

/**
 * Runs the validator, if there is one, over an event's data.
 * @throws InvalidEventError if the data is invalid
 */
export async function validatedEvent(event: Event, schema: StandardSchema | undefined): Promise<ValidatedEvent> {
  if (schema === undefined) return event;
  const checked = await validate(schema, event.data);
  if ("value" in checked) return { ...event, data: checked.value };
  throw new InvalidEventError(`event ${event.type} is not as the rule expects: ${checked.problems.join("; ")}`);
}

/** The name under which a bundle of a package exports the package. */
const PACKAGE = "__package";

/** What a module exports. The bundle of a package has all exports of the package under one name. */
export function exportsOf(module: Record<string, unknown>): Record<string, unknown> {
  return { ...(module[PACKAGE] ?? module) as Record<string, unknown> };
}

/** Gives each definition of the bundle its target: the file or package that makes it, and the variable that holds it. */
export function nameDefinitions(code: UserCode): void {
  const named = new Map<CodeDefinition, string>();
  CodeDefinition.targetOf = (definition) => {
    const taken = new Set(named.values());
    for (const each of definitions.slice(named.size)) {
      const name = nameOf(each, code);
      let target = `#${name}`;
      for (let count = 2; taken.has(target); count++) target = `#${name}#${count}`;
      taken.add(target);
      named.set(each, target);
    }
    return named.get(definition)!;
  };
}

function nameOf({ stack, kind }: CodeDefinition, code: UserCode): string {
  const [frame] = code.frames(stack);
  const variable = frame && /\b(?:var|let|const)\s+([\w$]+)\s*=/.exec(code.lineOf(frame.line))?.[1];
  const file = frame?.place.file ?? "";
  const inPackage = /(?:^|\/)node_modules\/((?:@[^/]+\/)?[^/]+)\/(?!.*\/node_modules\/)/.exec(file)?.[1];
  return `${inPackage ?? file}#${variable ?? kind}`;
}

/** The sources and actions of a module: the exported ones by name, and all that its code has made by target. */
export function describeDefinitions(exports: Record<string, unknown>): Record<string, Described> {
  const exported = Object.entries(exports).flatMap(([name, value]): [string, CodeDefinition][] => {
    const definition = definitionOf(value);
    return definition === undefined ? [] : [[name, definition]];
  });
  const own = definitions.map((made): [string, CodeDefinition] => [CodeDefinition.targetOf(made), made]);
  return Object.fromEntries([...exported, ...own].map(([name, definition]) => [name, describe(definition)]));
}

const METHODS = ["read", "one", "update", "listen", "run", "init", "ping", "stop", "info"] as const;

function describe({ kind, spec }: CodeDefinition): Described {
  const { inputs = {}, key, ignore, at, max } = spec as Record<string, unknown>;
  const given = Object.fromEntries(Object.entries({ key, ignore, at, max }).filter(([, value]) => value !== undefined));
  return {
    kind,
    inputs: plainObject(inputs, `inputs of the ${kind}`),
    ...plainObject(given, `the ${kind}`),
    ...kind === "device" && { tasks: describeTasks(spec as DeviceSpec) },
    methods: METHODS.filter((method) => typeof (spec as Record<string, unknown>)[method] === "function"),
  };
}

/** The tasks of a platform without their functions. */
function describeTasks(spec: DeviceSpec): Record<string, JsonObject> {
  return Object.fromEntries(
    Object.entries(spec.tasks ?? {}).map(([name, task]) => {
      if (!(task instanceof TaskDefinition)) throw new TypeError(`tasks.${name} is not made by task({ run })`);
      const { run: _run, ...declared } = task.spec;
      return [name, plainObject(declared, `the task ${name}`)];
    }),
  );
}

/** Calls a function of a source or an action. */
export async function callDefinition(
  exports: Record<string, unknown>,
  { name, method, inputs, more }: SourceCall,
  signal: AbortSignal,
  ask: Ask,
): Promise<Json> {
  const definition = definitionOf(exports[name]) ??
    definitions.find((each) => CodeDefinition.targetOf(each) === `#${name}`);
  const spec = definition?.spec as Record<string, (scope: object) => unknown> | undefined;
  if (typeof spec?.[method] !== "function") throw new TypeError(`${name} has no function "${method}"`);
  const scope = { ...more, inputs, http: httpOf(ask), signal, ...method === "listen" && { emit: emitOf(ask) } };
  return plainJson(await spec[method](scope), `the result of ${method} of ${name}`);
}

/** Sends requests through the main thread. */
export function httpOf(ask: Ask): (request: string, options?: object) => Promise<Json> {
  return async (request, options = {}) => {
    if (typeof request !== "string") {
      throw new TypeError('http needs a request such as http("GET https://…", { query })');
    }
    return await answered(ask, "http", plainObject({ ...options, http: request }, "the request"));
  };
}

function emitOf(ask: Ask): (items: unknown, options?: object) => Promise<void> {
  return async (items, options = {}) => {
    const list = Array.isArray(items) ? items : [items];
    await answered(ask, EMIT, plainObject({ ...options, items: list }, "what is emitted"));
  };
}

async function answered(ask: Ask, kind: string, args: JsonObject): Promise<Json> {
  const call: StepCall = { name: kind, scope: "", kind, args, answered: 0 };
  const answer = await ask(call);
  if (answer.kind === "failed") throw reviveThrown(answer.error);
  return answer.kind === "result" ? answer.output : null;
}
