import { type ASTNode, Environment } from "@marcbachmann/cel-js";
import { Duration } from "@marcbachmann/cel-js/evaluator";
import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import { parseJson, rawNumber, readExactNumber, writeExactJson } from "../../formats/exact_json.ts";
import { parseDuration } from "../../model/duration.ts";
import { codeOf, messageOf } from "../../model/errors.ts";
import type { Json } from "../../model/json.ts";
import { show } from "../hints.ts";
import { formatDate } from "./date_format.ts";
import { checkText, countTurn } from "./meter.ts";
import { absolute, addMixedArithmetic, addUp, divide, isNumeric, type Numeric, round, whole } from "./numbers.ts";
import { capture, matches } from "./pattern.ts";
import { toPlain } from "./plain.ts";
import { childrenOf } from "./references.ts";
import { timeOfNumber, timeOfSeconds, timeOfText } from "./times.ts";

/**
 * CEL's own functions that ours replace. The library rejects a second overload of the same signature, so calls are renamed
 * after parsing: `matches` because its patterns run on a backtracking engine, `duration` because it does not support days,
 * `timestamp` because it rejects days and takes days that do not exist, the others because the library has them only as methods, for fewer types.
 */
export const REPLACED: Record<string, string> = {
  matches: "_matches",
  duration: "_duration",
  timestamp: "_timestamp",
  split: "_split",
  join: "_join",
  trim: "_trim",
  json: "_json",
};

/** Codes of errors which mean that a value in the expression does not exist. */
export const ABSENT = new Set(["no_such_key", "index_out_of_bounds", "unknown_variable"]);

let currentTime = 0;

/** Runs `use` while `now()` returns `time`. Evaluation is synchronous, so no other evaluation can run in between. */
export function atTime<T>(time: number, use: () => T): T {
  currentTime = time;
  return use();
}

/** Parses with all the functions and operators of the rule language. */
export function parseExpression(text: string): ReturnType<Environment["parse"]> {
  const parsed = environment().parse(text);
  prepare(parsed.ast);
  return parsed;
}

/** Names of all functions and methods, for hints. */
export function functionNames(): string[] {
  const names = environment().getDefinitions().functions.map(({ name }) => name);
  return [...new Set(names)].filter((name) => /^[a-z]/i.test(name)).concat(Object.keys(REPLACED));
}

/**
 * Replaces CEL's own functions by ours of the same name, limits loops, and lets the branches of `? :` differ in type.
 */
function prepare(node: ASTNode): void {
  const { alternate }: Expansion = Reflect.get(node, "meta");
  if (alternate?.op === "comprehension") {
    const { condition } = alternate.args;
    alternate.args.condition = (result) => {
      countTurn();
      return condition?.(result) ?? true;
    };
  }
  if (node.op === "call" || node.op === "rcall") {
    const { args } = node;
    if (Object.hasOwn(REPLACED, args[0])) args[0] = REPLACED[args[0]];
  }
  for (const child of childrenOf(node)) prepare(child);
  if (node.op === "?:") {
    const { args } = node;
    args[1] = asDynamic(args[1]);
    args[2] = asDynamic(args[2]);
  }
}

function asDynamic(node: ASTNode): ASTNode {
  const wrapped = environment().parse("dyn(null)").ast;
  if (wrapped.op === "call") wrapped.args[1] = [node];
  return wrapped;
}

/** The parts of the evaluator that a macro receives; the library has no types for them. */
interface Evaluator {
  run(node: ASTNode, context: unknown): unknown;
}
interface Checker {
  check(node: ASTNode, context: unknown): unknown;
  getType(name: string): unknown;
}
interface DefaultMacro {
  args: ASTNode[];
}

/** The `meta` of a node, which the library does not declare: `map`, `filter`, `exists` and `all` have their expansion to a loop. */
interface Expansion {
  alternate?: { op: string; args: { condition?: (result: unknown) => boolean } };
}

