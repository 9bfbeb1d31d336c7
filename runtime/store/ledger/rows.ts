import type { EventHeader, EventMore, MoreHeader, RunHeader, RunMore, RunText } from "../history/history_lines.ts";
import type { Span } from "../log/log_frame.ts";
import { Identities, type Identity } from "./identities.ts";
import { join, type OrderedKeys } from "./keys.ts";
import type { Shelf } from "./shelf.ts";
import { type Changes, Table, WarmRows } from "./table.ts";
import { type EventRow, type Facts, isTableName, type TableName, TABLES, type Tables, toJson } from "./tables.ts";

type AllTables = { [T in TableName]: Table<Tables[T]> };

/** A record for history, besides the rows: an event, an ended run, or a later change to one of them. */
export type HistoryRecord =
  | { kind: "event"; header: EventHeader; body: EventRow }
  | { kind: "run"; header: RunHeader; body: RunText }
  | { kind: "more"; header: MoreHeader; body: EventMore | RunMore };

/**
 * All live state: typed tables with declared indexes. Transitions read it, and change it by putting and dropping whole rows.
 * Changes can be undone until they are encoded as a frame.
 */
export class Rows {
  readonly identities: Identities;
  readonly #shelf: Shelf | undefined;
  readonly #tables: AllTables;
  #undo: (() => void)[] = [];
  #history: HistoryRecord[] = [];
  /** Identities put since the last frame, by hash. */
  #identities = new Map<string, Identity>();
  #isChecking = false;

  /**
   * @param shelf for texts of rows that were not put for a while; without it they stay in memory
   * @param warm how many of the most recently put rows keep their values, besides their texts
   */
  constructor(identities = new Identities(), shelf?: Shelf, warm = 8_192) {
    this.identities = identities;
    this.#shelf = shelf;
    this.#tables = createTables(shelf, new WarmRows(warm));
  }

  /** Size of all encoded rows on disk, in bytes. */
  get bytes(): number {
    let sum = 0;
    for (const name of NAMES) sum += this.#tables[name].bytes;
    return sum;
  }

  /** The same without baselines, which polls limit by `max`, and which are on disk rather than in memory. */
  get bytesOfRuns(): number {
    return this.bytes - this.#tables.baseline.bytes;
  }

  get<T extends TableName>(table: T, key: string): Tables[T] | undefined {
    return this.#tables[table].get(key);
  }

  /** All rows of a table, in no order. */
  all<T extends TableName>(table: T): Iterable<[key: string, row: Tables[T]]> {
    return this.#tables[table].all();
  }

  /** The keys of all rows of a table, in no order. */
  keys(table: TableName): Iterable<string> {
    return this.#tables[table].keys();
  }

  size(table: TableName): number {
    return this.#tables[table].size;
  }

  /** How many rows are in a group of a declared count. */
  count(table: TableName, count: string, group: string | number): number {
    return this.#tables[table].count(count, group);
  }

  /** An index of a table. */
  index(table: TableName, index: string): OrderedKeys {
    return this.#tables[table].index(index);
  }

  /** Rows in the order of an index: those whose index key begins with the prefix and comes after `after`. */
  range<T extends TableName>(table: T, index: string, prefix: string, limit = Infinity, after?: string): Tables[T][] {
    return this.#tables[table].range(index, prefix, after, limit);
  }

  /** The rows of a run in a table that has an index by run, in its order. Most runs have none. */
  ofRun<T extends "step" | "note" | "wait" | "taken">(table: T, run: string): Tables[T][] {
    return this.size(table) === 0 ? [] : this.range(table, "run", join(run, ""));
  }

  /** The first row of such a range. */
  first<T extends TableName>(table: T, index: string, prefix: string, after?: string): Tables[T] | undefined {
    const found = this.index(table, index).first(prefix, after);
    return found && this.get(table, found[1]);
  }

