import { z } from "zod";
import { parseRate, type Rate } from "../../model/duration.ts";
import { isObject, type Json, type JsonObject } from "../../model/json.ts";
import type { Problem } from "../../model/problem.ts";
import type { CalledAction, Field, Rule } from "../../model/rule.ts";
import type { RuleTest } from "../../model/test.ts";
import type { SecretFault } from "../../secrets/secrets.ts";
import { duration, people as peopleSchema } from "../arg_types.ts";
import type { Visible } from "../expressions/check_expression.ts";
import { checkValues } from "../fields/check_values.ts";
import { readFields } from "../fields/read_fields.ts";
import { hintAtUnknownKey, show, wordFor } from "../hints.ts";
import type { Kind, Kinds } from "../kind.ts";
import { checkBare, checkLiteral, checkPeople, checkSecrets, parseKindArgs } from "./check_args.ts";
import { allStepIds, checkSteps, FUNCTION_THEN, idsIn, readKnown } from "./check_steps.ts";
import { checkTests, testedOf } from "./check_tests.ts";
import { checkClauseList, checkTriggers, conditionNames } from "./check_triggers.ts";
import { type CheckContext, Checking, type Origin } from "./checking.ts";
import { parseWith } from "./sentences.ts";

/** The context of a check, besides the file. */
export interface Known {
  /** The id from the file's path: `ops/disk`. */
  id: string;
  /** Values that the config files set for this rule, by key. */
  config: JsonObject;
  /** Whether the config files say `enabled`. */
  enabled?: boolean;
  /** `env.X` in `when`. */
  env: Record<string, string | undefined>;
  /** The problem of a secret; if given, it becomes a warning. */
  secretFault?: (name: string) => SecretFault | undefined;
  /** Ids of people and names of groups; if given, a form for anybody else is a problem. */
  people?: string[];
  /** Names of connections; if given, use of any other is a problem. */
  connections?: string[];
  /** Whether a source sets config values. */
  hasConfigSource?: boolean;
  /** Milliseconds since the epoch, for problems that depend on the time (a cron that never fires). */
  now: number;
}

/** A rule before the loader adds its version, the actions it calls and its modules. */
export type CheckedRule = Omit<Rule, "version" | "actions" | "modules">;

/** Keys of a rule file. */
export const RULE_KEYS = [
  "id",
  "name",
  "when",
  "if",
  "then",
  "config",
  "editors",
  "inputs",
  "key",
  "mode",
  "max",
  "timeout",
  "limit",
  "onError",
  "enabled",
  "tests",
];

/** Keys of a YAML action. */
export const ACTION_KEYS = ["name", "inputs", "then", "output"];

/** The hint for a rule without `when`. */
export const NEEDS_WHEN = "a rule needs when: and then:; to start it by hand: when: manual";

export const MODES = ["parallel", "queued", "single", "restart"] as const;

const HOUR = 3_600_000;
const LIMIT: Rate = { count: 1_000, per: 60_000 };
const STEP_NAMES = ["event", "steps", "errors", "config", "env", "secrets", "state", "run", "rule"];
const ACTION_NAMES = ["inputs", "event", "steps", "errors", "env", "secrets", "state", "run", "rule"];

/** The result of a check. */
export interface RuleFound {
  /** Absent if there are errors among the problems. */
  rule?: CheckedRule;
  problems: Problem[];
  tests: RuleTest[];
  /** Problems of the tests; they do not keep the rule from loading. */
  testProblems: Problem[];
}

