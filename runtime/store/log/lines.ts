import type { Buffer } from "node:buffer";
import { DamagedError } from "./errors.ts";

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
const BORN = "*/";

/** One line. The text after its first tab is not decoded. */
export interface Line {
  /** The first column. */
  key: string;
  /** Where it begins. */
  start: number;
  /** Where the rest begins, after the first tab. */
  from: number;
  /** Where the rest ends: at the newline. */
  to: number;
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
    yield { key: bytes.toString("utf8", at, tab), start: at, from: tab + 1, to };
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
  /** A separate string: a slice of the column would keep the whole column in memory. */
  key: string;
  /** Whether the put says that the key did not exist before. */
  born: boolean;
}

/**
 * Splits the first column of a row's line.
 * @throws DamagedError if there is no table
 */
export function rowNameOf(bytes: Buffer, { key: column, start, from }: Line): RowName {
  const slash = findSlash(column);
  const born = column.startsWith(BORN, slash - 1);
  const table = column.slice(0, born ? slash - 1 : slash);
  // Table names are ASCII, so characters and bytes have the same offsets.
  return { table, key: bytes.toString("utf8", start + slash + 1, from - 1), born };
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
  if (slash <= 0) throw new DamagedError(`a line begins with ${JSON.stringify(text.slice(0, 80))}`);
  return slash;
}

/** A line of history: `+event`, `+run` or `+more`. */
export type HistoryKind = "event" | "run" | "more";

/** The kind of a history line, or undefined for other lines. */
export function historyKind(key: string): HistoryKind | undefined {
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
