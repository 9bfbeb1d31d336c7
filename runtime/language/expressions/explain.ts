import { functionNames, REPLACED } from "./functions.ts";
import { didYouMean } from "../hints.ts";

/** A problem of an expression, with its position in the text. */
export interface ExpressionProblem {
  message: string;
  hint?: string;
  offset: number;
  length: number;
}

interface CelError {
  code?: string;
  summary?: string;
  message: string;
  range?: { start: number; end: number };
}

/** Explains an error of the evaluator in plain words: what is wrong, at which position, and what would work. */
export function explain(thrown: unknown, text: string): ExpressionProblem {
  const error = thrown as CelError;
  const summary = error.summary ?? error.message;
  const offset = Math.min(error.range?.start ?? 0, text.length);
  const length = Math.max(1, Math.min(error.range?.end ?? text.length, text.length) - offset);
  return { ...reword(error, summary, text, offset), offset, length };
}

function reword(error: CelError, summary: string, text: string, offset: number): { message: string; hint?: string } {
  switch (error.code) {
    case "unexpected_token":
    case "unexpected_character":
    case "expected_token":
    case "reserved_identifier":
      return syntax(summary, text, offset);
    case "no_matching_overload":
      return noFunction(summary);
    case "no_such_overload":
      return noOperator(summary);
    case "invalid_logical_operand":
    case "invalid_condition_type":
      return { message: speakTypes(lowerFirst(summary)), hint: "compare it: x == y, x > 0, x != null" };
    case undefined:
      // Thrown by one of our own functions, already in plain words.
      return { message: summary };
    default:
      return { message: speakTypes(lowerFirst(summary)) };
  }
}

/** Syntax that people write out of habit from other languages; `¦` marks the position of the error. */
const HABITS: { at: RegExp; hint: string }[] = [
  { at: /=¦?>/, hint: "CEL knows no arrow functions: write list.map(x, x.name)" },
  { at: /\?¦?[?.]/, hint: "write default(x, y) for a value that may be absent" },
  { at: /¦=|=¦/, hint: "equality is written ==" },
  { at: /¦(&|and\b)/i, hint: "and is written &&" },
  { at: /¦(\||or\b)/i, hint: "or is written ||" },
  { at: /¦not\b/i, hint: "not is written !" },
  { at: /¦`/, hint: "write text in \"…\" or '…'" },
  { at: /\.¦\w/, hint: 'a word that means something to CEL is written x["in"]' },
  { at: /¦\s*$/, hint: "is something missing at the end?" },
];

function syntax(summary: string, text: string, offset: number): { message: string; hint?: string } {
  if (text.trim() === "") return { message: "the expression is empty" };
  const rest = text.slice(offset);
  const habit = HABITS.find(({ at }) => at.test(`${text.slice(Math.max(0, offset - 2), offset)}¦${rest}`));
  const hint = habit && { hint: habit.hint };
  if (rest.trim() === "") return { message: "the expression ends too early", ...hint };
  const [word] = /^(\w+|\S)/.exec(rest) ?? [rest];
  const known = !/^(Unexpected|Expected)/.test(summary);
  return { message: known ? lowerFirst(summary) : `did not expect ${JSON.stringify(word)} here`, ...hint };
}

function noFunction(summary: string): { message: string; hint?: string } {
  const [, receiver, called, types] = /'(?:(.+)\.)?(\w+)\((.*)\)'$/.exec(summary) ?? [];
  if (called === undefined) return { message: speakTypes(summary) };
  const name = Object.keys(REPLACED).find((key) => REPLACED[key] === called) ?? called;
  const names = functionNames();
  if (!names.includes(name)) {
    const hint = didYouMean(name, names);
    return { message: `unknown function ${JSON.stringify(name)}`, ...hint !== undefined && { hint } };
  }
  const values = [receiver, types].filter((part) => part).join(", ");
  return { message: `${name}() does not work with ${speakTypes(values) || "nothing"}` };
}

function noOperator(summary: string): { message: string; hint?: string } {
  const [, left, sign, right] = /^no such overload: (.+) (\S+) (.+)$/.exec(summary) ?? [];
  if (left === undefined) {
    const [, unary, type] = /^no such overload: ([!-])(.+)$/.exec(summary) ?? [];
    const wanted = unary === "!" ? "true or false" : "a number";
    return { message: unary === undefined ? speakTypes(summary) : `${unary} needs ${wanted}, got ${speakTypes(type)}` };
  }
  const texts = [left, right].filter((type) => speakTypes(type) === "text").length;
  const hint = texts !== 1
    ? undefined
    : sign === "+"
    ? "turn the other one into text: string(x)"
    : "turn the text into a number: number(x)";
  return {
    message: `${JSON.stringify(sign)} does not work between ${speakTypes(left)} and ${speakTypes(right)}`,
    ...(hint && { hint }),
  };
}

const TYPES: Record<string, string> = {
  string: "text",
  int: "a number",
  uint: "a number",
  double: "a number",
  bool: "true or false",
  null: "null",
  list: "a list",
  map: "an object",
  dyn: "a value",
  "google.protobuf.Timestamp": "a time",
  "google.protobuf.Duration": "a duration",
};

/** Replaces the evaluator's type names with words. */
function speakTypes(text: string): string {
  return text.replaceAll("'", "").replace(
    /\bdyn<((?:list|map)<.*>|[\w.]+)>/g,
    "$1",
  ).replace(/\b(list|map)<[^\s]*(?:, [^\s]*)?>/g, "$1").replace(
    /\bgoogle\.protobuf\.\w+|\b(?:string|int|uint|double|bool|null|list|map|dyn)\b/g,
    (type) => TYPES[type] ?? type,
  );
}

function lowerFirst(text: string): string {
  return text.charAt(0).toLowerCase() + text.slice(1);
}
