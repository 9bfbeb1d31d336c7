import { Buffer } from "node:buffer";
import { NewerFormatError } from "../log/files.ts";
import type { Expiry } from "../log/fold.ts";
import { type Database, NewFile, openFile, readValue, release, type Statement } from "./sqlite.ts";

/** The data of an event's identity in an ids file. */
export interface PackedIdentity {
  /** The event's key. */
  event: number;
  /** When it was accepted, milliseconds since the epoch. */
  at: number;
  /** Its retention in milliseconds; null for the store's general retention. */
  within: number | null;
  /** How many runs it started. */
  runs: number;
  flags: number;
}

const HASH_BYTES = 16;

/** Bytes of a packed identity: hash, event (f64), at (f64), within (f64, -1 for null), runs (u16), flags (u8); little endian. */
const IDENTITY_BYTES = HASH_BYTES + 3 * 8 + 2 + 1;

const MOST_RUNS = 0xffff;
const BY_RETENTION = -1;

/** Packs identities one after the other in a growing buffer. */
export class IdentityPacker {
  #bytes: Uint8Array<ArrayBuffer>;
  #view: DataView;
  /** The same bytes; only it decodes hexadecimal digits natively. */
  #buffer: Buffer;
  #length = 0;

  /** @param expected how many there may be */
  constructor(expected = 1024) {
    this.#bytes = new Uint8Array(Math.max(1, expected) * IDENTITY_BYTES);
    this.#view = new DataView(this.#bytes.buffer);
    this.#buffer = Buffer.from(this.#bytes.buffer);
  }

