import { join } from "node:path";
import type { Disk, OpenFile } from "../../host/disk.ts";
import { type Block, BLOCK_BYTES, type BlockWriter, readBlocks } from "./blocks.ts";
import { isDrop, type Line, lines } from "./lines.ts";

/** Smaller blocks are rewritten together with their neighbours; else each merge would leave more and smaller blocks. */
const LEAST_COPIED = BLOCK_BYTES / 2;

/**
 * Merges block files into one without drops: the last put of each key, unless a drop came after it. Holds one block of each
 * file in memory. Copies a block whole if no other file has keys in its range.
 * @param names older files first
 * @throws DamagedError
 */
export async function mergeBlocks(disk: Disk, folder: string, names: string[], writer: BlockWriter): Promise<void> {
  const files: OpenFile[] = [];
  try {
    const cursors: Cursor[] = [];
    for (const [age, name] of names.entries()) {
      const file = await disk.open(join(folder, name));
      files.push(file);
      const cursor = new Cursor(readBlocks(file, name), age);
      await cursor.nextBlock();
      if (cursor.key !== undefined) cursors.push(cursor);
    }
    await mergeCursors(new Heap(cursors), writer);
  } finally {
    for (const file of files) await file.close();
  }
}

async function mergeCursors(heap: Heap, writer: BlockWriter): Promise<void> {
  let done: string | undefined;
  for (let cursor = heap.first; cursor; cursor = heap.first) {
    const next = heap.secondKey;
    const isAlone = next === undefined || cursor.block.last < next;
    if (isAlone && cursor.isUntouched && cursor.key !== done) {
      await writer.copy(cursor.block);
      await cursor.nextBlock();
      heap.settle();
      continue;
    }
    if (cursor.key !== done) {
      done = cursor.key;
      const text = cursor.text();
      const full = text && writer.add(cursor.key!, text);
      if (full) await full;
    }
    const ended = cursor.next();
    if (ended) await ended;
    heap.settle();
  }
}

/** A position in a block file. */
class Cursor {
  readonly #blocks: AsyncGenerator<Block>;
  /** The position of its file among all: higher for newer files. */
  readonly age: number;
  block!: Block;
  /** The key of the current row; undefined at the end. */
  key: string | undefined;
  /** The rest of the block; undefined until its first line is read. */
  #lines: Generator<Line> | undefined;
  #line: Line | undefined;

  constructor(blocks: AsyncGenerator<Block>, age: number) {
    this.#blocks = blocks;
    this.age = age;
  }

  /** Whether the block may be copied: no line of it was read, and it is large enough. */
  get isUntouched(): boolean {
    return !this.#lines && !this.block.drops && this.block.body.length >= LEAST_COPIED;
  }

  /** The row's JSON; undefined if the row is dropped. */
  text(): Uint8Array | undefined {
    const line = this.#current();
    return isDrop(line) ? undefined : this.block.body.subarray(line.from, line.to);
  }

  /** Moves to the next row. If it returns a promise, await that. */
  next(): Promise<void> | undefined {
    this.#current();
    const { value, done } = this.#lines!.next();
    if (done) return this.nextBlock();
    this.#line = value;
    this.key = value.key;
  }

  /** Moves to the first row of the next block. */
  async nextBlock(): Promise<void> {
    const { value, done } = await this.#blocks.next();
    this.#lines = this.#line = undefined;
    this.key = done ? undefined : value.first;
    if (!done) this.block = value;
  }

  #current(): Line {
    this.#lines ??= lines(this.block.body);
    return this.#line ??= this.#lines.next().value as Line;
  }
}

/** Cursors by their keys; among equal keys the newest file comes first. */
class Heap {
  readonly #items: Cursor[];

  constructor(items: Cursor[]) {
    this.#items = items;
    for (let at = (items.length >> 1) - 1; at >= 0; at--) this.#sink(at);
  }

  get first(): Cursor | undefined {
    return this.#items[0];
  }

  /** The smallest key of all cursors but the first. */
  get secondKey(): string | undefined {
    const [, left, right] = this.#items;
    return right && isBefore(right, left) ? right.key : left?.key;
  }

  /** Restores the order after the first cursor has moved; removes that cursor if it is at its end. */
  settle(): void {
    const items = this.#items;
    if (items[0].key === undefined) {
      const last = items.pop()!;
      if (items.length === 0) return;
      items[0] = last;
    }
    this.#sink(0);
  }

  #sink(at: number): void {
    const items = this.#items;
    for (;;) {
      let least = at;
      for (const child of [2 * at + 1, 2 * at + 2]) {
        if (child < items.length && isBefore(items[child], items[least])) least = child;
      }
      if (least === at) return;
      [items[at], items[least]] = [items[least], items[at]];
      at = least;
    }
  }
}

function isBefore(a: Cursor, b: Cursor): boolean {
  return a.key === b.key ? a.age > b.age : a.key! < b.key!;
}
