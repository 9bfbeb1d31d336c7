import sortedBtree from "sorted-btree";
import { bulkLoad } from "sorted-btree/extended/bulkLoad.js";
import { base32, fromBase32 } from "../../model/id.ts";

// The package is CommonJS: its class is the default export of the module, or of the module's default.
type Tree = InstanceType<typeof sortedBtree.default<string, string>>;
const BTree: typeof sortedBtree.default = "default" in sortedBtree ? sortedBtree.default : sortedBtree;

/** Separates the parts of an index key or a row's key. No part contains this character. */
export const SEPARATOR = "\0";

/** Joins the parts of a key. The first parts, joined and followed by a separator, are a prefix of the key. */
export function join(...parts: string[]): string {
  // Not "+": a string that was joined so takes twice the memory, and there are 500,000 keys of 100,000 waiting runs.
  return parts.join(SEPARATOR);
}

/** An integer as text with the same order; milliseconds and event keys fit. */
export function ordered(value: number): string {
  return String(value).padStart(16, "0");
}

/** The smallest text after all texts with a prefix. */
export function endOf(prefix: string): string {
  if (prefix === "") return "\uffff\uffff";
  return prefix.slice(0, -1) + String.fromCharCode(prefix.charCodeAt(prefix.length - 1) + 1);
}

/**
 * The keys of rows in the order of their index keys: a B+ tree of texts. A new entry is added to the tree when that is read
 * next: after a start they are many, and to make a tree of all of them takes a fraction of the time of adding each.
 */
export class OrderedKeys {
  #tree: Tree = new BTree<string, string>(undefined, compare);
  /** The entries that are not in the tree yet. Two arrays, as 100,000 pairs take more memory. */
  #added: { ats: string[]; keys: string[] } = { ats: [], keys: [] };

  /** @param key of the row */
  add(at: string, key: string): void {
    this.#added.ats.push(at);
    this.#added.keys.push(key);
  }

  remove(at: string): void {
    this.#whole().delete(at);
  }

  /** The first entry after `after` whose index key begins with the prefix. @returns [index key, row key] */
  first(prefix: string, after?: string): [string, string] | undefined {
    const tree = this.#whole();
    // Most indexes of notes and waits are empty.
    if (tree.size === 0) return undefined;
    const pair = after === undefined || after < prefix ? tree.getPairOrNextHigher(prefix) : tree.nextHigherPair(after);
    return pair?.[0].startsWith(prefix) ? pair : undefined;
  }

  /** The last entry, before `before`, whose index key begins with the prefix. */
  last(prefix: string, before = endOf(prefix)): [string, string] | undefined {
    const tree = this.#whole();
    if (tree.size === 0) return undefined;
    const pair = tree.nextLowerPair(before);
    return pair?.[0].startsWith(prefix) ? pair : undefined;
  }

  /** Row keys in order: those whose index key begins with the prefix and comes after `after`, up to `limit`. */
  range(prefix: string, after: string | undefined, limit: number): string[] {
    const keys: string[] = [];
    const tree = this.#whole();
    if (tree.size === 0 || limit < 1) return keys;
    const from = after === undefined || after < prefix ? prefix : after;
    tree.forRange(from, endOf(prefix), false, (at, key) => {
      if (at !== after && keys.push(key) >= limit) return ENOUGH;
    });
    return keys;
  }

  /** The tree with all entries. */
  #whole(): Tree {
    const { ats, keys } = this.#added;
    if (ats.length === 0) return this.#tree;
    this.#added = { ats: [], keys: [] };
    if (this.#tree.size === 0 && ats.length > NODE) this.#tree = treeOf(ats, keys);
    else for (const [index, at] of ats.entries()) this.#tree.set(at, keys[index]);
    return this.#tree;
  }
}

/** Entries in a node of a tree: the default of the package. */
const NODE = 32;

/** Makes a tree of entries. An index key may be there twice, with the same row. */
function treeOf(ats: string[], keys: string[]): Tree {
  // After a start they usually are in order already.
  if (ats.every((at, index) => index === 0 || ats[index - 1] < at)) return bulkLoad(ats, keys, NODE, compare);
  const sorted = [...ats.keys()].sort((a, b) => compare(ats[a], ats[b]));
  const order = sorted.filter((index, place) => place === 0 || ats[index] !== ats[sorted[place - 1]]);
  return bulkLoad(order.map((index) => ats[index]), order.map((index) => keys[index]), NODE, compare);
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** Ends a walk through a tree. */
const ENOUGH = { break: true };

/**
 * Event keys and the ids derived from them. Keys are integers below 2^53: microseconds, as there may be many events in a
 * millisecond. They always grow, even after a clock rollback.
 */
export class Ids {
  #last: number;
  readonly #secret: number;

  /**
   * @param last the newest key that was ever issued
   * @param secret hex digits that only this store knows
   */
  constructor(last: number, secret: string) {
    this.#last = last;
    this.#secret = parseInt(secret.slice(0, 8) || "0", 16);
  }

  /** A new key. @param now milliseconds since the epoch */
  key(now: number): number {
    return this.#last = Math.max(this.#last + 1, keyAt(now));
  }

  /** The newest key. */
  get last(): number {
    return this.#last;
  }

  /**
   * The id of the n-th run that an event started: 11 characters of the event's key, 3 of the ordinal, 6 that distinguish
   * stores apart (base 32 without i, l, o, u). Ids sort by creation.
   */
  run(key: number, ordinal: number): string {
    const mixed = mix(
      mix(this.#secret ^ (key % 2 ** 32)) ^ Math.floor(key / 2 ** 32) ^ Math.imul(ordinal + 1, 0x9e3779b1),
    );
    return base32(key, 11) + base32(ordinal, 3) + base32(mixed >>> 2, 6);
  }

  /** The ids of all runs that an event started. */
  runs(key: number, count: number): string[] {
    return Array.from({ length: count }, (_, ordinal) => this.run(key, ordinal));
  }
}

/** The smallest key of a time. */
export function keyAt(time: number): number {
  return Math.floor(time) * 1_000;
}

/** The ids of runs that were created at a time or later are greater than this, those of older ones are not. */
export function runIdAt(time: number): string {
  return base32(keyAt(time), 11);
}

/** When a run was created, in milliseconds since the epoch; also for the beginning of an id. */
export function timeOfRun(id: string): number {
  return fromBase32(id.slice(0, 11)) / 1_000;
}

/** The finalizer of MurmurHash3, by Austin Appleby: every bit of the input changes every bit of the output. */
export function mix(value: number): number {
  let mixed = value ^ (value >>> 16);
  mixed = Math.imul(mixed, 0x85ebca6b);
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
  return (mixed ^ (mixed >>> 16)) >>> 0;
}
