import { writeExactJson } from "../../../runtime/formats/exact_json.ts";
import type { Json } from "../../../runtime/model/json.ts";

/** JSON up to this length is printed on one line. */
const SHORT = 90;

/** JSON in which each part that fits is on one line. */
export function layOut(json: Json, indent = ""): string {
  const short = writeExactJson(json);
  if (typeof json !== "object" || json === null || indent.length + short.length <= SHORT) return short;
  const within = `${indent}  `;
  const parts = Array.isArray(json)
    ? json.map((part) => within + layOut(part, within))
    : Object.entries(json).map(([key, part]) => `${within}${JSON.stringify(key)}: ${layOut(part, within)}`);
  const [open, close] = Array.isArray(json) ? "[]" : "{}";
  return `${open}\n${parts.join(",\n")}\n${indent}${close}`;
}
