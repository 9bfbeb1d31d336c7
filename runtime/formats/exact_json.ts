import type { Json } from "../model/json.ts";

/**
 * JSON with exact whole numbers: those that a double cannot represent become a BigInt, and are written back digit by digit. RFC
 * 8259, section 6, leaves their treatment to the parser.
 */

/**
 * A number that may be whole and beyond 2^53, which begins with 9007: it has 17 digits, or 16 with a leading 9. Exact parsing and
 * writing take ten times as long, so most texts must not match: microseconds since the epoch do not.
 */
const MAY_BE_UNSAFE = /(?:^|[[:,\s])-?(?:9\d{15}|\d{17})/;

/** An exponent large enough to exceed a double. Separate from the pattern of digits: two expressions take half the time of one. */
const MAY_BE_TOO_LARGE = /[eE][+\d]\d\d\d*\s*(?:[,\]}]|$)/;

const WHOLE = /^-?\d+$/;

/** The third argument of a `JSON.parse` reviver for primitive values (TC39 proposal "JSON.parse source text access", stage 4). */
interface Source {
  source?: string;
}

type Reviver = (this: unknown, key: string, value: unknown, context: Source) => unknown;

/** A number in JSON is too large for a double. */
export class NumberTooLargeError extends RangeError {
  override name = "NumberTooLargeError";
  /**
   * @param path of the number: `lines[3].price`, empty if it is the whole text
   * @param isWithin whether it is in a list or an object
   */
  constructor(readonly source: string, readonly path: string, readonly isWithin: boolean) {
    const shown = source.length > 40 ? `${source.slice(0, 40)}…` : source;
    super(`the number ${shown}${path && ` at ${path}`} is too large: a number may have at most 309 digits`);
  }
}

/**
 * Parses JSON.
 * @param name of the value, with which paths in errors begin
 * @throws SyntaxError if it is not JSON, NumberTooLargeError if a number is too large for a double
 */
export function readExactJson(text: string, name = ""): unknown {
  if (!MAY_BE_UNSAFE.test(text) && !MAY_BE_TOO_LARGE.test(text)) return JSON.parse(text);
  let hasTooLarge = false;
  const exact: Reviver = (_key, value, { source }) => {
    if (typeof value !== "number" || source === undefined || Number.isSafeInteger(value)) return value;
    // Also whole ones: the time to parse and write a BigInt grows with the square of its digits.
    if (!Number.isFinite(value)) {
      hasTooLarge = true;
      return new TooLarge(source);
    }
    return WHOLE.test(source) ? BigInt(source) : value;
  };
  const value: unknown = JSON.parse(text, exact as Parameters<typeof JSON.parse>[1]);
  if (hasTooLarge) throw findTooLarge(value, name);
  return value;
}

/** Parses a number, exactly if it is whole; NaN or infinite if the double is. */
export function readExactNumber(text: string): number | bigint {
  const value = Number(text);
  const isExact = Number.isSafeInteger(value) || !Number.isFinite(value) || !WHOLE.test(text.trim());
  return isExact ? value : BigInt(text);
}

/** The whole number in the form used in data: a BigInt only beyond ±2^53. */
export function normalized(value: bigint): number | bigint {
  const double = Number(value);
  return Number.isSafeInteger(double) ? double : value;
}

/** A placeholder for a number that is too large, as a reviver does not know the path. */
class TooLarge {
  constructor(readonly source: string) {}
}

function findTooLarge(value: unknown, path: string, isWithin = false): NumberTooLargeError | undefined {
  if (value instanceof TooLarge) return new NumberTooLargeError(value.source, path.replace(/^\./, ""), isWithin);
  if (typeof value !== "object" || value === null) return undefined;
  for (const [key, item] of Object.entries(value)) {
    const found = findTooLarge(item, path + (Array.isArray(value) ? `[${key}]` : member(key)), true);
    if (found) return found;
  }
}

function member(key: string): string {
  return /^[A-Za-z_$][\w$]*$/.test(key) ? `.${key}` : `[${JSON.stringify(key)}]`;
}

/**
 * Writes JSON; undefined for a value that JSON cannot represent, such as a function.
 * @param indent spaces per level; without it the result is one line
 * @throws TypeError if it has a cycle
 */