/** Parses a rule and its tests from any value. */
export function checkRule(raw: unknown, origin: Origin, kinds: Kinds, known: Known): RuleFound {
  const { env, secretFault, people, connections, now } = known;
  const context: CheckContext = {
    config: {},
    env,
    now,
    ...(secretFault && { secretFault }),
    ...(people && { people }),
    ...(connections && { connections }),
  };
  const checking = new Checking(origin, kinds, context);
  if (!isObject(raw)) {
    checking.error([], "value", `expected a rule, got ${show(raw)}`, "a rule has when: and then:");
    return { problems: checking.problems, tests: [], testProblems: [] };
  }
  const excused = checking.checkKeys(raw, [], RULE_KEYS);
  const fields = raw.config === undefined || raw.config === null ? {} : checkFields(checking, "config", raw.config);
  context.config = checkConfig(checking, fields, known.config);
  const hasEditors = raw.editors !== undefined && raw.editors !== null;
  if (hasEditors) checkEditors(checking, raw);
  if (hasEditors || known.hasConfigSource) context.editable = fields;
  const inputs = raw.inputs === undefined || raw.inputs === null
    ? undefined
    : checkFields(checking, "inputs", raw.inputs);
  const hosts = hostsOf(fields);
  const rule: CheckedRule = {
    ...readRule(checking, raw, { config: namesIn(raw.config), inputs }, known, excused),
    ...hosts && { hosts },
  };
  if (!checking.ok) return { problems: checking.problems, tests: [], testProblems: [] };
  const testing = new Checking(origin, kinds, context);
  const given = raw.tests !== undefined && raw.tests !== null;
  const tests = given ? checkTests(testing, raw.tests, testedOf(rule, fields)) : [];
  return { rule, problems: checking.problems, tests, testProblems: testing.problems };
}

function readRule(
  checking: Checking,
  raw: Record<string, unknown>,
  declared: { config: string[]; inputs?: Record<string, Field> },
  known: Known,
  excused: string[],
): CheckedRule {
  const { origin: { file, language } } = checking;
  const has = (key: string) => raw[key] !== undefined && raw[key] !== null;
  const { config, inputs } = declared;
  const names = inputs === undefined ? STEP_NAMES : [...STEP_NAMES, "inputs"];
  const inputNames = inputs && namesIn(raw.inputs);
  const visible: Visible = {
    names,
    steps: [],
    allSteps: allStepIds(raw.then),
    config,
    ...inputNames && { inputs: inputNames },
  };
  const option = <T>(key: string, schema: z.ZodType<T>) =>
    has(key) ? readKnown(checking, [key], raw[key], schema, visible) : undefined;
  checkRequired(checking, raw, excused);
  const around = { config, inputs, hasKey: has("key"), hasFunctionIf: isFunction(raw.if) };
  const triggers = has("when") ? checkTriggers(checking, ["when"], raw.when, around) : [];
  const steps = isFunction(raw.then)
    ? "function"
    : has("then")
    ? checkSteps(checking, ["then"], raw.then, visible)
    : [];
  const condition = isFunction(raw.if)
    ? "function"
    : has("if")
    ? checkClauseList(checking, ["if"], raw.if, conditionNames(config, inputNames))
    : undefined;
  const failed = {
    ...visible,
    names: [...names, "error"],
    steps: ran(raw.then, steps, checking.kinds),
  };
  if (has("key")) checkBare(checking, ["key"], raw.key, conditionNames(config, inputNames));
  if (has("max")) checkMax(checking, raw.mode);
  return {
    id: option("id", ruleId) ?? known.id,
    ...(has("name") && { name: option("name", ruleName) }),
    file,
    language,
    enabled: known.enabled ?? option("enabled", enabled) ?? true,
    triggers,
    ...(condition !== undefined && { if: condition }),
    ...(has("key") && { key: String(raw.key) }),
    mode: option("mode", mode) ?? "parallel",
    max: option("max", max) ?? 10,
    timeout: option("timeout", timeout) ?? HOUR,
    limit: has("limit") ? option("limit", limit) ?? null : LIMIT,
    onError: has("onError") ? checkSteps(checking, ["onError"], raw.onError, failed) : [],
    then: steps,
    config: checking.context.config ?? {},
    ...inputs && { inputs },
  };
}

