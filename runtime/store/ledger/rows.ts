import type { Buffer } from "node:buffer";
import { readExactJson } from "../../formats/exact_json.ts";
import { Identities, type Identity } from "./identities.ts";
import { join, OrderedKeys } from "./keys.ts";
import { lengthOf, type Place, type Shelf } from "./shelf.ts";
import { type TableName, TABLES, type Tables, toJson } from "./tables.ts";

/** A row in memory. After it is encoded it has its JSON text. */
interface Held {
  row?: unknown;
  text?: string;
  /** Size of its line on disk. */
  bytes: number;
}

/** A row, or where its text is on the shelf, if it was not put for a while: a waiting run takes much less memory so. */
type Entry = Held | Place;

type IndexKeys = string | string[] | undefined;

interface Index {
  /** By the key of the row alone. */
  keysOf: "key" | ((row: never, key: string) => IndexKeys);
  keys: OrderedKeys;
  /** Keys of new rows, which are added when the index is read: most runs end before that. */
  fresh: Set<string>;
}

type Group = string | number | undefined;

interface Count {
  groupOf: (row: never) => Group;
  counted: Map<Group, number>;
}

interface Table {
  name: TableName;
  text: boolean;
  /** Whether indexes or counts need its rows, not only their keys. */
  readsRows: boolean;
  /** The text that follows the part of a row's text that the indexes need. */
  behindHead: string | undefined;
  /** Of its encoded rows. */
  bytes: number;
  entries: Map<string, Entry>;
  indexes: Map<string, Index>;
  counts: Map<string, Count>;
  /** Keys changed since the last frame, with their entries as of that frame. */
  dirty: Map<string, Entry | undefined>;
}

/** A record for history, besides the rows: an event, an ended run, or a later change to one of them. */
export interface HistoryRecord {
  kind: "event" | "run" | "more";
  header: unknown[];
  /** Encoded as JSON with the frame. */
  body: unknown;
}

/**
 * All live state: typed tables with declared indexes. Transitions read it, and change it by putting and dropping whole rows.
 * Changes can be undone until they are encoded as a frame.
 */
export class Rows {
  readonly identities: Identities;
  readonly #shelf: Shelf | undefined;
  readonly #tables: Map<TableName, Table> = new Map();
  #undo: (() => void)[] = [];
  #history: HistoryRecord[] = [];
  /** Identities put since the last frame, by hash. */
  #identities = new Map<string, Identity>();
  #bytes = 0;
  #isChecking = false;
  /** Ring buffer of the most recently encoded rows. */
  readonly #warm: { table: Table; key: string; entry: Held }[] = [];
  #nextWarm = 0;
  readonly #mostWarm: number;

