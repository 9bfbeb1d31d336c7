import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
// @ts-types="@types/sql.js"
import initSqlJs, { type SqlJsStatic } from "sql.js/dist/sql-wasm.js";
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
