import type { z } from "zod";
import { isObject } from "../../model/json.ts";
import type { Step } from "../../model/rule.ts";
import { duration, fieldInfo, hasTemplate, type Resolved, retrySchema } from "../arg_types.ts";
import type { Visible } from "../expressions/check_expression.ts";
import { resolve } from "../expressions/template.ts";
import { writtenScalars } from "../fields/check_values.ts";
import { show } from "../hints.ts";
import type { Kind, Kinds } from "../kind.ts";
import { checkArgs, checkBare } from "./check_args.ts";
import { checkHostsOfItems } from "./check_hosts.ts";
import { type Checking, findKind, type Path } from "./checking.ts";
import { parseWith } from "./sentences.ts";

/** Options that every step has. */
export const STEP_OPTIONS = ["id", "if", "timeout", "retry", "onError", "onTimeout"];

/** The hint for `then` in TypeScript. */
export const FUNCTION_THEN = "write then: async ({ event, step }) => { … }";

/** The lists below a step that handle its failure; a branch cannot have these names. */
const ANSWERS = ["onError", "onTimeout"];

/** Checks a list of steps; the results of earlier ones are visible in later ones. */
export function checkSteps(checking: Checking, path: Path, raw: unknown, visible: Visible): Step[] {
  const entries = isObject(raw) ? [raw] : raw;
  if (!Array.isArray(entries)) {
    reportNoList(checking, path, raw);
    return [];
  }
  if (entries.length === 0) {
    const hint = checking.hint({ yaml: "add a step, as in - log: hello", typescript: `add a step, as in ${A_STEP}` });
    checking.error(path, "value", "expected at least one step, got an empty list", hint);
  }
  const ids = giveIds(checking, path, entries, visible);
  const steps: Step[] = [];
  let seen = visible;
  for (const [index, entry] of entries.entries()) {
    const at = Array.isArray(raw) ? [...path, index] : path;
    const step = checkStep(checking, at, entry, ids[index], seen);
    if (step !== undefined) steps.push(step);
    seen = behind(seen, ids[index], step, checking.kinds);
  }
  return steps;
}

/** A step in TypeScript. */
const A_STEP = '{ log: "hello" }';

function reportNoList(checking: Checking, path: Path, raw: unknown): void {
  const isFunctionMeant = checking.origin.language === "typescript" && path.length === 1 && path[0] === "then";
  const hint = checking.hint({
    yaml: "write each step on a line that begins with -",
    typescript: isFunctionMeant ? FUNCTION_THEN : `write each step as an object, as in [${A_STEP}]`,
  });
  checking.error(path, "value", `expected a ${isFunctionMeant ? "function" : "list of steps"}, got ${show(raw)}`, hint);
}

/** The names visible after a step. */
function behind(visible: Visible, id: string, step: Step | undefined, kinds: Kinds): Visible {
  const inner = step === undefined ? [] : innerIds(step, kinds);
  const apart = new Map([...visible.apart ?? [], ...step === undefined ? [] : idsApart(step, kinds)]);
  return { ...visible, apart, steps: [...new Set([...visible.steps, id, ...inner])] };
}

function checkStep(checking: Checking, path: Path, raw: unknown, id: string, visible: Visible): Step | undefined {
  if (!isObject(raw)) {
    const hint = checking.hint({
      yaml: typeof raw === "string"
        ? `write the kind in front of it, as in - log: ${raw}`
        : "write a step, as in - log: hello",
      typescript: `write a step, as in ${typeof raw === "string" ? `{ log: ${JSON.stringify(raw)} }` : A_STEP}`,
    });
    checking.error(path, "value", `expected a step, got ${show(raw)}`, hint);
    return undefined;
  }
  const kind = findKind(checking, path, raw, checking.kinds.steps, STEP_OPTIONS);
  if (kind === undefined) return undefined;
  const own = [kind.kind, ...Object.keys(kind.options)];
  const common = STEP_OPTIONS.filter((key) => !own.includes(key));
  const excused = checking.checkKeys(raw, path, [...own, ...kind.children ?? [], ...common]);
  const isArg = (key: string) => own.includes(key) && (key !== "id" || isIdOfEvent(checking, raw));
  const rawArgs = Object.fromEntries(Object.entries(raw).filter(([key, value]) => isArg(key) && value !== null));
  const inner = { ...visible, names: [...new Set([...visible.names, ...kind.nested?.names?.(raw) ?? []])] };
  const children = {
    ...checkLists(checking, path, kind, raw, inner, excused),
    ...checkBranches(checking, path, kind, raw, inner),
  };
  const ids = Object.values(children).flat().flatMap((step) => idsIn(step, checking.kinds));
  const seen = kind.nested?.seen ? { ...inner, steps: [...visible.steps, ...ids] } : visible;
  const args = checkArgs(checking, path, kind, rawArgs, seen, {
    resolve: false,
    excused,
    checkSource: (source, at) => checkSource(checking, at, source, visible),
  });
  checkHostsOfItems(checking, path, raw);
  const written = writtenScalars(rawArgs.with, checking.sourceBelow([...path, "with"]));
  const failing: Visible = {
    ...visible,
    names: [...new Set([...visible.names, "error"])],
    failed: [...visible.failed ?? [], id],
  };
  return {
    id,
    kind: kind.kind,
    at: checking.origin.at([...path, kind.kind], "key"),
    ...checkStepOptions(checking, path, kind, raw, common, visible, failing),
    args: args ?? {},
    ...written && { written },
    children,
  };
}