export function writeExactJson(value: unknown, indent?: number): string {
  try {
    return JSON.stringify(value, undefined, indent);
  } catch (error) {
    if (!(error instanceof TypeError) || !/bigint/i.test(error.message)) throw error;
    return JSON.stringify(value, (_, item) => typeof item === "bigint" ? rawNumber(item) : item, indent);
  }
}

/**
 * Writes JSON that {@link readExactJson} parses to the same values: a double that is whole beyond 2^53 gets an exponent, so that
 * it does not come back as a BigInt.
 * @throws TypeError if it has a cycle
 */
export function writeRecordJson(value: unknown): string {
  const text = writeExactJson(value);
  if (text === undefined || !MAY_BE_UNSAFE.test(text)) return text;
  return JSON.stringify(value, (_, item) => {
    if (typeof item === "bigint") return rawNumber(item);
    return Number.isInteger(item) && !Number.isSafeInteger(item) ? raw(item.toExponential()) : item;
  });
}

/** A value that any `JSON.stringify` writes as this number. */
export function rawNumber(value: bigint): unknown {
  return raw(String(value));
}

/** `JSON.rawJSON`, which TypeScript does not declare yet. */
const raw: (text: string) => unknown = Reflect.get(JSON, "rawJSON");

/** JSON up to this length stays on one line for people. */
const SHORT_LINE = 90;

/** JSON for people: each part that fits is on one line. */
export function layOutJson(json: Json, indent = ""): string {
  const short = writeExactJson(json);
  if (typeof json !== "object" || json === null || indent.length + short.length <= SHORT_LINE) return short;
  const within = `${indent}  `;
  const parts = Array.isArray(json)
    ? json.map((part) => within + layOutJson(part, within))
    : Object.entries(json).map(([key, part]) => `${within}${JSON.stringify(key)}: ${layOutJson(part, within)}`);
  const [open, close] = Array.isArray(json) ? "[]" : "{}";
  return `${open}\n${parts.join(",\n")}\n${indent}${close}`;
}

/** Maximum nesting of data from outside; a parser may set such a limit (RFC 8259, section 9). */
const DEEPEST = 500;

/**
 * Parses JSON from outside, with exact whole numbers. Later code (masks, expressions, listings) recurses into data, so a single
 * deeply nested document would make everything fail that shows it.
 * @param name of the value, with which paths in errors begin
 * @throws SyntaxError if it is not JSON, is nested too deeply, or has a number that is too large for a double
 */
export function parseJson(text: string, name?: string): Json {
  const value = read(text, name);
  if (hasMoreBrackets(text, DEEPEST) && isDeeper(value, DEEPEST)) {
    throw new SyntaxError(`it is nested deeper than ${DEEPEST} levels`);
  }
  return value;
}

/**
 * Parses a text that may or may not be JSON.
 * @returns undefined if it is not JSON
 * @throws SyntaxError if it is JSON with a number that is too large for a double, as a replacement value would be a guess
 */
export function parseMaybeJson(text: string, name?: string): Json | undefined {
  try {
    return parseJson(text, name);
  } catch (error) {
    // A single number does not count as JSON: a short hash such as 71e4553 looks like one.
    const { cause } = error as SyntaxError;
    if (cause instanceof NumberTooLargeError && cause.isWithin) throw error;
    return undefined;
  }
}

function read(text: string, name?: string): Json {
  try {
    return readExactJson(text, name) as Json;
  } catch (error) {
    throw error instanceof NumberTooLargeError ? new SyntaxError(error.message, { cause: error }) : error;
  }
}

/** Whether the text has so many opening brackets that it may be that deep; most texts have fewer in total. */
function hasMoreBrackets(text: string, most: number): boolean {
  let count = 0;
  for (const bracket of ["[", "{"]) {
    for (let at = text.indexOf(bracket); at !== -1; at = text.indexOf(bracket, at + 1)) if (++count > most) return true;
  }
  return false;
}

function isDeeper(value: Json, levels: number): boolean {
  if (typeof value !== "object" || value === null) return false;
  return levels === 0 || Object.values(value).some((item) => isDeeper(item, levels - 1));
}