  /**
   * @param shelf for texts of rows that were not put for a while; without it they stay in memory
   * @param warm how many of the most recently put rows keep their values, besides their texts
   */
  constructor(identities = new Identities(), shelf?: Shelf, warm = 8_192) {
    this.identities = identities;
    this.#shelf = shelf;
    this.#mostWarm = warm;
    for (const [name, { text = false, before, indexes = {}, counts = {} }] of Object.entries(TABLES)) {
      this.#tables.set(name as TableName, {
        name: name as TableName,
        text,
        readsRows: Object.keys(counts).length > 0 || Object.values(indexes).some((index) => index !== "key"),
        behindHead: before && `,"${before}":`,
        bytes: 0,
        entries: new Map(),
        indexes: new Map(
          Object.entries(indexes).map((
            [index, keysOf],
          ) => [index, { keysOf, keys: new OrderedKeys(), fresh: new Set() }]),
        ),
        counts: new Map(Object.entries(counts).map(([count, groupOf]) => [count, { groupOf, counted: new Map() }])),
        dirty: new Map(),
      });
    }
  }

  /** The same of all rows but those of baselines, which polls limit by `max`, and which are on disk rather than in memory. */
  get bytesOfRuns(): number {
    return this.#bytes - this.#tables.get("baseline")!.bytes;
  }

  /** Size of all encoded rows on disk, in bytes. */
  get bytes(): number {
    return this.#bytes;
  }

  get<T extends TableName>(table: T, key: string): Tables[T] | undefined {
    const known = this.#tables.get(table)!;
    const entry = known.entries.get(key);
    return entry === undefined ? undefined : this.#valueOf(known, entry) as Tables[T];
  }

  /** All rows of a table, in no order. */
  *all<T extends TableName>(table: T): Generator<[key: string, row: Tables[T]]> {
    const known = this.#tables.get(table)!;
    for (const [key, entry] of known.entries) yield [key, this.#valueOf(known, entry) as Tables[T]];
  }

  /** The keys of all rows of a table, in no order. */
  keys(table: TableName): Iterable<string> {
    return this.#tables.get(table)!.entries.keys();
  }

  size(table: TableName): number {
    return this.#tables.get(table)!.entries.size;
  }

  /** How many rows are in a group of a declared count. */
  count(table: TableName, count: string, group: string | number): number {
    return this.#tables.get(table)!.counts.get(count)!.counted.get(group) ?? 0;
  }

  /** An index of a table. */
  index(table: TableName, index: string): OrderedKeys {
    const known = this.#tables.get(table)!;
    const found = known.indexes.get(index)!;
    this.#addFresh(known, found);
    return found.keys;
  }

  /** Rows in the order of an index: those whose index key begins with the prefix and comes after `after`. */
  range<T extends TableName>(table: T, index: string, prefix: string, limit = Infinity, after?: string): Tables[T][] {
    const known = this.#tables.get(table)!;
    const keys = this.index(table, index).range(prefix, after, limit);
    return keys.map((key) => this.#valueOf(known, known.entries.get(key)!) as Tables[T]);
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

  put<T extends TableName>(table: T, key: string, row: Tables[T]): void {
    if (this.#isChecking) toJson(row);
    this.#set(table, key, { row, bytes: 0 });
  }

  /** @returns whether the row existed */
  drop(table: TableName, key: string): boolean {
    if (!this.#tables.get(table)!.entries.has(key)) return false;
    this.#set(table, key, undefined);
    return true;
  }

  /** Adds a record to history, with the same frame as the rows. */
  record(kind: HistoryRecord["kind"], header: unknown[], body: unknown): void {
    if (this.#isChecking) toJson([header, body]);
    this.#history.push({ kind, header, body });
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
  load(name: string, key: string, text: Buffer | undefined): void {
    const table = this.#tables.get(name as TableName);
    // A table of a newer version, which this program does not know.
    if (table === undefined) return;
    // The bytes are enough: most rows are never decoded to a string here.
    const place = text && this.#shelf?.put(table.entries, key, text);
    const entry = place ?? (text && { text: text.toString(), bytes: bytesOfLine(name, key, text.length) });
    const before = this.#replace(table, key, entry, text);
    if (before !== undefined) this.#release(before);
  }

  /** The changes that are not in a frame yet. */
  changes(): { tables: Changes[]; identities: Map<string, Identity>; history: HistoryRecord[] } {
    const tables: Changes[] = [];
    for (const [table, { dirty, entries, text }] of this.#tables) {
      // A changed row is in memory until it is encoded.
      if (dirty.size > 0) tables.push({ table, dirty, entries: entries as ReadonlyMap<string, Held>, text });
    }
    return { tables, identities: this.#identities, history: this.#history };
  }

  /** Makes all changes so far permanent: they can no longer be undone. */
  keep(): void {
    this.#undo = [];
  }

  /** Closes the shelf; no row may be read after that. */
  close(): void {
    this.#shelf?.close();
  }

  /** Called when all changes so far are in a frame. */
  encoded(): void {
    for (const { dirty } of this.#tables.values()) {
      // The ring of warm rows would keep them alive.
      for (const before of dirty.values()) if (before !== undefined) this.#release(before);
      dirty.clear();
    }
    this.#identities = new Map();
    this.#history = [];
    this.#undo = [];
  }

  /** Sets the text of an encoded row, and the size of its line. */
  measured(name: TableName, key: string, entry: Held, text: string, bytes: number): void {
    const table = this.#tables.get(name)!;
    this.#grow(table, bytes - entry.bytes);
    entry.bytes = bytes;
    entry.text = text;
    const cold = this.#warm[this.#nextWarm];
    if (cold) this.#cool(cold);
    this.#warm[this.#nextWarm] = { table, key, entry };
    this.#nextWarm = (this.#nextWarm + 1) % this.#mostWarm;
  }

  #cool({ table, key, entry }: { table: Table; key: string; entry: Held }): void {
    entry.row = undefined;
    if (entry.text === undefined || table.entries.get(key) !== entry) return;
    const place = this.#shelf?.put(table.entries, key, entry.text);
    if (place === undefined) return;
    table.entries.set(key, place);
    this.#grow(table, bytesOf(table, key, place) - entry.bytes);
  }

  #grow(table: Table, by: number): void {
    this.#bytes += by;
    table.bytes += by;
  }

  /** Releases a row that was replaced or dropped, and can no longer be restored. */
  #release(entry: Entry): void {
    if (typeof entry === "number") this.#shelf!.drop(entry);
    else entry.row = entry.text = undefined;
  }

  #valueOf(table: Table, entry: Entry): unknown {
    if (typeof entry !== "number" && entry.row !== undefined) return entry.row;
    const text = typeof entry === "number" ? this.#shelf!.get(entry) : entry.text!;
    return table.text ? text : readExactJson(text);
  }

  #addLater(table: Table, index: Index, key: string): void {
    // While their values are still in memory.
    if (index.fresh.size >= this.#mostWarm / 8) this.#addFresh(table, index);
    index.fresh.add(key);
  }

  #addFresh(table: Table, { keysOf, keys, fresh }: Index): void {
    for (const key of fresh) {
      const now = keysOf === "key" ? key : keysOf(this.#valueOf(table, table.entries.get(key)!) as never, key);
      place(keys, key, undefined, now);
    }
    fresh.clear();
  }

  #set(name: TableName, key: string, entry: Entry | undefined): void {
    const table = this.#tables.get(name)!;
    const before = this.#replace(table, key, entry);
    const isFirst = !table.dirty.has(key);
    if (isFirst) table.dirty.set(key, before);
    this.#undo.push(() => {
      this.#replace(table, key, before);
      if (isFirst) table.dirty.delete(key);
    });
  }

  /**
   * The only function that changes tables, indexes and counts: live, on undo and in recovery.
   * @param bytes the text of the entry, if available
   */
  #replace(table: Table, key: string, entry: Entry | undefined, bytes?: Buffer): Entry | undefined {
    const { entries, indexes, counts, readsRows } = table;
    const before = entries.get(key);
    const old = readsRows && before !== undefined ? this.#valueOf(table, before) as never : undefined;
    const now = readsRows && entry !== undefined
      ? (bytes && !table.text ? readHead(bytes, table.behindHead) : this.#valueOf(table, entry)) as never
      : undefined;
    // A row read from disk is indexed at once: its text is in memory now, and would have to be read again later.
    const isFresh = entry !== undefined && before === undefined && bytes === undefined;
    for (const index of indexes.values()) {
      if (isFresh) this.#addLater(table, index, key);
      else if (!index.fresh.has(key)) {
        const { keysOf } = index;
        if (keysOf !== "key") place(index.keys, key, old && keysOf(old, key), now && keysOf(now, key));
        else place(index.keys, key, before === undefined ? before : key, entry === undefined ? entry : key);
      } else if (entry === undefined) index.fresh.delete(key);
    }
    for (const { groupOf, counted } of counts.values()) recount(counted, old && groupOf(old), now && groupOf(now));
    if (entry === undefined) entries.delete(key);
    else entries.set(key, entry);
    this.#grow(table, bytesOf(table, key, entry) - bytesOf(table, key, before));
    return before;
  }
}

