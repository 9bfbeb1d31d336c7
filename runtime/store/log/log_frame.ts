import { Buffer } from "node:buffer";
import { crc32 } from "node:zlib";
import { DamagedError } from "./errors.ts";
import { type HistoryKind, historyKind, isDrop, type Line, lines, splitHistory, withoutBirth } from "./lines.ts";

/**
 * A frame is one group commit on disk: a mark (4 bytes), the payload's length (4), the sequence number (8), a CRC32 of
 * length, sequence number and payload (4), then the payload: lines in UTF-8, see `lines.ts`. Little endian.
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
    const { log, version } = JSON.parse(head.payload.toString()) as SegmentHead;
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
export function newerFrameBehind(bytes: Uint8Array, at: number, seq: number): boolean {
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
  const [eventKey] = JSON.parse(header) as [number];
  const key = `event/${String(eventKey).padStart(16, "0")}`;
  const put = events.get(key);
  if (put === undefined || isDrop(put)) throw new DamagedError(`${key} is not put before its event in the same frame`);
  return payload.subarray(put.from, put.to);
}
