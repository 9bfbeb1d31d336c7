import type { Field } from "../../model/rule.ts";
import { nearest } from "../hints.ts";
import type { SchemaProblem } from "../checker/sentences.ts";
import { isAsked, smallest } from "./complete.ts";
import { conflictsAmong, joined, type Needed, neededBy, type Relations, relationsOf, stepsTo } from "./relations.ts";

/**
 * What cannot be right between the fields of a set, whatever their values: names that do not exist, cycles of `requires`, and
 * fields that can never be set. Consequences are left out: of a field that requires one which can never be set.
 */
export function findContradictions(fields: Record<string, Field>): SchemaProblem[] {
  const problems = unknownNames(fields);
  const relations = relationsOf(fields);
  if (relations === undefined || problems.length > 0) return problems;
  const cycles = findCycles(relations);
  return cycles.length > 0 ? cycles : findDead(fields, relations);
}

function unknownNames(fields: Record<string, Field>): SchemaProblem[] {
  const problems: SchemaProblem[] = [];
  const look = (path: SchemaProblem["path"], name: string) => {
    if (name === path[0]) {
      problems.push({ path, part: "value", message: `${name} cannot name itself`, hint: "take it out" });
    } else if (!Object.hasOwn(fields, name)) {
      const close = nearest(name, Object.keys(fields));
      const hint = close ? `did you mean ${close}?` : `known are ${Object.keys(fields).join(", ")}`;
      problems.push({ path, part: "value", message: `there is no field ${JSON.stringify(name)}`, hint });
    }
  };
  for (const [name, { requires = [], conflicts = [] }] of Object.entries(fields)) {
    for (const [index, each] of requires.entries()) {
      if (typeof each === "string") look([name, "requires", index], each);
      else each.any.forEach((other, at) => look([name, "requires", index, "any", at], other));
    }
    conflicts.forEach((other, index) => look([name, "conflicts", index], other));
  }
  return problems;
}

/** One problem for each group of fields that require each other: its shortest cycle. */
function findCycles(relations: Relations): SchemaProblem[] {
  const problems: SchemaProblem[] = [];
  const reported = new Set<string>();
  for (const name of cyclic(relations)) {
    if (reported.has(name)) continue;
    const cycle = shortestCycle(relations, name);
    if (cycle === undefined) continue;
    for (const each of cycle) reported.add(each);
    const steps = cycle.map((each, index) => `${each} requires ${cycle[(index + 1) % cycle.length]}`);
    const hint = cycle.length === 2 ? "make them one field, or take out one requires" : "take out one requires";
    problems.push({ path: [name, "requires"], part: "value", message: `a cycle: ${joined(steps)}`, hint });
  }
  return problems;
}

/** Fields that are left when those which require nothing are taken away again and again, from both ends; in order of name. */
function cyclic({ requires }: Relations): string[] {
  const left = new Map([...requires].map(([name, others]) => [name, new Set(others)]));
  const requiredBy = new Map<string, string[]>();
  for (const [name, others] of requires) {
    for (const other of others) requiredBy.set(other, [...requiredBy.get(other) ?? [], name]);
  }
  const done = [...requiredBy.keys()].filter((name) => !left.has(name));
  for (const name of done) {
    for (const by of requiredBy.get(name) ?? []) {
      const others = left.get(by)!;
      others.delete(name);
      if (others.size === 0) {
        left.delete(by);
        done.push(by);
      }
    }
  }
  return [...left.keys()].sort();
}

function shortestCycle({ requires }: Relations, name: string): string[] | undefined {
  const needed: Needed = new Map([[name, null]]);
  for (const at of needed.keys()) {
    for (const other of requires.get(at) ?? []) {
      if (other === name) return wayTo(needed, at);
      if (!needed.has(other)) needed.set(other, at);
    }
  }
  return undefined;
}

function wayTo(needed: Needed, name: string): string[] {
  const way: string[] = [];
  for (let at: string | null | undefined = name; at; at = needed.get(at)) way.unshift(at);
  return way;
}

