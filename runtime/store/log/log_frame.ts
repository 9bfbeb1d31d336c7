import { Buffer } from "node:buffer";
import { crc32 } from "node:zlib";
import { DamagedError } from "./files.ts";

/**
 * A frame is one group commit on disk: a mark (4 bytes), the payload's length (4), the sequence number (8), a CRC32 of
 * length, sequence number and payload (4), then the payload: lines in UTF-8, see {@link lines}. Little endian.
 */
// 0xff never occurs in UTF-8, so no payload can contain a mark.
const MARK = Buffer.from("\xffwtF", "latin1");
const HEADER = 20;
const CHECKED_FROM = 4;
const CHECKED_TO = 16;

/** A frame found in a segment. */
export interface LogFrame {
  seq: number;
  /** A view of the segment's bytes. */
  payload: Buffer;
  /** Where the next frame begins. */
  end: number;
}

/** The payload of a segment's first frame, whose sequence number is the one before the segment's first. */
export interface SegmentHead {
  log: "whenthen";
  version: number;
}

/** Encodes a frame, and allocates its bytes only once. */
export function encodeFrame(seq: number, text: string): Uint8Array {
  const length = Buffer.byteLength(text);
  const bytes = Buffer.allocUnsafeSlow(HEADER + length);
  bytes.set(MARK);
  bytes.writeUInt32LE(length, 4);
  bytes.writeBigUInt64LE(BigInt(seq), 8);
  bytes.write(text, HEADER);
  bytes.writeUInt32LE(checksum(bytes), CHECKED_TO);
  return bytes;
}

/** Encodes a segment's head. */
export function encodeHead(firstSeq: number, version: number): Uint8Array {
  const head: SegmentHead = { log: "whenthen", version };
  return encodeFrame(firstSeq - 1, JSON.stringify(head));
}

/**
 * The format version in a segment's head.
 * @throws DamagedError
 */
export function versionOf(head: LogFrame): number {
  try {
    const { log, version }: SegmentHead = JSON.parse(head.payload.toString());
    if (log === "whenthen" && Number.isInteger(version)) return version;
  } catch {
    // Not JSON: reported below, like any other text that is not a head.
  }
  throw new DamagedError(`a segment begins with ${JSON.stringify(head.payload.toString("utf8", 0, 80))}`);
}

/** The frame that begins at `at`, or undefined if no valid one does. */
export function readFrame(bytes: Uint8Array, at: number): LogFrame | undefined {
  if (at + HEADER > bytes.length) return undefined;
  const rest = Buffer.from(bytes.buffer, bytes.byteOffset + at, bytes.length - at);
  if (!rest.subarray(0, MARK.length).equals(MARK)) return undefined;
  const end = HEADER + rest.readUInt32LE(4);
  if (end > rest.length) return undefined;
  const frame = rest.subarray(0, end);
  if (checksum(frame) !== frame.readUInt32LE(CHECKED_TO)) return undefined;
  return { seq: Number(frame.readBigUInt64LE(8)), payload: frame.subarray(HEADER), end: at + end };
}

/**
 * Whether a valid frame later than `seq` begins after `at`. A torn write leaves none, so if there is one, the bytes at `at`
 * were damaged after they had been synced.
 */
export function newerFrameAfter(bytes: Uint8Array, at: number, seq: number): boolean {
  const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  for (let found = view.indexOf(MARK, at + 1); found >= 0; found = view.indexOf(MARK, found + 1)) {
    if ((readFrame(bytes, found)?.seq ?? 0) > seq) return true;
  }
  return false;
}

function checksum(frame: Buffer): number {
  return crc32(frame.subarray(HEADER), crc32(frame.subarray(CHECKED_FROM, CHECKED_TO)));
}

/** Callbacks for the lines of a frame. */
export interface FrameVisitor {
  row(line: Line): void;
  id(hash: string, text: string): void;
  /** @param text a view. An event without a text of its own gets the text of its row, put earlier in the same frame */
  history(kind: HistoryKind, header: string, text: Buffer): void;
}

const IDS = "id/";

/**
 * Visits the lines of a frame in order.
 * @throws DamagedError
 */
export function visitFrame(payload: Buffer, visitor: FrameVisitor): void {
  /** The rows of events, which their lines in history refer to. */
  const events = new Map<string, Line>();
  for (const line of lines(payload)) {
    const kind = historyKind(line.key);
    if (kind !== undefined) {
      const { header, text } = splitHistory(payload, line);
      const isInRow = kind === "event" && text.length === 0;
      visitor.history(kind, header, isInRow ? textOfEvent(header, payload, events) : text);
    } else if (line.key.startsWith(IDS)) {
      visitor.id(line.key.slice(IDS.length), payload.toString("utf8", line.from, line.to));
    } else {
      if (line.key.startsWith("event")) events.set(withoutBirth(line.key).key, line);
      visitor.row(line);
    }
  }
}

/** The text of an event's row. The frame that accepts the event puts the row first. */
function textOfEvent(header: string, payload: Buffer, events: Map<string, Line>): Buffer {
  const [eventKey]: [number] = JSON.parse(header);
  const key = `event/${String(eventKey).padStart(16, "0")}`;
  const put = events.get(key);
  if (put === undefined || isDrop(put)) throw new DamagedError(`${key} is not put before its event in the same frame`);
  return payload.subarray(put.from, put.to);
}

