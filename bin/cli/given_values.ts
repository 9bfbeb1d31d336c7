import { readExactJson } from "../../runtime/formats/exact_json.ts";
import { valueOfText } from "../../runtime/language/fields/field_value.ts";
import { UsageError } from "../../runtime/model/errors.ts";
import type { Json, JsonObject } from "../../runtime/model/json.ts";
import type { Field } from "../../runtime/model/rule.ts";

/** Values of fields from a terminal: texts by name, or all of them as JSON. */
export type Given = { texts: Map<string, string> } | { data: JsonObject };

/**
 * Reads `name=value` words, or JSON; a name that comes twice has a list.
 * @param command for messages: `answer`
 * @throws UsageError
 */
export function readGiven(command: string, pairs: string[], data: string | undefined): Given {
  if (data !== undefined) {
    const given = { data: parseData(command, data) };
    if (pairs.length > 0) throw new UsageError(`Cannot ${command} with --data and with values: give one of them`);
    return given;
  }
  const texts = new Map<string, string>();
  for (const pair of pairs) {
    const at = pair.indexOf("=");
    if (at < 1) throw new UsageError(`Cannot ${command} with "${pair}": write name=value`);
    const name = pair.slice(0, at);
    const before = texts.get(name);
    texts.set(name, (before === undefined ? "" : `${before}\n`) + pair.slice(at + 1));
  }
  return { texts };
}

function parseData(command: string, text: string): JsonObject {
  try {
    const data = readExactJson(text) as Json;
    if (typeof data === "object" && data !== null && !Array.isArray(data)) return data;
  } catch (error) {
    throw new UsageError(
      `Cannot read --data ${text} as JSON: ${(error as Error).message}; ` +
        `the data folder goes before the command: whenthen --data DIR ${command} …`,
    );
  }
  throw new UsageError(`Cannot ${command} with --data ${text}: expected an object such as {"name":"value"}`);
}

/** Parses the texts by their fields; an unknown name is kept, so that the answer reports it. */
export function valuesOf(texts: Map<string, string>, fields: Record<string, Field>): JsonObject {
  const values = [...texts].map(([name, text]) =>
    [name, Object.hasOwn(fields, name) ? valueOfText(fields[name], text) : text] as const
  );
  return Object.fromEntries(values.filter((entry): entry is [string, Json] => entry[1] !== undefined));
}
