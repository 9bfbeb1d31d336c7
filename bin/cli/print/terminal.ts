import { env, stdout } from "node:process";
import { styleText } from "node:util";
import { formatDuration } from "../../../runtime/model/duration.ts";

/** An output for people, and its abilities. */
export interface Terminal {
  write(text: string): void;
  /** Columns; Infinity if the output is no terminal, so that nothing is cut off. */
  width: number;
  colours: boolean;
  /** Milliseconds since the epoch, for relative times. */
  now: number;
}

export type Colour = "red" | "green" | "yellow" | "cyan" | "dim" | "bold";

/** The program's own standard output. Colours only on a terminal, and not if `NO_COLOR` is set. */
export function standardOutput(): Terminal {
  return {
    write: (text) => stdout.write(text),
    width: stdout.isTTY ? stdout.columns : Infinity,
    colours: stdout.isTTY === true && !env.NO_COLOR,
    now: Date.now(),
  };
}

/** Colours a text if the terminal supports it. */
export function paint(terminal: Terminal, colour: Colour | undefined, text: string): string {
  return terminal.colours && colour !== undefined ? styleText(colour, text, { validateStream: false }) : text;
}

/** One line of text that cannot move the cursor: external text may contain escape sequences. */
export function oneLine(text: string): string {
  return visible(text.replaceAll(/\s+/g, " "));
}

/** The text with its lines, but without control characters that a terminal would interpret. */
export function visible(text: string): string {
  // deno-lint-ignore no-control-regex
  return text.replaceAll("\r\n", "\n").replaceAll(/[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]/g, "�");
}

/** The first lines, then a line with the number of the others. */
export function firstLines(lines: string[], most: number): string[] {
  if (lines.length <= most) return lines;
  return [...lines.slice(0, most), `… ${lines.length - most} more lines (--json shows all)`];
}

/** Cuts a text to a number of columns, with an ellipsis if something is missing. */
export function fit(text: string, width: number): string {
  if (text.length <= width) return text;
  const characters = [...text];
  return characters.length <= width ? text : characters.slice(0, Math.max(0, width - 1)).join("") + "…";
}

/** A cell of a table. */
export type Cell = string | { text: string; colour?: Colour };

const GAP = "  ";

/**
 * Prints aligned columns. On a terminal the last column, with the longest texts, is cut to the remaining width; the other
 * columns keep their full text, because ids are copied from them.
 */
export function printTable(terminal: Terminal, heads: string[], rows: Cell[][]): void {
  const texts = rows.map((row) => row.map((cell) => oneLine(typeof cell === "string" ? cell : cell.text)));
  const widths = heads.map((head, column) => Math.max(head.length, ...texts.map((row) => lengthOf(row[column]))));
  const line = (cells: string[], colourOf: (column: number) => Colour | undefined) => {
    let left = terminal.width;
    const parts = cells.map((text, column) => {
      const last = column === cells.length - 1;
      const shown = last ? fit(text, left) : text + " ".repeat(widths[column] - lengthOf(text));
      left -= widths[column] + GAP.length;
      return paint(terminal, colourOf(column), shown);
    });
    terminal.write(parts.join(GAP).trimEnd() + "\n");
  };
  line(heads, () => "dim");
  for (const [index, row] of rows.entries()) {
    line(texts[index], (column) => {
      const cell = row[column];
      return typeof cell === "string" ? undefined : cell.colour;
    });
  }
}

function lengthOf(text: string): number {
  return [...text].length;
}

const UNITS: [name: string, ms: number][] = [["d", 86_400_000], ["h", 3_600_000], ["m", 60_000], ["s", 1_000]];

/** A time relative to now: `3m ago`, `in 2h30m`, `now`. */
export function relativeTime(at: number, now: number): string {
  const distance = Math.abs(at - now);
  const unit = UNITS.find(([, ms]) => distance >= ms);
  if (unit === undefined) return "now";
  return at < now ? `${Math.floor(distance / unit[1])}${unit[0]} ago` : `in ${formatDuration(distance)}`;
}

/** A time to the second, in UTC: `2026-11-21 07:14:02Z`. */
export function absoluteTime(at: number): string {
  return new Date(at).toISOString().replace("T", " ").replace(/\.\d+Z$/, "Z");
}

/** The time at which something ends, and how long until then: `2026-11-23 08:00:00Z (in 1d12h)`. */
export function deadline(at: number, now: number): string {
  return `${absoluteTime(at)} (${at > now ? `in ${formatDuration(at - now)}` : "now"})`;
}