function findDead(fields: Record<string, Field>, relations: Relations): SchemaProblem[] {
  if (relations.conflicts.size + relations.oneOf.length === 0) return [];
  const names = Object.keys(fields).sort();
  const asked = names.filter((name) => isAsked(fields[name]));
  const always = neededBy(relations, asked);
  const [always1] = conflictsAmong(relations, always);
  if (always1 !== undefined) {
    const message = `the set can never be complete: ${joined(why(relations, always, always1, asked))}`;
    return [{ path: [always1[0]], part: "key", message, hint: "write required: false where a value may be missing" }];
  }
  const standard = conflictsAmong(
    relations,
    new Map(relations.defaults.map((name) => [name, null])),
  );
  if (standard.length > 0) {
    return standard.map(([name, other]): SchemaProblem => {
      const message = `${name} and ${other} have defaults, and ${name} conflicts with ${other}`;
      return { path: [name, "default"], part: "value", message, hint: "take out one default" };
    });
  }
  const dead = deadOf(fields, relations, names, asked);
  const isConsequence = (name: string) =>
    [...neededBy(relations, [name]).keys()].some((other) => other !== name && dead.has(other));
  return [...dead].filter((name) => !isConsequence(name)).sort().map((name): SchemaProblem => {
    const needed = neededBy(relations, [name, ...asked]);
    const [pair] = conflictsAmong(relations, needed).sort(
      (a, b) => lengthOf(needed, a) - lengthOf(needed, b),
    );
    const steps = pair === undefined ? [noChoice(relations, needed)] : why(relations, needed, pair, asked);
    return { path: [name], part: "key", message: `${name} can never be used: ${joined(steps)}` };
  });
}

function lengthOf(needed: Needed, pair: [string, string]): number {
  return stepsTo(needed, pair[0]).length + stepsTo(needed, pair[1]).length;
}

/** The steps to both sides of a conflict, and the conflict. */
function why({ conflicts }: Relations, needed: Needed, [name, other]: [string, string], asked: string[]): string[] {
  const always = [name, other].map((each) => wayTo(needed, each)[0]).filter((root) => asked.includes(root));
  const required = [...new Set(always)].map((root) => `${root} is required`);
  const steps = [...stepsTo(needed, name), ...stepsTo(needed, other)];
  const excluded = conflicts.get(name)?.has(other)
    ? `${name} conflicts with ${other}`
    : `only one of ${name} and ${other} can be set`;
  return [...new Set([...required, ...steps, excluded])];
}

function noChoice({ anyOf, oneOf }: Relations, needed: Needed): string {
  const name = [...needed.keys()].find((each) => anyOf.has(each));
  if (name === undefined) return `with it none of ${joined(oneOf[0], "or")} can be set`;
  const names = anyOf.get(name)!.map((each) => joined(each, "or"));
  return `${name} requires ${joined(names)}, and no choice of these is free of conflicts`;
}

/** Fields with which no set is free of conflicts. */
function deadOf(fields: Record<string, Field>, relations: Relations, names: string[], asked: string[]): Set<string> {
  const dead = new Set<string>();
  const requiredBy = new Map<string, string[]>();
  for (const [name, others] of relations.requires) {
    for (const other of others) requiredBy.set(other, [...requiredBy.get(other) ?? [], name]);
  }
  const always = neededBy(relations, asked);
  const users = new Map<string, Set<string>>();
  /** All that need a field, itself included. */
  const usersOf = (name: string) => {
    const known = users.get(name) ?? new Set(neededBy({ requires: requiredBy }, [name]).keys());
    users.set(name, known);
    return known;
  };
  for (const [name, other] of pairsOf(relations)) {
    if (always.has(name)) { for (const user of usersOf(other)) dead.add(user); }
    if (always.has(other)) { for (const user of usersOf(name)) dead.add(user); }
    for (const user of usersOf(name)) if (usersOf(other).has(user)) dead.add(user);
  }
  if (relations.anyOf.size + relations.oneOf.length === 0) return dead;
  const tries = { left: MOST_TRIES };
  for (const name of names) {
    const hasChoice = relations.oneOf.length > 0 ||
      [...neededBy(relations, [name, ...asked]).keys()].some((other) => relations.anyOf.has(other));
    if (dead.has(name) || !hasChoice) continue;
    const set = smallest(fields, relations, [name, ...asked], new Set(), tries);
    if (tries.left <= 0) break;
    if (set === undefined) dead.add(name);
  }
  return dead;
}

/** For all fields of a file together. */
const MOST_TRIES = 20_000;

function* pairsOf({ conflicts, oneOf }: Relations): Generator<[string, string]> {
  for (const [name, others] of conflicts) for (const other of others.keys()) if (name < other) yield [name, other];
  for (const group of oneOf) {
    for (const [index, name] of group.entries()) for (const other of group.slice(index + 1)) yield [name, other];
  }
}
