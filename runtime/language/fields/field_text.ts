import { readExactNumber, writeExactJson } from "../../formats/exact_json.ts";
import type { Json } from "../../model/json.ts";
import type { Field } from "../../model/rule.ts";

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
