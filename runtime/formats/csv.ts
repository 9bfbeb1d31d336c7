import { type Options, parse as parseRows } from "csv-parse/sync";
import type { Json } from "../model/json.ts";

/** Options of the format `csv`. */
export interface CsvOptions {
  /** The separator of values; by default comma, semicolon or tab, chosen by the first two rows. */
  delimiter?: string;
  /** The quotation mark; false if there are none. By default `"`. */
  quote?: string | false;
  /** Whether the first row has the names of the columns. By default true. */
  header?: boolean;
  /** With a header row: names that it must have. Without one: the names of the columns. */
  columns?: string[];
  /** The number of lines before the table. */
  skip?: number;
  /** Whether rows may have more or fewer values than the header, and quotation marks may be inside values. */
  relaxed?: boolean;
}

/** The table in a text: without the lines before it, which are left empty, so that errors count lines as the file does. */
interface Table {
  text: string;
  options: Options;
}

/** The line in which programs for spreadsheets write the delimiter. */
const SEPARATOR_LINE = /^"?sep=(.)"?(?:\r\n|\n|\r|$)/i;
const LINE = /[^\r\n]*(?:\r\n|\n|\r|$)/y;
/** In the order of preference if a table has as many of several: a comma is also in texts and numbers. */
const DELIMITERS = [";", "\t", ","];
/** A warning names this many lines. */
const MOST_LINES = 5;

/**
 * Parses a CSV text as a list of rows: objects by column, or lists if there is neither a header row nor `columns`. All values are
 * text; blanks around a value outside quotation marks are dropped, as are those in the header. A name that comes again gets a
 * number (`name_2`), a column without a name its own (`column_3`). Empty lines are passed over.
 * @throws Error naming the line, for a row that does not fit its header, unless `relaxed`: then a missing value is null, and one
 * more is in a column of its own
 */
export function parseCsv(text: string, format: CsvOptions = {}, warn?: (message: string) => void): Json {
  const { header = true, columns, relaxed = false } = format;
  const { text: table, options } = readTable(text, format);
  let names = header ? undefined : columns;
  let width = names?.length;
  const ragged: number[] = [];
  const rows = parseTable(table, {
    ...options,
    on_record: (values: string[], { lines }) => {
      if (header && names === undefined) {
        names = namesOf(values);
        width = names.length;
        return null;
      }
      width ??= values.length;
      if (values.length === width) return values;
      if (!relaxed) throw new Error(`line ${lines} has ${count(values.length, "value")}, expected ${width}; ${RELAX}`);
      ragged.push(lines);
      return values;
    },
  });
  if (ragged.length > 0) warn?.(describeRagged(ragged, width!));
  const found = names;
  return found === undefined ? rows : rows.map((values) => toRow(found, values));
}

function parseTable(text: string, options: Options): string[][] {
  try {
    return parseRows(text, options);
  } catch (error) {
    const { code, message } = error as Error & { code?: string };
    if (code === undefined || !/QUOTE/.test(code)) throw error;
    throw new Error(`${message}; "quote" says what the quotation mark is, false if there is none`);
  }
}

/** The names of the columns, by the header row. */
export function columnsOf(text: string, format: CsvOptions = {}): string[] {
  if (format.header === false) return format.columns ?? [];
  const { text: table, options } = readTable(text, format);
  const [names = []] = parseRows(table, { ...options, to: 1 });
  return namesOf(names);
}

const RELAX = '"relaxed: true" takes rows of any length';

