import { readFile } from "node:fs/promises";
import { basename } from "node:path";
import { decodeText } from "../formats/decode_text.ts";
import type { Format } from "../formats/format.ts";
import { evaluate } from "../language/expressions/expression.ts";
import { messageOf } from "../model/errors.ts";
import type { FleetFiles } from "../model/fleet.ts";
import { isObject, type Json } from "../model/json.ts";
import { type FilePattern, isSameStamp, listFiles, readPattern, type Stamp, stampOf } from "../triggers/watch_files.ts";
import { parseBeside } from "../workers/parse_in_thread.ts";

/** Larger files are refused: they are read whole. */
const READ = 10_000_000;

/** An inventory in files. All files that match the pattern are read together. */
export class InventoryFiles {
  readonly pattern: FilePattern;
  /** The files of the last look, and since when they are as they are. */
  #seen?: { stamps: Map<string, Stamp>; since: number };

  /** @param folder absolute; the pattern is relative to it */
  constructor(private readonly files: FleetFiles, folder: string) {
    this.pattern = readPattern(files.watch, folder);
  }

  /**
   * Reads all files, once none of them has changed for `settle`: a half-written list would remove devices.
   * @param now milliseconds since the epoch
   * @returns the items of all files, in the order of paths; or when to look again
   * @throws Error if there is no file, or one cannot be read
   */
  async read(now: number): Promise<{ items: Json[] } | { again: number }> {
    const stamps = await this.#stamps();
    if (this.#seen === undefined || !isSame(stamps, this.#seen.stamps)) {
      const modified = Math.max(...[...stamps.values()].map((stamp) => stamp.modified));
      // At the first look, old files are taken as they are.
      this.#seen = { stamps, since: this.#seen === undefined ? Math.min(modified, now) : now };
    }
    const settled = this.#seen.since + this.files.settle;
    if (settled > now) return { again: settled };
    const items: Json[] = [];
    for (const [path, { size }] of stamps) {
      for (const item of await this.#itemsOf(path, size)) items.push(item);
    }
    const after = await this.#stamps();
    if (isSame(stamps, after)) return { items };
    // Written while it was read: parts of it may be of two states.
    this.#seen = { stamps: after, since: now };
    return { again: now + this.files.settle };
  }

  /** The files, each with its state. @throws Error if there is none, or one that is there cannot be read */
  async #stamps(): Promise<Map<string, Stamp>> {
    const stamps = new Map<string, Stamp>();
    const cannot = (path: string) => {
      throw new Error(`Cannot read devices from ${path}: it is there, but cannot be opened`);
    };
    for (const path of await listFiles(this.pattern, cannot)) {
      const stamp = await stampOf(path);
      if (stamp !== undefined) stamps.set(path, stamp);
    }
    if (stamps.size === 0) throw new Error(`No file matches ${this.files.watch}, so no device is removed`);
    return stamps;
  }

  async #itemsOf(path: string, size: number): Promise<Json[]> {
    const { items, charset } = this.files;
    // The check has parsed it with the schema of a format.
    const format = this.files.format as Format;
    try {
      if (size > READ) throw new Error(`it has more than ${READ} bytes`);
      const body = await parseBeside(decodeText(await readFile(path), { charset }), format);
      const found = items === undefined ? body : evaluate(items, { body, name: basename(path) });
      if (Array.isArray(found)) return found;
      if (isObject(found)) return [found];
      throw new Error(`expected a list of devices or one device, got ${JSON.stringify(found)?.slice(0, 100)}`);
    } catch (error) {
      throw new Error(`Cannot read devices from ${path}: ${messageOf(error)}`);
    }
  }
}

function isSame(some: Map<string, Stamp>, others: Map<string, Stamp>): boolean {
  return some.size === others.size && [...some].every(([path, stamp]) => isSameStamp(stamp, others.get(path)));
}
