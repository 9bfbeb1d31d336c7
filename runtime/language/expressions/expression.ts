import type { ASTNode } from "@marcbachmann/cel-js";
import { writeExactJson } from "../../formats/exact_json.ts";
import { formatHint } from "../../formats/format.ts";
import { codeOf } from "../../model/errors.ts";
import type { Json } from "../../model/json.ts";
import type { Clause } from "../../model/rule.ts";
import { dateFormatProblem } from "./date_format.ts";
import { explain, type ExpressionProblem } from "./explain.ts";
import { ABSENT, atTime, parseExpression, REPLACED } from "./functions.ts";
import { LruCache } from "./lru_cache.ts";
import { bounded, type Meter } from "./meter.ts";
import { patternProblem } from "./pattern.ts";
import { toPlain } from "./plain.ts";
import { calls, childrenOf, findReferences, formatPath, lookUp, type Reference } from "./references.ts";

/**
 * The names that an expression sees: `event`, `steps`, `errors`, `config`, `env`, `secrets`, `state`, `inputs`, `run`, `rule`,
 * `item`, `index`, `error`. `$now` is not a name: it is the time in milliseconds that `now()` returns, so that tests and
 * replays are deterministic; without it `now()` is the machine's time. `$meter` is not a name either: it measures the cost of the
 * rule's expressions, and `$hosts` has the hosts that config values may name, by key. A scope without a prototype is evaluated without a copy.
 */
export type Scope = Record<string, unknown> & { $now?: number; $meter?: Meter; $hosts?: Record<string, string[]> };

/** An expression could not be evaluated. A retry with the same values fails in the same way. */
export class ExpressionError extends Error {
  override name = "ExpressionError";
  /** @param missing the path that is absent, such as `event.data.new.used`, if that is the reason */
  constructor(message: string, readonly missing?: string) {
    super(message);
  }
}

/** The static properties of an expression. */
export interface Compiled {
  problem?: ExpressionProblem;
  references: Reference[];
  /** Whether its result may change over time: it reads the clock, the environment, or memory across runs. */
  varies: boolean;
}

interface Entry extends Compiled {
  run?: (scope: Record<string, unknown>) => unknown;
}

/** Cached expressions per rule; few rules have more. */
const FOR_EACH_RULE = 8;
const cache = new LruCache(makeEntry);

/** Sets the size of the cache of parsed expressions by the number of rules. */
export function keepFor(rules: number): void {
  cache.expect(FOR_EACH_RULE * rules);
}

/** Parses and checks an expression; cached by its text. */
export function compile(text: string): Compiled {
  return entryOf(text);
}

/**
 * Evaluates an expression to plain JSON: integers become numbers, times RFC 3339 text, durations text such as `90s`.
 * @throws ExpressionError, BudgetError
 */
export function evaluate(text: string, scope: Scope): Json {
  const { $meter } = scope;
  return $meter === undefined ? compute(text, scope) : $meter.measure(text, () => compute(text, scope));
}

function compute(text: string, scope: Scope): Json {
  const { problem, run } = entryOf(text);
  if (run === undefined) throw new ExpressionError(`cannot read ${quote(text)}: ${problem!.message}`);
  return atTime(scope.$now ?? Date.now(), () =>
    bounded(() => {
      try {
        return toPlain(run(scope));
      } catch (error) {
        return again(error, text, run, scope);
      }
    }));
}

/**
 * The result of an expression for messages, which are recorded. Hidden if the expression reads a secret, or an input, which may
 * contain one.
 */
export function showResult(text: string, result: Json): string {
  const mayBeSecret = compile(text).references.some(({ path: [name] }) => name === "secrets" || name === "inputs");
  return mayBeSecret ? "a value that may be secret" : writeExactJson(result);
}

/**
 * Evaluates again with objects as maps. The evaluator recognises objects by their `constructor`, so it fails on data with a key of
 * that name. Only such data pays for the second evaluation.
 */
function again(error: unknown, text: string, run: NonNullable<Entry["run"]>, names: Record<string, unknown>): Json {
  if (codeOf(error) !== "unsupported_type" && !(error instanceof TypeError)) throw failure(error, text, names);
  const mapped = mapConstructorKeys(names) as Record<string, unknown>;
  if (mapped === names) throw failure(error, text, names);
  try {
    return toPlain(run(mapped));
  } catch (second) {
    throw failure(second, text, names);
  }
}

