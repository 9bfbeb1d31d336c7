import { readExactJson } from "../../runtime/formats/exact_json.ts";
import { valueOfText } from "../../runtime/language/fields/field_value.ts";
import { messageOf, UsageError } from "../../runtime/model/errors.ts";
import { isObject, type Json, type JsonObject } from "../../runtime/model/json.ts";
import type { Field } from "../../runtime/model/rule.ts";

/** The values of fields on a command line: texts by name, or all of them as JSON. */
export type Given = { texts: Map<string, string> } | { data: JsonObject };

/**
 * Reads `name=value` words, or the JSON of `--data`.
 * @param command for messages: `answer`
 * @throws UsageError
 */
export function readGiven(command: string, pairs: string[], data: string | undefined): Given {
  if (data === undefined) return { texts: readTexts(command, pairs) };
  const values = readData(command, data);
  if (!isObject(values)) {
    throw new UsageError(`Cannot ${command} with --data ${data}: expected an object such as {"name":"value"}`);
  }
  if (pairs.length > 0) throw new UsageError(`Cannot ${command} with --data and with values: give one of them`);
  return { data: values };
}

/** Reads `name=value` words; a name that comes twice has a list, one value a line. @throws UsageError */
export function readTexts(command: string, pairs: string[]): Map<string, string> {
  const texts = new Map<string, string>();
  for (const pair of pairs) {
    const at = pair.indexOf("=");
    if (at < 1) throw new UsageError(`Cannot ${command} with "${pair}": write name=value`);
    const name = pair.slice(0, at);
    const before = texts.get(name);
    texts.set(name, (before === undefined ? "" : `${before}\n`) + pair.slice(at + 1));
  }
  return texts;
}

/** Parses the JSON of `--data`. @throws UsageError */
export function readData(command: string, text: string): Json {
  try {
    return readExactJson(text, "data") as Json;
  } catch (error) {
    throw new UsageError(
      `Cannot read --data ${text} as JSON: ${messageOf(error)}; ` +
        `the data folder goes before the command: whenthen --data DIR ${command} …`,
    );
  }
}

/** Parses texts by their fields. An unknown name is kept, so that the program reports it. */
export function valuesOf(texts: Map<string, string>, fields: Record<string, Field>): JsonObject {
  const values = [...texts].map(([name, text]) =>
    [name, Object.hasOwn(fields, name) ? valueOfText(fields[name], text) : text] as const
  );
  return Object.fromEntries(values.filter((entry): entry is [string, Json] => entry[1] !== undefined));
}
