import { isIP } from "node:net";
import { readExactNumber, writeExactJson } from "../../formats/exact_json.ts";
import { parseDuration } from "../../model/duration.ts";
import { isObject, type Json, type JsonObject } from "../../model/json.ts";
import type { Field, ItemField } from "../../model/rule.ts";
import { matches } from "../expressions/pattern.ts";
import { hostOf } from "../expressions/url_host.ts";
import { show } from "../hints.ts";

/** The most bytes of a file, unless its field has another `max`. */
export const FILE_BYTES = 10_000_000;

/** Types whose values are text. */
const TEXT_TYPES: ReadonlySet<Field["type"]> = new Set(
  ["text", "duration", "date", "email", "url", "ip", "path", "secret"],
);

/** Whether the values of a field are text, so that a YAML scalar such as `1.10` counts as it is written. */
export function isTextType({ type }: Pick<Field, "type">): boolean {
  return TEXT_TYPES.has(type);
}

/**
 * Checks one value against its field, without regard to other fields.
 * @returns the value (the default if it is absent), or its problem
 */
export function checkValue(field: Field, value: Json | undefined): { value: Json } | { problem: string } {
  if (isAbsent(field, value)) {
    if (field.default !== undefined) return { value: field.default };
    return field.required ? { problem: `expected ${expected(field)}, got nothing` } : { value: null };
  }
  const problem = problemOf(field, value!);
  return problem === undefined ? { value: value! } : { problem };
}

/** Whether a value counts as absent. */
export function isAbsent({ type }: Pick<Field, "type">, value: Json | undefined): boolean {
  return value === undefined || value === null || (value === "" && type !== "text");
}

/** What is wrong with a value that is not absent; undefined if it fits. */
function problemOf(field: Omit<Field, "required">, value: Json): string | undefined {
  // A text entered instead of a secret's name may be the secret itself.
  if (!fits(field, value)) return `expected ${expected(field)}${field.type === "secret" ? "" : `, got ${show(value)}`}`;
  if (Array.isArray(value)) return outOfRange(field, value) ?? problemOfItems(field.of, value);
  if (field.choices !== undefined && !field.choices.includes(value)) {
    return `expected ${oneOf(field.choices)}, got ${show(value)}`;
  }
  return outOfRange(field, value) ?? outOfPattern(field, value) ?? outOfHosts(field, value);
}

function problemOfItems(of: ItemField | undefined, items: Json[]): string | undefined {
  if (of === undefined) return undefined;
  for (const [index, item] of items.entries()) {
    const problem = problemOf(of, item);
    if (problem !== undefined) return `item ${index + 1}: ${problem}`;
  }
  return undefined;
}

function fits({ type, choices, under }: Omit<Field, "required">, value: Json): boolean {
  switch (type) {
    case "text":
      return typeof value === "string";
    case "number":
      return typeof value === "bigint" || (typeof value === "number" && Number.isFinite(value));
    case "integer":
      return typeof value === "bigint" || Number.isInteger(value);
    case "port":
      return typeof value === "number" && Number.isInteger(value) && value >= 1 && value <= 65_535;
    case "boolean":
      return typeof value === "boolean";
    case "choice":
    case "secret":
      return choices!.includes(value);
    case "duration":
      return typeof value === "string" && parseDuration(value) !== undefined;
    case "date":
      return typeof value === "string" && /^\d{4}-\d{2}-\d{2}(T[\d:.]+(Z|[+-]\d{2}:\d{2})?)?$/.test(value) &&
        isDate(value);
    case "email":
      return typeof value === "string" && isEmail(value);
    case "url":
      return typeof value === "string" && /^https?:\/\//.test(value) && URL.canParse(value);
    case "ip":
      return typeof value === "string" && isIP(value) !== 0;
    case "path":
      return typeof value === "string" && isPath(value, under);
    case "list":
      return Array.isArray(value);
    case "file":
      return isObject(value) && typeof value.name === "string" && typeof value.bytes === "number";
  }
}

/** Whether the text looks like an e-mail address. */
export function isEmail(text: string): boolean {
  return /^[^\s@]+@[^\s@]+$/.test(text);
}

/** Checks the day, as `Date` turns 31 February into March. */
function isDate(text: string): boolean {
  const [year, month, day] = text.slice(0, 10).split("-").map(Number);
  return !Number.isNaN(Date.parse(text)) && new Date(Date.UTC(year, month - 1, day)).getUTCDate() === day;
}

/**
 * Whether a path stays below `under`, or otherwise below the folder that it is relative to. `..` is never accepted:
 * after a symbolic link it resolves to another folder than the text suggests.
 */
function isPath(text: string, under: string | undefined): boolean {
  if (text === "" || text.includes("\0") || text.split(/[/\\]/).includes("..")) return false;
  if (under === undefined) return !/^([/\\]|[A-Za-z]:)/.test(text);
  const folder = under.endsWith("/") ? under : `${under}/`;
  return text === under || text.startsWith(folder);
}

function expected({ type, choices, under }: Omit<Field, "required">): string {
  switch (type) {
    case "text":
      return "text";
    case "number":
      return "a number";
    case "integer":
      return "a whole number";
    case "port":
      return "a port from 1 up to 65535";
    case "boolean":
      return "true or false";
    case "choice":
      return oneOf(choices!);
    case "secret":
      return `the name of a secret, ${oneOf(choices!)}`;
    case "duration":
      return "a duration such as 30s, 5m or 2h";
    case "date":
      return "a date such as 2027-01-31";
    case "email":
      return "an e-mail address";
    case "url":
      return "a URL such as https://example.org/";
    case "ip":
      return "an IP address such as 192.0.2.1 or 2001:db8::1";
    case "path":
      return under === undefined
        ? "a relative path without .., such as reports/may.csv"
        : `a path below ${under} without ..`;
    case "list":
      return "a list";
    case "file":
      return "a file, sent as multipart/form-data";
  }
}