function mapConstructorKeys(value: unknown): unknown {
  if (typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) {
    const items = value.map(mapConstructorKeys);
    return items.some((item, index) => item !== value[index]) ? items : value;
  }
  const prototype = Object.getPrototypeOf(value);
  if (prototype !== Object.prototype && prototype !== null) return value;
  const entries = Object.entries(value);
  const mapped = entries.map(([key, entry]) => [key, mapConstructorKeys(entry)] as const);
  if (Object.hasOwn(value, "constructor")) return new Map(mapped);
  return mapped.some(([, entry], index) => entry !== entries[index][1]) ? Object.fromEntries(mapped) : value;
}

function entryOf(text: string): Entry {
  return cache.get(text);
}

function makeEntry(text: string): Entry {
  let references: Reference[] = [];
  try {
    const parsed = parseExpression(text);
    references = findReferences(parsed.ast);
    const { valid, error } = parsed.check();
    if (!valid) throw error;
    checkLiterals(parsed.ast);
    const varies = calls(parsed.ast, "now") || references.some(({ path }) => path[0] === "env" || path[0] === "state");
    return { references, varies, run: (names) => parsed(withoutPrototype(names)) };
  } catch (error) {
    return { references, varies: false, problem: explain(error, text) };
  }
}

/** Names without those that every object has, such as `constructor`. */
function withoutPrototype(names: Record<string, unknown>): Record<string, unknown> {
  return Object.getPrototypeOf(names) === null ? names : { __proto__: null, ...names };
}

/** @throws with the position, if a literal pattern or date format in the expression is not valid */
function checkLiterals(node: ASTNode): void {
  const literal = literalIn(node);
  const summary = literal === undefined ? undefined : literal.problem;
  if (summary !== undefined) throw Object.assign(new Error(summary), { summary, range: literal!.range });
  for (const child of childrenOf(node)) checkLiterals(child);
}

/** What is wrong with the second argument of a function, if that is a literal. */
const LITERALS: Record<string, (text: string) => string | undefined> = {
  [REPLACED.matches]: patternProblem,
  capture: (pattern) => patternProblem(pattern, "capture"),
  date: dateFormatProblem,
};

function literalIn({ op, args }: ASTNode): { problem?: string; range: { start: number; end: number } } | undefined {
  if (op !== "call" && op !== "rcall") return undefined;
  const check = Object.hasOwn(LITERALS, args[0]) ? LITERALS[args[0]] : undefined;
  const literal = op === "call" ? args[1][1] : args[2][0];
  if (check === undefined || literal?.op !== "value" || typeof literal.args !== "string") return undefined;
  return { problem: check(literal.args), range: { start: literal.start, end: literal.end } };
}

function failure(error: unknown, text: string, names: Record<string, unknown>): ExpressionError {
  const { code, range } = error as { code?: string; range?: { start: number; end: number } };
  const cannot = (why: string, missing?: string) =>
    new ExpressionError(`cannot evaluate ${quote(text)}: ${why}`, missing);
  if (!ABSENT.has(code ?? "")) return cannot(explain(error, text).message);
  const absent = entryOf(text).references.find(({ path, offset, length }) => {
    const around = range === undefined || (offset <= range.start && range.start <= offset + length);
    return around && lookUp(names, path) === undefined;
  });
  if (absent !== undefined) return cannot(sayAbsent(absent.path, names), formatPath(absent.path));
  // A part of an item in `map`, or of a function's result: only its name is known.
  const key = range === undefined ? text : text.slice(range.start, range.end);
  return cannot(explain(error, text).message, key);
}

/** Says which part of a path is missing or null: `event.data.new has no key "used"`. */
function sayAbsent(path: string[], names: Record<string, unknown>): string {
  const depth = path.findIndex((_name, index) => lookUp(names, path.slice(0, index + 1)) === undefined);
  if (depth === 0) return `there is no ${path[0]} here`;
  const parent = formatPath(path.slice(0, depth));
  const value = lookUp(names, path.slice(0, depth));
  if (value === null) return `${parent} is null, so it has no ${JSON.stringify(path[depth])}`;
  if (Array.isArray(value)) return `${parent} has ${value.length} items, so there is no item ${path[depth]}`;
  const missing = JSON.stringify(path[depth]);
  if (typeof value === "string") return `${parent} is text, so it has no ${missing}${formatHint(value)}`;
  if (typeof value !== "object") return `${parent} is a ${typeof value}, so it has no ${missing}`;
  const left = leftOut(path.slice(0, depth), path[depth], names) ? `: ${LEFT_OUT}` : "";
  return `${parent} has no key ${JSON.stringify(path[depth])}${left}`;
}