  /** A fact about the store itself. */
  fact<F extends keyof Facts>(name: F): Facts[F] | undefined {
    return this.get("fact", name) as Facts[F] | undefined;
  }

  putFact<F extends keyof Facts>(name: F, value: Facts[F]): void {
    this.put("fact", name, value);
  }

  put<T extends TableName>(table: T, key: string, row: Tables[T]): void {
    if (this.#isChecking) toJson(row);
    this.#undo.push(this.#tables[table].set(key, row));
  }

  /** @returns whether the row existed */
  drop(table: TableName, key: string): boolean {
    if (!this.#tables[table].has(key)) return false;
    this.#undo.push(this.#tables[table].set(key, undefined));
    return true;
  }

  /** Drops the rows whose index key begins with a prefix. */
  dropRange(table: TableName, index: string, prefix: string): void {
    for (const key of this.index(table, index).range(prefix, undefined, Infinity)) this.drop(table, key);
  }

  /** Adds a record to history, with the same frame as the rows. */
  record(record: HistoryRecord): void {
    if (this.#isChecking) toJson([record.header, record.body]);
    this.#history.push(record);
    this.#undo.push(() => this.#history.pop());
  }

  putIdentity(source: string, id: string, identity: Identity): void {
    const hash = this.identities.hashOf(source, id);
    const [known, written] = [this.identities.get(hash), this.#identities.get(hash)];
    this.identities.put(hash, identity);
    this.#identities.set(hash, identity);
    this.#undo.push(() => {
      if (known === undefined) this.identities.remove(hash);
      else this.identities.put(hash, known);
      if (written === undefined) this.#identities.delete(hash);
      else this.#identities.set(hash, written);
    });
  }

  /** A point that {@link undo} can return to. */
  mark(): number {
    return this.#undo.length;
  }

  /** Undoes all changes since a mark. */
  undo(mark: number): void {
    while (this.#undo.length > mark) this.#undo.pop()!();
  }

  /** Runs work such that putting a row that cannot be written throws. */
  checked<T>(work: () => T): T {
    this.#isChecking = true;
    try {
      return work();
    } finally {
      this.#isChecking = false;
    }
  }

  /** Puts a row read from disk, or drops it if there is no text. This is neither undone nor encoded again. */
  load(table: string, key: string, text: Span | undefined): void {
    // A newer version of the program may have tables that this one does not know.
    if (isTableName(table)) this.#tables[table].load(key, text);
  }

  /** The changes that are not in a frame yet. */
  changes(): {
    tables: (Changes & { table: TableName })[];
    identities: Map<string, Identity>;
    history: HistoryRecord[];
  } {
    const tables: (Changes & { table: TableName })[] = [];
    for (const table of NAMES) {
      const changes = this.#tables[table].changes();
      if (changes !== undefined) tables.push({ table, ...changes });
    }
    return { tables, identities: this.#identities, history: this.#history };
  }

  /**
   * Encodes a changed row, which {@link changes} lists.
   * @param rest bytes of its line besides the text
   * @returns its text
   */
  encode(table: TableName, key: string, rest: number): string {
    return this.#tables[table].encode(key, rest);
  }

  /** Called when all changes so far are in a frame. */
  encoded(): void {
    for (const name of NAMES) this.#tables[name].encoded();
    this.#identities = new Map();
    this.#history = [];
    this.#undo = [];
  }

  /** Makes all changes so far permanent: they can no longer be undone. */
  keep(): void {
    this.#undo = [];
  }

  /** Closes the shelf; no row may be read after that. */
  close(): void {
    this.#shelf?.close();
  }
}

const NAMES = Object.keys(TABLES).filter(isTableName);

function createTables(shelf: Shelf | undefined, warm: WarmRows): AllTables {
  const create = <T extends TableName>(name: T) => [name, new Table(name, TABLES[name], shelf, warm)] as const;
  return Object.fromEntries(NAMES.map(create)) as AllTables;
}
