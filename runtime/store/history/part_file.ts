import { Buffer } from "node:buffer";
import { join } from "node:path";
import { crc32 } from "node:zlib";
import type { Disk } from "../../host/disk.ts";
import { type CheckedFile, partName, sortFiles } from "../log/files.ts";
import { CatalogueBuilder } from "./catalogue.ts";
import type { Catalogue } from "../ledger/tables.ts";
import { briefLength, type EventHeader, type MoreHeader, type RunHeader, type Text } from "./history_lines.ts";
import { type Database, NewFile, openFile, release, type Statement } from "./sqlite.ts";

/** The format version that this program writes. */
const PART_FORMAT = 1;

/** Parses the name of a part; undefined if it is another file. */
export function parsePartName(name: string): CheckedFile | undefined {
  return sortFiles([name]).parts[0];
}

/**
 * The tables of a part. Texts are stored in blocks, JSON arrays of about 64 kB, so that rows are small and table scans fast.
 * `from_byte` and `bytes` locate a row's text in its block, and the views join it to the row. `line` is the line number in the
 * segment: later records have higher ones. The first `brief_bytes` of a run's text come before its steps.
 */
const PART_SCHEMA = `
CREATE TABLE about (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE blocks (block INTEGER PRIMARY KEY, texts TEXT NOT NULL) STRICT;
CREATE TABLE events (
  key INTEGER PRIMARY KEY, at REAL NOT NULL, type TEXT NOT NULL, subject TEXT, delivery TEXT NOT NULL, rules TEXT NOT NULL,
  block INTEGER NOT NULL, from_byte INTEGER NOT NULL, bytes INTEGER NOT NULL
) STRICT;
CREATE TABLE runs (
  id TEXT PRIMARY KEY, rule TEXT NOT NULL, state TEXT NOT NULL, event INTEGER NOT NULL, subject TEXT,
  created_at REAL NOT NULL, ended_at REAL NOT NULL, listed INTEGER NOT NULL, version TEXT NOT NULL, line INTEGER NOT NULL,
  brief_bytes INTEGER NOT NULL,
  block INTEGER NOT NULL, from_byte INTEGER NOT NULL, bytes INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE more (
  id ANY NOT NULL, line INTEGER NOT NULL, block INTEGER NOT NULL, from_byte INTEGER NOT NULL, bytes INTEGER NOT NULL,
  PRIMARY KEY (id, line)
) STRICT, WITHOUT ROWID;
${viewOf("events")}
${viewOf("runs", `, ${textOf("brief_bytes")} || iif(brief_bytes < bytes, '}', '') AS brief`)}
${viewOf("more")}`;

/** @param more columns, each after a comma */
function viewOf(table: string, more = ""): string {
  return `CREATE VIEW ${table}_with_text AS SELECT ${table}.*, ${textOf("bytes")} AS text${more}
  FROM ${table} CROSS JOIN blocks ON blocks.block = ${table}.block;`;
}

function textOf(bytes: string): string {
  return `CAST(substr(CAST(texts AS BLOB), from_byte + 1, ${bytes}) AS TEXT)`;
}

/** Open parts are held in memory completely; this many bytes of them stay cached for later queries. */
const MOST_OPEN_BYTES = 24 * 1024 * 1024;

/** A value of a column or a condition. */
export type Value = string | number | null;

/** A part that is open for queries. */
export interface OpenPart {
  database: Database;
  /** Prepared statements by SQL: preparing one takes as long as executing it. */
  statements: Map<string, Statement>;
  file: string;
  bytes: Uint8Array;
}

const allOpen = new WeakMap<Disk, OpenParts>();

/**
 * Runs `work` on a part; opens the part if it is not open yet.
 * @throws Error if it cannot be read or is not valid
 */
export function usePart<R>(disk: Disk, folder: string, file: string, work: (part: OpenPart) => R): Promise<R> {
  let parts = allOpen.get(disk);
  if (parts === undefined) allOpen.set(disk, parts = new OpenParts());
  return parts.use(disk, join(folder, file), file, work);
}

/**
 * Runs `work` on a part that is opened only for this call.
 * @throws Error if it cannot be read or is not valid
 */
