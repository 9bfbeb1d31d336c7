import { z } from "zod";
import { isCharset } from "../formats/decode_text.ts";
import { type Format, formats } from "../formats/format.ts";
import { isFileName } from "../host/run_files.ts";
import { parseDuration, parseRate, type Rate } from "../model/duration.ts";
import type { Json } from "../model/json.ts";
import type { RetryPolicy } from "../model/rule.ts";
import { isTarget } from "../model/target.ts";
import { NAMED } from "../secrets/secrets.ts";
import { METHOD } from "./hints.ts";

/** The description of a field in a kind's schema, for the checker, the templates and the JSON Schema. */
export interface FieldInfo {
  is:
    | "expression"
    | "template"
    | "url"
    | "json"
    | "duration"
    | "rate"
    | "size"
    | "path"
    | "command"
    | "target"
    | "secret"
    | "charset"
    | "number"
    | "boolean"
    | "source"
    | "request"
    | "people"
    | "connection"
    | "branches"
    | "fields";
  /** For an expression or a request: names that it can use besides the usual ones, such as `item` or `body`. */
  names?: string[];
  /** A description of a valid value, for messages: `a duration such as 30s`. */
  expected: string;
  /** Whether messages must not show the value. */
  hidden?: true;
  /** Its JSON Schema. */
  schema: Record<string, unknown>;
}

/** The descriptions from the makers below; they survive `.optional()`, `.describe()` and `.refine()`. */
export const fieldInfo = z.registry<FieldInfo>();

declare const unresolved: unique symbol;

/** Text that replaces a value until its expressions are resolved. */
export type Template = string & { readonly [unresolved]: true };

/** The result of a schema after every template in it is resolved. */
export type Resolved<T> = [Json] extends [T] ? T
  : T extends Template ? never
  : T extends readonly (infer Item)[] ? Resolved<Item>[]
  : T extends object ? { [Key in keyof T]: Resolved<T[Key]> }
  : T;

/** True if the text contains at least one `${{ … }}`. */
export function hasTemplate(value: unknown): value is Template {
  return typeof value === "string" && value.includes("${{");
}

const TEXT = { type: "string" };
const SCALAR = { type: ["string", "number", "boolean"] };

/** A bare CEL expression. It stays text; the action or trigger evaluates it. `names`: further names that it can use. */
export function expression(options: { names?: string[] } = {}): z.ZodType<string> {
  const { names } = options;
  return make<string>(
    { is: "expression", ...(names && { names }), expected: "an expression", schema: SCALAR },
    (value) => {
      // YAML parses `if: true` and `key: 1` as a boolean and a number; as expressions they mean the same.
      if (typeof value === "boolean" || typeof value === "number") return String(value);
      return typeof value === "string" && value.trim() !== "" ? value : undefined;
    },
  );
}

/** Text that may contain `${{ }}`; always resolves to text. */
export function template(): z.ZodType<string> {
  return make<string>({ is: "template", expected: "text", schema: SCALAR }, scalarText);
}

/** A URL, or `METHOD URL`; the results of its expressions are percent-encoded. */
export function url(): z.ZodType<string> {
  const isUrl = (address: string) => /^https?:\/\//.test(address) && URL.canParse(address);
  return make<string>({ is: "url", expected: "a URL such as https://example.org/", schema: TEXT }, (value) => {
    if (typeof value !== "string") return undefined;
    return hasTemplate(value) || isUrl(value.replace(METHOD, "")) ? value : undefined;
  }, (value) => {
    const [method, address] = typeof value === "string" ? value.trim().split(/\s+/) : [];
    if (address === undefined || !isUrl(address) || !/^[a-z]+:?$/i.test(method)) return undefined;
    return `write ${method.replace(":", "").toUpperCase()} ${address}`;
  });
}

/** Any value, with templates at any depth; a single expression keeps its type. */
export function json(): z.ZodType<Json> {
  return make<Json>({ is: "json", expected: "a value", schema: {} }, (value) => value as Json | undefined);
}

/** The name of a charset, such as `windows-1252`. */
export function charset(): z.ZodType<string> {
  return make<string>(
    { is: "charset", expected: "a charset such as windows-1252, koi8-r or shift_jis", schema: TEXT },
    (value) => typeof value === "string" && isCharset(value) ? value : undefined,
  );
}

