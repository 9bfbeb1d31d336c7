import type { Json } from "../model/json.ts";
import type { RetryPolicy, Step } from "../model/rule.ts";
import { checkArgs, checkBare } from "./check_args.ts";
import type { Checking, Path } from "./checking.ts";
import { resolve } from "./template.ts";
import { duration, hasTemplate } from "./field.ts";
import { findKind, LATER } from "./find_kind.ts";
import type { Kind } from "./kind.ts";
import { isObject } from "./map_fields.ts";
import type { Visible } from "./names.ts";
import { retrySchema } from "./retry_schema.ts";
import { parseWith } from "./sentences.ts";
import { show } from "./show.ts";
import type { z } from "zod";

/** Options that every step has. */
export const STEP_OPTIONS = ["id", "if", "timeout", "retry", "onError", "onTimeout"];

const ID = /^[a-z][A-Za-z0-9_]*$/;

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
    const nested = step === undefined ? [] : Object.values(step.children).flat().flatMap(idsIn);
    seen = { ...seen, steps: [...new Set([...seen.steps, ids[index], ...nested])] };
  }
  return steps;
}

/** A step's id and those of the steps in it: all of them have a result afterwards. */
export function idsIn(step: Step): string[] {
  return [step.id, ...Object.values(step.children).flat().flatMap(idsIn)];
}

/** The ids of all steps in a raw list, at any depth, for hints. */
export function allStepIds(raw: unknown): string[] {
  if (Array.isArray(raw)) return raw.flatMap(allStepIds);
  if (!isObject(raw)) return [];
  const nested = Object.values(raw).flatMap((part) => Array.isArray(part) ? allStepIds(part) : []);
  return typeof raw.id === "string" ? [raw.id, ...nested] : nested;
}

/** Ids as given, else the kind, then `kind#2`. */
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
    if (first.has(id) || visible.steps.includes(id)) {
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

/**
 * `id` beside `emit` is the event's where an expression stands in it, else the step's like everywhere: a fixed text as identity would
 * make every event after the first a duplicate.
 */
function isIdOfEvent({ kinds }: Checking, entry: Record<string, unknown>): boolean {
  if (!hasTemplate(entry.id)) return false;
  return Object.keys(entry).some((key) => Object.hasOwn(kinds.steps, key) && "id" in kinds.steps[key].options);
}

function readId(checking: Checking, path: Path, id: unknown): string | undefined {
  if (id === null) return undefined;
  if (typeof id === "string" && ID.test(id)) return id;
  const dash = typeof id === "string" && id.includes("-");
  const hint = dash
    ? `a dash would read as minus in an expression: write ${
      (id as string).replace(/-+(\w?)/g, (_all, letter) => letter.toUpperCase())
    }`
    : "begin with a small letter, then letters, digits and _";
  checking.error(path, "value", `${show(id)} is no id`, hint);
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

function checkStep(checking: Checking, path: Path, raw: unknown, id: string, visible: Visible): Step | undefined {
  if (!isObject(raw)) {
    const hint = typeof raw === "string"
      ? `write the kind in front of it, as in - log: ${raw}`
      : "write a step, as in - log: hello";
    checking.error(path, "value", `expected a step, got ${show(raw)}`, hint);
    return undefined;
  }
  const kind = findKind(checking, path, raw, checking.kinds.steps, STEP_OPTIONS, LATER.steps);
  if (kind === undefined) return undefined;
  const own = [kind.kind, ...Object.keys(kind.options)];
  const children = kind.children ?? [];
  const common = STEP_OPTIONS.filter((key) => !own.includes(key));
  const excused = checking.checkKeys(raw, path, [...own, ...children, ...common]);
  const isArg = (key: string) => own.includes(key) && (key !== "id" || isIdOfEvent(checking, raw));
  const rawArgs = Object.fromEntries(Object.entries(raw).filter(([key, value]) => isArg(key) && value !== null));
  const args = checkArgs(checking, path, kind, rawArgs, visible, {
    resolve: false,
    excused,
    checkSource: (source, at) => checkSource(checking, at, source, visible),
  });
  const failing: Visible = {
    ...visible,
    names: [...new Set([...visible.names, "error"])],
    failed: [...visible.failed ?? [], id],
  };
  const options = checkStepOptions(checking, path, raw, common, visible, failing);
  const lists = children.filter((key) => raw[key] !== undefined && raw[key] !== null);
  const nested = Object.fromEntries(lists.map((key) => [key, checkSteps(checking, [...path, key], raw[key], visible)]));
  if (children.length > 0 && lists.length === 0 && !children.some((key) => excused.includes(key))) {
    checking.error(
      [...path, kind.kind],
      "key",
      `"${children[0]}" is missing`,
      `add ${children[0]}: with a list of steps`,
    );
  }
  return {
    id,
    kind: kind.kind,
    at: checking.origin.at([...path, kind.kind], "key"),
    ...options,
    args: args ?? {},
    children: nested,
  };
}

type StepOptions = Pick<Step, "if" | "timeout" | "retry" | "onError" | "onTimeout">;

function checkStepOptions(
  checking: Checking,
  path: Path,
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
    else if (key === "onError") {
      options.onError = value === "continue" ? value : checkOnError(checking, at, value, failing);
    }
  }
  return options;
}

function checkOnError(checking: Checking, path: Path, value: unknown, visible: Visible): Step[] {
  if (typeof value !== "string") return checkSteps(checking, path, value, visible);
  checking.error(
    path,
    "value",
    `expected "continue" or a list of steps, got ${show(value)}`,
    "write onError: continue to go on without the step",
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

/** Reads an option that must be known when the rule loads: at most config stands in it. */
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
      checking.error(path, "value", "an expression cannot stand here", "write the value itself, or ${{ config.x }}");
      return undefined;
    }
    known = resolve(text, { config: checking.context.config as Record<string, Json> });
  }
  const parsed = parseWith(schema, known);
  checking.addAll(path, parsed.problems);
  return parsed.value;
}

/** Checks the step that a poll looks at. */
export function checkSource(checking: Checking, path: Path, source: Record<string, unknown>, visible: Visible): void {
  const kind: Kind | undefined = findKind(checking, path, source, checking.kinds.steps, [], LATER.steps);
  if (kind === undefined) return;
  checkArgs(checking, path, kind, source, visible, { resolve: true, excused: [], checkSource: () => {} });
}
