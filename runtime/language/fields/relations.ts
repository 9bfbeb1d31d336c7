import type { Json } from "../../model/json.ts";
import type { Field } from "../../model/rule.ts";
import { isAbsent } from "./field_value.ts";

/**
 * What the fields of a set require and exclude. All lists are in the order of names, so that no result depends on the order in
 * which the fields are declared. Names of fields that do not exist are left out.
 */
export interface Relations {
  /** Each field that requires others, with the required fields. */
  requires: Map<string, string[]>;
  /** Each field that requires one of several, with those lists as written. */
  anyOf: Map<string, string[][]>;
  /** The fields that exclude each other, in both directions; true for the side that names the other. */
  conflicts: Map<string, Map<string, boolean>>;
  /** Groups of which exactly one is set. */
  oneOf: string[][];
  /** The fields whose defaults count as set. */
  defaults: string[];
}

const known = new WeakMap<Record<string, Field>, Relations | null>();

/** The relations between fields; undefined if there are none. */
export function relationsOf(fields: Record<string, Field>): Relations | undefined {
  let relations = known.get(fields);
  if (relations === undefined) known.set(fields, relations = readRelations(fields));
  return relations ?? undefined;
}

function readRelations(fields: Record<string, Field>): Relations | null {
  const related = Object.keys(fields).filter((name) => {
    const { requires, conflicts, oneOf } = fields[name];
    return requires !== undefined || conflicts !== undefined || oneOf !== undefined;
  });
  if (related.length === 0) return null;
  const relations: Relations = { requires: new Map(), anyOf: new Map(), conflicts: new Map(), oneOf: [], defaults: [] };
  const groups = new Map<string, string[]>();
  for (const name of related.sort()) {
    const { requires = [], conflicts = [], oneOf = [] } = fields[name];
    const all = new Set<string>();
    const choices: string[][] = [];
    for (const each of requires) {
      const names = (typeof each === "string" ? [each] : each.any).filter((other) => Object.hasOwn(fields, other));
      if (names.length === 1) all.add(names[0]);
      else if (names.length > 1) choices.push([...new Set(names)]);
    }
    if (all.size > 0) relations.requires.set(name, [...all].sort());
    if (choices.length > 0) relations.anyOf.set(name, choices);
    for (const other of conflicts) if (Object.hasOwn(fields, other) && other !== name) exclude(relations, name, other);
    for (const group of oneOf) groups.set(JSON.stringify([...group].sort()), group);
  }
  relations.oneOf = [...groups].sort(([a], [b]) => a < b ? -1 : 1).map(([, group]) => group);
  relations.defaults = Object.keys(fields).filter((name) => isOn(fields[name].default)).sort();
  return relations;
}

/** Whether a value counts as set for relations. */
export function isOn(value: Json | undefined): boolean {
  return value !== undefined && value !== null && value !== false && !(Array.isArray(value) && value.length === 0);
}

function exclude({ conflicts }: Relations, name: string, other: string): void {
  const add = (from: string, to: string, names: boolean) => {
    const others = conflicts.get(from) ?? new Map<string, boolean>();
    conflicts.set(from, others.set(to, names || others.get(to) === true));
  };
  add(name, other, true);
  add(other, name, false);
}

/** Needed fields, each with the field that requires it; null for the initial ones. */
export type Needed = Map<string, string | null>;

/**
 * All fields that some fields require, directly or not, by the shortest path; paths of equal length are ordered by
 * name.
 */
export function neededBy({ requires }: Pick<Relations, "requires">, roots: Iterable<string>): Needed {
  const needed: Needed = new Map([...roots].sort().map((name) => [name, null]));
  // A map also iterates over entries added during the loop, so this is a breadth-first search.
  for (const name of needed.keys()) {
    for (const other of requires.get(name) ?? []) if (!needed.has(other)) needed.set(other, name);
  }
  return needed;
}