/** The lists of steps under options such as `then`. */
function checkLists(
  checking: Checking,
  path: Path,
  { kind, children = [], nested }: Kind,
  raw: Record<string, unknown>,
  visible: Visible,
  excused: string[],
): Step["children"] {
  const lists = children.filter((key) => raw[key] !== undefined && raw[key] !== null);
  const isMissing = children.length > 0 && lists.length === 0 && !nested?.optional;
  if (isMissing && !children.some((key) => excused.includes(key))) {
    const [first] = children;
    checking.error([...path, kind], "key", `"${first}" is missing`, `add ${first}: with a list of steps`);
  }
  return Object.fromEntries(lists.map((key) => [key, checkSteps(checking, [...path, key], raw[key], visible)]));
}

/** The lists of steps that are the main argument of a kind, by the names of their branches. */
function checkBranches(
  checking: Checking,
  path: Path,
  { kind, main }: Kind,
  raw: Record<string, unknown>,
  visible: Visible,
): Step["children"] {
  const lists = raw[kind];
  if (fieldInfo.get(main)?.is !== "branches" || !isObject(lists)) return {};
  const branches: Step["children"] = {};
  const beside = [...visible.beside ?? []];
  for (const [name, steps] of Object.entries(lists)) {
    const at = [...path, kind, name];
    if (!isId(name) || ANSWERS.includes(name)) {
      const hint = "begin with a small letter, then letters, digits and _; onError and onTimeout are taken";
      checking.error(at, "key", `${show(name)} is not a valid branch name`, hint);
    }
    branches[name] = checkSteps(checking, at, steps, { ...visible, beside: [...beside] });
    beside.push(...givenIds(branches[name], checking.kinds));
  }
  return branches;
}

type StepOptions = Pick<Step, "if" | "timeout" | "retry" | "onError" | "onTimeout">;

function checkStepOptions(
  checking: Checking,
  path: Path,
  { nested }: Kind,
  raw: Record<string, unknown>,
  known: string[],
  visible: Visible,
  failing: Visible,
): StepOptions {
  const options: StepOptions = {};
  for (const key of known) {
    const value = raw[key];
    const at = [...path, key];
    if (value === undefined || value === null) continue;
    if (key === "if") options.if = checkCondition(checking, at, value, visible);
    else if (key === "timeout") {
      options.timeout = readKnown(checking, at, value, duration(), visible);
    } else if (key === "retry") {
      options.retry = readKnown(checking, at, value, retrySchema, visible);
    } else if (key === "onTimeout") options.onTimeout = checkSteps(checking, at, value, failing);
    else if (key === "onError" && !(nested?.stops && value === "stop")) {
      options.onError = value === "continue" ? value : checkOnError(checking, at, value, failing, nested?.stops);
    }
  }
  return options;
}

function checkOnError(checking: Checking, path: Path, value: unknown, visible: Visible, stops = false): Step[] {
  if (typeof value !== "string") return checkSteps(checking, path, value, visible);
  checking.error(
    path,
    "value",
    `expected ${stops ? '"continue", "stop"' : '"continue"'} or a list of steps, got ${show(value)}`,
    `write onError: continue to proceed without ${stops ? "what fails, onError: stop to end with it" : "the step"}`,
  );
  return [];
}

/** Checks one condition of a step. */
function checkCondition(checking: Checking, path: Path, value: unknown, visible: Visible): string | undefined {
  if (typeof value === "boolean") return String(value);
  if (typeof value === "string") {
    checkBare(checking, path, value, visible);
    return value;
  }
  checking.error(
    path,
    "value",
    `expected an expression, got ${show(value)}`,
    "write it on one line; join several with &&",
  );
  return undefined;
}

/** Parses an option that must be known when the rule loads: it may use only config. */
export function readKnown<T>(
  checking: Checking,
  path: Path,
  value: unknown,
  schema: z.ZodType<T>,
  visible: Visible,
): Resolved<T> | undefined {
  let known = value;
  if (hasTemplate(value)) {
    const keys = (visible.config ?? []).filter((key) => value.trim() === `\${{ config.${key} }}`);
    if (keys.length === 0) {
      checking.error(path, "value", "an expression is not allowed here", "write the value itself, or ${{ config.x }}");
      return undefined;
    }
    known = resolve(value, { config: checking.context.config });
  }
  const parsed = parseWith(schema, known);
  checking.addAll(path, parsed.problems);
  return parsed.value as Resolved<T> | undefined;
}