export async function usePartOnce<R>(
  disk: Disk,
  folder: string,
  file: string,
  work: (part: OpenPart) => Promise<R>,
): Promise<R> {
  const part = await openPart(disk, join(folder, file), file);
  try {
    return await work(part);
  } finally {
    close(part);
  }
}

/** An LRU cache of open parts. */
class OpenParts {
  /** Ordered by use: the most recently used part is last. */
  readonly #parts = new Map<string, { opening: Promise<OpenPart>; users: number; bytes: number }>();

  /** Runs `work` on a part, which stays open until that is done. */
  async use<R>(disk: Disk, path: string, file: string, work: (part: OpenPart) => R): Promise<R> {
    const entry = this.#parts.get(path) ?? { opening: openPart(disk, path, file), users: 0, bytes: 0 };
    this.#parts.delete(path);
    this.#parts.set(path, entry);
    entry.users++;
    try {
      const part = await entry.opening;
      entry.bytes = part.bytes.length;
      return work(part);
    } catch (error) {
      if (entry.bytes === 0 && this.#parts.get(path) === entry) this.#parts.delete(path);
      throw error;
    } finally {
      entry.users--;
      await this.#evict();
    }
  }

  /** Closes the least recently used parts that are not in use, until the rest fits. */
  async #evict(): Promise<void> {
    let open = this.#parts.values().reduce((sum, { bytes }) => sum + bytes, 0);
    const closing: Promise<OpenPart>[] = [];
    for (const [path, { users, bytes, opening }] of this.#parts) {
      if (open <= MOST_OPEN_BYTES) break;
      if (users > 0) continue;
      this.#parts.delete(path);
      closing.push(opening);
      open -= bytes;
    }
    for (const part of await Promise.all(closing)) close(part);
  }
}

async function openPart(disk: Disk, path: string, file: string): Promise<OpenPart> {
  const bytes = await disk.read(path);
  if (crc32(bytes) !== parsePartName(file)?.crc) {
    release(bytes);
    throw new Error("its checksum differs");
  }
  const part: OpenPart = { database: await openFile(bytes), statements: new Map(), file, bytes };
  const [[format]] = rowsOf<[string]>(part, "SELECT value FROM about WHERE name = 'format'");
  if (Number(format) <= PART_FORMAT) return part;
  close(part);
  throw new Error(`it has format ${format}, this program knows formats up to ${PART_FORMAT}`);
}

function close({ database, bytes }: OpenPart): void {
  database.close();
  release(bytes);
}

/**
 * The rows of a query.
 * @template R the columns that the query names
 */
export function rowsOf<R extends Value[]>({ database, statements }: OpenPart, sql: string, values: Value[] = []): R[] {
  let statement = statements.get(sql);
  if (statement === undefined) statements.set(sql, statement = database.prepare(sql));
  try {
    statement.bind(values);
    const rows: R[] = [];
    while (statement.step()) rows.push(statement.get() as R);
    return rows;
  } finally {
    statement.reset();
  }
}

/** Bytes of JSON text in a block. A longer text gets its own block. */
const BLOCK_BYTES = 65536;

/** A finished part. */
export interface MadePart {
  bytes: Uint8Array<ArrayBuffer>;
  /** Includes the file name for the part. */
  catalogue: Catalogue;
}

/** Makes a part, the history of one segment, from the segment's history lines in order. */
export class PartWriter {
  readonly #file: NewFile;
  readonly #first: number;
  readonly #catalogue = new CatalogueBuilder();
  readonly #blocks: Blocks;
  readonly #events: TextTable;
  readonly #runs: TextTable;
  readonly #more: TextTable;
  #line = 0;

