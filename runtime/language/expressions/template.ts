import type { z } from "zod";
import { writeExactJson } from "../../formats/exact_json.ts";
import { parseDuration, parseRate } from "../../model/duration.ts";
import { isObject, type Json, type JsonObject } from "../../model/json.ts";
import { type FieldInfo, hasTemplate, parseSize } from "../arg_types.ts";
import { mapFields, type Visit } from "../map_args.ts";
import type { Kind } from "../kind.ts";
import { compile, evaluate, ExpressionError, type Scope, showResult } from "./expression.ts";
import { LruCache } from "./lru_cache.ts";
import { expectHost, withoutMethod } from "./url_host.ts";

/**
 * Resolves every `${{ }}` in a value, at any depth. A string that is one expression keeps its type; inside other text null
 * is empty, and lists and objects are JSON. `$${{` is a literal `${{`.
 * @throws ExpressionError
 */
export function resolve(value: Json, scope: Scope): Json {
  return mapTexts(value, (text) => resolveText(text, scope));
}

/** {@link resolve} for the values of an object. */
export function resolveObject(values: JsonObject, scope: Scope): JsonObject {
  return Object.fromEntries(Object.entries(values).map(([key, value]) => [key, resolve(value, scope)]));
}

/**
 * Resolves the arguments of a trigger or step by their schema in its kind: the results of expressions in URLs are
 * percent-encoded, bare expressions stay text; durations, rates, sizes and numbers that were templates are parsed now.
 * @throws ExpressionError
 */
export function resolveArgs(kind: Kind, args: JsonObject, scope: Scope): JsonObject {
  return mapArgs(kind, args, (info, value) => resolveField(info, value, scope));
}

const schemasOf = new WeakMap<Kind, Record<string, z.core.$ZodType>>();

/** Visits the main argument and the options of a trigger or step along its kind's schemas. */
export function mapArgs<Value>(
  kind: Kind,
  args: Record<string, Value>,
  visit: Visit<Value>,
): Record<string, Value> {
  let schemas = schemasOf.get(kind);
  if (schemas === undefined) schemasOf.set(kind, schemas = { ...kind.options, [kind.kind]: kind.main });
  return Object.fromEntries(
    Object.entries(args).map(([key, value]) => {
      return [key, Object.hasOwn(schemas, key) ? mapFields(schemas[key], value, visit, [key]) : value];
    }),
  );
}

/**
 * Resolves only templates that are known when a rule loads: those that use only the given names. Others stay unchanged.
 * @throws ExpressionError
 */
export function resolveKnown(
  kind: Kind,
  args: Record<string, unknown>,
  names: string[],
  scope: Scope,
): Record<string, unknown> {
  const known = (text: string) => {
    const { parts, problem } = parseTemplate(text);
    if (problem) return false;
    return expressionsIn(parts).every(({ expression }) =>
      compile(expression).references.every(({ path }) => names.includes(path[0]))
    );
  };
  return mapArgs(kind, args, (info, value) => {
    if (info?.is === "expression" || info?.is === "request") return value;
    const resolveOne = info?.is === "url" ? resolveUrl : info?.is === "source" ? resolveSourceText : resolveText;
    return mapTexts(value, (text) => known(text) ? escape(resolveOne(text, scope)) : text);
  });
}

/** Escapes a value, which is resolved again later and must not be taken for a template: values are never expressions. */
function escape(value: Json): Json {
  return mapTexts(value, (text) => text.replaceAll("${{", () => "$${{"));
}

/** Resolves one field of the arguments by its schema. @throws ExpressionError */
export function resolveField(info: FieldInfo | undefined, value: Json, scope: Scope): Json {
  switch (info?.is) {
    case undefined:
    case "expression":
    case "secret":
    case "charset":
    case "target":
    case "branches":
    case "connection":
    case "fields":
    case "request":
      return value;
    case "people":
      return resolvePeople(value, scope);
    case "source":
      return mapTexts(value, (text) => resolveSourceText(text, scope));
    case "url":
      return resolveUrl(String(value), scope);
    case "template":
    case "path":
      return asText(resolve(value, scope));
    case "command":
      // The checker allows no expressions in a shell string: resolving one would let data become code.
      return Array.isArray(value) ? value.map((part) => asText(resolve(part, scope))) : value;
    case "json":
      return resolve(value, scope);
    case "duration":
    case "rate":
    case "size":
    case "number":
    case "boolean":
      return hasTemplate(value) ? readResolved(info, resolve(value, scope), value) : value;
  }
}