function bytesOf({ name }: Table, key: string, entry: Entry | undefined): number {
  return typeof entry === "number" ? bytesOfLine(name, key, lengthOf(entry)) : entry?.bytes ?? 0;
}

function bytesOfLine(table: string, key: string, bytes: number): number {
  return table.length + key.length + bytes + 3;
}

/** Reads the part of a row's text that the indexes need. */
function readHead(bytes: Buffer, behind: string | undefined): unknown {
  const end = behind === undefined ? -1 : bytes.indexOf(behind);
  return readExactJson(end === -1 ? bytes.toString() : `${bytes.toString("utf8", 0, end)}}`);
}

function place(ordered: OrderedKeys, key: string, old: IndexKeys, now: IndexKeys): void {
  if (old === now) return;
  if (typeof old === "string") ordered.remove(old);
  else if (old !== undefined) { for (const at of old) ordered.remove(at); }
  if (typeof now === "string") ordered.add(now, key);
  else if (now !== undefined) { for (const at of now) ordered.add(at, key); }
}

function recount(counted: Map<Group, number>, old: Group, now: Group): void {
  if (old === now) return;
  if (old !== undefined) add(counted, old, -1);
  if (now !== undefined) add(counted, now, 1);
}

/** The rows of a table that have changed since the last frame. */
export interface Changes {
  table: TableName;
  /** By key, as they were in the last frame. */
  dirty: ReadonlyMap<string, Entry | undefined>;
  /** All rows as they are now. */
  entries: ReadonlyMap<string, Held>;
  /** Whether its rows are already JSON text. */
  text: boolean;
}

function add(counted: Map<Group, number>, group: Group, by: number): void {
  const count = (counted.get(group) ?? 0) + by;
  if (count === 0) counted.delete(group);
  else counted.set(group, count);
}
