import { Buffer } from "node:buffer";
import { readExactJson } from "../../formats/exact_json.ts";
import type { Span } from "../log/log_frame.ts";
import { OrderedKeys } from "./keys.ts";
import { lengthOf, type Place, type Shelf } from "./shelf.ts";
import { type Definition, toJson } from "./tables.ts";

/** A row in memory. After it is encoded it has its JSON text, and later only that. */
interface Held<R> {
  row?: R;
  text?: string;
  /** Size of its line on disk. */
  bytes: number;
}

/** A row, or the place of its text on the shelf if it was not put for a while: so a waiting run takes much less memory. */
type Entry<R> = Held<R> | Place;

type IndexKeys = string | string[] | undefined;

interface Index<R> {
  /** `key`: the key of the row alone. */
  keysOf: "key" | ((row: R, key: string) => IndexKeys);
  keys: OrderedKeys;
  /** Keys of new rows. They are added when the index is read, as most runs end before that. */
  fresh: Set<string>;
}

type Group = string | number | undefined;

interface Count<R> {
  groupOf: (row: R) => Group;
  counted: Map<Group, number>;
}

/** The keys of a table that have changed since the last frame. */
export interface Changes {
  /** By key, the entries as of that frame. */
  dirty: ReadonlyMap<string, unknown>;
  /** All entries as they are now. */
  entries: ReadonlyMap<string, unknown>;
}

/** The rows of one table, with its indexes and counts. */
export class Table<R> {
  readonly #name: string;
  readonly #isText: boolean;
  readonly #write: (row: R) => string;
  /** Whether indexes or counts need its rows, not only their keys. */
  readonly #readsRows: boolean;
  /** The text that follows the part of a row's text that indexes and counts need. */
  readonly #afterHead: Buffer | undefined;
  /** The names of the fields that indexes and counts need, if most rows have none of them. */
  readonly #rare: string[] | undefined;
  readonly #shelf: Shelf | undefined;
  readonly #warm: WarmRows;
  readonly #entries = new Map<string, Entry<R>>();
  readonly #indexes = new Map<string, Index<R>>();
  readonly #counts = new Map<string, Count<R>>();
  readonly #dirty = new Map<string, Entry<R> | undefined>();
  #bytes = 0;

  constructor(name: string, definition: Definition<R>, shelf: Shelf | undefined, warm: WarmRows) {
    const { text = false, write = toJson, before, rare, indexes = {}, counts = {} } = definition;
    this.#name = name;
    this.#isText = text;
    this.#write = write;
    this.#readsRows = Object.keys(counts).length > 0 || Object.values(indexes).some((keysOf) => keysOf !== "key");
    this.#afterHead = before === undefined ? undefined : Buffer.from(`,"${before}":`);
    this.#rare = rare?.map((field) => `"${field}":`);
    this.#shelf = shelf;
    this.#warm = warm;
    for (const [index, keysOf] of Object.entries(indexes)) {
      this.#indexes.set(index, { keysOf, keys: new OrderedKeys(), fresh: new Set() });
    }
    for (const [count, groupOf] of Object.entries(counts)) this.#counts.set(count, { groupOf, counted: new Map() });
  }

  /** Size of its encoded rows on disk, in bytes. */
  get bytes(): number {
    return this.#bytes;
  }

  get size(): number {
    return this.#entries.size;
  }

  /** The keys of all rows, in no order. */
  keys(): Iterable<string> {
    return this.#entries.keys();
  }

  has(key: string): boolean {
    return this.#entries.has(key);
  }

  get(key: string): R | undefined {
    const entry = this.#entries.get(key);
    return entry === undefined ? undefined : this.#valueOf(entry);
  }