/** Checks the source of a poll. */
export function checkSource(checking: Checking, path: Path, source: Record<string, unknown>, visible: Visible): void {
  const acting = Object.entries(checking.kinds.steps).filter(([, { controls }]) => !controls);
  const kind: Kind | undefined = findKind(checking, path, source, Object.fromEntries(acting), []);
  if (kind === undefined) return;
  checkArgs(checking, path, kind, source, visible, { resolve: true, excused: [], checkSource: () => {} });
}

const ID = /^[a-z][A-Za-z0-9_]*$/;

/** The ids of a step and of the steps in it whose results are visible after it. */
export function idsIn(step: Step, kinds: Kinds): string[] {
  return [step.id, ...innerIds(step, kinds)];
}

/** The ids of the steps in a step whose results are visible after it. */
function innerIds({ kind, children }: Step, kinds: Kinds): string[] {
  if (kinds.steps[kind]?.nested?.apart) return [];
  return Object.values(children).flat().flatMap((inner) => idsIn(inner, kinds));
}

/** The ids of the steps inside an iterating step, with the id of that step: their results are not visible after it. */
function idsApart({ id, kind, children }: Step, kinds: Kinds): [id: string, around: string][] {
  const inner = Object.values(children).flat();
  if (!kinds.steps[kind]?.nested?.apart) return inner.flatMap((step) => idsApart(step, kinds));
  return inner.flatMap((step) => [step, ...Object.values(step.children).flat()]).map((step) => [step.id, id]);
}

/** The ids that are set in the file, rather than by the checker. */
function givenIds(steps: Step[], kinds: Kinds): string[] {
  return steps.flatMap((step) => idsIn(step, kinds)).filter((id) => !Object.hasOwn(kinds.steps, id.split("#")[0]));
}

/** The ids of all steps in a raw list, at any depth, for hints. */
export function allStepIds(raw: unknown): string[] {
  if (Array.isArray(raw)) return raw.flatMap(allStepIds);
  if (!isObject(raw)) return [];
  const nested = Object.values(raw).filter(holdsSteps).flatMap(allStepIds);
  return typeof raw.id === "string" ? [raw.id, ...nested] : nested;
}

/** Whether a value is a list of steps, or lists by the names of their branches. */
function holdsSteps(value: unknown): boolean {
  return Array.isArray(value) || (isObject(value) && Object.values(value).some(Array.isArray));
}

/** Sets the ids: those in the file, else the kind, then `kind#2`. */
function giveIds(checking: Checking, path: Path, entries: unknown[], visible: Visible): string[] {
  const given = entries.map((entry, index) =>
    isObject(entry) && "id" in entry && !isIdOfEvent(checking, entry)
      ? readId(checking, [...path, index, "id"], entry.id)
      : undefined
  );
  const taken = new Set(given.filter((id) => id !== undefined));
  const first = new Set<string>();
  for (const [index, id] of given.entries()) {
    if (id === undefined) continue;
    if (first.has(id) || visible.steps.includes(id) || visible.beside?.includes(id)) {
      checking.error(
        [...path, index, "id"],
        "value",
        `the step id "${id}" is used twice`,
        "give one of the two another id",
      );
    }
    first.add(id);
  }
  return entries.map((entry, index) => given[index] ?? freeId(kindName(checking, entry), taken));
}

/** Whether a name is valid for a step or a branch. */
function isId(name: string): boolean {
  return ID.test(name);
}

/**
 * Whether `id` next to `emit` is the id of the event instead of the step. It is if it contains an expression: a fixed id would make
 * every event after the first a duplicate.
 */
function isIdOfEvent({ kinds }: Checking, entry: Record<string, unknown>): boolean {
  if (!hasTemplate(entry.id)) return false;
  return Object.keys(entry).some((key) => Object.hasOwn(kinds.steps, key) && "id" in kinds.steps[key].options);
}

function readId(checking: Checking, path: Path, id: unknown): string | undefined {
  if (id === null) return undefined;
  if (typeof id === "string" && ID.test(id)) return id;
  const hint = typeof id === "string" && id.includes("-")
    ? `a dash would read as minus in an expression: write ${
      id.replace(/-+(\w?)/g, (_all, letter) => letter.toUpperCase())
    }`
    : "begin with a small letter, then letters, digits and _";
  checking.error(path, "value", `${show(id)} is not a valid id`, hint);
  return undefined;
}

function kindName({ kinds }: Checking, entry: unknown): string {
  const keys = isObject(entry) ? Object.keys(entry).filter((key) => Object.hasOwn(kinds.steps, key)) : [];
  return keys.find((key) => key !== "if") ?? keys[0] ?? "step";
}

function freeId(kind: string, taken: Set<string>): string {
  let id = kind;
  for (let count = 2; taken.has(id); count++) id = `${kind}#${count}`;
  taken.add(id);
  return id;
}
