import { Buffer } from "node:buffer";
import type { Json } from "../model/json.ts";
import { columnsOf, type CsvOptions, parseCsv } from "./csv.ts";
import type { ParseOptions } from "./feed.ts";
import { parseJson } from "./exact_json.ts";
import type { XmlOptions } from "./xml.ts";

/** The formats that text can be parsed as: the names of `format`. */
export const formats = ["json", "feed", "xml", "csv", "lines", "text", "base64"] as const;

export type FormatName = typeof formats[number];

/** A value of `format`: a name, or a name with options. */
export type Format = FormatName | { csv: CsvOptions } | { xml: XmlOptions };

/** The name alone, for messages and for what its options do not change. */
export function nameOfFormat(format: Format): FormatName {
  if (typeof format === "string") return format;
  return "csv" in format ? "csv" : "xml";
}

/** The options of CSV; none if that is not the format. */
export function csvOptionsOf(format: Format): CsvOptions {
  return typeof format === "object" && "csv" in format ? format.csv : {};
}

/** The text is not in the given format. */
export class FormatError extends Error {
  override name = "FormatError";
}

/**
 * Parses text. `json`: the value; `feed`: see `feed.ts`; `xml`: see `xml.ts`; `csv`: a list of rows, see `csv.ts`; `lines`: a list of
 * lines without their ends; `text`: the text. A byte order mark is dropped. `base64` is for bytes, which callers encode before
 * they decode them as text; here it is that of the text in UTF-8.
 * @returns a promise for `feed` and `xml` only, whose libraries are loaded when they are first used
 * @throws FormatError
 */
export function parse(text: string, format: Format, options: ParseOptions = {}): Json | Promise<Json> {
  const plain = withoutMark(text);
  switch (nameOfFormat(format)) {
    case "text":
      return plain;
    case "base64":
      return Buffer.from(text).toString("base64");
    case "lines":
      return plain === "" ? [] : plain.replace(/\r?\n$/, "").split(/\r?\n/);
    case "json":
      return attempt("JSON", plain, () => parseJson(plain));
    case "csv": {
      const csv = csvOptionsOf(format);
      if (csv.header !== false) demandColumns(plain, csv);
      return attempt("CSV", plain, () => parseCsv(plain, csv, options.warn));
    }
    case "feed":
      return import("./feed.ts").then(({ parseFeed }) =>
        attempt("an RSS or Atom feed", plain, () => parseFeed(plain, options))
      );
    case "xml": {
      const xml = typeof format === "object" && "xml" in format ? format.xml : {};
      return import("./xml.ts").then(({ parseXml }) => attempt("XML", plain, () => parseXml(plain, xml)));
    }
  }
}

/** The names of the columns of a CSV text. */
export function csvColumns(text: string, format: Format): string[] {
  return columnsOf(withoutMark(text), csvOptionsOf(format));
}

/** Names the format that would make data of a text that was expected to be data, as the end of a message; else nothing. */
export function formatHint(text: string): string {
  const start = text.slice(0, 4_000).trimStart();
  const isMarkup = start.startsWith("<") && !/^<(!doctype\s+html|html)\b/i.test(start);
  const name = /^[[{]/.test(start) ? "json" : !isMarkup ? undefined : looksLikeFeed(start) ? "feed" : "xml";
  return name === undefined ? "" : `; "format: ${name}" would read it as data`;
}

/** Whether the beginning of a text is that of an RSS or Atom feed. */
export function looksLikeFeed(start: string): boolean {
  return /<([\w.-]+:)?(rss|feed|rdf)[\s>]/i.test(start);
}

/** Looks at the header row alone: it tells more of a wrong table than the first row that does not fit. */
function demandColumns(text: string, options: CsvOptions): void {
  const { columns = [] } = options;
  if (columns.length === 0) return;
  const found = attempt("CSV", text, () => columnsOf(text, options));
  const missing = columns.filter((name) => !found.includes(name));
  if (missing.length === 0) return;
  const list = (names: string[]) => names.map((name) => JSON.stringify(name)).join(", ");
  const shown = list(found).slice(0, 1_000) || "nothing";
  const lacking = `${list(missing)} ${missing.length === 1 ? "is" : "are"} missing`;
  throw new FormatError(`expected csv with the columns ${list(columns)}, got ${shown}: ${lacking}`);
}

function withoutMark(text: string): string {
  return text.startsWith("\uFEFF") ? text.slice(1) : text;
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
