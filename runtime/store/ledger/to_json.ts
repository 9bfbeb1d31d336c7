import { writeRecordJson } from "../../formats/exact_json.ts";

/**
 * A value as JSON text for a line.
 * @throws if JSON cannot represent it
 */
export function toJson(value: unknown): string {
  const text = writeRecordJson(value);
  if (text === undefined) throw new TypeError(`Cannot store ${typeof value}: expected a value that JSON can hold`);
  return text;
}