function readTable(text: string, { delimiter, quote = '"', skip = 0, relaxed = false }: CsvOptions): Table {
  let before = 0;
  for (LINE.lastIndex = 0; before < skip && LINE.exec(text)?.[0]; before++);
  let rest = text.slice(before === 0 ? 0 : LINE.lastIndex);
  const separator = SEPARATOR_LINE.exec(rest);
  if (separator !== null) {
    rest = rest.slice(separator[0].length);
    before++;
  }
  return {
    text: "\n".repeat(before) + rest,
    options: {
      delimiter: delimiter ?? separator?.[1] ?? delimiterOf(rest, quote),
      quote,
      escape: quote === false ? null : quote,
      record_delimiter: ["\r\n", "\n", "\r"],
      relax_column_count: true,
      relax_quotes: relaxed,
      skip_empty_lines: true,
      ltrim: true,
      // The library would take a quotation mark before a blank for the end of a value, or else refuse it.
      rtrim: !relaxed,
      ...relaxed && { cast: (value: string, { quoting }) => quoting ? unquoted(value, quote) : value.trimEnd() },
    },
  };
}

/** The value of `"a" `, which the library leaves as it is without `rtrim`. */
function unquoted(value: string, quote: string | false): string {
  const kept = value.trimEnd();
  if (quote === false || kept === value || !kept.startsWith(quote)) return value;
  return kept.indexOf(quote, quote.length) === kept.length - quote.length
    ? kept.slice(quote.length, -quote.length)
    : value;
}

/**
 * Spreadsheets in many countries write semicolons. The delimiter is the mark that the header row has most of, among those that the
 * next row has as many of, if there are any; a comma only if it has more of it than of another.
 */
function delimiterOf(text: string, quote: string | false): string {
  const [header, row] = marksOf(text, quote);
  const most = (marks: string[]) => marks.reduce((best, mark) => header.get(mark)! > header.get(best)! ? mark : best);
  const steady = DELIMITERS.filter((mark) => header.get(mark)! > 0 && row?.get(mark) === header.get(mark));
  const best = most(steady.length > 0 ? steady : DELIMITERS);
  return header.get(best) === 0 ? "," : best;
}

/** How many of each delimiter the first two rows have outside quotation marks. */
function marksOf(text: string, quote: string | false): Map<string, number>[] {
  const none = () => new Map(DELIMITERS.map((mark) => [mark, 0]));
  const rows = [none()];
  let isQuoted = false;
  let isEmpty = true;
  for (const character of text) {
    const row = rows.at(-1)!;
    if (character === quote) isQuoted = !isQuoted;
    else if (!isQuoted && (character === "\n" || character === "\r")) {
      if (!isEmpty && rows.push(none()) > 2) return rows;
      isEmpty = true;
      continue;
    } else if (!isQuoted && row.has(character)) row.set(character, row.get(character)! + 1);
    isEmpty = false;
  }
  return isEmpty && rows.length > 1 ? rows.slice(0, -1) : rows;
}

function namesOf(header: string[]): string[] {
  const taken = new Set(header);
  const names = new Set<string>();
  const numbers = new Map<string, number>();
  return header.map((given, index) => {
    const base = given === "" ? `column_${index + 1}` : given;
    let name = base;
    let number = numbers.get(base) ?? 2;
    while (names.has(name) || (name !== given && taken.has(name))) name = `${base}_${number++}`;
    numbers.set(base, number);
    names.add(name);
    return name;
  });
}

/** Missing values are null; a value without a column gets one. */
function toRow(names: string[], values: string[]): { [name: string]: Json } {
  if (values.length <= names.length) {
    return Object.fromEntries(names.map((name, index) => [name, values[index] ?? null]));
  }
  const all = namesOf([...names, ...values.slice(names.length).map(() => "")]);
  return Object.fromEntries(all.map((name, index) => [name, values[index]]));
}

function describeRagged(lines: number[], width: number): string {
  const named = lines.slice(0, MOST_LINES).join(", ");
  const which = lines.length === 1 ? `line ${named} has` : `${lines.length} rows have`;
  const where = lines.length === 1 ? "" : `: lines ${named}${lines.length > MOST_LINES ? ", …" : ""}`;
  return `${which} more or fewer values than the ${count(width, "column")} of the table${where}`;
}

function count(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? "" : "s"}`;
}