/** How text is read: a name, or a name with options, such as `{ csv: { delimiter: ";" } }`. */
export function format(): z.ZodType<Format> {
  const error = ({ code }: { code?: string }) =>
    code === "invalid_type" ? 'expected an object such as { csv: { delimiter: ";" } }' : undefined;
  const names = () => z.array(z.string().min(1)).min(1).optional();
  const csv = z.strictObject({
    delimiter: z.string().min(1).max(10).optional().describe(
      "What separates values; by default the header row shows it",
    ),
    quote: z.union([z.string().length(1), z.literal(false)]).optional().describe(
      "The quotation mark; false: there is none",
    ),
    header: z.boolean().optional().describe("Whether the first row names the columns; by default true"),
    columns: names().describe("Names that the header row must have; without a header row, those of the columns"),
    skip: z.number().int().min(0).max(10_000).optional().describe("How many lines there are before the table"),
    relaxed: z.boolean().optional().describe("Takes rows of any length, and quotation marks inside values"),
  }, { error });
  const xml = z.strictObject({
    lists: names().describe("Names of elements that are always a list, even if there is only one"),
  }, { error });
  return z.union([z.enum(formats), z.strictObject({ csv }, { error }), z.strictObject({ xml }, { error })]);
}

/** `30s` → milliseconds. A template stays text until it is resolved, then the result is parsed as a duration. */
export function duration(): z.ZodType<number | Template> {
  return make<number | Template>(
    { is: "duration", expected: "a duration such as 250ms, 30s, 5m, 2h or 3d", schema: TEXT },
    (value) => {
      if (hasTemplate(value)) return value;
      return typeof value === "string" ? parseDuration(value) : undefined;
    },
  );
}

/** `100/m` → count and milliseconds. A template stays text until it is resolved. */
export function rate(): z.ZodType<Rate | Template> {
  return make<Rate | Template>({ is: "rate", expected: "a rate such as 100/m, 10/s or 5/h", schema: TEXT }, (value) => {
    if (hasTemplate(value)) return value;
    return typeof value === "string" ? parseRate(value) : undefined;
  });
}

/** `1MB` → bytes (powers of 1,000 with KB, MB, GB; of 1,024 with KiB, MiB, GiB), or a plain number of bytes. */
export function size(): z.ZodType<number | Template> {
  return make<number | Template>(
    { is: "size", expected: "a size such as 512KB or 1MB", schema: { type: ["string", "number"] } },
    (value) => {
      if (hasTemplate(value)) return value;
      return parseSize(value);
    },
  );
}

/** A file, or a pattern of files, relative to the rule file. Templates are allowed. */
export function path(): z.ZodType<string> {
  return make<string>({ is: "path", expected: "a path such as ./file.txt", schema: TEXT }, (value) => {
    return typeof value === "string" && value !== "" ? value : undefined;
  });
}

/** The name of a file in a folder that is known: without slashes. Templates are allowed; what they give is not checked here. */
export function fileName(): z.ZodType<string> {
  const expected = "a plain file name such as report.csv";
  return make<string>({ is: "template", expected, schema: TEXT }, (value) => {
    const text = scalarText(value);
    return text !== undefined && (hasTemplate(text) || isFileName(text)) ? text : undefined;
  });
}

/** `[command, argument, …]` with templates in its parts, or a string for the shell, which must not contain expressions. */
export function command(): z.ZodType<string | string[]> {
  const schema = { anyOf: [TEXT, { type: "array", items: SCALAR, minItems: 1 }] };
  return make<string | string[]>({ is: "command", expected: "a command: a string or a list", schema }, (value) => {
    if (typeof value === "string") return value.trim() === "" ? undefined : value;
    if (!Array.isArray(value) || value.length === 0) return undefined;
    const parts = value.map(scalarText).filter((part) => part !== undefined);
    return parts.length < value.length ? undefined : parts;
  });
}

/** `./file.ts#export` or `./action.yaml`, relative to the rule file; found by `callTargets()`. No templates. */
export function target(): z.ZodType<string> {
  const expected = "a target such as ./file.ts#function, package#export or ./action.yaml";
  return make<string>({ is: "target", expected, schema: TEXT }, (value) => {
    if (typeof value !== "string" || hasTemplate(value)) return undefined;
    return isTarget(value) ? value : undefined;
  });
}

