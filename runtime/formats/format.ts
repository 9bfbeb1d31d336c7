import { parse as parseRows } from "csv-parse/sync";
import type { Json } from "../model/json.ts";
import { parseJson } from "./exact_json.ts";
import { parseFeed } from "./feed.ts";

/** The formats that text can be parsed as: the names of `format`. */
export const formats = ["json", "feed", "csv", "lines", "text"] as const;

export type FormatName = typeof formats[number];

/** A value of `format`: a name, or CSV that must have these columns in its header. */
export type Format = FormatName | { csv: { columns: string[] } };

/** The name alone, for messages and for what its options do not change. */
export function nameOfFormat(format: Format): FormatName {
  return typeof format === "string" ? format : "csv";
}

/** The text is not in the given format. */
export class FormatError extends Error {
  override name = "FormatError";
}

/**
 * Parses text. `json`: the value; `feed`: `{title, link, description, updated, items}` (see `feed.ts`); `csv`: a list of
 * rows by the names in the header row, all values text, separated by comma, semicolon or tab, with `columns` only if the header row
 * has these; `lines`: a list of lines without their ends; `text`: the text. A byte order mark is dropped.
 * @throws FormatError
 */
export function parse(text: string, format: Format): Json {
  const plain = withoutMark(text);
  if (typeof format === "object") demandColumns(plain, format.csv.columns);
  switch (nameOfFormat(format)) {
    case "text":
      return plain;
    case "lines":
      return plain === "" ? [] : plain.replace(/\r?\n$/, "").split(/\r?\n/);
    case "json":
      return attempt("JSON", plain, () => parseJson(plain));
    case "csv":
      return attempt("CSV", plain, () => parseCsv(plain));
    case "feed":
      return attempt("an RSS or Atom feed", plain, () => parseFeed(plain));
  }
}

/** The names in the header row of a CSV text. */
export function columnsOf(text: string): string[] {
  const plain = withoutMark(text);
  const [names = []] = parseRows(plain, { delimiter: delimiterOf(plain), skip_empty_lines: true, to: 1 }) as string[][];
  return trimmed(names);
}

/** Looks at the header row alone: it tells more of a wrong table than the first row that does not fit. */
function demandColumns(text: string, columns: string[]): void {
  const found = attempt("CSV", text, () => columnsOf(text));
  const missing = columns.filter((name) => !found.includes(name));
  if (missing.length === 0) return;
  const list = (names: string[]) => names.map((name) => JSON.stringify(name)).join(", ");
  const shown = list(found).slice(0, 1_000) || "nothing";
  const lacking = `${list(missing)} ${missing.length === 1 ? "is" : "are"} missing`;
  throw new FormatError(`expected csv with the columns ${list(columns)}, got ${shown}: ${lacking}`);
}

function parseCsv(text: string): Json {
  return parseRows(text, {
    columns: trimmed,
    delimiter: delimiterOf(text),
    skip_empty_lines: true,
  }) as Json;
}

function trimmed(names: string[]): string[] {
  return names.map((name) => name.trim());
}

function withoutMark(text: string): string {
  return text.startsWith("\uFEFF") ? text.slice(1) : text;
}

/** Spreadsheets in many countries write semicolons. The header row shows that, as names contain no separators. */
function delimiterOf(text: string): string {
  const header = /[^\r\n]*/.exec(text.trimStart())![0];
  const counts = [",", ";", "\t"].map((mark) => ({ mark, count: header.split(mark).length }));
  return counts.reduce((most, next) => next.count > most.count ? next : most).mark;
}

function attempt<T>(expected: string, text: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    const start = text.length > 60 ? `${text.slice(0, 60)}…` : text;
    const found = text.trim() === "" ? "nothing" : JSON.stringify(start);
    throw new FormatError(`expected ${expected}, got ${found}: ${error instanceof Error ? error.message : error}`);
  }
}
