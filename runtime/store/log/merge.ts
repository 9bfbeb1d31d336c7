import { join } from "node:path";
import { crc32 } from "node:zlib";
import type { Disk, OpenFile } from "../../host/disk.ts";
import { type Block, BLOCK_BYTES, BlockWriter, readBlocks } from "./blocks.ts";
import { writeBytes, writeDraft } from "./draft.ts";
import {
  baseName,
  basesToTry,
  type CheckedFile,
  DamagedError,
  type Generation,
  generationOf,
  idsName,
  readChecked,
  type Sized,
  sortFiles,
  superseded,
} from "./files.ts";
import { isDrop, type Line, lines } from "./log_frame.ts";
import type { Expiry, FoldHooks } from "./fold.ts";

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
    return this.#line ??= this.#lines.next().value;
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

/**
 * A merge is due when the deltas have this many bytes, or half of the base's, whichever is more: merges write at most three
 * times what the deltas do, and a start reads at most half of the base again.
 */
const LEAST_BYTES = 32 * 1024 * 1024;
const SHARE = 1 / 2;

/** Short segments, one for each start, make small deltas; a merge has one block of each in memory. */
const MOST_DELTAS = 128;

/** The result of a merge. */
export interface Merged {
  base: Sized;
  ids: Sized;
}

/** Whether it is time to merge the deltas after a base into a new base. */
export function mergeDue(base: Sized | undefined, deltas: readonly Sized[]): boolean {
  const bytes = deltas.reduce((sum, delta) => sum + delta.bytes, 0);
  return deltas.length >= MOST_DELTAS || bytes > Math.max(LEAST_BYTES, (base?.bytes ?? 0) * SHARE);
}

/**
 * Merges the newest base and its deltas into a new base, and their ids files into one; removes the files that these replace.
 * The rename of the base commits. If the newest base is damaged, the previous one is used.
 * @returns undefined if there is nothing to merge
 * @throws DamagedError if no base can be used, or the disk's error; nothing is lost then
 */
export async function mergeFiles(
  disk: Disk,
  folder: string,
  expiry: Expiry,
  hooks: Pick<FoldHooks<unknown>, "mergeIds">,
): Promise<Merged | undefined> {
  const files = sortFiles(await disk.list(folder));
  const broken: string[] = [];
  const reasons: string[] = [];
  for (const base of basesToTry(files)) {
    try {
      const generation = generationOf(files, base);
      if (generation.deltas.length === 0) return undefined;
      const merged = await mergeGeneration(disk, folder, generation, expiry, hooks);
      await removeAll(disk, folder, broken);
      await removeAll(disk, folder, superseded(sortFiles(await disk.list(folder))));
      return merged;
    } catch (error) {
      if (!(error instanceof DamagedError)) throw error;
      reasons.push(error.message);
      if (base) broken.push(base.name);
    }
  }
  throw new DamagedError(reasons.join("; "));
}

async function mergeGeneration(
  disk: Disk,
  folder: string,
  { base, deltas, ids, last }: Generation,
  expiry: Expiry,
  hooks: Pick<FoldHooks<unknown>, "mergeIds">,
): Promise<Merged> {
  const bytes = await hooks.mergeIds(readNewestFirst(disk, folder, ids), expiry);
  const mergedIds = await writeBytes(disk, folder, idsName({ first: 1, last }, crc32(bytes)), bytes);
  const names = [...base ? [base] : [], ...deltas].map(({ name }) => name);
  const merged = await writeDraft(disk, folder, baseName(last), async (draft) => {
    const writer = new BlockWriter((piece) => draft.write(piece));
    await mergeBlocks(disk, folder, names, writer);
    await writer.close();
  });
  return { base: merged, ids: mergedIds };
}

async function* readNewestFirst(disk: Disk, folder: string, ids: CheckedFile[]): AsyncGenerator<Uint8Array> {
  for (const file of ids.toReversed()) yield await readChecked(disk, folder, file);
}

/** The next start removes files that cannot be removed now. */
async function removeAll(disk: Disk, folder: string, names: string[]): Promise<void> {
  for (const name of names) await disk.remove(join(folder, name)).catch(() => {});
}
