import type { Field } from "../../runtime/model/rule.ts";

/** Whether a set of switches is valid, by the definition: a slow check to compare with. */
function isValid(fields: Record<string, Field>, set: Set<string>): boolean {
  return [...set].every((name) => {
    const { requires = [], conflicts = [] } = fields[name];
    return requires.every((each) =>
      typeof each === "string" ? set.has(each) : each.any.some((other) => set.has(other))
    ) &&
      conflicts.every((other) => !set.has(other));
  });
}

/** The smallest valid set of switches that holds some, found by trying all; undefined if there is none. */
export function smallestPossible(fields: Record<string, Field>, given: string[]): string[] | undefined {
  const names = Object.keys(fields);
  let best: string[] | undefined;
  for (let bits = 0; bits < 1 << names.length; bits++) {
    const set = names.filter((_, index) => bits & 1 << index);
    const isBetter = best === undefined || set.length < best.length;
    if (isBetter && given.every((name) => set.includes(name)) && isValid(fields, new Set(set))) best = set;
  }
  return best;
}

/** A field with all that it requires for certain. */
export function relationsOf(fields: Record<string, Field>, name: string): Set<string> {
  const found = new Set([name]);
  for (const each of found) {
    for (const other of fields[each].requires ?? []) if (typeof other === "string") found.add(other);
  }
  return found;
}
