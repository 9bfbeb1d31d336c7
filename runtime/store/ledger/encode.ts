import type { HistoryRecord, Rows } from "./rows.ts";
import { type EventRow, eventToJson, toJson } from "./tables.ts";

/** A line of history as stored in a frame. */
export interface HistoryText {
  kind: HistoryRecord["kind"];
  header: string;
  /** JSON; for a live event, the JSON of its row. */
  text: string;
}

/** The content of a frame. */
export interface Encoded {
  /** Its payload; empty if nothing has changed. */
  text: string;
  history: HistoryText[];
}

/**
 * Encodes the changes since the last call as the payload of a frame. They can no longer be undone.
 * @throws if JSON cannot represent a value, such as a BigInt; the changes can then still be undone
 */
export function encode(rows: Rows): Encoded {
  const { tables, identities, history } = rows.changes();
  let lines = "";
  /** The texts of events put in this frame: their lines in history need no text of their own. */
  const events = new Map<number, string>();
  for (const { table, dirty, entries, text } of tables) {
    for (const [key, before] of dirty) {
      const entry = entries.get(key);
      if (entry === undefined && before === undefined) continue;
      // A new key is marked: if it is dropped in the same segment, a fold keeps nothing of it.
      const name = `${table}${before === undefined ? "*" : ""}/${escapeKey(key)}\t`;
      if (entry === undefined) {
        lines += `${name}\n`;
        continue;
      }
      const json = text
        ? entry.row as string
        : table === "event"
        ? eventToJson(entry.row as EventRow)
        : toJson(entry.row);
      if (table === "event") events.set((entry.row as EventRow).key, json);
      lines += `${name}${json}\n`;
      rows.measured(table, key, entry, json, name.length + json.length + 1);
    }
  }
  for (const [hash, { key, at, within = null, runs, replied }] of identities) {
    lines += `id/${hash}\t[${key},${at},${within},${runs},${Number(replied)}]\n`;
  }
  const texts = history.map(({ kind, header, body }) => {
    const event = kind === "event" ? body as EventRow : undefined;
    const known = event && events.get(event.key);
    const one: HistoryText = {
      kind,
      header: JSON.stringify(header),
      text: known ?? (event ? eventToJson(event) : toJson(body)),
    };
    lines += `+${kind}\t${one.header}\t${known === undefined ? one.text : ""}\n`;
    return one;
  });
  rows.encoded();
  return { text: lines, history: texts };
}

/** Characters that would end a column or a line, begin an escape, or be lost in UTF-8. */
// deno-lint-ignore no-control-regex
const UNSAFE = /[\u0000-\u001f\\\ud800-\udfff]/;
// deno-lint-ignore no-control-regex
const EACH_UNSAFE = /[\u0000-\u001f\\\ud800-\udfff]/g;

/** A key as stored in a line: without tabs, newlines and lone surrogates. */
export function escapeKey(key: string): string {
  if (!UNSAFE.test(key)) return key;
  return key.replace(EACH_UNSAFE, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`);
}

/** Reverses {@link escapeKey}. */
export function unescapeKey(text: string): string {
  if (!text.includes("\\")) return text;
  return text.replace(/\\u([0-9a-f]{4})/g, (_, code) => String.fromCharCode(parseInt(code, 16)));
}
