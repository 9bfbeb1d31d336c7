import { Buffer } from "node:buffer";
import { crc32 } from "node:zlib";
import type { OpenFile } from "../../host/disk.ts";
import { DamagedError, FORMAT_VERSION, NewerFormatError, readPiece } from "./files.ts";

/**
 * A block file holds rows in the order of their keys: blocks of about 64 kB, then a closing block that counts all rows. A
 * block is a header, its first and last key, and a body of lines, see `log_frame.ts`. The header, little endian:
 *
 *      0  mark                  16  rows (closing block: of the whole file)
 *      4  kind                  20  bytes of the body
 *      5  1 if it holds drops   24  CRC32 of the body
 *      6  format version        28  CRC32 of the header up to here and the keys
 *      8  bytes of the first key
 *     12  bytes of the last key
 */
const MARK = Buffer.from("\xffwtB", "latin1");
const HEADER = 32;
const CRC_AT = 28;
const ROWS = 1;
const CLOSING = 2;

/** A block is written when the next line would exceed this size. A longer line gets its own block. */
export const BLOCK_BYTES = 64 * 1024;

/** Bytes that a reader holds in memory; usually enough for a block. */
const CHUNK = 128 * 1024;

const NOTHING = Buffer.alloc(0);

/** A block of rows. */
export interface Block {
  rows: number;
  /** Whether some rows are dropped. */
  drops: boolean;
  first: string;
  last: string;
  /** Lines; valid until the next block is read. */
  body: Buffer;
}

/** Writes a block file. Keys come in ascending order, as JavaScript compares strings. */
export class BlockWriter {
  readonly #write: (bytes: Uint8Array) => Promise<void>;
  readonly #body = Buffer.allocUnsafeSlow(BLOCK_BYTES);
  #length = 0;
  #block = { rows: 0, drops: false, first: "", last: "" };
  #rows = 0;

  /** @param write appends to the file; the bytes are valid until it resolves */
  constructor(write: (bytes: Uint8Array) => Promise<void>) {
    this.#write = write;
  }

  /**
   * Adds a row. If it returns a promise, await that before the next row.
   * @param text JSON; undefined if the row is dropped
   */
  add(key: string, text: Uint8Array | undefined): Promise<void> | undefined {
    // A UTF-16 unit takes at most three bytes.
    const most = key.length * 3 + (text?.length ?? 0) + 2;
    if (most > BLOCK_BYTES) return this.#addLong(key, text ?? NOTHING);
    if (this.#length + most > BLOCK_BYTES) return this.#flush().then(() => this.#append(key, text));
    this.#append(key, text);
  }

  /** Adds a block of another file unchanged. */
  async copy(block: Block): Promise<void> {
    await this.#flush();
    await this.#put(ROWS, block, [block.body]);
  }

  /** Writes the remaining rows and the closing block. */
  async close(): Promise<void> {
    await this.#flush();
    await this.#put(CLOSING, { rows: this.#rows, drops: false, first: "", last: "" }, []);
  }

  #append(key: string, text: Uint8Array | undefined): void {
    const body = this.#body;
    let at = this.#length;
    at += body.write(key, at);
    body[at++] = 9;
    if (text) {
      body.set(text, at);
      at += text.length;
    }
    body[at++] = 10;
    this.#length = at;
    const block = this.#block;
    if (block.rows++ === 0) block.first = key;
    block.last = key;
    block.drops ||= !text?.length;
  }

  async #addLong(key: string, text: Uint8Array): Promise<void> {
    await this.#flush();
    const block = { rows: 1, drops: text.length === 0, first: key, last: key };
    await this.#put(ROWS, block, [Buffer.from(`${key}\t`), text, Buffer.from("\n")]);
  }

  async #flush(): Promise<void> {
    if (this.#length === 0) return;
    await this.#put(ROWS, this.#block, [this.#body.subarray(0, this.#length)]);
    this.#length = 0;
    this.#block = { rows: 0, drops: false, first: "", last: "" };
  }

  async #put(kind: number, block: Omit<Block, "body">, body: Uint8Array[]): Promise<void> {
    await this.#write(encodeHeader(kind, block, body));
    for (const piece of body) await this.#write(piece);
    this.#rows += block.rows;
  }
}

