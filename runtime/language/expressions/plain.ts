import { Buffer } from "node:buffer";
import { Duration, UnsignedInt } from "@marcbachmann/cel-js/evaluator";
import { normalized } from "../../formats/exact_json.ts";
import type { Json } from "../../model/json.ts";
import { countValue } from "./meter.ts";

/**
 * Converts a CEL value to plain JSON: integers become numbers, times RFC 3339 text, durations text such as `90s`,
 * bytes base64.
 * @throws RangeError if JSON cannot represent it (infinity, not a number, a type); Error if it is too large
 */
export function toPlain(value: unknown): Json {
  countValue(typeof value === "string" ? value.length : 0);
  switch (typeof value) {
    case "string":
    case "boolean":
      return value;
    case "number":
      if (Number.isFinite(value)) return value;
      throw new RangeError(`${value} is not a value that JSON can represent`);
    case "bigint":
      return normalized(value);
    case "object":
      return value === null ? null : plainObject(value);
    default:
      throw new RangeError(`a ${typeof value} is not a value that JSON can represent`);
  }
}

function plainObject(value: object): Json {
  if (Array.isArray(value)) return value.map(toPlain);
  if (value instanceof Set) return [...value].map(toPlain);
  if (value instanceof Map) return plainEntries(value);
  if (value instanceof Date) return value.toISOString();
  if (value instanceof Duration) return `${value.valueOf() / 1_000}s`;
  if (value instanceof UnsignedInt) return normalized(value.valueOf());
  if (value instanceof Uint8Array) return Buffer.from(value).toString("base64");
  const prototype = Object.getPrototypeOf(value);
  if (prototype === null || prototype === Object.prototype) return plainEntries(Object.entries(value));
  throw new RangeError("a type is not a value that JSON can represent");
}

function plainEntries(entries: Iterable<[unknown, unknown]>): Json {
  const plain: { [key: string]: Json } = {};
  for (const [key, entry] of entries) {
    if (entry === undefined) continue;
    // An assignment to `__proto__` would set the prototype; `defineProperty` makes it an ordinary key.
    if (key === "__proto__") Object.defineProperty(plain, key, { value: toPlain(entry), enumerable: true });
    else plain[String(key)] = toPlain(entry);
  }
  return plain;
}