/** @param excused keys that already have a problem */
function checkRequired(checking: Checking, raw: Record<string, unknown>, excused: string[]): void {
  for (const key of ["when", "then"]) {
    if (key in raw || excused.includes(key)) continue;
    const hint = checking.hint({
      yaml: key === "when" ? NEEDS_WHEN : "a rule has when: and then:",
      typescript: key === "when" ? 'write when: with a trigger, as in when: cron("0 8 * * *")' : FUNCTION_THEN,
    });
    checking.error([], "value", `${JSON.stringify(key)} is missing`, hint);
  }
}

/** `max` belongs to the mode `parallel`; any other wrong mode is reported itself. */
function checkMax(checking: Checking, written: unknown): void {
  if (written === "parallel" || !MODES.some((each) => each === written)) return;
  const hint = "it limits the concurrent runs in mode parallel; remove it";
  checking.error(["max"], "key", `"max" has no effect in mode ${show(written)}`, hint);
}

/** The names of declared fields, also of those with problems: a use of one is not another problem. */
function namesIn(raw: unknown): string[] {
  return Object.keys(isObject(raw) ? raw : {});
}

/** `none`, or a rate. */
const limit = z.unknown().transform((value, context): Rate | null => {
  if (value === "none") return null;
  const rate = typeof value === "string" ? parseRate(value) : undefined;
  if (rate === undefined) {
    const expected = "a rate such as 1000/m, or none";
    context.addIssue({ code: "custom", message: `expected ${expected}`, params: { expected }, input: value });
    return z.NEVER;
  }
  return rate;
});

// Created once: creating a schema for each rule takes as long as the rest of its check.
const ruleName = z.string();
const enabled = z.boolean();
const mode = z.enum(MODES);
const max = z.number().int().min(1);
const timeout = duration();
const editorsSchema = peopleSchema();
const ruleId = z.string().regex(/^[A-Za-z0-9_][\w.-]*(\/[A-Za-z0-9_][\w.-]*)*$/);

/** Ids of all steps that may have run before `onError` or `output` is evaluated. */
function ran(raw: unknown, then: CheckedRule["then"], kinds: Kinds): string[] {
  const entries = Array.isArray(raw) ? raw : [raw];
  const given = entries.flatMap((entry) => isObject(entry) && typeof entry.id === "string" ? [entry.id] : []);
  return [...new Set([...given, ...(then === "function" ? [] : then.flatMap((step) => idsIn(step, kinds)))])];
}

/** Whether a value is a function, as the worker writes it in a declaration. */
function isFunction(value: unknown): boolean {
  return isObject(value) && value.function === true;
}

function checkFields(checking: Checking, key: "config" | "inputs", raw: unknown): Record<string, Field> {
  const { fields, problems } = readFields(raw, { source: checking.sourceBelow([key]) });
  checking.addAll([key], problems);
  for (const [name, { type, choices = [] }] of Object.entries(fields)) {
    if (type === "secret") checkSecrets(checking, [key, name, "choices"], choices);
  }
  return fields;
}

/** The hosts that config values may name, by field; undefined if no field says so. */
function hostsOf(fields: Record<string, Field>): Record<string, string[]> | undefined {
  const named = Object.entries(fields).flatMap(([key, { hosts }]) => hosts === undefined ? [] : [[key, hosts]]);
  return named.length === 0 ? undefined : Object.fromEntries(named);
}

/** Checks who may set the config. */
function checkEditors(checking: Checking, { editors, config }: Record<string, unknown>): void {
  checkLiteral(checking, ["editors"], editors);
  const { value, problems } = parseWith(editorsSchema, editors);
  checking.addAll(["editors"], problems);
  if (value !== undefined) checkPeople(checking, ["editors"], editors);
  if (isObject(config) && Object.keys(config).length > 0) return;
  checking.error(["editors"], "key", "there is no config that they could set", "declare its fields under config:");
}