/** Names of secrets, as rules have them. */
export const SECRET_NAME = /^[A-Za-z_][\w.-]*$/;

/** The name of a secret, or several (rotation), never a value; found by `secretNames()`. Parsed to a list. */
export function secret(): z.ZodType<string[]> {
  const schema = { anyOf: [TEXT, { type: "array", items: TEXT, minItems: 1 }] };
  return make<string[]>({
    is: "secret",
    expected: "the name of a secret such as GITHUB_SECRET, or a list of names",
    hidden: true,
    schema,
  }, (value) => {
    const names = Array.isArray(value) ? value : [value];
    const named = names.length > 0 &&
      names.every((name) => typeof name === "string" && SECRET_NAME.test(name));
    return named ? names : undefined;
  }, () => NAMED);
}

/** A number, or a template that results in one. */
export function number(limits: { min?: number; max?: number; integer?: boolean } = {}): z.ZodType<number | Template> {
  const { min, max, integer } = limits;
  const range = (min !== undefined ? ` from ${min}` : "") + (max !== undefined ? ` up to ${max}` : "");
  const info: FieldInfo = {
    is: "number",
    expected: (integer ? "a whole number" : "a number") + range,
    schema: {
      anyOf: [
        {
          type: integer ? "integer" : "number",
          ...(min !== undefined && { minimum: min }),
          ...(max !== undefined && { maximum: max }),
        },
        { type: "string", pattern: "\\$\\{\\{" },
      ],
    },
  };
  return make<number | Template>(info, (value) => {
    if (hasTemplate(value)) return value;
    if (typeof value !== "number" || !Number.isFinite(value) || (integer && !Number.isInteger(value))) return undefined;
    return value < (min ?? -Infinity) || value > (max ?? Infinity) ? undefined : value;
  });
}

/** True or false, or a template that results in one. */
export function boolean(): z.ZodType<boolean | Template> {
  const schema = { anyOf: [{ type: "boolean" }, { type: "string", pattern: "\\$\\{\\{" }] };
  return make<boolean | Template>({ is: "boolean", expected: "true or false", schema }, (value) => {
    return typeof value === "boolean" || hasTemplate(value) ? value : undefined;
  });
}

/**
 * A step that returns the items of a poll: `{ run: … }`, `{ http: …, headers: … }`, `{ call: … }`. It is checked like a step, and
 * its templates are resolved with the trigger's. Otherwise it stays as written; the poll parses it with `parseArgs`.
 */
export function source(): z.ZodType<Record<string, Json>> {
  const schema = { $ref: "#/definitions/source" };
  return make<Record<string, Json>>(
    { is: "source", expected: "a step such as { run: ./list.sh }", schema },
    (value) => {
      return typeof value === "object" && value !== null && !Array.isArray(value)
        ? value as Record<string, Json>
        : undefined;
    },
  );
}

/**
 * A request that is sent later: `{ http: "GET https://example.org/${{ key }}", value: body.data }`, with the options of the step `http`. Its
 * templates are resolved then. `value` is an expression on the answer.
 */
