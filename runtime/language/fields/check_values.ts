import { isObject, type Json, type JsonObject } from "../../model/json.ts";
import type { Field } from "../../model/rule.ts";
import { hasTemplate } from "../arg_types.ts";
import { hintAtUnknown } from "../hints.ts";
import { allAsWritten, checkValue, isAbsent, type SourceText } from "./field_value.ts";
import {
  conflictsAmong,
  defaultsBeside,
  isOn,
  joined,
  type Needed,
  neededBy,
  type Relations,
  relationsOf,
  stepsTo,
} from "./relations.ts";

/** A problem of one value, or of one that is missing. */
export interface FieldProblem {
  /** The field at which it is shown. */
  key: string;
  kind: "unknown" | "unfit" | "missing" | "conflict";
  /** About the value; for relations a whole sentence that names the fields. */
  message: string;
  hint?: string;
}

/**
 * Checks the values of a set of fields: each by itself, and what they require and exclude. All problems at once, ordered by
 * name, those of unknown keys first; the order of declaration is irrelevant, and nothing is changed.
 *
 * A boolean that is false and an empty list are values, but count as not set for `requires`, `conflicts` and `oneOf`. A default
 * counts as set, and yields to a value that it conflicts with.
 * @param open fields whose values are not known yet: they may be what is required, and cause no problem
 * @returns the values of all fields (defaults filled in, null for what is not set)
 */
export function checkValues(
  fields: Record<string, Field>,
  values: Record<string, Json>,
  open: ReadonlySet<string> = new Set(),
): { values: Record<string, Json>; problems: FieldProblem[] } {
  const checked: Record<string, Json> = {};
  const problems: FieldProblem[] = [];
  const relations = relationsOf(fields);
  const given = relations === undefined ? undefined : givenIn(fields, values, open);
  const defaults = given && defaultsBeside(fields, relations!, given.on, given.off);
  const missing: string[] = [];
  for (const [key, field] of Object.entries(fields)) {
    if (open.has(key)) continue;
    const value = Object.hasOwn(values, key) ? values[key] : undefined;
    const result = checkValue(field, value);
    if ("value" in result) {
      const yields = defaults !== undefined && isAbsent(field, value) && isOn(field.default) && !defaults.has(key);
      checked[key] = yields ? null : result.value;
    } else {
      const isMissing = isAbsent(field, value);
      if (isMissing) missing.push(key);
      problems.push({ key, kind: isMissing ? "missing" : "unfit", message: result.problem });
    }
  }
  if (given !== undefined) problems.push(...checkRelations(fields, relations!, given, missing));
  const unknown = unknownKeys(fields, values);
  return { values: checked, problems: [...unknown.sort(byKey), ...problems.sort(byKey)] };
}

/** Fields for values that people give: null means not set, so the default of such a field does not take its place. */
export function withoutCleared(fields: Record<string, Field>, given: Record<string, Json>): Record<string, Field> {
  const isCleared = (name: string) => Object.hasOwn(given, name) && given[name] === null;
  const cleared = Object.keys(fields).filter((name) => fields[name].default !== undefined && isCleared(name));
  if (cleared.length === 0) return fields;
  const entries = cleared.map((name) => {
    const { default: _default, ...field } = fields[name];
    return [name, field] as const;
  });
  return { ...fields, ...Object.fromEntries(entries) };
}

function byKey(a: FieldProblem, b: FieldProblem): number {
  return a.key < b.key ? -1 : a.key > b.key ? 1 : a.message < b.message ? -1 : 1;
}

/**
 * Limits the unknown keys reported and the names listed in a hint, so that a request with thousands of keys does not
 * get megabytes in return.
 */
const MOST_UNKNOWN = 20;
const LONGEST_KEY = 100;

function unknownKeys(fields: Record<string, Field>, values: Record<string, Json>): FieldProblem[] {
  const names = Object.keys(fields);
  const unknown = Object.keys(values).filter((key) => !Object.hasOwn(fields, key)).slice(0, MOST_UNKNOWN);
  return unknown.map((full) => {
    const key = full.slice(0, LONGEST_KEY);
    return { key, kind: "unknown", message: `unknown key ${JSON.stringify(key)}`, hint: hintAtUnknown(key, names) };
  });
}

/** Fields by what is given for them. */
interface Given {
  /** Those that are set. */
  on: Set<string>;
  /** Those that are given as not set. */
  off: Set<string>;
  /** Those whose values are not known yet. */
  open: ReadonlySet<string>;
}

function givenIn(fields: Record<string, Field>, values: Record<string, Json>, open: ReadonlySet<string>): Given {
  const given: Given = { on: new Set(), off: new Set(), open };
  for (const [name, value] of Object.entries(values)) {
    if (!Object.hasOwn(fields, name) || isAbsent(fields[name], value) || open.has(name)) continue;
    (isOn(value) ? given.on : given.off).add(name);
  }
  return given;
}