/** Resolves names, and expressions that return a name or a list of names. */
function resolvePeople(value: Json, scope: Scope): Json {
  const names = [resolve(value, scope)].flat(2);
  const wrong = names.find((name) => typeof name !== "string" || name.trim() === "");
  if (wrong === undefined) return names;
  throw new ExpressionError(
    `${writeExactJson(value)} gave ${writeExactJson(wrong)}, expected a person, a group or an e-mail address`,
  );
}

/** The step kind of a source is not known here, so a text that begins like a URL counts as one. */
function resolveSourceText(text: string, scope: Scope): Json {
  return /^https?:\/\//i.test(withoutMethod(text)) ? resolveUrl(text, scope) : resolveText(text, scope);
}

/** Parses the result of a template for a duration, rate, size, number or boolean. */
function readResolved(info: FieldInfo, value: Json, text: string): Json {
  const result = READERS[info.is]?.(value);
  if (result !== undefined) return result;
  const [{ expression }] = expressionsIn(parseText(text).parts);
  throw new ExpressionError(`${text} gave ${showResult(expression, value)}, expected ${info.expected}`);
}

const READERS: Partial<Record<FieldInfo["is"], (value: Json) => Json | undefined>> = {
  duration: (value) => typeof value === "string" ? parseDuration(value) : undefined,
  rate: (value) => {
    const rate = typeof value === "string" ? parseRate(value) : undefined;
    return rate && { ...rate };
  },
  size: parseSize,
  number: (value) => {
    const number = typeof value === "string" && value.trim() !== "" ? Number(value) : value;
    return typeof number === "number" && Number.isFinite(number) ? number : undefined;
  },
  boolean: (value) =>
    value === "true" ? true : value === "false" ? false : typeof value === "boolean" ? value : undefined,
};

/**
 * The result of an expression at the start of a URL is its beginning (scheme, host and what follows) and must be a URL itself. The
 * results of all others are percent-encoded, and must not be `.` or `..`: no encoding stops a server from using them as folders.
 */