function oneOf(choices: Json[]): string {
  return `one of ${choices.map((choice) => JSON.stringify(choice)).join(", ")}`;
}

function outOfRange(field: Omit<Field, "required">, value: Json): string | undefined {
  if (field.type === "file") {
    const { max = FILE_BYTES } = field;
    const { bytes } = value as { bytes: number };
    return bytes > max ? `expected a file of at most ${max} bytes, got ${bytes}` : undefined;
  }
  const { min = -Infinity, max = Infinity } = field;
  if (typeof value === "number" || typeof value === "bigint") {
    if (value < min) return `expected at least ${min}, got ${value}`;
    return value > max ? `expected at most ${max}, got ${value}` : undefined;
  }
  if (typeof value !== "string" && !Array.isArray(value)) return undefined;
  const unit = typeof value === "string" ? "characters" : "items";
  if (value.length < min) return `expected at least ${min} ${unit}, got ${value.length}`;
  return value.length > max ? `expected at most ${max} ${unit}, got ${value.length}` : undefined;
}

function outOfPattern({ pattern }: Omit<Field, "required">, value: Json): string | undefined {
  if (pattern === undefined || typeof value !== "string" || matches(value, wholeText(pattern))) return undefined;
  return `expected text that matches ${pattern}, got ${show(value)}`;
}

/** The value is an address, or the name of a host itself. */
function outOfHosts({ hosts }: Omit<Field, "required">, value: Json): string | undefined {
  if (hosts === undefined || typeof value !== "string") return undefined;
  const url = /^https?:\/\//.test(value) ? URL.parse(value) : undefined;
  if (url !== null && hosts.includes(url === undefined ? value : hostOf(url))) return undefined;
  return `expected the host ${hosts.join(" or ")}, got ${show(value)}`;
}

/** What is wrong with the name of a host, with its port unless that is 443; undefined if nothing is. */
export function hostProblem(value: string): string | undefined {
  const named = URL.parse(value.includes("://") ? value : `https://${value}`)?.host;
  if (named === undefined || named === "" || named.includes("*")) {
    return `expected a host such as app.asana.com, got "${value}"`;
  }
  return named === value ? undefined : `expected a host without scheme, path and port 443; write ${named}`;
}

/** The pattern of a whole text, as HTML's `pattern` means it. */
export function wholeText(pattern: string): string {
  return `\\A(?:${pattern})\\z`;
}

/** A value as text that `valueOfText` parses back; each item of a list is on its own line. */
export function textOfValue(value: Json): string {
  if (Array.isArray(value)) return value.map(textOfValue).join("\n");
  if (value === null) return "";
  return typeof value === "string" ? value : writeExactJson(value);
}

/**
 * The value of a text in a field, as people type it on a page or in a terminal. Text that does not fit the type stays text, and
 * `checkValue` reports it.
 * @returns undefined if the text is empty
 */
export function valueOfText(field: Pick<Field, "type" | "choices" | "of">, text: string): Json | undefined {
  const trimmed = text.trim();
  if (trimmed === "") return undefined;
  const { type, choices } = field;
  const chosen = type === "list" ? undefined : choices?.find((choice) => textOfValue(choice).trim() === trimmed);
  if (chosen !== undefined) return chosen;
  switch (type) {
    case "text":
      return text.replaceAll("\r\n", "\n");
    case "number":
    case "integer":
    case "port":
      return Number.isFinite(Number(trimmed)) ? readExactNumber(trimmed) : text;
    case "boolean":
      return { true: true, yes: true, false: false, no: false }[trimmed.toLowerCase()] ?? text;
    case "choice":
      return text;
    case "list":
      return itemsOf(field.of, trimmed);
    default:
      return trimmed;
  }
}

function itemsOf(of: ItemField = { type: "text" }, text: string): Json[] {
  const lines = text.split("\n").map((line) => line.trim()).filter((line) => line !== "");
  return lines.map((line) => valueOfText(of, line) ?? line);
}

/** The source text of the scalar at a path below a value; undefined if it is not known, or is no plain scalar. */
export type SourceText = (path: (string | number)[]) => string | undefined;

/**
 * A value as a field reads it from YAML: where text is expected, a number or boolean counts as it is written, so `1.10` stays
 * `1.10`.
 */
export function asWritten(field: Pick<Field, "type" | "choices" | "of">, value: Json, source: SourceText): Json {
  if (Array.isArray(value)) {
    const { of } = field;
    if (of === undefined) return value;
    const items = value.map((item, index) => asWritten(of, item, (path) => source([index, ...path])));
    return items.some((item, index) => item !== value[index]) ? items : value;
  }
  const isPlain = typeof value === "number" || typeof value === "bigint" || typeof value === "boolean";
  if (!isPlain) return value;
  if (isTextType(field)) return source([]) ?? value;
  const isText = field.type === "choice" && !field.choices?.includes(value);
  const written = isText ? source([]) : undefined;
  return written !== undefined && field.choices?.includes(written) ? written : value;
}

/** {@link asWritten} for all values of a set; returns the same object if nothing changes. */
export function allAsWritten(fields: Record<string, Field>, values: JsonObject, source: SourceText): JsonObject {
  let changed: JsonObject | undefined;
  for (const [name, value] of Object.entries(values)) {
    if (!Object.hasOwn(fields, name)) continue;
    const written = asWritten(fields[name], value, (path) => source([name, ...path]));
    if (written !== value) (changed ??= { ...values })[name] = written;
  }
  return changed ?? values;
}