/** The config values in force: those of the config files, else the defaults. */
function checkConfig(checking: Checking, fields: Record<string, Field>, set: JsonObject): Record<string, Json> {
  const known = Object.fromEntries(Object.entries(set).filter(([key]) => Object.hasOwn(fields, key)));
  const { values, problems } = checkValues(fields, known);
  for (const { key, message } of problems) {
    if (!Object.hasOwn(fields, key)) continue;
    const hint = `set it in config.yaml, or give it a default, as in ${key}: { type: ${fields[key].type}, default: … }`;
    checking.error(["config", key], "key", `config.${key}: ${message}`, hint);
  }
  return values;
}

/** Checks the keys of an action. Keys that only rules have are not typing mistakes: the file is a rule without `when`. */
function checkActionKeys(checking: Checking, raw: Record<string, unknown>): void {
  const ofRules = Object.keys(raw).filter((key) => RULE_KEYS.includes(key) && !ACTION_KEYS.includes(key));
  for (const key of ofRules) {
    checking.error([key], "key", `an action has no ${JSON.stringify(key)}, and this file has no "when"`, NEEDS_WHEN);
  }
  for (const key of Object.keys(raw).filter((key) => wordFor(key, ["when"]) !== undefined)) {
    ofRules.push(key);
    checking.error([key], "key", `unknown key ${JSON.stringify(key)}`, hintAtUnknownKey(key, ["when"]));
  }
  const own = Object.entries(raw).filter(([key]) => !ofRules.includes(key));
  checking.checkKeys(Object.fromEntries(own), [], ACTION_KEYS, ["inputs"]);
}

/** Parses a YAML action (`inputs`, `then`, `output`) from any value. */
export function checkAction(
  raw: unknown,
  origin: Origin,
  kinds: Kinds,
  known: Pick<Known, "env" | "secretFault" | "people" | "connections" | "now">,
): { action?: CalledAction; problems: Problem[] } {
  const checking = new Checking(origin, kinds, known);
  if (!isObject(raw)) {
    checking.error([], "value", `expected an action, got ${show(raw)}`, "an action has inputs: and then:");
    return { problems: checking.problems };
  }
  checkActionKeys(checking, raw);
  const inputs = raw.inputs === undefined || raw.inputs === null ? {} : checkFields(checking, "inputs", raw.inputs);
  const visible: Visible = {
    names: ACTION_NAMES,
    steps: [],
    allSteps: allStepIds(raw.then),
    inputs: namesIn(raw.inputs),
  };
  if (!("then" in raw)) checking.error([], "value", '"then" is missing', "add then: with a list of steps");
  const then = raw.then === undefined || raw.then === null ? [] : checkSteps(checking, ["then"], raw.then, visible);
  const action: CalledAction = { inputs, then };
  if (raw.output !== undefined && raw.output !== null) {
    if (typeof raw.output === "object") {
      const hint = "an object is written in the expression, as in output: '{\"id\": steps.create.body.id}'";
      checking.error(["output"], "value", `expected an expression, got ${show(raw.output)}`, hint);
    }
    checkBare(checking, ["output"], raw.output, {
      ...visible,
      steps: ran(raw.then, then, kinds),
    });
    action.output = String(raw.output);
  }
  return checking.ok ? { action, problems: checking.problems } : { problems: checking.problems };
}

/** Parses the main argument (under the kind's name) and the options of one step or trigger, as for a TypeScript `step.*` call. */
export function parseArgs(kind: Kind, raw: JsonObject): { args: JsonObject } | { problems: string[] } {
  const parsed = parseKindArgs(kind, raw);
  if ("args" in parsed) return parsed;
  return {
    problems: parsed.problems.map(({ path, message, hint }) => {
      const where = path.length > 0 && !message.includes(JSON.stringify(path.at(-1))) ? `${path.join(".")}: ` : "";
      return `${where}${message}${hint === undefined ? "" : `; ${hint}`}`;
    }),
  };
}
