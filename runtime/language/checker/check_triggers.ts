import { isObject, type Json, type JsonObject } from "../../model/json.ts";
import type { Clause, Field, Trigger } from "../../model/rule.ts";
import { ExpressionError } from "../expressions/expression.ts";
import { resolveObject } from "../expressions/template.ts";
import { checkLiterals, isPlainlyMissing, readWritten, sayProblem, writtenScalars } from "../fields/check_values.ts";
import { type AroundBatch, checkBatch } from "./batch.ts";
import { checkArgs, checkBare, checkTemplates } from "./check_args.ts";
import { checkSource } from "./check_steps.ts";
import { type Checking, findKind, type Path } from "./checking.ts";
import type { Kind } from "../kind.ts";
import type { Visible } from "../expressions/check_expression.ts";
import { didYouMean, show } from "../hints.ts";

/** Options that every trigger has. */
export const TRIGGER_OPTIONS = ["name", "if", "batch", "inputs"];

/** A trigger in TypeScript. */
const A_TRIGGER = 'cron("0 8 * * *")';

function writeKind(checking: Checking): string {
  return checking.hint({ yaml: "write its kind, as in cron: 0 8 * * *", typescript: `write it as in ${A_TRIGGER}` });
}

/** The data about the rule that the check of a trigger needs. */
export interface AroundTrigger extends AroundBatch {
  /** The inputs that it declares. */
  inputs?: Record<string, Field>;
}

/** Checks the entries under `when`. */
export function checkTriggers(checking: Checking, path: Path, raw: unknown, rule: AroundTrigger): Trigger[] {
  const entries = Array.isArray(raw) ? raw : [raw];
  if (entries.length === 0) {
    checking.error(
      path,
      "value",
      "expected at least one trigger, got an empty list",
      checking.hint({
        yaml: "add a trigger, as in - cron: 0 8 * * *",
        typescript: `add a trigger, as in ${A_TRIGGER}`,
      }),
    );
  }
  const triggers = entries.map((entry, index) =>
    checkTrigger(checking, Array.isArray(raw) ? [...path, index] : path, entry, rule)
  );
  for (const [index, trigger] of triggers.entries()) {
    if (trigger === undefined || triggers.findIndex((other) => other?.id === trigger.id) === index) continue;
    const at = Array.isArray(raw) ? [...path, index] : path;
    const message = `two triggers are called ${JSON.stringify(trigger.id)}`;
    const named = isObject(entries[index]) && "name" in entries[index];
    checking.error(
      named ? [...at, "name"] : at,
      "value",
      message,
      "give each a name: of its own; cursors and times belong to it",
    );
  }
  return triggers.filter((trigger) => trigger !== undefined);
}

function checkTrigger(checking: Checking, path: Path, entry: unknown, rule: AroundTrigger): Trigger | undefined {
  const { config } = rule;
  const raw = typeof entry === "string" ? fromName(checking, path, entry) : entry;
  if (raw === undefined) return undefined;
  if (!isObject(raw)) {
    checking.error(path, "value", `expected a trigger, got ${show(raw)}`, writeKind(checking));
    return undefined;
  }
  const kind = findKind(checking, path, raw, checking.kinds.triggers, TRIGGER_OPTIONS);
  if (kind === undefined) return undefined;
  const own = [kind.kind, ...Object.keys(kind.options)];
  const common = TRIGGER_OPTIONS.filter((key) => !own.includes(key));
  const excused = checking.checkKeys(raw, path, [...own, ...common], [kind.kind]);
  const rawArgs = Object.fromEntries(
    Object.entries(raw).filter(([key, value]) => own.includes(key) && (value !== null || key === kind.kind)),
  );
  const visible: Visible = {
    names: ["config", "env", "secrets", "state", "rule"],
    steps: [],
    allSteps: [],
    ...(config && { config }),
  };
  const args = checkArgs(checking, path, kind, rawArgs, visible, {
    resolve: true,
    excused,
    checkSource: (source, at) => checkSource(checking, at, source, visible),
  });
  const name = checkName(checking, [...path, "name"], raw.name);
  const clauses = raw.if === undefined || raw.if === null
    ? undefined
    : checkClauseList(checking, [...path, "if"], raw.if, conditionNames(config));
  const hasBatch = raw.batch !== undefined && raw.batch !== null;
  const batch = hasBatch ? checkBatch(checking, path, raw.batch, rule) : undefined;
  const inputs = checkInputs(checking, path, kind.kind, raw, rule);
  if (args === undefined) return undefined;
  return {
    id: name ?? kind.address?.(args) ?? kind.kind,
    kind: kind.kind,
    at: checking.origin.at([...path, kind.kind], "key"),
    ...(clauses && { if: clauses }),
    args,
    ...(inputs && { inputs }),
    ...(batch && { batch }),
  };
}

