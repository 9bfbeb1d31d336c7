import type { Database as Engine, SqlValue, Statement } from "sql.js";
import { Buffer } from "node:buffer";
import type { Json } from "../../model/json.ts";
import { copyPages, startEngine } from "./engine.ts";
import { masked, maskedValue } from "./masked.ts";
import { MIGRATIONS } from "./schema.ts";

/** A statement that changed something, as it goes into the journal. */
export interface Write {
  sql: string;
  params: Bound[];
}

/** What is bound in the end; no blobs, so that a frame is JSON. */
export type Bound = string | number | null;

/** What a transition passes. A placeholder's first character says how it is treated, see {@link Database}. */
export type Param = Json | undefined | object;

type Row = Record<string, Bound>;

interface Prepared {
  statement: Statement;
  /** The first character of each parameter's placeholder. */
  kinds: string[];
  columns: string[];
}

/**
 * The tables, in memory. A placeholder says what becomes of its parameter: `?` is text from outside and is masked,
 * `$name` is a JSON value, masked leaf by leaf and stored as text, `@name` is the program's own word (ids of runs and
 * rules, versions, states) and is bound as it is: a secret that happens to read "ops" must not change a rule's id.
 * That makes masking the default and the exception visible in the SQL. Numbers and undefined (NULL) pass everywhere.
 */
export class Database {
  readonly #engine: Engine;
  readonly #schema: string;
  readonly #mask: (text: string) => string;
  readonly #prepared = new Map<string, Prepared>();
  #writes: Write[] = [];
  #bytesAtBegin: number | undefined;
  /** How many frames the open transaction of SQLite holds; undefined where none is open. */
  #frames: number | undefined;

  private constructor(engineDatabase: Engine, schema: string, mask: (text: string) => string) {
    this.#engine = engineDatabase;
    this.#schema = schema;
    this.#mask = mask;
  }

  /**
   * The live database. It is an attached one: SQLite's memory databases grow without copying, while the main one is a
   * file to sql.js and pauses for seconds when it regrows (measured at 600 MB).
   */
  static async live(mask: (text: string) => string): Promise<Database> {
    const engine = await startEngine();
    const engineDatabase = new engine.Database();
    engineDatabase.run("ATTACH ':memory:' AS live");
    return new Database(engineDatabase, "live", mask);
  }

  /** A database that can be exported, of a checkpoint's bytes or empty. */
  static async exportable(bytes?: Uint8Array): Promise<Database> {
    const engine = await startEngine();
    const engineDatabase = new engine.Database(bytes);
    engineDatabase.run("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -65536");
    return new Database(engineDatabase, "main", (text) => text);
  }

