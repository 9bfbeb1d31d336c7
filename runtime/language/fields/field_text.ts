import { readExactNumber } from "../../formats/exact_json.ts";
import type { Json } from "../../model/json.ts";
import type { Field, ItemField } from "../../model/rule.ts";
import { isTextType, textOfValue } from "./field_value.ts";

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
export function allAsWritten<T extends Record<string, Json>>(
  fields: Record<string, Field>,
  values: T,
  source: SourceText,
): T {
  let changed: Record<string, Json> | undefined;
  for (const [name, value] of Object.entries(values)) {
    if (!Object.hasOwn(fields, name)) continue;
    const written = asWritten(fields[name], value, (path) => source([name, ...path]));
    if (written !== value) (changed ??= { ...values })[name] = written;
  }
  return (changed ?? values) as T;
}