/** @param missing required fields that are not set */
function checkRelations(
  fields: Record<string, Field>,
  relations: Relations,
  { on, off, open }: Given,
  missing: string[],
): FieldProblem[] {
  const problems: FieldProblem[] = [];
  const asked = [...on, ...missing];
  const beside = defaultsBeside(fields, relations, neededBy(relations, asked), off);
  const defaults = [...beside].filter((name) => !open.has(name));
  const needed = neededBy(relations, [...asked, ...defaults]);
  const add = (key: string, kind: FieldProblem["kind"], message: string) => problems.push({ key, kind, message });
  const isSet = (name: string) => needed.has(name) || open.has(name);
  const ways = new Ways();
  for (const [name, by] of needed) {
    const way = by === null ? undefined : ways.add(name, by);
    if (way !== undefined && !open.has(name)) add(name, "missing", `${name} is missing: ${way}`);
    for (const names of relations.anyOf.get(name) ?? []) {
      if (names.some(isSet)) continue;
      const one = joined(names, "or");
      add(names[0], "missing", `${one} is missing: ${ways.say(name, `${name} requires ${one}`)}`);
    }
  }
  for (const [name, other] of conflictsAmong(relations, needed)) add(name, "conflict", conflictOf(needed, name, other));
  for (const group of relations.oneOf) {
    if (group.some(isSet)) continue;
    add(group[0], "missing", `${joined(group, "or")} is missing: exactly one of them has to be set`);
  }
  return problems;
}

/**
 * The paths to needed fields as sentences. Each sentence extends the previous one: with 10,000 missing fields, joining
 * every path from its start would take most of the check's time.
 */
class Ways {
  readonly #steps = new Map<string, { count: number; text: string }>();

  /** Appends the step to a field to the path of the field that requires it, and returns the whole path. */
  add(name: string, by: string): string {
    const step = `${by} requires ${name}`;
    const { count, text } = this.#steps.get(by) ?? { count: 0, text: "" };
    this.#steps.set(name, { count: count + 1, text: count === 0 ? step : `${text}, ${step}` });
    return this.say(by, step);
  }

  /** The path to a field, plus one more step. */
  say(name: string, step: string): string {
    const { count, text } = this.#steps.get(name) ?? { count: 0, text: "" };
    return count === 0 ? step : `${text}${count === 1 ? " and" : ", and"} ${step}`;
  }
}

function conflictOf(needed: Needed, name: string, other: string): string {
  const steps = [...new Set([...stepsTo(needed, name), ...stepsTo(needed, other)])];
  return `${name} conflicts with ${other}${steps.length > 0 ? `: ${joined(steps)}` : ""}`;
}

/** A problem as one sentence that names its field. */
export function sayProblem(problem: FieldProblem): string {
  const { key, kind, message, hint } = problem;
  const says = kind === "unfit" ? `${key}: ${message}` : isPlainlyMissing(problem) ? sayMissing(problem) : message;
  return hint === undefined ? says : `${says}; ${hint}`;
}

/** Whether a field is missing because it is required by itself, so that the message says what it expects. */
export function isPlainlyMissing({ kind, message }: FieldProblem): boolean {
  return kind === "missing" && message.startsWith("expected ");
}

function sayMissing({ key, message }: FieldProblem): string {
  return `${key} is missing: ${message.replace(/, got nothing$/, "")}`;
}

/** Values as a file sets them, before their templates are resolved. */
export interface GivenValues {
  values: JsonObject;
  /** The source text of numbers and booleans, by path joined with `/`. */
  written?: Record<string, string>;
}

/** The source texts of the numbers and booleans in a value; undefined if there are none. */
export function writtenScalars(value: unknown, source: SourceText): Record<string, string> | undefined {
  const found: Record<string, string> = {};
  const visit = (part: unknown, path: (string | number)[]) => {
    if (Array.isArray(part)) part.forEach((item, index) => visit(item, [...path, index]));
    else if (isObject(part)) { for (const [key, inner] of Object.entries(part)) visit(inner, [...path, key]); }
    else if (typeof part === "number" || typeof part === "bigint" || typeof part === "boolean") {
      const text = source(path);
      if (text !== undefined) found[path.join("/")] = text;
    }
  };
  visit(value, []);
  return Object.keys(found).length > 0 ? found : undefined;
}

/** Values with the numbers and booleans of text fields as they are written. */
export function readWritten(
  fields: Record<string, Field>,
  { values, written }: GivenValues,
): JsonObject {
  return written === undefined ? values : allAsWritten(fields, values, (path) => written[path.join("/")]);
}

/**
 * The problems of values that are known before templates are resolved. Values with templates are skipped.
 * @param more further fields whose values are not known yet
 */
export function checkLiterals(
  fields: Record<string, Field>,
  given: GivenValues,
  more: ReadonlySet<string> = new Set(),
): FieldProblem[] {
  const open = new Set(more);
  const literals: Record<string, Json> = {};
  for (const [name, value] of Object.entries(readWritten(fields, given))) {
    if (mayChange(value) && Object.hasOwn(fields, name)) open.add(name);
    else literals[name] = value;
  }
  return checkValues(fields, literals, open).problems;
}

/** Whether a value holds a template at any depth. */
export function mayChange(value: Json): boolean {
  if (typeof value === "object" && value !== null) return Object.values(value).some(mayChange);
  return hasTemplate(value);
}