/** The names that `key` and the condition of a rule or a trigger can use. */
export function conditionNames(config: string[] | undefined, inputs?: string[]): Visible {
  const names = ["event", "config", "env", "secrets", "state", "rule", ...inputs ? ["inputs"] : []];
  return { names, steps: [], allSteps: [], ...(config && { config }), ...(inputs && { inputs }) };
}

/** Checks what a trigger gives for the rule's inputs. A person who starts the rule by hand gives the rest. */
function checkInputs(
  checking: Checking,
  path: Path,
  kind: string,
  raw: Record<string, unknown>,
  { inputs: fields, config }: AroundTrigger,
): JsonObject | undefined {
  const at = [...path, "inputs"];
  const given = raw.inputs ?? {};
  if (fields === undefined) {
    if (raw.inputs === undefined) return undefined;
    checking.error(at, "key", '"inputs" means nothing here: the rule declares none', "add inputs: beside when:");
    return undefined;
  }
  if (!isObject(given)) {
    checking.error(at, "value", `expected values by name, got ${show(given)}`, "as in inputs: { bits: 4096 }");
    return undefined;
  }
  const isBatch = raw.batch !== undefined && raw.batch !== null;
  const before = checking.problems.length;
  // A batch has no single event when it closes.
  const names = isBatch ? ["config", "env"] : ["event", "config", "env", "state", "rule"];
  checkTemplates(checking, at, given, { names, steps: [], allSteps: [], ...(config && { config }) });
  if (checking.problems.length > before) return undefined;
  const written = writtenScalars(given, checking.sourceBelow(at));
  let values = readWritten(fields, { values: given as JsonObject, ...written && { written } });
  if (isBatch) values = resolveInputs(checking, at, values);
  const open = kind === "manual"
    ? new Set(Object.keys(fields).filter((name) => !Object.hasOwn(values, name)))
    : undefined;
  for (const problem of checkLiterals(fields, { values }, open)) {
    const { key, message, hint } = problem;
    const isGiven = Object.hasOwn(values, key);
    const place = isGiven ? [...at, key] : raw.inputs === undefined ? [...path, kind] : at;
    const says = isPlainlyMissing(problem) ? `the input ${sayProblem(problem)}` : message;
    checking.error(place, problem.kind === "unfit" ? "value" : "key", says, hint);
  }
  return Object.keys(values).length === 0 ? undefined : values;
}

function resolveInputs(checking: Checking, path: Path, values: JsonObject): JsonObject {
  const { config = {}, env, now } = checking.context;
  try {
    return resolveObject(values, { config, env, $now: now });
  } catch (error) {
    if (!(error instanceof ExpressionError)) throw error;
    checking.error(path, "value", error.message);
    return values;
  }
}

/** `when: start` is short for `when: { start: }`. */
function fromName(checking: Checking, path: Path, name: string): Record<string, Json> | undefined {
  const kind: Kind | undefined = Object.hasOwn(checking.kinds.triggers, name)
    ? checking.kinds.triggers[name]
    : undefined;
  if (kind?.main.safeParse(null).success) return { [name]: null };
  if (kind !== undefined) {
    checking.error(
      path,
      "value",
      `${JSON.stringify(name)} needs an argument`,
      checking.hint({ yaml: `write it after a colon, as in ${name}: …`, typescript: `write it as in ${name}(…)` }),
    );
    return undefined;
  }
  const names = Object.keys(checking.kinds.triggers);
  const expected = `expected one of ${names.map((known) => JSON.stringify(known)).join(", ")}`;
  const hint = didYouMean(name, names) ?? writeKind(checking);
  checking.error(path, "value", `${expected}, got ${show(name)}`, hint);
  return undefined;
}

function checkName(checking: Checking, path: Path, name: unknown): string | undefined {
  if (name === undefined || name === null) return undefined;
  if (typeof name === "string" && name.trim() !== "") return name;
  checking.error(path, "value", `expected a name, got ${show(name)}`, "write text");
  return undefined;
}

/** Parses one condition, or a list of conditions that must all hold. */
export function checkClauseList(checking: Checking, path: Path, raw: unknown, visible: Visible): Clause[] {
  const texts = Array.isArray(raw) ? raw : [raw];
  return texts.flatMap((text, index) => {
    const at = Array.isArray(raw) ? [...path, index] : path;
    if (typeof text !== "string" && typeof text !== "boolean") {
      checking.error(
        at,
        "value",
        `expected an expression, got ${show(text)}`,
        "write a condition, as in if: event.data.amount > 100",
      );
      return [];
    }
    checkBare(checking, at, text, visible);
    return [{ text: String(text), at: checking.origin.at(at, "value") }];
  });
}