// The payload of a frame and the body of a block are lines, each ended by "\n". JSON text and keys contain neither tabs nor
// newlines.
//
//     <table>/<key>\t<json>     put of a live row
//     <table>*/<key>\t<json>    the same; the key did not exist before
//     <table>/<key>\t           drop of a live row
//     id/<32 hex>\t<json>       an identity: [key, at, within | null, runs, flags]
//     +event\t<json>\t<json>    history: header, text
//     +run\t<json>\t<json>
//     +more\t<json>\t<json>

const TAB = 9;
const NEWLINE = 10;
const SLASH = 47;
const STAR = 42;
const BORN = "*/";

/** Part of a buffer, without a view of its own: a start reads hundreds of thousands of them, and making views takes much longer. */
export interface Span {
  bytes: Buffer;
  from: number;
  /** Where it ends, not included. */
  to: number;
}

/** One line, with the span of its rest. Nothing of it is decoded before it is read. */
export class Line implements Span {
  readonly bytes: Buffer;
  #key: string | undefined;
  /** Where it begins. */
  readonly start: number;
  /** Where the rest begins, after the first tab. */
  readonly from: number;
  /** Where the rest ends: at the newline. */
  readonly to: number;

  constructor(bytes: Buffer, start: number, from: number, to: number) {
    this.bytes = bytes;
    this.start = start;
    this.from = from;
    this.to = to;
  }

  /** The first column. */
  get key(): string {
    return this.#key ??= this.bytes.toString("utf8", this.start, this.from - 1);
  }
}

/**
 * The lines of a payload or body.
 * @throws DamagedError if a line has no tab or no end
 */
export function* lines(bytes: Buffer): Generator<Line> {
  for (let at = 0; at < bytes.length;) {
    const tab = bytes.indexOf(TAB, at);
    const to = tab < 0 ? -1 : bytes.indexOf(NEWLINE, tab);
    if (to < 0) throw new DamagedError(`the line at byte ${at} is not whole`);
    yield new Line(bytes, at, tab + 1, to);
    at = to + 1;
  }
}

/** Whether a line drops its row. */
export function isDrop({ from, to }: Line): boolean {
  return from === to;
}

/** The row that a line puts or drops. */
export interface RowName {
  table: string;
  key: string;
  /** Whether the put says that the key did not exist before. */
  born: boolean;
}

/**
 * Splits the first column of a row's line.
 * @throws DamagedError if there is no table
 */
export function rowNameOf(bytes: Buffer, line: Line): RowName {
  const slash = bytes.indexOf(SLASH, line.start);
  if (slash <= line.start || slash >= line.from) throw withoutTable(line.key);
  const born = bytes[slash - 1] === STAR;
  return {
    table: tableAt(bytes, line.start, born ? slash - 1 : slash),
    // Not a slice of the column, which would keep the whole column in memory.
    key: bytes.toString("utf8", slash + 1, line.from - 1),
    born,
  };
}

/** The table of the last row: rows of a table follow each other, so its name is rarely decoded. */
let lastTable = "";

function tableAt(bytes: Buffer, from: number, to: number): string {
  let same = 0;
  // Table names are ASCII.
  while (from + same < to && bytes[from + same] === lastTable.charCodeAt(same)) same++;
  const isSame = from + same === to && same === lastTable.length;
  return isSame ? lastTable : lastTable = bytes.toString("utf8", from, to);
}

/**
 * The first column without the mark of a new key, as in deltas and bases.
 * @throws DamagedError if there is no table
 */
export function withoutBirth(text: string): { key: string; born: boolean } {
  const slash = findSlash(text);
  if (!text.startsWith(BORN, slash - 1)) return { key: text, born: false };
  return { key: text.slice(0, slash - 1) + text.slice(slash), born: true };
}

function findSlash(text: string): number {
  const slash = text.indexOf("/");
  if (slash <= 0) throw withoutTable(text);
  return slash;
}

function withoutTable(column: string): DamagedError {
  return new DamagedError(`a line begins with ${JSON.stringify(column.slice(0, 80))}`);
}

/** A line of history: `+event`, `+run` or `+more`. */
export type HistoryKind = "event" | "run" | "more";

/** The kind of a history line, or undefined for other lines. */
function historyKind(key: string): HistoryKind | undefined {
  switch (key) {
    case "+event":
      return "event";
    case "+run":
      return "run";
    case "+more":
      return "more";
  }
}

/** The content of a history line: the header is decoded, the text is a view. */
export interface HistoryLine {
  header: string;
  text: Buffer;
}

/**
 * Splits the text after the first tab of a history line.
 * @throws DamagedError if there is no second tab
 */
export function splitHistory(bytes: Buffer, { key, from, to }: Line): HistoryLine {
  const tab = bytes.indexOf(TAB, from);
  if (tab < 0 || tab > to) throw new DamagedError(`a line ${key} has no text`);
  return { header: bytes.toString("utf8", from, tab), text: bytes.subarray(tab + 1, to) };
}