function encodeHeader(kind: number, { rows, drops, first, last }: Omit<Block, "body">, body: Uint8Array[]): Buffer {
  const keys = [Buffer.from(first), Buffer.from(last)];
  const header = Buffer.alloc(HEADER);
  MARK.copy(header);
  header[4] = kind;
  header[5] = drops ? 1 : 0;
  header.writeUInt16LE(FORMAT_VERSION, 6);
  header.writeUInt32LE(keys[0].length, 8);
  header.writeUInt32LE(keys[1].length, 12);
  header.writeUInt32LE(rows, 16);
  header.writeUInt32LE(body.reduce((sum, { length }) => sum + length, 0), 20);
  header.writeUInt32LE(body.reduce((crc, piece) => crc32(piece, crc), 0), 24);
  const whole = Buffer.concat([header, ...keys]);
  whole.writeUInt32LE(headerCrc(whole), CRC_AT);
  return whole;
}

/** The CRC of a header with its keys. */
function headerCrc(whole: Buffer): number {
  return crc32(whole.subarray(HEADER), crc32(whole.subarray(0, CRC_AT)));
}

interface Header {
  kind: number;
  block: Omit<Block, "body">;
  bodyBytes: number;
  bodyCrc: number;
}

/**
 * Reads a block file. Holds one chunk of it in memory, or one block if that is larger.
 * @param name for messages
 * @param chunk bytes to read at once
 * @throws DamagedError if the file is not valid, NewerFormatError
 */
export async function* readBlocks(file: OpenFile, name: string, chunk = CHUNK): AsyncGenerator<Block> {
  const window = new Window(file, name, chunk);
  let rows = 0;
  let last: string | undefined;
  for (;;) {
    const { kind, block, bodyBytes, bodyCrc } = await readHeader(window);
    if (kind === CLOSING) {
      if (block.rows !== rows || !window.atEnd) throw window.damaged("its closing block does not match");
      return;
    }
    const body = await window.take(bodyBytes);
    if (crc32(body) !== bodyCrc) throw window.damaged("the checksum of a block differs");
    if (last !== undefined && block.first <= last) throw window.damaged("its blocks are not in order");
    yield { ...block, body };
    rows += block.rows;
    last = block.last;
  }
}

async function readHeader(window: Window): Promise<Header> {
  const fixed = await window.peek(HEADER);
  if (!fixed.subarray(0, MARK.length).equals(MARK)) throw window.damaged("no block begins there");
  const keys = [fixed.readUInt32LE(8), fixed.readUInt32LE(12)];
  const header = await window.take(HEADER + keys[0] + keys[1]);
  if (headerCrc(header) !== header.readUInt32LE(CRC_AT)) throw window.damaged("the checksum of a header differs");
  const version = header.readUInt16LE(6);
  if (version > FORMAT_VERSION) throw new NewerFormatError(version);
  return {
    kind: header[4],
    block: {
      rows: header.readUInt32LE(16),
      drops: header[5] === 1,
      first: header.toString("utf8", HEADER, HEADER + keys[0]),
      last: header.toString("utf8", HEADER + keys[0]),
    },
    bodyBytes: header.readUInt32LE(20),
    bodyCrc: header.readUInt32LE(24),
  };
}

/** Reads a file from its beginning to its end. */
class Window {
  readonly #file: OpenFile;
  readonly #name: string;
  readonly #chunk: number;
  /** Reused for each chunk: new memory for each would make the engine collect garbage often. */
  #memory: Buffer = NOTHING;
  #bytes: Buffer = NOTHING;
  /** Where `#bytes` begins in the file. */
  #start = 0;
  #at = 0;

  constructor(file: OpenFile, name: string, chunk: number) {
    this.#file = file;
    this.#name = name;
    this.#chunk = chunk;
  }

  get atEnd(): boolean {
    return this.#at === this.#file.size;
  }

  damaged(why: string): DamagedError {
    return new DamagedError(`${this.#name} is damaged before byte ${this.#at}: ${why}`);
  }

  /** The next bytes, valid until more are read; does not advance. */
  async peek(length: number): Promise<Buffer> {
    const left = this.#file.size - this.#at;
    // Before anything is allocated: a damaged length may say 4 GB.
    if (length > left) throw this.damaged("it ends too early");
    if (this.#at + length > this.#start + this.#bytes.length) {
      const wanted = Math.min(left, Math.max(length, this.#chunk));
      if (this.#memory.length < wanted) this.#memory = Buffer.allocUnsafeSlow(wanted);
      this.#bytes = this.#memory.subarray(0, wanted);
      await readPiece(this.#file, this.#name, this.#at, this.#bytes);
      this.#start = this.#at;
    }
    const from = this.#at - this.#start;
    return this.#bytes.subarray(from, from + length);
  }

  /** The next bytes; advances past them. */
  async take(length: number): Promise<Buffer> {
    const bytes = await this.peek(length);
    this.#at += length;
    return bytes;
  }
}