  /** @param hash its 16 bytes, or their 32 hexadecimal digits */
  add(hash: Uint8Array | string, { event, at, within, runs, flags }: PackedIdentity): void {
    if (this.#length === this.#bytes.length) this.#grow();
    const start = this.#length;
    if (typeof hash === "string") this.#buffer.write(hash, start, HASH_BYTES, "hex");
    else this.#bytes.set(hash, start);
    this.#view.setFloat64(start + 16, event, true);
    this.#view.setFloat64(start + 24, at, true);
    this.#view.setFloat64(start + 32, within ?? BY_RETENTION, true);
    this.#view.setUint16(start + 40, Math.min(runs, MOST_RUNS), true);
    this.#view.setUint8(start + 42, flags);
    this.#length += IDENTITY_BYTES;
  }

  /** All packed identities, in a new buffer. */
  finish(): Uint8Array<ArrayBuffer> {
    return this.#bytes.slice(0, this.#length);
  }

  #grow(): void {
    const grown = new Uint8Array(this.#bytes.length * 2);
    grown.set(this.#bytes);
    this.#bytes = grown;
    this.#view = new DataView(grown.buffer);
    this.#buffer = Buffer.from(grown.buffer);
  }
}

/** Reads packed identities in place, by their index. */
export class PackedIdentities {
  readonly count: number;
  readonly #bytes: Uint8Array;
  readonly #view: DataView;

  constructor(bytes: Uint8Array) {
    this.count = bytes.length / IDENTITY_BYTES;
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  /** An identity in packed form. */
  bytes(index: number): Uint8Array {
    return this.#bytes.subarray(index * IDENTITY_BYTES, (index + 1) * IDENTITY_BYTES);
  }

  /** A 32-bit word of the hash, big endian. @param word 0 to 3 */
  hashWord(index: number, word: number): number {
    return this.#view.getUint32(index * IDENTITY_BYTES + 4 * word);
  }

  get(index: number): PackedIdentity {
    const start = index * IDENTITY_BYTES;
    const within = this.#view.getFloat64(start + 32, true);
    return {
      event: this.#view.getFloat64(start + 16, true),
      at: this.#view.getFloat64(start + 24, true),
      within: within === BY_RETENTION ? null : within,
      runs: this.#view.getUint16(start + 40, true),
      flags: this.#view.getUint8(start + 42),
    };
  }

  /** Whether an identity has expired. @param retention milliseconds, for those without their own retention */
  isExpired(index: number, now: number, retention: number): boolean {
    const start = index * IDENTITY_BYTES;
    const within = this.#view.getFloat64(start + 32, true);
    return this.#view.getFloat64(start + 24, true) + (within === BY_RETENTION ? retention : within) <= now;
  }
}

/** The format version that this program writes. */
const IDS_FORMAT = 1;

/** Number of identities per row. */
const IDENTITIES_A_ROW = 1000;

const SCHEMA = `
CREATE TABLE about (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE identities (block INTEGER PRIMARY KEY, packed BLOB NOT NULL) STRICT;`;

/** Makes a file of packed identities. Of two with the same hash, the later one counts. */
export async function writeIds(packed: Uint8Array): Promise<Uint8Array<ArrayBuffer>> {
  const writer = await IdsWriter.create(packed.length);
  for (let at = 0; at < packed.length; at += IDENTITY_BYTES) writer.add(packed.subarray(at, at + IDENTITY_BYTES));
  return writer.finish();
}

/**
 * The packed identities of a file, for {@link PackedIdentities}.
 * @param bytes are consumed: do not use them afterwards
 * @throws NewerFormatError
 */
export async function readIds(bytes: Uint8Array): Promise<Uint8Array<ArrayBuffer>> {
  const database = await openIdsFile(bytes);
  try {
    const length = Number(readValue(database, "SELECT total(length(packed)) FROM identities"));
    const packed = new Uint8Array(length);
    let at = 0;
    for (const block of blocks(database, "ASC")) {
      packed.set(block, at);
      at += block.length;
    }
    return packed;
  } finally {
    database.close();
    release(bytes);
  }
}

/**
 * Merges several files into one, without expired identities and with the newest of each hash.
 * @param files newest first; each is consumed and released before the next one is read
 * @throws NewerFormatError
 */
export async function mergeIds(
  files: Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
  { now, retention }: Expiry,
): Promise<Uint8Array<ArrayBuffer>> {
  const seen = new HashSet();
  let writer: IdsWriter | undefined;
  try {
    for await (const bytes of files) {
      writer ??= await IdsWriter.create(bytes.length);
      const database = await openIdsFile(bytes);
      try {
        for (const packed of blocks(database, "DESC")) {
          addNew(writer, seen, new PackedIdentities(packed), now, retention);
        }
      } finally {
        database.close();
        release(bytes);
      }
    }
    writer ??= await IdsWriter.create(0);
    return writer.finish();
  } catch (error) {
    writer?.discard();
    throw error;
  }
}

async function openIdsFile(bytes: Uint8Array): Promise<Database> {
  const database = await openFile(bytes);
  try {
    const format = Number(readValue(database, "SELECT value FROM about WHERE name = 'format'"));
    if (format > IDS_FORMAT) throw new NewerFormatError(format);
    return database;
  } catch (error) {
    database.close();
    throw error;
  }
}

function addNew(writer: IdsWriter, seen: HashSet, packed: PackedIdentities, now: number, retention: number): void {
  for (let index = packed.count - 1; index >= 0; index--) {
    if (seen.add(packed, index) && !packed.isExpired(index, now, retention)) writer.add(packed.bytes(index));
  }
}

function* blocks(database: Database, order: "ASC" | "DESC"): Generator<Uint8Array> {
  const statement = database.prepare(`SELECT packed FROM identities ORDER BY block ${order}`);
  try {
    while (statement.step()) {
      const [packed] = statement.get();
      if (packed instanceof Uint8Array) yield packed;
    }
  } finally {
    statement.free();
  }
}

class IdsWriter {
  readonly #file: NewFile;
  readonly #insert: Statement;
  readonly #row = new Uint8Array(IDENTITIES_A_ROW * IDENTITY_BYTES);
  #length = 0;
  #rows = 0;

  private constructor(file: NewFile) {
    this.#file = file;
    this.#insert = file.database.prepare("INSERT INTO identities VALUES (?, ?)");
    file.database.run("INSERT INTO about VALUES ('format', ?)", [String(IDS_FORMAT)]);
  }

  /** @param expected estimated bytes of the identities */
  static async create(expected: number): Promise<IdsWriter> {
    // A row fills its last page only partly.
    return new IdsWriter(await NewFile.create(SCHEMA, Math.ceil(expected * 1.2)));
  }

  add(packed: Uint8Array): void {
    this.#row.set(packed, this.#length);
    this.#length += IDENTITY_BYTES;
    if (this.#length === this.#row.length) this.#end();
  }

  finish(): Uint8Array<ArrayBuffer> {
    this.#end();
    return this.#file.finish();
  }

  discard(): void {
    this.#file.discard();
  }

  #end(): void {
    if (this.#length > 0) this.#insert.run([this.#rows++, this.#row.subarray(0, this.#length)]);
    this.#length = 0;
  }
}

/** A set of hashes: open addressing, at most 24 bytes per hash and no objects. The hashes are keyed, so their bits are random. */
class HashSet {
  #hashes = new Uint32Array(1024 * HASH_WORDS);
  /** The index in `#hashes` of the hash in a slot, plus 1; 0 if the slot is free. */
  #slots = new Uint32Array(2048);
  #count = 0;

  /** @returns whether it is new */
  add(packed: PackedIdentities, index: number): boolean {
    const place = this.#count * HASH_WORDS;
    if (place === this.#hashes.length) this.#grow();
    for (let word = 0; word < HASH_WORDS; word++) this.#hashes[place + word] = packed.hashWord(index, word);
    const slot = this.#slotOf(this.#count);
    if (this.#slots[slot] !== 0) return false;
    this.#slots[slot] = ++this.#count;
    return true;
  }

  /** The slot of the hash at an index, or the free slot for it. */
  #slotOf(place: number): number {
    const mask = this.#slots.length - 1;
    let slot = this.#hashes[place * HASH_WORDS] & mask;
    while (this.#slots[slot] !== 0 && !this.#areEqual(this.#slots[slot] - 1, place)) slot = (slot + 1) & mask;
    return slot;
  }

  #areEqual(one: number, other: number): boolean {
    for (let word = 0; word < HASH_WORDS; word++) {
      if (this.#hashes[one * HASH_WORDS + word] !== this.#hashes[other * HASH_WORDS + word]) return false;
    }
    return true;
  }

  #grow(): void {
    const hashes = new Uint32Array(this.#hashes.length * 2);
    hashes.set(this.#hashes);
    this.#hashes = hashes;
    this.#slots = new Uint32Array(this.#slots.length * 2);
    for (let place = 0; place < this.#count; place++) this.#slots[this.#slotOf(place)] = place + 1;
  }
}

const HASH_WORDS = HASH_BYTES / 4;
