import { Buffer } from "node:buffer";
import { crc32 } from "node:zlib";
import type { Bound, Write } from "./database.ts";

/**
 * One group of commits on disk: 4 bytes of a mark, length of the payload, sequence number (8), CRC32 over length,
 * sequence number and payload, then the payload in JSON. Little endian.
 */
// Its first byte never occurs in UTF-8, so no payload can hold something that looks like a frame.
const MARK = Buffer.from("\xffwtF", "latin1");
const HEADER = 20;
const CHECKED_FROM = 4;
const CHECKED_TO = 16;

/** The SQL texts of one segment by number; each is written once, with the frame that first uses it. */
export type Texts = Map<string, number>;

/** A payload: the texts that are new in this segment, then each statement by number with its parameters. */
interface Payload {
  sql: string[];
  run: [text: number, ...params: Bound[]][];
}

/** What a segment begins with, as a frame of its own with the sequence number before its first. */
export interface SegmentHead {
  journal: "whenthen";
  schema: number;
}

/** Encodes a group; adds its new texts to `texts`. */
export function encodeFrame(seq: number, writes: Write[], texts: Texts): Uint8Array {
  const payload: Payload = { sql: [], run: [] };
  for (const { sql, params } of writes) {
    let text = texts.get(sql);
    if (text === undefined) {
      text = texts.size;
      texts.set(sql, text);
      payload.sql.push(sql);
    }
    payload.run.push([text, ...params]);
  }
  return encode(seq, payload);
}

/** Encodes a segment's head. */
export function encodeHead(firstSeq: number, schema: number): Uint8Array {
  const head: SegmentHead = { journal: "whenthen", schema };
  return encode(firstSeq - 1, head);
}

/** Reads a frame's payload; adds its new texts to `texts`. */
export function decodeFrame(payload: Uint8Array, texts: string[]): Write[] {
  const { sql, run } = parse(payload) as Payload;
  texts.push(...sql);
  return run.map(([text, ...params]) => ({ sql: texts[text], params }));
}

/** Reads a segment's head out of its first frame. */
export function decodeHead(payload: Uint8Array): SegmentHead {
  return parse(payload) as SegmentHead;
}

/** A frame found in a segment. */
export interface Frame {
  seq: number;
  payload: Uint8Array;
  /** Where the next one begins. */
  end: number;
}

/** The frame that begins at `at`, or undefined where there is none that checks. */
export function readFrame(bytes: Uint8Array, at: number): Frame | undefined {
  if (at + HEADER > bytes.length) return undefined;
  const view = Buffer.from(bytes.buffer, bytes.byteOffset + at, bytes.length - at);
  if (!view.subarray(0, MARK.length).equals(MARK)) return undefined;
  const end = HEADER + view.readUInt32LE(4);
  if (end > view.length) return undefined;
  const payload = view.subarray(HEADER, end);
  if (checksum(view.subarray(CHECKED_FROM, CHECKED_TO), payload) !== view.readUInt32LE(CHECKED_TO)) return undefined;
  return { seq: Number(view.readBigUInt64LE(8)), payload, end: at + end };
}

/**
 * Whether a frame after `seq` that checks begins behind `at`. A write that was cut leaves none; where there is one,
 * what stands at `at` was damaged after it had been synced.
 */
export function newerFrameBehind(bytes: Uint8Array, at: number, seq: number): boolean {
  const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  for (let found = view.indexOf(MARK, at + 1); found >= 0; found = view.indexOf(MARK, found + 1)) {
    if ((readFrame(bytes, found)?.seq ?? 0) > seq) return true;
  }
  return false;
}

function encode(seq: number, value: object): Uint8Array {
  const payload = Buffer.from(JSON.stringify(value));
  const header = Buffer.alloc(HEADER);
  MARK.copy(header);
  header.writeUInt32LE(payload.length, 4);
  header.writeBigUInt64LE(BigInt(seq), 8);
  header.writeUInt32LE(checksum(header.subarray(CHECKED_FROM, CHECKED_TO), payload), CHECKED_TO);
  return Buffer.concat([header, payload]);
}

function checksum(header: Uint8Array, payload: Uint8Array): number {
  return crc32(payload, crc32(header));
}

function parse(payload: Uint8Array): unknown {
  return JSON.parse(Buffer.from(payload.buffer, payload.byteOffset, payload.length).toString());
}