  /** All rows, in no order. */
  *all(): Generator<[key: string, row: R]> {
    for (const [key, entry] of this.#entries) yield [key, this.#valueOf(entry)];
  }

  /** How many rows are in a group of a declared count. */
  count(count: string, group: string | number): number {
    return this.#counts.get(count)!.counted.get(group) ?? 0;
  }

  index(index: string): OrderedKeys {
    const found = this.#indexes.get(index)!;
    this.#addFresh(found);
    return found.keys;
  }

  /** Rows in the order of an index: those whose index key begins with the prefix and comes after `after`. */
  range(index: string, prefix: string, after: string | undefined, limit: number): R[] {
    return this.index(index).range(prefix, after, limit).map((key) => this.#valueOf(this.#entries.get(key)!));
  }

  /** Puts a row, or drops it if it is undefined. @returns a function that undoes this */
  set(key: string, row: R | undefined): () => void {
    const before = this.#replace(key, row === undefined ? undefined : { row, bytes: 0 });
    const isFirst = !this.#dirty.has(key);
    if (isFirst) this.#dirty.set(key, before);
    return () => {
      this.#replace(key, before);
      if (isFirst) this.#dirty.delete(key);
    };
  }

  /** Puts a row read from disk, or drops it if there is no text. This is neither undone nor encoded again. */
  load(key: string, json: Span | undefined): void {
    // The bytes are enough: most rows are never decoded to a string here.
    const place = json && this.#shelf?.put(this.#entries, key, json);
    const entry = place ??
      (json && { text: textOf(json), bytes: this.#bytesOfLine(key, json.to - json.from) });
    const before = this.#replace(key, entry, json);
    if (before !== undefined) this.#release(before);
  }

  /** The changes since the last frame; undefined if there are none. */
  changes(): Changes | undefined {
    return this.#dirty.size === 0 ? undefined : { dirty: this.#dirty, entries: this.#entries };
  }

  /**
   * Encodes a row that has changed since the last frame.
   * @param rest bytes of its line besides the text
   * @returns the text
   */
  encode(key: string, rest: number): string {
    const entry = this.#entries.get(key);
    if (typeof entry !== "object" || entry.row === undefined) throw new Error(`${this.#name} ${key} has not changed`);
    const text = this.#write(entry.row);
    const bytes = text.length + rest;
    this.#bytes += bytes - entry.bytes;
    entry.bytes = bytes;
    entry.text = text;
    this.#warm.add(() => this.#cool(key, entry));
    return text;
  }

  /** Called when all changes so far are in a frame. */
  encoded(): void {
    // A frame changes few of the tables, and clearing a map takes time even if it is empty.
    if (this.#dirty.size === 0) return;
    // The ring of warm rows would keep them alive.
    for (const before of this.#dirty.values()) if (before !== undefined) this.#release(before);
    this.#dirty.clear();
  }

  /** Moves the text of a row to the shelf. */
  #cool(key: string, entry: Held<R>): void {
    entry.row = undefined;
    if (entry.text === undefined || this.#entries.get(key) !== entry) return;
    const place = this.#shelf?.put(this.#entries, key, entry.text);
    if (place === undefined) return;
    this.#entries.set(key, place);
    this.#bytes += this.#bytesOf(key, place) - entry.bytes;
  }

  /** Releases a row that was replaced or dropped, and can no longer be restored. */
  #release(entry: Entry<R>): void {
    if (typeof entry === "number") this.#shelf!.drop(entry);
    else entry.row = entry.text = undefined;
  }

  #valueOf(entry: Entry<R>): R {
    if (typeof entry !== "number" && entry.row !== undefined) return entry.row;
    return this.#parse(typeof entry === "number" ? this.#shelf!.get(entry) : entry.text!);
  }

  /** The store wrote the text, so it has the type of the table. */
  #parse(text: string): R {
    return (this.#isText ? text : readExactJson(text)) as R;
  }

  /**
   * Reads the part of a row's text that indexes and counts need. A double holds all numbers in it.
   * @returns undefined if they need nothing of this row but its key
   */
  #readHead(json: Span): R | undefined {
    const { bytes, from, to } = json;
    const end = this.#afterHead === undefined ? -1 : bytes.indexOf(this.#afterHead, from);
    if (end !== -1 && end < to) return JSON.parse(`${bytes.toString("utf8", from, end)}}`);
    const text = textOf(json);
    if (this.#rare?.every((field) => !text.includes(field))) return undefined;
    return JSON.parse(text);
  }

  /**
   * The only function that changes entries, indexes and counts: live, on undo and in recovery.
   * @param json the text of the entry, if it was read from disk
   */
  #replace(key: string, entry: Entry<R> | undefined, json?: Span): Entry<R> | undefined {
    const before = this.#entries.get(key);
    const old = this.#readsRows && before !== undefined ? this.#valueOf(before) : undefined;
    const isRead = this.#readsRows && entry !== undefined;
    const now = isRead ? json ? this.#readHead(json) : this.#valueOf(entry) : undefined;
    // A row read from disk is indexed at once: its text is in memory now, and would have to be read again later.
    const isFresh = entry !== undefined && before === undefined && json === undefined;
    for (const index of this.#indexes.values()) {
      const { keysOf, keys, fresh } = index;
      if (isFresh) this.#addLater(index, key);
      else if (fresh.has(key)) { if (entry === undefined) fresh.delete(key); }
      else if (keysOf !== "key") place(keys, key, of(old, keysOf, key), of(now, keysOf, key));
      else place(keys, key, before === undefined ? before : key, entry === undefined ? entry : key);
    }
    for (const { groupOf, counted } of this.#counts.values()) {
      recount(counted, of(old, groupOf, key), of(now, groupOf, key));
    }
    if (entry === undefined) this.#entries.delete(key);
    else this.#entries.set(key, entry);
    this.#bytes += this.#bytesOf(key, entry) - this.#bytesOf(key, before);
    return before;
  }

  #addLater(index: Index<R>, key: string): void {
    // While their values are still in memory.
    if (index.fresh.size >= this.#warm.size / 8) this.#addFresh(index);
    index.fresh.add(key);
  }

  #addFresh({ keysOf, keys, fresh }: Index<R>): void {
    for (const key of fresh) {
      place(keys, key, undefined, keysOf === "key" ? key : keysOf(this.#valueOf(this.#entries.get(key)!), key));
    }
    fresh.clear();
  }

  #bytesOf(key: string, entry: Entry<R> | undefined): number {
    return typeof entry === "number" ? this.#bytesOfLine(key, lengthOf(entry)) : entry?.bytes ?? 0;
  }

  #bytesOfLine(key: string, bytes: number): number {
    return this.#name.length + key.length + bytes + 3;
  }
}

/** A ring buffer of the most recently encoded rows of all tables, which keep their values besides their texts. */
export class WarmRows {
  readonly #cool: (() => void)[] = [];
  #next = 0;

  constructor(readonly size: number) {}

  /** @param cool called when the row is no longer among them */
  add(cool: () => void): void {
    this.#cool[this.#next]?.();
    this.#cool[this.#next] = cool;
    this.#next = (this.#next + 1) % this.size;
  }
}

function textOf({ bytes, from, to }: Span): string {
  return bytes.toString("utf8", from, to);
}

/** Reads a row, if there is one. A row may be 0. */
function of<R, T>(row: R | undefined, read: (row: R, key: string) => T, key: string): T | undefined {
  return row === undefined ? undefined : read(row, key);
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

function add(counted: Map<Group, number>, group: Group, by: number): void {
  const count = (counted.get(group) ?? 0) + by;
  if (count === 0) counted.delete(group);
  else counted.set(group, count);
}