  /** Brings the tables from one schema version to another; 0 is the empty database. */
  migrate(from: number, to: number): void {
    for (const migration of MIGRATIONS.slice(from, to)) {
      for (const sql of migration(this.#schema)) this.#engine.run(sql);
    }
  }

  /** Becomes a copy of another database, tables and all. */
  async copyFrom(source: Database): Promise<void> {
    await copyPages(source.#engine, this.#engine, this.#schema);
  }

  /** Executes a change and remembers it for the journal. @returns how many rows it changed */
  run(sql: string, ...params: Param[]): number {
    const prepared = this.#prepare(sql);
    const bound = this.#bind(prepared, sql, params);
    const changed = this.#execute(prepared, bound);
    if (changed > 0) this.#writes.push({ sql, params: bound });
    return changed;
  }

  /** Executes a change out of the journal. */
  replay(write: Write): void {
    this.#execute(this.#prepare(write.sql), write.params);
  }

  /** The rows of a query, by column name. */
  all<T = Row>(sql: string, ...params: Param[]): T[] {
    const prepared = this.#prepare(sql);
    const { statement, columns } = prepared;
    const rows: T[] = [];
    try {
      load(prepared, this.#bind(prepared, sql, params));
      while (statement.step()) {
        if (columns.length === 0) columns.push(...statement.getColumnNames());
        const values = statement.get();
        const row: Row = {};
        for (let at = 0; at < columns.length; at++) row[columns[at]] = values[at] as Bound;
        rows.push(row as T);
      }
    } finally {
      statement.reset();
    }
    return rows;
  }

  /** The first row of a query. */
  one<T = Row>(sql: string, ...params: Param[]): T | undefined {
    return this.all<T>(sql, ...params)[0];
  }

  /** The first column of the first row. */
  value<T = Bound>(sql: string, ...params: Param[]): T | undefined {
    const prepared = this.#prepare(sql);
    try {
      load(prepared, this.#bind(prepared, sql, params));
      return prepared.statement.step() ? prepared.statement.get()[0] as T : undefined;
    } finally {
      prepared.statement.reset();
    }
  }

  /** A JSON value as it would be read back: without secrets. */
  asStored<T extends object | string>(value: T): T {
    return maskedValue(value as Json, this.#mask) as T;
  }

  /** From here on all belongs to one frame. */
  begin(): void {
    this.#bytesAtBegin = undefined;
    if (this.#frames === undefined) {
      this.#execute(this.#prepare("BEGIN"), []);
      this.#frames = 0;
    }
    this.#execute(this.#prepare("SAVEPOINT frame"), []);
  }

  /**
   * Ends a frame.
   * @param together ends the transaction of SQLite, too, where it holds so many frames: 1 where much was changed, of which SQLite
   * keeps what was there before, and before an export
   * @returns what it changed, in order
   * @throws Error where SQLite has undone more than this frame, as it does without memory: what is in it is lost
   */
  commit(together = FRAMES_TOGETHER): Write[] {
    this.#execute(this.#prepare("RELEASE frame"), []);
    this.#frames!++;
    if (this.#frames! >= together) {
      this.#execute(this.#prepare("COMMIT"), []);
      this.#frames = undefined;
    }
    const writes = this.#writes;
    this.#writes = [];
    return writes;
  }

  /** Ends a frame without its changes. @throws as {@link commit} */
  rollback(): void {
    this.#execute(this.#prepare("ROLLBACK TO frame"), []);
    this.#execute(this.#prepare("RELEASE frame"), []);
    this.#writes = [];
  }

  /** Does something whole or not at all: what it changed before it threw is undone, alone. */
  whole<T>(work: () => T): T {
    const mark = this.#writes.length;
    this.#execute(this.#prepare("SAVEPOINT transition"), []);
    try {
      const result = work();
      this.#execute(this.#prepare("RELEASE transition"), []);
      return result;
    } catch (error) {
      this.#execute(this.#prepare("ROLLBACK TO transition"), []);
      this.#execute(this.#prepare("RELEASE transition"), []);
      this.#writes.length = mark;
      throw error;
    }
  }

  /** Bytes in use when the frame began. */
  bytesAtBegin(): number {
    return this.#bytesAtBegin ??= this.bytes();
  }

  /** Bytes in use; pages that were freed and wait to be used again do not count. */
  bytes(): number {
    const pages = this.value<number>(`PRAGMA ${this.#schema}.page_count`)!;
    const free = this.value<number>(`PRAGMA ${this.#schema}.freelist_count`)!;
    return (pages - free) * PAGE_BYTES;
  }

  /** Fills in a checkpoint's own facts. */
  setMeta(seq: number, schema: number): void {
    this.#engine.run("INSERT OR REPLACE INTO meta VALUES ('seq', ?), ('schema', ?)", [seq, schema]);
  }

  /** The database as a file; only of an exportable one. */
  export(): Uint8Array<ArrayBuffer> {
    return this.#engine.export() as Uint8Array<ArrayBuffer>;
  }

  close(): void {
    this.#engine.close();
  }

  #prepare(sql: string): Prepared {
    let prepared = this.#prepared.get(sql);
    if (prepared === undefined) {
      const statement = this.#engine.prepare(castTexts(hideParameters(sql)));
      prepared = { statement, kinds: placeholderKinds(sql), columns: [] };
      this.#prepared.set(sql, prepared);
    }
    return prepared;
  }

  #execute(prepared: Prepared, bound: Bound[]): number {
    try {
      load(prepared, bound);
      prepared.statement.step();
    } finally {
      prepared.statement.reset();
    }
    return this.#engine.getRowsModified();
  }

  #bind({ kinds }: Prepared, sql: string, params: Param[]): Bound[] {
    if (params.length !== kinds.length) throw new Error(`Cannot bind ${params.length} parameters to ${sql}`);
    const bound = new Array<Bound>(params.length);
    for (let at = 0; at < params.length; at++) bound[at] = this.#bound(kinds[at], params[at]);
    return bound;
  }

  #bound(kind: string, param: Param): Bound {
    if (param === undefined) return null;
    if (kind === "$") return masked(param as Json, this.#mask);
    if (typeof param === "number" || param === null) return param;
    if (typeof param !== "string") throw new Error(`Cannot bind ${typeof param} to a text parameter`);
    return kind === "@" ? param : this.#mask(param);
  }
}

const PAGE_BYTES = 4096;

/**
 * Frames in one transaction of SQLite. At the end of one that has put a tree's pages in order, which needs a page number far
 * behind all others, SQLite looks at every page in memory for such as are behind the last one: 0.5 ms in a store of 256 MB,
 * a fifth of all that the main thread did under load (measured with perf, SQLite 3.54: `pcache1TruncateUnsafe`).
 */
const FRAMES_TOGETHER = 64;

/**
 * Puts a plus sign, which changes nothing, before each parameter that is compared. SQLite looks at the value of a bare one
 * where it may show that a partial index can be used, and then compiles the statement anew each time another value is
 * bound: 10 µs, for a look-up that takes 1 µs.
 */
function hideParameters(sql: string): string {
  return sql.replaceAll(/(?<=[=<>] )(?=[?@$])/g, "+");
}

/** From this length on a text is bound as bytes. */
const LONG_TEXT = 100;

/**
 * Binds parameters. sql.js copies a text character by character (7 µs for 1 kB), bytes in one go: long JSON goes in as
 * bytes, which {@link castTexts} makes text again.
 */
function load({ statement, kinds }: Prepared, bound: Bound[]): void {
  const values: (Bound | Uint8Array)[] = bound.slice();
  for (let at = 0; at < bound.length; at++) {
    const value = bound[at];
    if (kinds[at] === "$" && typeof value === "string" && value.length >= LONG_TEXT) values[at] = Buffer.from(value);
  }
  statement.bind(values as SqlValue[]);
}

/** Makes text of each JSON parameter, whether it is bound as text or as bytes. */
function castTexts(sql: string): string {
  return sql.replaceAll(/\$\w+/g, (name) => `CAST(${name} AS TEXT)`);
}

/** The first characters of a statement's parameters in order; a name that stands twice is one parameter. */
function placeholderKinds(sql: string): string[] {
  const kinds: string[] = [];
  const seen = new Set<string>();
  for (const [placeholder] of sql.matchAll(/\?|[@$]\w+/g)) {
    if (placeholder !== "?" && seen.has(placeholder)) continue;
    seen.add(placeholder);
    kinds.push(placeholder[0]);
  }
  return kinds;
}
