import sortedBtree from "sorted-btree";

// The package is CommonJS: its class is the default export of the module, or of the module's default.
type Tree = InstanceType<typeof sortedBtree.default<string, string>>;
const BTree = (sortedBtree as unknown as { default?: typeof sortedBtree.default }).default ??
  sortedBtree as unknown as typeof sortedBtree.default;

/** Separates the parts of an index key or a row's key. No part contains this character. */
export const SEPARATOR = "\0";

/** Joins the parts of a key. The first parts, joined and followed by a separator, are a prefix of the key. */
export function join(...parts: string[]): string {
  return parts.join(SEPARATOR);
}

/** An integer as text with the same order; milliseconds and event keys fit. */
export function ordered(value: number): string {
  return String(value).padStart(16, "0");
}

/** The smallest text after all texts with a prefix. */
export function behind(prefix: string): string {
  if (prefix === "") return "\uffff\uffff";
  return prefix.slice(0, -1) + String.fromCharCode(prefix.charCodeAt(prefix.length - 1) + 1);
}

/** The keys of rows in the order of their index keys: a B+ tree of texts. */
export class OrderedKeys {
  readonly #tree: Tree = new BTree<string, string>(undefined, (a, b) => a < b ? -1 : a > b ? 1 : 0);

  /** @param key of the row */
  add(at: string, key: string): void {
    this.#tree.set(at, key);
  }

  remove(at: string): void {
    this.#tree.delete(at);
  }

  /** The first entry after `after` whose index key begins with the prefix. @returns [index key, row key] */
  first(prefix: string, after?: string): [string, string] | undefined {
    // Most indexes of notes and waits are empty.
    if (this.#tree.size === 0) return undefined;
    const pair = after === undefined || after < prefix
      ? this.#tree.getPairOrNextHigher(prefix)
      : this.#tree.nextHigherPair(after);
    return pair?.[0].startsWith(prefix) ? pair : undefined;
  }

  /** The last entry, before `before`, whose index key begins with the prefix. */
  last(prefix: string, before = behind(prefix)): [string, string] | undefined {
    if (this.#tree.size === 0) return undefined;
    const pair = this.#tree.nextLowerPair(before);
    return pair?.[0].startsWith(prefix) ? pair : undefined;
  }

  /** Row keys in order: those whose index key begins with the prefix and comes after `after`, up to `limit`. */
  range(prefix: string, after: string | undefined, limit: number): string[] {
    const keys: string[] = [];
    if (this.#tree.size === 0 || limit < 1) return keys;
    const from = after === undefined || after < prefix ? prefix : after;
    this.#tree.forRange(from, behind(prefix), false, (at, key) => {
      if (at !== after && keys.push(key) >= limit) return ENOUGH;
    });
    return keys;
  }
}

/** Ends a walk through a tree. */
const ENOUGH = { break: true };
