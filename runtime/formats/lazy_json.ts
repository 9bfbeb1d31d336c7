import type { Event } from "../model/event.ts";
import type { Json, JsonObject } from "../model/json.ts";
import { parseJson, writeRecordJson } from "./exact_json.ts";

/**
 * Lazy parsing of JSON from outside. Rules usually read a few short members. The others are validated at once, but
 * parsed only when they are read: parsing 1 kB takes 15 to 20 µs under load, mostly for garbage.
 */

/** Lists and objects of at least this length are parsed later. */
const LONG = 128;
/** Deeper texts and longer numbers are left to {@link parseJson}, which knows the limits and keeps numbers exact. */
const DEEPEST = 100;
const LONGEST_NUMBER = 15;

/** On an object: the text that it was read from. */
const SOURCE = Symbol("source");

/**
 * Parses JSON from outside as {@link parseJson} does; long members of an object are parsed when they are first read.
 * @param name of the value, with which paths in errors begin
 * @throws SyntaxError as parseJson
 */
export function readLazyJson(text: string, name?: string): Json {
  const members = scanObject(text);
  if (members === undefined) return parseJson(text, name);
  let rest = "";
  let at = 0;
  for (const { from, to } of members.long) {
    // A string cannot merge with what stands before or after it, so the rest is valid if and only if the whole is.
    rest += `${text.slice(at, from)}""`;
    at = to;
  }
  const value = parseJson(rest + text.slice(at), name) as JsonObject;
  // Duplicate names: the last one counts. This is too rare for a fast path.
  if (Object.keys(value).length !== members.count) return parseJson(text, name);
  for (const { key, from, to } of members.long) parseLater(value, key, text.slice(from, to));
  if (!/[\\\n\r\t]/.test(text)) Object.defineProperty(value, SOURCE, { value: text });
  return value;
}

/**
 * The JSON text from which {@link readLazyJson} read an object. Undefined unless the text is one line that has each
 * string and number of the object as `JSON.stringify` would write it, apart from zeros at the end of a number.
 */
export function sourceOf(value: unknown): string | undefined {
  return typeof value === "object" && value !== null ? (value as { [SOURCE]?: string })[SOURCE] : undefined;
}

/** An event as JSON, with the text that its data were read from, if there is one. */
export function writeEvent(event: Event): string {
  const { data, ...rest } = event;
  const source = sourceOf(data);
  // The rest of an event is never empty, so a comma may follow.
  return source === undefined ? writeRecordJson(event) : `${writeRecordJson(rest).slice(0, -1)},"data":${source}}`;
}

function parseLater(object: JsonObject, key: string, source: string): void {
  Object.defineProperty(object, key, {
    enumerable: true,
    configurable: true,
    get() {
      const value = JSON.parse(source);
      Object.defineProperty(object, key, { value, enumerable: true, configurable: true, writable: true });
      return value;
    },
  });
}

interface Members {
  count: number;
  /** Those whose value is long, in order. */
  long: { key: string; from: number; to: number }[];
}

const [TAB, NEWLINE, RETURN, BLANK] = [9, 10, 13, 32];
const [QUOTE, BACKSLASH, COMMA, COLON] = [34, 92, 44, 58];
const [MINUS, POINT, ZERO, LETTER_E] = [45, 46, 48, 101];
const [OPEN_LIST, CLOSE_LIST, OPEN, CLOSE] = [91, 93, 123, 125];

/**
 * The members of an object; undefined if the text is no object, has no long members, or must be parsed by `parseJson`.
 */
