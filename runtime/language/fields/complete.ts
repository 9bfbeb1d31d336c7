import type { Json } from "../../model/json.ts";
import type { Field } from "../../model/rule.ts";
import { defaultsBeside } from "./check_values.ts";
import { isAbsent } from "./field_value.ts";
import { conflictsAmong, isOn, neededBy, type Relations, relationsOf } from "./relations.ts";

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

/** Whether a set, and so each larger one that holds it, is no better than another. */
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