const LEFT_OUT = "the header was sent, and the program left it out, as events are stored and shown: " +
  "Authorization, Cookie and the signature that auth verified are in no event";

/** Whether the absent value is a header that was sent with the event. */
function leftOut(parent: string[], name: string, names: Record<string, unknown>): boolean {
  if (parent.at(-1) !== "headers") return false;
  const listed = lookUp(names, [...parent.slice(0, -1), "leftOut"]);
  return Array.isArray(listed) && listed.includes(name.toLowerCase());
}

function quote(text: string): string {
  const line = text.replaceAll(/\s+/g, " ").trim();
  return line.length > 120 ? `${line.slice(0, 120)}…` : line;
}

/** Whether all clauses hold; if not, the first one that does not, with the values that it uses. */
export type Answer =
  | { holds: true }
  | { holds: false; clause: string; values: Record<string, Json>; reason: string };

/** Longer texts, and lists and objects with longer JSON, are only described, as a verdict is stored for each event. */
const LONGEST_VALUE = 200;

/**
 * Evaluates clauses in order, up to the first that does not hold. A clause with a missing key does not hold.
 * @throws ExpressionError if a clause cannot be evaluated for another reason, or its result is not a boolean
 */
export function checkClauses(clauses: Clause[], scope: Scope): Answer {
  for (const { text } of clauses) {
    let reason: string;
    try {
      const result = evaluate(text, scope);
      if (result === true) continue;
      if (result !== false) {
        throw new ExpressionError(
          `the condition ${text} gave ${showResult(text, describe(result))}, expected true or false`,
        );
      }
      reason = `${text} is false`;
    } catch (error) {
      if (!(error instanceof ExpressionError) || error.missing === undefined) throw error;
      reason = error.message;
    }
    return { holds: false, clause: text, values: valuesIn(text, scope), reason };
  }
  return { holds: true };
}

/** The paths in a clause, with their values. */
function valuesIn(text: string, scope: Scope): Record<string, Json> {
  const values: Record<string, Json> = {};
  for (const { path } of compile(text).references) {
    const value = path[0] === "secrets" ? "***" : lookUp(scope, path);
    const whole = path.length === 1 && typeof value === "object" && value !== null;
    if (value !== undefined && !whole) values[formatPath(path)] = describe(toPlain(value));
  }
  return values;
}

function describe(value: Json): Json {
  if (typeof value === "string") return value.length > LONGEST_VALUE ? `${value.slice(0, LONGEST_VALUE)}…` : value;
  if (typeof value !== "object" || value === null || writeExactJson(value).length <= LONGEST_VALUE) return value;
  return Array.isArray(value) ? `[${value.length} items]` : `{${Object.keys(value).length} keys}`;
}

/**
 * Expressions read `state['x']` synchronously, but the store is asynchronous. So this evaluates with a view that notes the keys
 * read, fetches missing keys, and evaluates again until none is missing. Expressions are pure, so repetition has no effect.
 * @param read returns the values of the keys that exist
 * @param use evaluates with the view as `state`; the view is made on demand, as few expressions read it
 */
export async function withState<T>(
  read: (keys: string[]) => Promise<Record<string, Json>>,
  use: (state: () => unknown) => T,
): Promise<T> {
  let view: StateView | undefined;
  const state = () => view ??= new StateView();
  for (;;) {
    const attempt = settle(() => use(state));
    const wanted = view?.takeWanted() ?? [];
    if (wanted.length === 0) {
      if ("error" in attempt) throw attempt.error;
      return attempt.value;
    }
    view!.learn(wanted, await read(wanted));
  }
}

function settle<T>(use: () => T): { value: T } | { error: unknown } {
  try {
    return { value: use() };
  } catch (error) {
    return { error };
  }
}

class StateView extends Map<string, Json> {
  #known = new Set<string>();
  #wanted = new Set<string>();

  override get(key: string): Json | undefined {
    if (!this.#known.has(key)) this.#wanted.add(key);
    return super.get(key);
  }

  takeWanted(): string[] {
    const wanted = [...this.#wanted];
    this.#wanted.clear();
    return wanted;
  }

  learn(keys: string[], values: Record<string, Json>): void {
    for (const key of keys) {
      this.#known.add(key);
      if (Object.hasOwn(values, key)) this.set(key, values[key]);
    }
  }
}
// The evaluator recognises maps by this.
StateView.prototype.constructor = Map;
