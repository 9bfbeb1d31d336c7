import { isObject, type Json, type JsonObject } from "../../model/json.ts";
import type { Field } from "../../model/rule.ts";
import { checkValues, type FieldProblem } from "./check_values.ts";
import { hasTemplate } from "./field.ts";
import { allAsWritten, type SourceText } from "./field_text.ts";

/** Values as a file sets them, before their templates are resolved. */
export interface GivenValues {
  values: JsonObject;
  /** The source text of numbers and booleans, by path joined with `/`. */
  written?: Record<string, string>;
}

/** The source texts of the numbers and booleans in a value; undefined if there are none. */
export function writtenScalars(value: unknown, source: SourceText): Record<string, string> | undefined {
  const found: Record<string, string> = {};
  const visit = (part: unknown, path: (string | number)[]) => {
    if (Array.isArray(part)) part.forEach((item, index) => visit(item, [...path, index]));
    else if (isObject(part)) { for (const [key, inner] of Object.entries(part)) visit(inner, [...path, key]); }
    else if (typeof part === "number" || typeof part === "bigint" || typeof part === "boolean") {
      const text = source(path);
      if (text !== undefined) found[path.join("/")] = text;
    }
  };
  visit(value, []);
  return Object.keys(found).length > 0 ? found : undefined;
}

/** Values with the numbers and booleans of text fields as they are written. */
export function readWritten(
  fields: Record<string, Field>,
  { values, written }: GivenValues,
): JsonObject {
  return written === undefined ? values : allAsWritten(fields, values, (path) => written[path.join("/")]);
}

/**
 * The problems of values that are known before templates are resolved. Values with templates are skipped.
 * @param more further fields whose values are not known yet
 */
export function checkLiterals(
  fields: Record<string, Field>,
  given: GivenValues,
  more: ReadonlySet<string> = new Set(),
): FieldProblem[] {
  const open = new Set(more);
  const literals: Record<string, Json> = {};
  for (const [name, value] of Object.entries(readWritten(fields, given))) {
    if (mayChange(value) && Object.hasOwn(fields, name)) open.add(name);
    else literals[name] = value;
  }
  return checkValues(fields, literals, open).problems;
}

/** Whether a value holds a template at any depth. */
export function mayChange(value: Json): boolean {
  if (typeof value === "object" && value !== null) return Object.values(value).some(mayChange);
  return hasTemplate(value);
}
