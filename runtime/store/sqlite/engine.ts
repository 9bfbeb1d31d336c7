import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
// @ts-types="@types/sql.js"
import initSqlJs, { type Database, type SqlJsStatic } from "sql.js/dist/sql-wasm.js";
import { embedded } from "../../host/embedded.ts";

let starting: Promise<SqlJsStatic> | undefined;

/**
 * SQLite in WebAssembly, started once for each thread. It is compiled on a thread of its own: whoever will need it soon
 * calls this as early as possible and does something else meanwhile.
 */
export function startEngine(): Promise<SqlJsStatic> {
  return starting ??= start();
}

async function start(): Promise<SqlJsStatic> {
  const path = embedded?.sqlite ?? createRequire(import.meta.url).resolve("sql.js/dist/sql-wasm.wasm");
  // Without its bytes it would look for the file beside itself, which the binary does not have.
  return await initSqlJs({ wasmBinary: new Uint8Array(await readFile(path)).buffer });
}

/** What the types of sql.js leave out: functions of SQLite by name, and the pointer to a database. */
interface Bare {
  cwrap(name: string, result: "number", params: ("number" | "string")[]): (...args: (number | string)[]) => number;
}

/** What `sqlite3_backup_step` gives once all is copied. */
const DONE = 101;

/** Copies a whole database over another, page by page: a third of the time that copying its rows takes. */
export async function copyPages(source: Database, target: Database, schema: string): Promise<void> {
  const { cwrap } = await startEngine() as unknown as Bare;
  const [from, to] = [source, target].map((database) => (database as unknown as { db: number }).db);
  const begin = cwrap("sqlite3_backup_init", "number", ["number", "string", "number", "string"]);
  const step = cwrap("sqlite3_backup_step", "number", ["number", "number"]);
  const end = cwrap("sqlite3_backup_finish", "number", ["number"]);
  const backup = begin(to, schema, from, "main");
  const result = backup === 0 ? 0 : step(backup, -1);
  if (backup !== 0) end(backup);
  if (result !== DONE) throw new Error(`Cannot copy a checkpoint into memory: SQLite ended with ${result}`);
}
