import { Buffer } from "node:buffer";
import type { ScratchFile } from "../../host/disk.ts";
import type { Span } from "../log/log_frame.ts";

/** Bytes that are written at once, and freed when no text in them is needed. */
const CHUNK = 1024 * 1024;
/** Texts of this many bytes and more stay in memory. */
const LONGEST = CHUNK / 4;
/** Bytes read at once, and how many such pieces are cached: runs that resume one after the other have texts close together. */
const PIECE = 64 * 1024;
const MOST_PIECES = 32;
/** A shelf with at least this many chunks is compacted when more than half of its texts have been dropped. */
const LEAST_TIDIED = 16;

/** Where a text is on a shelf: its offset times {@link LONGEST}, plus its length. A number, as 100,000 objects take 6 MB. */
export type Place = number;

/** What places are kept in, by key. */
export type Places = Pick<Map<string, unknown>, "get"> & { set(key: string, place: Place): unknown };

interface Chunk {
  /** Where the place of each of its texts is kept: the map, and the key in it. Two arrays, as 100,000 pairs take more memory. */
  owners: Places[];
  keys: string[];
  /** How many of them are still needed. */
  live: number;
}

/**
 * Texts of rows that were not used for a while, in a scratch file instead of in memory: with 100,000 runs that wait for days,
 * they are most of the state. The file is written in chunks. A chunk without needed texts is overwritten; if many chunks are
 * nearly empty, the texts of the emptiest one are moved.
 */
export class Shelf {
  readonly #file: ScratchFile;
  readonly #chunks: Chunk[] = [];
  readonly #free: number[] = [];
  /** The chunk that is being filled, in memory. */
  #open = 0;
  readonly #buffer = Buffer.allocUnsafeSlow(CHUNK);
  #end = 0;
  /** Cached pieces of the file by number; the most recently read one is last. */
  readonly #pieces = new Map<number, Buffer>();
  #texts = 0;
  #live = 0;

  constructor(file: ScratchFile) {
    this.#file = file;
    this.#chunks.push({ owners: [], keys: [], live: 0 });
  }

  /** Bytes of the file. */
  get size(): number {
    return this.#chunks.length * CHUNK;
  }

  /**
   * Stores a text. The caller keeps its place under `key`; the shelf replaces it there if it moves the text.
   * @returns undefined if it must stay in memory: it is too long, or the file cannot be written
   */
  put(places: Places, key: string, text: string | Span): Place | undefined {
    const length = typeof text === "string" ? Buffer.byteLength(text) : text.to - text.from;
    if (length >= LONGEST) return undefined;
    // The next chunk may be nearly full of texts that were moved there.
    while (this.#end + length > CHUNK) if (!this.#turn()) return undefined;
    const at = this.#end;
    if (typeof text === "string") this.#buffer.write(text, at);
    else text.bytes.copy(this.#buffer, at, text.from, text.to);
    this.#end += length;
    const chunk = this.#chunks[this.#open];
    chunk.owners.push(places);
    chunk.keys.push(key);
    chunk.live++;
    this.#texts++;
    this.#live++;
    return (this.#open * CHUNK + at) * LONGEST + length;
  }

  /** The text at a place. @throws if the file cannot be read */
  get(place: Place): string {
    const [at, length] = [offsetOf(place), lengthOf(place)];
    const chunk = chunkOf(place);
    if (chunk === this.#open) return this.#buffer.toString("utf8", at - chunk * CHUNK, at - chunk * CHUNK + length);
    const number = Math.floor(at / PIECE);
    const from = at - number * PIECE;
    if (from + length <= PIECE) return this.#piece(number).toString("utf8", from, from + length);
    const bytes = Buffer.allocUnsafe(length);
    this.#file.read(at, bytes);
    return bytes.toString();
  }

  /** Drops a text. */
  drop(place: Place): void {
    const number = chunkOf(place);
    this.#live--;
    if (--this.#chunks[number].live === 0 && number !== this.#open) this.#clear(number);
  }

  close(): void {
    this.#file.close();
  }

  /** Writes the open chunk and opens another one. @returns false if that fails; the next text retries it */
  #turn(): boolean {
    try {
      this.#file.write(this.#open * CHUNK, this.#buffer);
    } catch {
      return false;
    }
    const written = this.#open;
    this.#open = this.#free.pop() ?? this.#chunks.push({ owners: [], keys: [], live: 0 }) - 1;
    this.#end = 0;
    for (let piece = this.#open * CHUNK / PIECE; piece < (this.#open + 1) * CHUNK / PIECE; piece++) {
      this.#pieces.delete(piece);
    }
    if (this.#chunks[written].live === 0) this.#clear(written);
    const used = this.#chunks.length - this.#free.length;
    if (used > LEAST_TIDIED && this.#live < this.#texts / 2) this.#tidy();
    return true;
  }

  /** Moves the needed texts of the emptiest chunk to the open one, which has room for all of them. */
  #tidy(): void {
    const share = ({ owners, live }: Chunk) => live / owners.length;
    let emptiest: number | undefined;
    for (const [number, chunk] of this.#chunks.entries()) {
      if (number === this.#open || chunk.owners.length === 0) continue;
      if (emptiest === undefined || share(chunk) < share(this.#chunks[emptiest])) emptiest = number;
    }
    if (emptiest === undefined) return;
    const bytes = Buffer.allocUnsafe(CHUNK);
    this.#file.read(emptiest * CHUNK, bytes);
    const { owners, keys } = this.#chunks[emptiest];
    for (const [index, places] of owners.entries()) {
      const key = keys[index];
      const place = places.get(key);
      // A text that was replaced a moment ago, and may be restored, stays until it is dropped.
      if (typeof place !== "number" || chunkOf(place) !== emptiest) continue;
      const from = offsetOf(place) - emptiest * CHUNK;
      const moved = this.put(places, key, { bytes, from, to: from + lengthOf(place) });
      if (moved === undefined) return;
      places.set(key, moved);
      this.drop(place);
    }
  }

  #clear(number: number): void {
    const chunk = this.#chunks[number];
    this.#texts -= chunk.owners.length;
    chunk.owners = [];
    chunk.keys = [];
    this.#free.push(number);
  }

  #piece(number: number): Buffer {
    let piece = this.#pieces.get(number);
    if (piece !== undefined) this.#pieces.delete(number);
    else {
      const [oldest] = this.#pieces.keys();
      const isFull = this.#pieces.size === MOST_PIECES;
      piece = isFull ? this.#pieces.get(oldest)! : Buffer.allocUnsafeSlow(PIECE);
      if (isFull) this.#pieces.delete(oldest);
      this.#file.read(number * PIECE, piece);
    }
    this.#pieces.set(number, piece);
    return piece;
  }
}

function offsetOf(place: Place): number {
  return Math.floor(place / LONGEST);
}

/** The bytes of a text. */
export function lengthOf(place: Place): number {
  return place % LONGEST;
}

function chunkOf(place: Place): number {
  return Math.floor(place / (CHUNK * LONGEST));
}