/** Pairs of needed fields that exclude each other, each with the side that names the other first; ordered by name. */
export function conflictsAmong({ conflicts, oneOf }: Relations, needed: Needed): [string, string][] {
  const pairs: [string, string][] = [];
  for (const name of [...needed.keys()].sort()) {
    for (const [other, names] of conflicts.get(name) ?? []) {
      // Each pair once: at the side that names the other, or at the first one if both do.
      const isHere = names && (name < other || conflicts.get(other)?.get(name) !== true);
      if (isHere && needed.has(other)) pairs.push([name, other]);
    }
  }
  for (const group of oneOf) {
    const [first, ...others] = group.filter((name) => needed.has(name)).sort();
    for (const other of others) pairs.push([first, other]);
  }
  return pairs.sort((a, b) => compare(a.join("\n"), b.join("\n")));
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** Why a field is needed, step by step: `a requires b`, `b requires c`; empty for the initial fields. */
export function stepsTo(needed: Needed, name: string): string[] {
  const steps: string[] = [];
  for (let at = name, by = needed.get(at); by !== null && by !== undefined; at = by, by = needed.get(at)) {
    steps.unshift(`${by} requires ${at}`);
  }
  return steps;
}

/** `a`, `a and b`, `a, b, and c`. */
export function joined(parts: string[], word = "and"): string {
  if (parts.length < 3) return parts.join(` ${word} `);
  return `${parts.slice(0, -1).join(", ")}, ${word} ${parts.at(-1)}`;
}

/**
 * The fields that get their defaults. A default is not used if it conflicts with a field that is set.
 * @param off fields that are given as not set
 */
export function defaultsBeside(
  fields: Record<string, Field>,
  { conflicts, defaults }: Relations,
  on: { has(name: string): boolean },
  off: ReadonlySet<string>,
): Set<string> {
  return new Set(defaults.filter((name) => {
    if (off.has(name)) return false;
    if ([...conflicts.get(name)?.keys() ?? []].some((other) => on.has(other))) return false;
    return !(fields[name].oneOf ?? []).some((group) => group.some((other) => other !== name && on.has(other)));
  }));
}

/** A set of fields with all that it requires. */
export interface Completion {
  /** The names of all fields that are needed, in order of name. */
  set: string[];
  /** Those of them that neither a value nor a default sets. */
  added: string[];
  /** The given values, and those of added fields that have only one possible value: true, or the single choice. */
  values: Record<string, Json>;
  /** Added fields that still need a value. */
  open: string[];
}

/** How many combinations of choices are tried. */
const MOST_TRIES = 10_000;

/**
 * The smallest set of fields that holds a given one and all that it requires, without conflicts. Among several of the same size,
 * the first by name. A field that is given as false or as an empty list stays so.
 * @param values what is given; the values themselves are not checked
 * @returns undefined if there is none, or none was found in 10,000 tries
 */
export function complete(fields: Record<string, Field>, values: Record<string, Json>): Completion | undefined {
  const relations = relationsOf(fields);
  const isGiven = (name: string) => Object.hasOwn(values, name) && !isAbsent(fields[name], values[name]);
  const names = Object.keys(fields);
  const asked = names.filter((name) => isGiven(name) ? isOn(values[name]) : isAsked(fields[name]));
  const fixed = new Set(names.filter((name) => isGiven(name) && !isOn(values[name])));
  const set = relations === undefined ? asked.sort() : smallest(fields, relations, asked, fixed);
  if (set === undefined) return undefined;
  const added = set.filter((name) => !isGiven(name) && !isOn(fields[name].default));
  const completed: Record<string, Json> = { ...values };
  for (const name of added) {
    const only = onlyValue(fields[name]);
    if (only !== undefined) completed[name] = only;
  }
  return { set, added, values: completed, open: added.filter((name) => !Object.hasOwn(completed, name)) };
}

/** Whether a field must have a value in every set. */
export function isAsked({ required, default: standard }: Field): boolean {
  return required && standard === undefined;
}

function onlyValue({ type, choices }: Field): Json | undefined {
  if (type === "boolean") return true;
  return type !== "list" && choices?.length === 1 ? choices[0] : undefined;
}

/**
 * The smallest set without conflicts that holds some fields and all that they require, in order of name; undefined if there is
 * none.
 * @param fixed fields that cannot be set
 * @param tries how many combinations are looked at; when they are used up, the best one so far is the result
 */
export function smallest(
  fields: Record<string, Field>,
  relations: Relations,
  asked: Iterable<string>,
  fixed: ReadonlySet<string> = new Set(),
  tries = { left: MOST_TRIES },
): string[] | undefined {
  let best: string[] | undefined;
  const seen = new Set<string>();
  const visit = (chosen: string[]) => {
    const needed = neededBy(relations, chosen);
    const set = [...needed.keys()].sort();
    const key = set.join("\n");
    if (tries.left-- <= 0 || seen.has(key) || (best && isAtLeast(set, best))) return;
    seen.add(key);
    if (set.some((name) => fixed.has(name)) || conflictsAmong(relations, needed).length > 0) return;
    const choice = openChoice(fields, relations, set, fixed);
    if (choice === undefined) best = set;
    else for (const name of choice) visit([...set, name]);
  };
  visit([...asked]);
  return best;
}

/** Whether a set is no better than another; then no superset of it is better either. */
function isAtLeast(set: string[], best: string[]): boolean {
  if (set.length !== best.length) return set.length > best.length;
  return set.join("\n") >= best.join("\n");
}

/** The alternatives of which one must be added: for a requirement of a default, or for one of several. */
function openChoice(
  fields: Record<string, Field>,
  relations: Relations,
  set: string[],
  fixed: ReadonlySet<string>,
): string[] | undefined {
  const on = new Set(set);
  const defaults = defaultsBeside(fields, relations, on, fixed);
  const needed = neededBy(relations, [...set, ...defaults]);
  for (const [name, by] of needed) if (by !== null && !on.has(name)) return [name];
  for (const name of needed.keys()) {
    for (const names of relations.anyOf.get(name) ?? []) {
      if (!names.some((other) => needed.has(other))) return [...names].sort();
    }
  }
  return relations.oneOf.find((group) => !group.some((name) => needed.has(name)))?.toSorted();
}
