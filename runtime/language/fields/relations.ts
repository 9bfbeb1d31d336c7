import type { Json } from "../../model/json.ts";
import type { Field } from "../../model/rule.ts";

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