function makeEnvironment(): Environment {
  const made = new Environment({ unlistedVariablesAreDyn: true, homogeneousAggregateLiterals: false });
  addFunctions(made, () => currentTime);
  made.registerFunction("default(ast, ast): dyn", ({ args }: DefaultMacro) => ({
    args,
    async: false,
    typeCheck(checker: Checker, macro: DefaultMacro, context: unknown) {
      for (const arg of macro.args) checker.check(arg, context);
      return checker.getType("dyn");
    },
    evaluate(evaluator: Evaluator, macro: DefaultMacro, context: unknown) {
      const [wanted, otherwise] = macro.args;
      try {
        const value = evaluator.run(wanted, context);
        if (value !== null) return value;
      } catch (error) {
        if (!ABSENT.has(codeOf(error) ?? "")) throw error;
      }
      return evaluator.run(otherwise, context);
    },
  }));
  addMixedArithmetic(made);
  return made;
}

const TIME = "google.protobuf.Timestamp";

type Add = (
  receiver: string,
  name: string,
  rest: string[],
  returns: string,
  handler: (...args: never[]) => unknown,
) => void;

/** Adds the functions of the rule language. Each works as `f(x, …)` and as `x.f(…)`. */
function addFunctions(environment: Environment, now: () => number): void {
  const add: Add = (receiver, name, rest, returns, handler) => {
    environment.registerFunction(`${name}(${[receiver, ...rest].join(", ")}): ${returns}`, handler);
    environment.registerFunction(`${receiver}.${name}(${rest.join(", ")}): ${returns}`, handler);
  };
  add("list", "sum", [], "dyn", sum);
  for (const type of ["string", "int", "double", "bool"]) add(type, "number", [], "dyn", number);
  add("string", "replace", ["string", "string"], "string", replace);
  add("list", "sort", [], "list", sort);
  add("list", "unique", [], "list", unique);
  add("string", "lower", [], "string", (text: string) => text.toLowerCase());
  add("string", "upper", [], "string", (text: string) => text.toUpperCase());
  add("string", "_trim", [], "string", (text: string) => text.trim());
  add("string", "_split", ["string"], "list<string>", (text: string, separator: string) => text.split(separator));
  add("list", "_join", [], "string", (list: unknown[]) => join(list, ""));
  add("list", "_join", ["string"], "string", join);
  // As within other text: CEL's own is only for single values.
  for (const type of ["list", "map"]) {
    environment.registerFunction(`string(${type}): string`, (value: unknown) => writeExactJson(toPlain(value)));
  }
  add("dyn", "_json", [], "string", (value: unknown) => writeExactJson(toPlain(value)));
  add("string", "fromJson", [], "dyn", fromJson);
  add("dyn", "hash", [], "string", hash);
  add("string", "base64", [], "string", base64);
  add("string", "fromBase64", [], "string", fromBase64);
  for (const type of ["string", "int", "double", "bool"]) add(type, "urlEncode", [], "string", urlEncode);
  add("string", "capture", ["string"], "dyn", capture);
  add("string", "_matches", ["string"], "bool", matches);
  add("string", "_duration", [], "google.protobuf.Duration", duration);
  environment.registerFunction(`now(): ${TIME}`, () => new Date(now()));
  addNumbers(add);
  for (const type of ["int", "double"]) add(type, "time", [], TIME, timeOfNumber);
  add(TIME, "time", [], TIME, (time: Date) => time);
  add("string", "time", [], TIME, (text: string) => timeOfText(text));
  add("string", "time", ["string"], TIME, (text: string, zone: string) => timeOfText(text, zone));
  environment.registerFunction(
    `_timestamp(string): ${TIME}`,
    (text: string) => timeOfText(text, undefined, "timestamp"),
  );
  for (const type of ["int", "double"]) environment.registerFunction(`_timestamp(${type}): ${TIME}`, timeOfSeconds);
  for (const type of [TIME, "string"]) {
    add(type, "date", ["string"], "string", (time: Date | string, format: string) => date(time, format, "UTC"));
    add(type, "date", ["string", "string"], "string", date);
  }
}

/** The results have no declared type: of integers they are integers. */
function addNumbers(add: Add): void {
  for (const type of ["int", "double"]) {
    add(type, "floor", [], "dyn", whole(Math.floor));
    add(type, "ceil", [], "dyn", whole(Math.ceil));
    add(type, "abs", [], "dyn", absolute);
    add(type, "round", [], "dyn", round);
    for (const other of ["int", "double"]) {
      add(type, "round", [other], "dyn", round);
      add(type, "div", [other], "dyn", divide);
    }
  }
}

