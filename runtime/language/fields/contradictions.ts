import type { Field } from "../../model/rule.ts";
import { hintAtUnknown } from "../hints.ts";
import type { SchemaProblem } from "../checker/sentences.ts";
import {
  conflictsAmong,
  isAsked,
  joined,
  type Needed,
  neededBy,
  type Relations,
  relationsOf,
  smallest,
  stepsTo,
} from "./relations.ts";

/**
 * Problems of a set of fields that exist whatever the values are: unknown names, cycles of `requires`, and fields that
 * can never be set. Consequences are not reported, such as a field that requires one that can never be set.
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
      const hint = hintAtUnknown(name, Object.keys(fields));
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

/** How many problems of a kind are reported: finding the shortest path to each is slow. */
const MOST_REPORTED = 50;

/** One problem for each group of fields that require each other: its shortest cycle. */
function findCycles({ requires }: Relations): SchemaProblem[] {
  const problems: SchemaProblem[] = [];
  let left = onCycles(requires);
  while (left.size > 0 && problems.length < MOST_REPORTED) {
    const group = groupOf(left);
    const [name] = [...group].sort();
    const cycle = shortestCycle(left, name);
    const steps = cycle.map((each, index) => `${each} requires ${cycle[(index + 1) % cycle.length]}`);
    const hint = cycle.length === 2 ? "make them one field, or take out one requires" : "take out one requires";
    problems.push({ path: [name, "requires"], part: "value", message: `a cycle: ${joined(steps)}`, hint });
    left = onCycles(new Map([...left].filter(([each]) => !group.has(each))));
  }
  return problems;
}

type Graph = Map<string, string[]>;

/** The part of a graph that is on cycles or between them. */
function onCycles(requires: Graph): Graph {
  const { left } = leavesFirst(requires);
  const inner = leavesFirst(inverted(left)).left;
  return new Map(
    [...left].filter(([name]) => inner.has(name)).map(([name, others]) => {
      return [name, others.filter((other) => inner.has(other))];
    }),
  );
}

/**
 * All names in topological order (each after those that it requires), and the rest, which are on cycles or depend on
 * one.
 */
function leavesFirst(requires: Graph): { order: string[]; left: Graph } {
  const requiredBy = inverted(requires);
  const open = new Map([...requires].map(([name, others]) => [name, others.length]));
  const order = [...new Set([...requires.keys(), ...requiredBy.keys()])].filter((name) => !open.get(name));
  for (const name of order) {
    for (const by of requiredBy.get(name) ?? []) {
      const count = open.get(by)! - 1;
      open.set(by, count);
      if (count === 0) order.push(by);
    }
  }
  const done = new Set(order);
  const rest = [...requires].filter(([name]) => !done.has(name));
  return { order, left: new Map(rest.map(([name, others]) => [name, others.filter((other) => !done.has(other))])) };
}

/** Each required field, with those that require it. */
function inverted(requires: Graph): Graph {
  const requiredBy: Graph = new Map();
  for (const [name, others] of requires) {
    for (const other of others) {
      const users = requiredBy.get(other);
      if (users === undefined) requiredBy.set(other, [name]);
      else users.push(name);
    }
  }
  return requiredBy;
}

/**
 * Strongly connected components: fields that all require each other, directly or not. Each field of the graph requires
 * another field of it.
 */
function groupOf(graph: Graph): Set<string> {
  const seen = new Set<string>();
  let [at] = [...graph.keys()].sort();
  while (!seen.has(at)) {
    seen.add(at);
    at = graph.get(at)![0];
  }
  const users = neededBy({ requires: inverted(graph) }, [at]);
  return new Set([...neededBy({ requires: graph }, [at]).keys()].filter((name) => users.has(name)));
}

function shortestCycle(graph: Graph, name: string): string[] {
  const needed: Needed = new Map([[name, null]]);
  for (const at of needed.keys()) {
    for (const other of graph.get(at) ?? []) {
      if (other === name) return wayTo(needed, at);
      if (!needed.has(other)) needed.set(other, at);
    }
  }
  return [name];
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
  const [clash] = conflictsAmong(relations, always);
  if (clash !== undefined) {
    const message = `the set can never be complete: ${joined(why(relations, always, clash, asked))}`;
    return [{ path: [clash[0]], part: "key", message, hint: "write required: false where a value may be missing" }];
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
  const causes = [...dead].filter((name) => !relations.requires.get(name)?.some((other) => dead.has(other))).sort();
  return causes.slice(0, MOST_REPORTED).map((name): SchemaProblem => {
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

/** The paths to both sides of a conflict, and the conflict. */
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
  const dead = conflicting(relations, names, asked);
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

/**
 * Fields that require, together with those that are always set, both sides of a conflict. A bit mask propagates 32
 * conflicts at once along the order of requirements: 10,000 conflicts among 10,000 fields would take minutes one by
 * one.
 */
function conflicting(relations: Relations, names: string[], asked: string[]): Set<string> {
  const { requires } = relations;
  const index = new Map(names.map((name, at) => [name, at]));
  const order = leavesFirst(requires).order.filter((name) => requires.has(name)).map((name) =>
    [index.get(name)!, requires.get(name)!.map((other) => index.get(other)!)] as const
  );
  const always = asked.map((name) => index.get(name)!);
  const dead = new Set<string>();
  const [left, right] = [new Uint32Array(names.length), new Uint32Array(names.length)];
  const pairs = [...pairsOf(relations)];
  for (let from = 0; from < pairs.length; from += 32) {
    left.fill(0);
    right.fill(0);
    for (const [bit, [name, other]] of pairs.slice(from, from + 32).entries()) {
      left[index.get(name)!] |= 1 << bit;
      right[index.get(other)!] |= 1 << bit;
    }
    for (const [at, others] of order) {
      for (const other of others) {
        left[at] |= left[other];
        right[at] |= right[other];
      }
    }
    const leftAlways = always.reduce((bits, at) => bits | left[at], 0);
    const rightAlways = always.reduce((bits, at) => bits | right[at], 0);
    for (const [at, name] of names.entries()) {
      if (((left[at] | leftAlways) & (right[at] | rightAlways)) !== 0) dead.add(name);
    }
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