function resolveUrl(text: string, scope: Scope): string {
  const { parts } = parseText(text);
  const url = parts.map((part, index) => {
    if (typeof part === "string") return part;
    const value = asText(evaluate(part.expression, scope));
    const before = parts[index - 1];
    const first = index === 0 || (index === 1 && typeof before === "string" && withoutMethod(before) === "");
    if (first) {
      if (/^https?:\/\//.test(value) && URL.canParse(value)) return value;
      throw new ExpressionError(
        `\${{${part.expression}}} gave ${
          showResult(part.expression, value)
        }, expected a URL such as https://example.org/`,
      );
    }
    if (value === "." || value === "..") {
      throw new ExpressionError(
        `\${{${part.expression}}} gave ${
          showResult(part.expression, value)
        }, which would name another folder of the URL`,
      );
    }
    return encodeURIComponent(value);
  }).join("");
  if (scope.$hosts !== undefined) expectHost(parts, url, scope.$hosts);
  return url;
}

function resolveText(text: string, scope: Scope): Json {
  if (!hasTemplate(text)) return text;
  const { parts } = parseText(text);
  if (parts.length === 1 && typeof parts[0] !== "string") return evaluate(parts[0].expression, scope);
  return parts.map((part) => typeof part === "string" ? part : asText(evaluate(part.expression, scope))).join("");
}

/** Parses a template. @throws ExpressionError if it is not valid */
export function parseText(text: string) {
  const template = parseTemplate(text);
  if (template.problem) throw new ExpressionError(`cannot read ${JSON.stringify(text)}: ${template.problem.message}`);
  return template;
}

/** A value as part of a text. */
export function asText(value: Json): string {
  if (typeof value === "string") return value;
  return value === null ? "" : writeExactJson(value);
}

/** The names at the beginning of expressions. */
const ROOTS = "event|steps|errors|config|env|secrets|state|inputs|run|rule|item|index|form|error|key|patch|device";
/** Braces of other languages, such as Go's `{{ .Name }}` and Mustache's `{{ name }}`, do not begin with one of these. */
const PLAIN_BRACES = new RegExp(`(?<!\\$)\\{\\{\\s*((?:${ROOTS})\\b[^{}]*?)\\s*\\}\\}`, "g");

/** What looks like an expression but has no `$` before its braces, outside of expressions. */
export function plainBraces(text: string): (TemplateExpression & { length: number })[] {
  if (!text.includes("{{")) return [];
  let outside = text;
  for (const { expression, offset } of expressionsIn(parseTemplate(text).parts)) {
    outside = outside.slice(0, offset) + " ".repeat(expression.length) + outside.slice(offset + expression.length);
  }
  return [...outside.matchAll(PLAIN_BRACES)].map(({ 0: all, 1: expression, index }) => {
    return { expression, offset: index, length: all.length };
  });
}

/** The expressions among the parts of a template. */
export function expressionsIn(parts: (string | TemplateExpression)[]): TemplateExpression[] {
  return parts.filter((part) => typeof part !== "string");
}

/** Replaces every text in a value, at any depth. */
export function mapTexts(value: Json, map: (text: string) => Json): Json;
export function mapTexts(value: unknown, map: (text: string) => unknown): unknown;
export function mapTexts(value: unknown, map: (text: string) => unknown): unknown {
  if (typeof value === "string") return map(value);
  if (Array.isArray(value)) return value.map((item) => mapTexts(item, map));
  if (!isObject(value)) return value;
  return Object.fromEntries(Object.entries(value).map(([key, part]) => [key, mapTexts(part, map)]));
}

/** A parsed string with `${{ }}` in it. */
export interface TemplateText {
  parts: (string | TemplateExpression)[];
  problem?: { message: string; hint?: string; offset: number; length: number };
}

/** One expression of a template: its text, and the position in the string. */
interface TemplateExpression {
  expression: string;
  offset: number;
}

const OPEN = "${{";
const cache = new LruCache(parse);

/** Parses a string; cached. `$${{` is a literal `${{`. */
export function parseTemplate(text: string): TemplateText {
  return cache.get(text);
}

function parse(text: string): TemplateText {
  const parts: TemplateText["parts"] = [];
  let literal = "";
  let at = 0;
  for (;;) {
    const open = text.indexOf(OPEN, at);
    if (open === -1) break;
    if (text[open - 1] === "$" && open - 1 >= at) {
      literal += text.slice(at, open - 1) + OPEN;
      at = open + OPEN.length;
      continue;
    }
    const start = open + OPEN.length;
    const end = findEnd(text, start);
    if (end === undefined) {
      const hint = "close the expression with }}, or write $${{ for the characters ${{ themselves";
      return { parts: [], problem: { message: "${{ is not closed", hint, offset: open, length: OPEN.length } };
    }
    literal += text.slice(at, open);
    if (literal !== "") parts.push(literal);
    literal = "";
    parts.push({ expression: text.slice(start, end), offset: start });
    at = end + 2;
  }
  literal += text.slice(at);
  if (literal !== "") parts.push(literal);
  return { parts };
}

/** The position of the `}}` that closes an expression, ignoring those in strings and of maps. */
function findEnd(text: string, start: number): number | undefined {
  let depth = 0;
  for (let at = start; at < text.length; at++) {
    const char = text[at];
    if (char === '"' || char === "'") {
      const end = skipString(text, at);
      if (end === undefined) return undefined;
      at = end;
    } else if (char === "{") depth++;
    else if (char === "}" && depth > 0) depth--;
    else if (char === "}" && text[at + 1] === "}") return at;
  }
  return undefined;
}

/** The position of the quote that closes the string opened at `open`. A backslash escapes a quote, also in raw strings. */
function skipString(text: string, open: number): number | undefined {
  const quote = text.startsWith(text[open].repeat(3), open) ? text[open].repeat(3) : text[open];
  for (let at = open + quote.length; at < text.length; at++) {
    if (text[at] === "\\") at++;
    else if (text.startsWith(quote, at)) return at + quote.length - 1;
  }
  return undefined;
}
