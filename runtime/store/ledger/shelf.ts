import { Buffer } from "node:buffer";
import type { ScratchFile } from "../../host/disk.ts";

/** Bytes that are written at once, and freed when no text in them is needed. */
const CHUNK = 1024 * 1024;
/** Longer texts stay in memory. */
const LONGEST = CHUNK / 4;
/** Size of the length before each text. */
const HEADER = 4;
/** Bytes read at once, and how many such pieces are cached: runs that resume one after the other have texts close together. */
const PIECE = 64 * 1024;
const MOST_PIECES = 32;
/** A shelf with at least this many chunks is compacted when more than half of its texts have been dropped. */
const LEAST_TIDIED = 16;

/** An object whose text may be on a shelf. */
export interface Shelved {
  /** The offset of its text. */
  at?: number | undefined;
}

interface Chunk {
  /** The owners of the texts in the chunk. */
  owners: Shelved[];
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
    this.#chunks.push({ owners: [], live: 0 });
  }

  /** Bytes of the file. */
  get size(): number {
    return this.#chunks.length * CHUNK;
  }

  /** Stores a text. @returns false if it must stay in memory: it is too long, or the file cannot be written */
  put(owner: Shelved, text: string | Uint8Array): boolean {
    const length = typeof text === "string" ? Buffer.byteLength(text) : text.length;
    if (HEADER + length > LONGEST) return false;
    if (this.#end + HEADER + length > CHUNK && !this.#turn()) return false;
    const at = this.#end;
    this.#buffer.writeUInt32LE(length, at);
    if (typeof text === "string") this.#buffer.write(text, at + HEADER);
    else this.#buffer.set(text, at + HEADER);
    this.#end += HEADER + length;
    const chunk = this.#chunks[this.#open];
    chunk.owners.push(owner);
    chunk.live++;
    this.#texts++;
    this.#live++;
    owner.at = this.#open * CHUNK + at;
    return true;
  }

  /** The text at an offset. @throws if the file cannot be read */
  get(at: number): string {
    const chunk = chunkOf(at);
    if (chunk === this.#open) return textIn(this.#buffer, at - chunk * CHUNK);
    const number = Math.floor(at / PIECE);
    const from = at - number * PIECE;
    const piece = this.#piece(number);
    if (from + HEADER <= PIECE && from + HEADER + piece.readUInt32LE(from) <= PIECE) return textIn(piece, from);
    const header = Buffer.alloc(HEADER);
    this.#file.read(at, header);
    const bytes = Buffer.allocUnsafe(header.readUInt32LE());
    this.#file.read(at + HEADER, bytes);
    return bytes.toString();
  }

  /** Drops the text of an owner. */
  drop(owner: Shelved): void {
    const number = chunkOf(owner.at!);
    owner.at = undefined;
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
    this.#open = this.#free.pop() ?? this.#chunks.push({ owners: [], live: 0 }) - 1;
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
    for (const owner of this.#chunks[emptiest].owners) {
      if (owner.at === undefined || chunkOf(owner.at) !== emptiest) continue;
      const text = bytesIn(bytes, owner.at - emptiest * CHUNK);
      this.drop(owner);
      this.put(owner, text);
    }
  }

  #clear(number: number): void {
    const chunk = this.#chunks[number];
    this.#texts -= chunk.owners.length;
    chunk.owners = [];
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

function chunkOf(at: number): number {
  return Math.floor(at / CHUNK);
}

function bytesIn(bytes: Buffer, at: number): Buffer {
  return bytes.subarray(at + HEADER, at + HEADER + bytes.readUInt32LE(at));
}

function textIn(bytes: Buffer, at: number): string {
  return bytes.toString("utf8", at + HEADER, at + HEADER + bytes.readUInt32LE(at));
}
