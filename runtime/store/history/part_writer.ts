import { Buffer } from "node:buffer";
import { crc32 } from "node:zlib";
import { briefLength, type EventHeader, type MoreHeader, type RunHeader, type Text } from "./lines.ts";
import { type Catalogue, CatalogueBuilder } from "./catalogue.ts";
import { PART_FORMAT, PART_SCHEMA, partName } from "./part_file.ts";
import { type Database, NewFile, type Statement } from "./sqlite.ts";

/** Bytes of JSON text in a block. A longer text gets its own block. */
const BLOCK_BYTES = 65536;

/** A finished part. */
export interface MadePart {
  bytes: Uint8Array<ArrayBuffer>;
  /** Includes the file name for the part. */
  catalogue: Catalogue;
}

/** Makes a part, the history of one segment, from the segment's history lines in order. */
export class PartWriter {
  readonly #file: NewFile;
  readonly #first: number;
  readonly #catalogue = new CatalogueBuilder();
  readonly #blocks: Blocks;
  readonly #events: TextTable;
  readonly #runs: TextTable;
  readonly #more: TextTable;
  #line = 0;

  private constructor(file: NewFile, first: number) {
    this.#file = file;
    this.#first = first;
    const { database } = file;
    this.#blocks = new Blocks(database);
    this.#events = new TextTable(this.#blocks, database.prepare("INSERT INTO events VALUES (?,?,?,?,?,?,?,?,?)"));
    this.#runs = new TextTable(
      this.#blocks,
      database.prepare("REPLACE INTO runs VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?)"),
    );
    this.#more = new TextTable(this.#blocks, database.prepare("INSERT INTO more VALUES (?,?,?,?,?)"));
  }

  /**
   * @param first the first frame of the segment
   * @param expected estimated bytes of the texts; the bytes of the segment are a good guess
   */
  static async create(first: number, expected: number): Promise<PartWriter> {
    return new PartWriter(await NewFile.create(PART_SCHEMA, expected), first);
  }

  event(header: EventHeader, text: Text): void {
    this.#line++;
    const [key, at, type, subject, delivery, rules] = header;
    this.#events.add([key, at, type, subject, delivery, JSON.stringify(rules)], text);
    this.#catalogue.event(header, text);
  }

  /** Adds a run. Replaces its earlier record in this part if the run was retried and has ended again. */
  run(header: RunHeader, text: Text): void {
    const bytes = typeof text === "string" ? Buffer.from(text) : text;
    this.#runs.add([...header, this.#line++, briefLength(bytes)], bytes);
    this.#catalogue.run(header);
  }

  more(header: MoreHeader, text: Text): void {
    this.#more.add([header[1], this.#line++], text);
    this.#catalogue.more(header, text);
  }

  /**
   * @param last the last frame of the segment
   * @param thinned see {@link Catalogue}
   */
  finish(last: number, thinned?: number): MadePart {
    for (const table of [this.#events, this.#runs, this.#more]) table.finish();
    const catalogue = this.#catalogue.finish({
      first: this.#first,
      last,
      file: "",
      bytes: 0,
      ...thinned && { thinned },
    });
    const about = { format: PART_FORMAT, first: this.#first, last, catalogue: JSON.stringify(catalogue) };
    for (const [name, value] of Object.entries(about)) {
      this.#file.database.run("INSERT INTO about VALUES (?, ?)", [name, String(value)]);
    }
    const bytes = this.#file.finish();
    return { bytes, catalogue: { ...catalogue, file: partName(this.#first, last, crc32(bytes)), bytes: bytes.length } };
  }

  /** Abandons the part. */
  discard(): void {
    this.#file.discard();
  }
}

/** Writes blocks and counts them. */
class Blocks {
  #count = 0;
  readonly #insert: Statement;

  constructor(database: Database) {
    // Bytes are bound unchanged; a string would be encoded again.
    this.#insert = database.prepare("INSERT INTO blocks VALUES (?, CAST(? AS TEXT))");
  }

  /** Starts a block and returns its number. */
  begin(): number {
    return this.#count++;
  }

  write(block: number, bytes: Uint8Array): void {
    this.#insert.run([block, bytes]);
  }
}

/** A table with its texts, in separate blocks per table, so that a page of a listing reads few blocks. */
class TextTable {
  readonly #blocks: Blocks;
  readonly #insert: Statement;
  #buffer = Buffer.allocUnsafeSlow(BLOCK_BYTES);
  #length = 0;
  #block = 0;

  constructor(blocks: Blocks, insert: Statement) {
    this.#blocks = blocks;
    this.#insert = insert;
  }

  add(columns: (string | number | null)[], text: Text): void {
    const bytes = typeof text === "string" ? Buffer.byteLength(text) : text.length;
    // One byte before the text, and the bracket at the end.
    if (this.#length > 0 && this.#length + bytes + 2 > BLOCK_BYTES) this.finish();
    if (this.#length === 0) {
      this.#block = this.#blocks.begin();
      if (bytes + 2 > this.#buffer.length) this.#buffer = Buffer.allocUnsafeSlow(bytes + 2);
    }
    this.#buffer[this.#length] = this.#length === 0 ? OPENING : COMMA;
    this.#length++;
    this.#insert.run([...columns, this.#block, this.#length, bytes]);
    if (typeof text === "string") this.#buffer.write(text, this.#length);
    else this.#buffer.set(text, this.#length);
    this.#length += bytes;
  }

  /** Writes the open block. */
  finish(): void {
    if (this.#length === 0) return;
    this.#buffer[this.#length++] = CLOSING;
    this.#blocks.write(this.#block, this.#buffer.subarray(0, this.#length));
    this.#length = 0;
    if (this.#buffer.length > BLOCK_BYTES) this.#buffer = Buffer.allocUnsafeSlow(BLOCK_BYTES);
  }
}

const [OPENING, COMMA, CLOSING] = Buffer.from("[,]");
