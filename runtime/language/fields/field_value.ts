import { readExactNumber, writeExactJson } from "../../formats/exact_json.ts";
import { parseDuration } from "../../model/duration.ts";
import type { Json } from "../../model/json.ts";
import type { Field } from "../../model/rule.ts";
import { nearest, show } from "../hints.ts";

/**
 * Checks a value against a field of `config`, of a form, or of an action's `inputs`.
 * @returns the value (the default if it is absent), or its problem
 */
export function checkValue(field: Field, value: Json | undefined): { value: Json } | { problem: string } {
  if (value === undefined || value === null || (value === "" && field.type !== "text")) {
    if (field.default !== undefined) return { value: field.default };
    return field.required ? { problem: `expected ${expected(field)}, got nothing` } : { value: null };
  }
  if (!fits(field, value)) return { problem: `expected ${expected(field)}, got ${show(value)}` };
  const outside = outOfRange(field, value);
  return outside === undefined ? { value } : { problem: outside };
}

/** Checks the values of all fields. Problems name the field; those of unknown keys also the nearest known one. */
export function checkValues(
  fields: Record<string, Field>,
  values: Record<string, Json>,
): { values: Record<string, Json>; problems: { key: string; message: string; hint?: string }[] } {
  const checked: Record<string, Json> = {};
  const problems: { key: string; message: string; hint?: string }[] = [];
  for (const key of Object.keys(values).filter((key) => !Object.hasOwn(fields, key))) {
    const close = nearest(key, Object.keys(fields));
    const hint = close ? `did you mean ${close}?` : `known are ${Object.keys(fields).join(", ") || "none"}`;
    problems.push({ key, message: `unknown key ${JSON.stringify(key)}`, hint });
  }
  for (const [key, field] of Object.entries(fields)) {
    const result = checkValue(field, Object.hasOwn(values, key) ? values[key] : undefined);
    if ("problem" in result) problems.push({ key, message: result.problem });
    else checked[key] = result.value;
  }
  return { values: checked, problems };
}

function fits({ type, choices }: Field, value: Json): boolean {
  switch (type) {
    case "text":
      return typeof value === "string";
    case "number":
      return typeof value === "bigint" || (typeof value === "number" && Number.isFinite(value));
    case "boolean":
      return typeof value === "boolean";
    case "choice":
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
    case "list":
      return Array.isArray(value);
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

function expected({ type, choices }: Field): string {
  switch (type) {
    case "text":
      return "text";
    case "number":
      return "a number";
    case "boolean":
      return "true or false";
    case "choice":
      return `one of ${choices!.map((choice) => JSON.stringify(choice)).join(", ")}`;
    case "duration":
      return "a duration such as 30s, 5m or 2h";
    case "date":
      return "a date such as 2027-01-31";
    case "email":
      return "an e-mail address";
    case "url":
      return "a URL such as https://example.org/";
    case "list":
      return "a list";
  }
}

function outOfRange({ min = -Infinity, max = Infinity }: Field, value: Json): string | undefined {
  if (typeof value === "number" || typeof value === "bigint") {
    if (value < min) return `expected at least ${min}, got ${value}`;
    return value > max ? `expected at most ${max}, got ${value}` : undefined;
  }
  if (typeof value !== "string" && !Array.isArray(value)) return undefined;
  const unit = typeof value === "string" ? "characters" : "items";
  if (value.length < min) return `expected at least ${min} ${unit}, got ${value.length}`;
  return value.length > max ? `expected at most ${max} ${unit}, got ${value.length}` : undefined;
}

/**
 * The value of a text in a field, as people type it on a page or in a terminal. Text that does not fit the type stays text, and
 * {@link checkValue} reports it.
 * @returns undefined if the text is empty
 */
export function valueOfText({ type, choices = [] }: Field, text: string): Json | undefined {
  const trimmed = text.trim();
  if (trimmed === "") return undefined;
  switch (type) {
    case "text":
      return text.replaceAll("\r\n", "\n");
    case "number":
      return Number.isFinite(Number(trimmed)) ? readExactNumber(trimmed) : text;
    case "boolean":
      return { true: true, yes: true, false: false, no: false }[trimmed.toLowerCase()] ?? text;
    case "choice":
      return choices.find((choice) => textOfValue(choice).trim() === trimmed) ?? text;
    case "list":
      return trimmed.split("\n").map((line) => line.trim()).filter((line) => line !== "");
    default:
      return trimmed;
  }
}

/** A value as text that {@link valueOfText} parses back; each item of a list is on its own line. */
export function textOfValue(value: Json): string {
  if (Array.isArray(value)) return value.map(textOfValue).join("\n");
  if (value === null) return "";
  return typeof value === "string" ? value : writeExactJson(value);
}
