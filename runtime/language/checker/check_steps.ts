import { isObject, type Json } from "../../model/json.ts";
import type { RetryPolicy, Step } from "../../model/rule.ts";
import { checkArgs, checkBare } from "./check_args.ts";
import { checkHostsOfItems } from "./check_hosts.ts";
import { type Checking, findKind, type Path } from "./checking.ts";
import { resolve } from "../expressions/template.ts";
import { duration, fieldInfo, hasTemplate, retrySchema } from "../fields/field.ts";
import type { Kind, Kinds } from "../kind.ts";
import { writtenScalars } from "../fields/literals.ts";
import type { Visible } from "../expressions/names.ts";
import { parseWith } from "./sentences.ts";
import { show } from "../hints.ts";
import { giveIds, givenIds, idsApart, idsIn, innerIds, isId, isIdOfEvent } from "./step_ids.ts";
import type { z } from "zod";

/** Options that every step has. */
export const STEP_OPTIONS = ["id", "if", "timeout", "retry", "onError", "onTimeout"];

/** The lists below a step that handle its failure; a branch cannot have these names. */
const ANSWERS = ["onError", "onTimeout"];

/** Checks a list of steps; the results of earlier ones are visible in later ones. */
export function checkSteps(checking: Checking, path: Path, raw: unknown, visible: Visible): Step[] {
  const entries = isObject(raw) ? [raw] : raw;
  if (!Array.isArray(entries)) {
    checking.error(
      path,
      "value",
      `expected a list of steps, got ${show(raw)}`,
      "write each step on a line that begins with -",
    );
    return [];
  }
  if (entries.length === 0) {
    checking.error(path, "value", "expected at least one step, got an empty list", "add a step, as in - log: hello");
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

/** The names visible after a step. */
function behind(visible: Visible, id: string, step: Step | undefined, kinds: Kinds): Visible {
  const inner = step === undefined ? [] : innerIds(step, kinds);
  const apart = new Map([...visible.apart ?? [], ...step === undefined ? [] : idsApart(step, kinds)]);
  return { ...visible, apart, steps: [...new Set([...visible.steps, id, ...inner])] };
}

function checkStep(checking: Checking, path: Path, raw: unknown, id: string, visible: Visible): Step | undefined {
  if (!isObject(raw)) {
    const hint = typeof raw === "string"
      ? `write the kind in front of it, as in - log: ${raw}`
      : "write a step, as in - log: hello";
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
      options.timeout = readKnown(checking, at, value, duration(), visible) as number | undefined;
    } else if (key === "retry") {
      options.retry = readKnown(checking, at, value, retrySchema, visible) as RetryPolicy | undefined;
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
export function readKnown(
  checking: Checking,
  path: Path,
  value: unknown,
  schema: z.ZodType,
  visible: Visible,
): unknown {
  let known = value;
  if (hasTemplate(value)) {
    const text = value as string;
    const keys = (visible.config ?? []).filter((key) => text.trim() === `\${{ config.${key} }}`);
    if (keys.length === 0) {
      checking.error(path, "value", "an expression is not allowed here", "write the value itself, or ${{ config.x }}");
      return undefined;
    }
    known = resolve(text, { config: checking.context.config as Record<string, Json> });
  }
  const parsed = parseWith(schema, known);
  checking.addAll(path, parsed.problems);
  return parsed.value;
}

/** Checks the source of a poll. */
export function checkSource(checking: Checking, path: Path, source: Record<string, unknown>, visible: Visible): void {
  const acting = Object.entries(checking.kinds.steps).filter(([, { controls }]) => !controls);
  const kind: Kind | undefined = findKind(checking, path, source, Object.fromEntries(acting), []);
  if (kind === undefined) return;
  checkArgs(checking, path, kind, source, visible, { resolve: true, excused: [], checkSource: () => {} });
}
