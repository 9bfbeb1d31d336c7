import { TerminalError } from "../model/errors.ts";
import { normalized } from "../formats/exact_json.ts";
import { isObject, type Json, type JsonObject } from "../model/json.ts";

/**
 * The JSON form of a value from rule code. Properties with the value undefined are left out; `toJSON` is honoured.
 * @param what names the value in the message: `the result of step "read"`
 * @throws TerminalError with the path and type of a value that JSON cannot represent; a Map would silently be stored as `{}`
 */
export function plainJson(value: unknown, what: string): Json {
  return convert(value, "", what, new Set());
}

/** The JSON form of an object, such as the options of a call. @throws TerminalError as {@link plainJson} does */
export function plainObject(value: unknown, what: string): JsonObject {
  const json = plainJson(value, what);
  if (isObject(json)) return json;
  throw new TerminalError(`expected an object as ${what}, got ${Array.isArray(json) ? "a list" : typeof json}`);
}

function convert(value: unknown, path: string, what: string, within: Set<object>): Json {
  if (value === undefined || value === null) return null;
  if (typeof value === "string" || typeof value === "boolean") return value;
  // -0 + 0 is 0, which is also what JSON.stringify writes.
  if (typeof value === "number") return Number.isFinite(value) ? value + 0 : refuse(String(value), path, what);
  if (typeof value === "bigint") {
    return Number.isFinite(Number(value)) ? normalized(value) : refuse("a number too large for a double", path, what);
  }
  if (typeof value !== "object") return refuse(`a ${typeof value}`, path, what);
  if (within.has(value)) return refuse("a reference to itself", path, what);
  within.add(value);
  const json = convertObject(value, path, what, within);
  within.delete(value);
  return json;
}

function convertObject(value: object, path: string, what: string, within: Set<object>): Json {
  if (Array.isArray(value)) return value.map((item, index) => convert(item, `${path}[${index}]`, what, within));
  const tag = Object.prototype.toString.call(value).slice(8, -1);
  if (tag !== "Object" && tag !== "Module") return refuse(`a ${tag}`, path, what, HINTS[tag]);
  const { toJSON } = value as { toJSON?: unknown };
  if (typeof toJSON === "function") return convert(toJSON.call(value, ""), path, what, within);
  const entries = Object.entries(value).filter(([, item]) => item !== undefined);
  return Object.fromEntries(entries.map(([key, item]) => [key, convert(item, path + member(key), what, within)]));
}

const HINTS: Record<string, string> = {
  Date: "use toISOString()",
  URL: "use its href",
  Map: "use Object.fromEntries()",
  Set: "use Array.from()",
  Promise: "await it",
  Uint8Array: "use text or base64",
};

function member(key: string): string {
  return /^[A-Za-z_$][\w$]*$/.test(key) ? `.${key}` : `[${JSON.stringify(key)}]`;
}

function refuse(found: string, path: string, what: string, hint?: string): never {
  const place = path === "" ? `${what} is ${found}` : `${what} has ${found} at ${path.replace(/^\./, "")}`;
  throw new TerminalError(`${place}, which JSON cannot represent${hint ? `: ${hint}` : ""}`);
}
