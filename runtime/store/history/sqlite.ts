import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
// @ts-types="@types/sql.js"
import initSqlJs, { type Database, type SqlJsStatic } from "sql.js/dist/sql-wasm.js";
import { embedded } from "../../host/embedded.ts";

export type { Database, Statement } from "sql.js";

const PAGE_BYTES = 8192;

/** A file is written once and renamed when it is complete, so SQLite's own journal and syncs are not needed. */
const SETTINGS = "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -2048";

let starting: Promise<SqlJsStatic> | undefined;

/** SQLite in WebAssembly, compiled once for each thread. Call it early, so that it is ready when needed. */
function startSqlite(): Promise<SqlJsStatic> {
  return starting ??= start();
}

async function start(): Promise<SqlJsStatic> {
  const path = embedded?.sqlite ?? createRequire(import.meta.url).resolve("sql.js/dist/sql-wasm.wasm");
  // Without the bytes, sql.js would look for the file next to itself, where the binary has none.
  return await initSqlJs({ wasmBinary: new Uint8Array(await readFile(path)).buffer });
}

/**
 * Opens the bytes of a file without a copy: do not use them before the database is closed, and release them then.
 */
export async function openFile(bytes: Uint8Array): Promise<Database> {
  const sqlite = await startSqlite();
  const database = new sqlite.Database(lent(bytes));
  database.run(SETTINGS);
  return database;
}

/** The first value of the first row of a query that has one. */
export function readValue(database: Database, sql: string): unknown {
  return database.exec(sql)[0].values[0][0];
}

/** Frees the bytes of a file at once: the garbage collector may not run for hours because of them alone. */
export function release({ buffer, byteLength }: Uint8Array): void {
  if (buffer instanceof ArrayBuffer && buffer.byteLength === byteLength) buffer.transfer(0);
}

/** A new SQLite file, filled in one transaction. */
export class NewFile {
  readonly database: Database;
  readonly #buffer: Uint8Array<ArrayBuffer>;

  private constructor(database: Database, buffer: Uint8Array<ArrayBuffer>) {
    this.database = database;
    this.#buffer = buffer;
  }

  /**
   * @param schema SQL that creates the tables
   * @param expected estimated bytes. sql.js copies a file each time that it grows by an eighth, so it starts with this many zeros
   *   after the tables. A larger file is fine, but costs those copies
   */
  static async create(schema: string, expected: number): Promise<NewFile> {
    const sqlite = await startSqlite();
    const template = new sqlite.Database();
    template.run(`PRAGMA page_size = ${PAGE_BYTES}; ${schema}`);
    const tables = template.export();
    template.close();
    const pages = Math.ceil((tables.length + expected) / PAGE_BYTES);
    const buffer = new Uint8Array(pages * PAGE_BYTES);
    buffer.set(tables);
    const database = new sqlite.Database(lent(buffer));
    database.run(`${SETTINGS}; BEGIN`);
    return new NewFile(database, buffer);
  }

  /** Ends the transaction and closes the file. @returns the file's bytes, in a separate buffer */
  finish(): Uint8Array<ArrayBuffer> {
    this.database.run("COMMIT");
    const pages = Number(readValue(this.database, "PRAGMA page_count"));
    // If it outgrew the buffer, sql.js has moved it to another one.
    const isInPlace = pages === new DataView(this.#buffer.buffer).getUint32(PAGE_COUNT_AT) &&
      pages * PAGE_BYTES <= this.#buffer.length;
    const exported = isInPlace ? undefined : this.database.export() as Uint8Array<ArrayBuffer>;
    this.database.close();
    const cut = this.#buffer.buffer.transfer(isInPlace ? pages * PAGE_BYTES : 0);
    return exported ?? new Uint8Array(cut);
  }

  /** Closes the file without a result. */
  discard(): void {
    this.database.close();
    release(this.#buffer);
  }
}

/** Offset of the number of pages in the header of a SQLite file; https://sqlite.org/fileformat2.html#in_header_database_size */
const PAGE_COUNT_AT = 28;

/** Makes sql.js use these bytes as the file; else it would use a copy made with `slice`. */
function lent(bytes: Uint8Array): Uint8Array {
  return Object.assign(bytes, { slice: () => bytes });
}