export function request(names: string[]): z.ZodType<Record<string, Json>> {
  const expected = `a request such as { http: "GET https://example.org/items/\${{ key }}", value: body }`;
  return make<Record<string, Json>>(
    { is: "request", names, expected, schema: { type: "object", required: ["http"] } },
    (value) => {
      if (typeof value !== "object" || value === null || Array.isArray(value)) return undefined;
      const { http } = value as Record<string, Json>;
      return typeof http === "string" && /^([A-Z]+ +)?(https?:\/\/|\$\{\{)/.test(http)
        ? value as Record<string, Json>
        : undefined;
    },
  );
}

/** The recipients of a form: a person or a group in `whenthen.yaml`, or an e-mail address; or several. Parsed to a list. */
export function people(): z.ZodType<string[]> {
  const schema = { anyOf: [TEXT, { type: "array", items: TEXT, minItems: 1 }] };
  const expected = "a person, a group or an e-mail address, or a list of them";
  return make<string[]>({ is: "people", expected, schema }, (value) => {
    const names = Array.isArray(value) ? value : [value];
    return names.length > 0 && names.every((name) => typeof name === "string" && name.trim() !== "")
      ? names
      : undefined;
  });
}

/** The name of a connection in `whenthen.yaml`. No templates: what gets its token is known when the rule loads. */
export function connection(): z.ZodType<string> {
  const expected = "the name of a connection such as asana";
  return make<string>({ is: "connection", expected, schema: TEXT }, (value) => {
    return typeof value === "string" && /^[A-Za-z][\w-]*$/.test(value) ? value : undefined;
  });
}

/** How a request is authorized: `{ bearer: … }`, `{ basic: "user:password" }` or `{ connection: asana }`. */
export function requestAuth() {
  return z.union([
    z.strictObject({ bearer: template() }),
    z.strictObject({ basic: template() }),
    z.strictObject({ connection: connection() }),
  ]).optional().describe("{ bearer: token }, { basic: user:password } or { connection: name }");
}

/** Lists of steps by the names of their branches. They are checked as steps; the parsed value has only the names. */
export function branches(): z.ZodType<string[]> {
  const schema = { type: "object", additionalProperties: { $ref: "#/definitions/steps" }, minProperties: 1 };
  const expected = "branches with their names, such as { crm: [...], mail: [...] }";
  return make<string[]>({ is: "branches", expected, schema }, (value) => {
    return typeof value === "object" && value !== null && !Array.isArray(value) && Object.keys(value).length > 0
      ? Object.keys(value)
      : undefined;
  });
}

/** Parses `512KB`, `1MB`, `1.5GiB` or a number of bytes; undefined if it is not a size. */
export function parseSize(value: unknown): number | undefined {
  if (typeof value === "number") return Number.isInteger(value) && value >= 0 ? value : undefined;
  const match = typeof value === "string" ? /^(\d+(?:\.\d+)?) ?(?:([KMG])(i?))?B$/.exec(value) : null;
  if (!match) return undefined;
  const exponent = match[2] === undefined ? 0 : "KMG".indexOf(match[2]) + 1;
  return Math.round(Number(match[1]) * (match[3] ? 1_024 : 1_000) ** exponent);
}

function scalarText(value: unknown): string | undefined {
  return ["string", "number", "bigint", "boolean"].includes(typeof value) ? String(value) : undefined;
}

/** A schema of one field: `read` returns the value, or undefined if it is not valid; `hint` says what would be valid. */
function make<T>(
  info: FieldInfo,
  read: (value: unknown) => T | undefined,
  hint: (value: unknown) => string | undefined = () => undefined,
): z.ZodType<T> {
  const schema = z.unknown().transform((value, context): T => {
    const result = read(value);
    if (result !== undefined) return result;
    const isWrong = (item: unknown) => read(item) === undefined;
    // A value that must not be shown is reported by itself, so that exactly it is masked.
    const items = info.hidden && Array.isArray(value) ? value : [];
    const wrong = items.flatMap((item, index) => isWrong(item) ? [{ path: [index], input: item }] : []);
    const remedy = hint(value);
    for (const place of wrong.length > 0 ? wrong : [{ path: [], input: value }]) {
      context.addIssue({
        code: "custom",
        message: `expected ${info.expected}${info.hidden ? ", not a value" : ""}${
          remedy === undefined ? "" : `\n${remedy}`
        }`,
        params: { expected: info.expected, ...info.hidden && { hidden: true } },
        ...place,
      });
    }
    return z.NEVER;
  });
  fieldInfo.add(schema, info);
  return schema;
}

const attempts = z.number().int().min(1).max(1_000);
const DELAY = 1_000;
const LONGEST_DELAY = 60_000;

/** `retry: 3` (attempts in all), or `{ attempts, delay, max }`. */
export const retrySchema = z.union([
  attempts,
  z.strictObject({
    attempts: attempts.default(3).describe("Attempts in all, the first one included; by default 3"),
    delay: duration().optional().describe("The delay before the second attempt, doubled each time; by default 1s"),
    max: duration().optional().describe("The longest delay; by default 1m"),
  }),
], { error: "expected a number of attempts in all, as in retry: 3, or { attempts, delay, max }" }).transform(
  (retry): RetryPolicy => {
    if (typeof retry === "number") return { attempts: retry, delay: DELAY, max: LONGEST_DELAY };
    const { attempts, delay = DELAY, max = Math.max(LONGEST_DELAY, delay) } = retry as Resolved<typeof retry>;
    return { attempts, delay, max };
  },
);