function sum(list: unknown[]): Numeric {
  const wrong = list.findIndex((item) => !isNumeric(item));
  if (wrong !== -1) throw new Error(`sum() needs numbers, got ${show(list[wrong])}`);
  return addUp(list.filter(isNumeric));
}

function number(value: string | bigint | number | boolean): number | bigint {
  if (typeof value === "bigint") return value;
  const result = typeof value !== "string" ? Number(value) : value.trim() === "" ? NaN : readExactNumber(value);
  if (typeof result === "bigint" || Number.isFinite(result)) return result;
  throw new Error(`number() needs text that is a number, got ${show(value)}`);
}

function replace(text: string, from: string, to: string): string {
  if (to.length > from.length) checkText(text.length + (text.split(from).length - 1) * (to.length - from.length));
  // A function, as `$&` and similar in a string would be replacement patterns.
  return text.replaceAll(from, () => to);
}

function sort(list: unknown[]): unknown[] {
  if (list.every(isNumeric)) return [...list].sort(ascending);
  if (list.every((item) => typeof item === "string")) return [...list].sort(ascending);
  throw new Error("sort() needs a list of numbers or a list of texts");
}

function ascending<T extends Numeric | string>(a: T, b: T): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function unique(list: unknown[]): unknown[] {
  const seen = new Map(list.map((item) => [canonical(toPlain(item)), item] as const).reverse());
  return [...seen.values()].reverse();
}

function join(list: unknown[], separator: string): string {
  let length = 0;
  return list.map((item) => {
    const plain = toPlain(item);
    const text = typeof plain === "string" ? plain : writeExactJson(plain);
    checkText(length += text.length + separator.length);
    return text;
  }).join(separator);
}

function fromJson(text: string): Json {
  try {
    return parseJson(text);
  } catch (error) {
    throw new Error(`fromJson() needs JSON, got ${show(text)}: ${messageOf(error)}`);
  }
}

/** SHA-256 in hex of the text, or of the JSON with sorted keys, so that the order of keys does not matter. */
function hash(value: unknown): string {
  const plain = toPlain(value);
  return createHash("sha256").update(typeof plain === "string" ? plain : canonical(plain)).digest("hex");
}

function canonical(value: Json): string {
  return JSON.stringify(value, (_key, part) => {
    if (typeof part === "bigint") return rawNumber(part);
    if (typeof part !== "object" || part === null || Array.isArray(part)) return part;
    return Object.fromEntries(Object.entries(part).sort(([a], [b]) => a < b ? -1 : 1));
  });
}

function duration(text: string): Duration {
  const [, sign, rest] = /^(-?)(.*)$/s.exec(text)!;
  const parts = rest.match(/\d+(?:\.\d+)?(?:ms|s|m|h|d)/g);
  const ms = parseDuration(rest) ??
    (parts?.join("") === rest ? parts.reduce((total, part) => total + parseDuration(part)!, 0) : undefined);
  if (ms === undefined) throw new Error(`duration() needs text such as 90s, 1h30m or 3d, got ${show(text)}`);
  return Duration.fromMilliseconds(sign === "-" ? -ms : ms);
}

function date(time: Date | string, format: string, zone: string): string {
  return formatDate(typeof time === "string" ? timeOfText(time, undefined, "date") : time, format, zone);
}

function base64(text: string): string {
  checkText(text.length * 4 / 3);
  return Buffer.from(text).toString("base64");
}

/** Also of the alphabet for URLs, and without padding. */
function fromBase64(text: string): string {
  const digits = text.replaceAll(/[\r\n]/g, "").replace(/={1,2}$/, "");
  try {
    if (/[^\w+/-]/.test(digits) || digits.length % 4 === 1) throw new Error();
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(Buffer.from(digits, "base64"));
  } catch {
    throw new Error(`fromBase64() needs the base64 of UTF-8 text, got ${show(text)}`);
  }
}

function urlEncode(value: string | Numeric | boolean): string {
  const text = String(value);
  if (!text.isWellFormed()) throw new Error(`urlEncode() needs text that is valid Unicode, got ${show(text)}`);
  checkText(text.length);
  return encodeURIComponent(text);
}

let made: Environment | undefined;

/** Made for the first expression: it takes 10 ms, and a start whose rules have not changed parses none. */
function environment(): Environment {
  return made ??= makeEnvironment();
}