function scanObject(text: string): Members | undefined {
  let at = skipSpace(text, 0);
  if (text.length < LONG || text.charCodeAt(at) !== OPEN) return undefined;
  const members: Members = { count: 0, long: [] };
  do {
    const begin = skipSpace(text, at + 1);
    const end = endOfString(text, begin);
    at = skipSpace(text, end);
    if (end === -1 || text.charCodeAt(at) !== COLON) return undefined;
    const from = skipSpace(text, at + 1);
    const to = endOfValue(text, from, 1);
    if (to === -1) return undefined;
    members.count++;
    const first = text.charCodeAt(from);
    if (to - from >= LONG && (first === OPEN || first === OPEN_LIST)) {
      const key = text.slice(begin + 1, end - 1);
      if (key === "__proto__" || key.includes("\\")) return undefined;
      members.long.push({ key, from, to });
    }
    at = skipSpace(text, to);
  } while (text.charCodeAt(at) === COMMA);
  const isWhole = text.charCodeAt(at) === CLOSE && skipSpace(text, at + 1) === text.length;
  return isWhole && members.long.length > 0 ? members : undefined;
}

function skipSpace(text: string, at: number): number {
  for (;; at++) {
    const code = text.charCodeAt(at);
    if (code !== BLANK && code !== NEWLINE && code !== RETURN && code !== TAB) return at;
  }
}

// Each of these returns the end of the value at `at`, or -1 if there is none or `parseJson` must parse it.

function endOfValue(text: string, at: number, depth: number): number {
  const first = text.charCodeAt(at);
  if (first === QUOTE) return endOfString(text, at);
  if (first === OPEN || first === OPEN_LIST) return endOfItems(text, at, depth + 1, first === OPEN);
  if (first === MINUS || isDigit(first)) return endOfNumber(text, at);
  for (const word of ["true", "false", "null"]) if (text.startsWith(word, at)) return at + word.length;
  return -1;
}

function endOfItems(text: string, at: number, depth: number, isObject: boolean): number {
  const closing = isObject ? CLOSE : CLOSE_LIST;
  if (depth > DEEPEST) return -1;
  const first = skipSpace(text, at + 1);
  if (text.charCodeAt(first) === closing) return first + 1;
  do {
    at = skipSpace(text, at + 1);
    if (isObject) {
      at = endOfString(text, at);
      if (at === -1) return -1;
      at = skipSpace(text, at);
      if (text.charCodeAt(at) !== COLON) return -1;
      at = skipSpace(text, at + 1);
    }
    at = endOfValue(text, at, depth);
    if (at === -1) return -1;
    at = skipSpace(text, at);
  } while (text.charCodeAt(at) === COMMA);
  return text.charCodeAt(at) === closing ? at + 1 : -1;
}

function endOfString(text: string, at: number): number {
  if (text.charCodeAt(at) !== QUOTE) return -1;
  for (;;) {
    const code = text.charCodeAt(++at);
    if (code === QUOTE) return at + 1;
    // A control character, or NaN after the end of the text.
    if (!(code >= BLANK)) return -1;
    if (code === BACKSLASH) {
      const length = lengthOfEscape(text, at + 1);
      if (length === 0) return -1;
      at += length;
    }
  }
}

function lengthOfEscape(text: string, at: number): number {
  if (text[at] === "u") return /^[\da-fA-F]{4}$/.test(text.slice(at + 1, at + 5)) ? 5 : 0;
  return at < text.length && '"\\/bfnrt'.includes(text[at]) ? 1 : 0;
}

/**
 * A short number whose digits `JSON.stringify` writes unchanged: no exponent, and not so small (0.0000001) that it
 * would get one.
 */
function endOfNumber(text: string, from: number): number {
  const whole = text.charCodeAt(from) === MINUS ? from + 1 : from;
  let at = endOfDigits(text, whole);
  const isZero = text.charCodeAt(whole) === ZERO;
  if (at === whole || (isZero && at > whole + 1)) return -1;
  if (text.charCodeAt(at) === POINT) {
    const fraction = at + 1;
    at = endOfDigits(text, fraction);
    if (at === fraction || (isZero && text.startsWith("000000", fraction))) return -1;
  }
  const isExponent = (text.charCodeAt(at) | 32) === LETTER_E;
  return isExponent || at - from > LONGEST_NUMBER ? -1 : at;
}

function endOfDigits(text: string, at: number): number {
  while (isDigit(text.charCodeAt(at))) at++;
  return at;
}

function isDigit(code: number): boolean {
  return code >= ZERO && code <= ZERO + 9;
}