  private constructor(file: NewFile, first: number) {
    this.#file = file;
    this.#first = first;
    const { database } = file;
    this.#blocks = new Blocks(database);
    this.#events = new TextTable(this.#blocks, database.prepare("INSERT INTO events VALUES (?,?,?,?,?,?,?,?,?)"));
    this.#runs = new TextTable(
      this.#blocks,
      database.prepare("REPLACE INTO runs VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?)"),
    );
    this.#more = new TextTable(this.#blocks, database.prepare("INSERT INTO more VALUES (?,?,?,?,?)"));
  }

  /**
   * @param first the first frame of the segment
   * @param expected estimated bytes of the texts; the bytes of the segment are a good guess
   */
  static async create(first: number, expected: number): Promise<PartWriter> {
    return new PartWriter(await NewFile.create(PART_SCHEMA, expected), first);
  }

  event(header: EventHeader, text: Text): void {
    this.#line++;
    const [key, at, type, subject, delivery, rules] = header;
    this.#events.add([key, at, type, subject, delivery, JSON.stringify(rules)], text);
    this.#catalogue.event(header, text);
  }

  /** Adds a run. Replaces its earlier record in this part if the run was retried and has ended again. */
  run(header: RunHeader, text: Text): void {
    const bytes = typeof text === "string" ? Buffer.from(text) : text;
    this.#runs.add([...header, this.#line++, briefLength(bytes)], bytes);
    this.#catalogue.run(header);
  }

  more(header: MoreHeader, text: Text): void {
    this.#more.add([header[1], this.#line++], text);
    this.#catalogue.more(header, text);
  }

  /**
   * @param last the last frame of the segment
   * @param thinned see {@link Catalogue}
   */
  finish(last: number, thinned?: number): MadePart {
    for (const table of [this.#events, this.#runs, this.#more]) table.finish();
    const catalogue = this.#catalogue.finish({
      first: this.#first,
      last,
      file: "",
      bytes: 0,
      ...thinned && { thinned },
    });
    const about = { format: PART_FORMAT, first: this.#first, last, catalogue: JSON.stringify(catalogue) };
    for (const [name, value] of Object.entries(about)) {
      this.#file.database.run("INSERT INTO about VALUES (?, ?)", [name, String(value)]);
    }
    const bytes = this.#file.finish();
    return {
      bytes,
      catalogue: { ...catalogue, file: partName({ first: this.#first, last }, crc32(bytes)), bytes: bytes.length },
    };
  }

  /** Abandons the part. */
  discard(): void {
    this.#file.discard();
  }
}

/** Writes blocks and counts them. */
class Blocks {
  #count = 0;
  readonly #insert: Statement;

  constructor(database: Database) {
    // Bytes are bound unchanged; a string would be encoded again.
    this.#insert = database.prepare("INSERT INTO blocks VALUES (?, CAST(? AS TEXT))");
  }

  /** Starts a block and returns its number. */
  begin(): number {
    return this.#count++;
  }

  write(block: number, bytes: Uint8Array): void {
    this.#insert.run([block, bytes]);
  }
}

/** A table with its texts, in separate blocks per table, so that a page of a listing reads few blocks. */
class TextTable {
  readonly #blocks: Blocks;
  readonly #insert: Statement;
  #buffer = Buffer.allocUnsafeSlow(BLOCK_BYTES);
  #length = 0;
  #block = 0;

  constructor(blocks: Blocks, insert: Statement) {
    this.#blocks = blocks;
    this.#insert = insert;
  }

  add(columns: (string | number | null)[], text: Text): void {
    const bytes = typeof text === "string" ? Buffer.byteLength(text) : text.length;
    // One byte before the text, and the bracket at the end.
    if (this.#length > 0 && this.#length + bytes + 2 > BLOCK_BYTES) this.finish();
    if (this.#length === 0) {
      this.#block = this.#blocks.begin();
      if (bytes + 2 > this.#buffer.length) this.#buffer = Buffer.allocUnsafeSlow(bytes + 2);
    }
    this.#buffer[this.#length] = this.#length === 0 ? OPENING : COMMA;
    this.#length++;
    this.#insert.run([...columns, this.#block, this.#length, bytes]);
    if (typeof text === "string") this.#buffer.write(text, this.#length);
    else this.#buffer.set(text, this.#length);
    this.#length += bytes;
  }

  /** Writes the open block. */
  finish(): void {
    if (this.#length === 0) return;
    this.#buffer[this.#length++] = CLOSING;
    this.#blocks.write(this.#block, this.#buffer.subarray(0, this.#length));
    this.#length = 0;
    if (this.#buffer.length > BLOCK_BYTES) this.#buffer = Buffer.allocUnsafeSlow(BLOCK_BYTES);
  }
}

const [OPENING, COMMA, CLOSING] = Buffer.from("[,]");
