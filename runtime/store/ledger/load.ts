import { readExactJson } from "../../model/exact_json.ts";
import type { Identity } from "./identities.ts";
import { unescapeKey } from "./encode.ts";
import type { Rows } from "./rows.ts";
import type { TableName, Tables } from "./tables.ts";

/** Puts a row as it is on disk, or drops it if there is no text: what recovery replays. */
export function loadRow(rows: Rows, table: string, key: string, json: string | undefined): void {
  const name = table as TableName;
  const row = json === undefined ? undefined : rows.isText(table) ? json : readExactJson(json);
  const bytes = json === undefined ? 0 : table.length + key.length + json.length + 3;
  rows.load(name, unescapeKey(key), row as Tables[TableName], bytes);
}

/** Puts an identity as it is on disk. */
export function loadIdentity(rows: Rows, hash: string, json: string): void {
  const [key, at, within, runs, flags] = JSON.parse(json) as [number, number, number | null, number, number];
  const identity: Identity = { key, at, ...(within !== null && { within }), runs, replied: flags === 1 };
  rows.identities.put(hash, identity);
}
