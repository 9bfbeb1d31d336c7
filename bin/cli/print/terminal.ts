import type { WriteStream } from "node:tty";
import { env, stdout } from "node:process";
import { styleText } from "node:util";
import { formatDuration } from "../../../runtime/model/duration.ts";
import { codeOf } from "../../../runtime/model/errors.ts";

/** An output for people, and its abilities. */
export interface Terminal {
  write(text: string): void;
  /** Columns; Infinity if the output is no terminal, so that nothing is cut off. */
  width: number;
  colours: boolean;
  /** Milliseconds since the epoch, for relative times. */
  now: number;
  /** Resolves when nothing can be written any more, for example because the reader of a pipe has ended. */
  failed?: Promise<void>;
}

export type Colour = "red" | "green" | "yellow" | "cyan" | "dim" | "bold";

/** The program's own standard output. What cannot be written is dropped; {@link StandardOutput.end} says why. */
export class StandardOutput implements Terminal {
  readonly width = stdout.isTTY && stdout.columns || Infinity;
  readonly colours = hasColours(stdout);
  readonly now = Date.now();
  #failure: Error | undefined;
  readonly #failed = Promise.withResolvers<void>();
  readonly failed = this.#failed.promise;

  constructor() {
    stdout.on("error", (error) => this.#fail(error));
  }

  readonly write = (text: string): void => {
    if (this.#failure !== undefined) return;
    try {
      stdout.write(text);
    } catch (error) {
      // Deno throws, Bun calls the listener.
      this.#fail(error instanceof Error ? error : new Error(String(error)));
    }
  };

  /**
   * Waits until all is written. On Bun only the end of a stream shows that, not its last write.
   * @returns why something could not be written; undefined if all was, or if the reader needs no more, such as `head`
   */
  async end(): Promise<Error | undefined> {
    if (this.#failure === undefined) {
      await Promise.race([this.failed, new Promise<void>((resolve) => stdout.end(resolve))]);
    }
    return codeOf(this.#failure) === "EPIPE" ? undefined : this.#failure;
  }

  #fail(error: Error): void {
    this.#failure ??= error;
    this.#failed.resolve();
  }
}

/**
 * Whether to write colours to a stream: as `FORCE_COLOR` says, else not if `NO_COLOR` is set, else if it is a terminal. An
 * empty variable counts as unset; `FORCE_COLOR=0` and `false` mean none, as for Node.
 */
export function hasColours(stream: Pick<WriteStream, "isTTY">, { FORCE_COLOR, NO_COLOR } = env): boolean {
  if (FORCE_COLOR) return FORCE_COLOR !== "0" && FORCE_COLOR !== "false";
  return !NO_COLOR && stream.isTTY === true;
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

/** Counts the columns that a text takes on a terminal: by default one for each character. */
let columnsOf = (text: string): number => [...text].length;

/**
 * Prepares for printing a text: if it may contain characters that take two columns or none, such as 漢 and accents, loads the
 * library that counts them. Few texts do, and tables are printed without waiting.
 */
export async function prepareWidths(text: string): Promise<void> {
  if (/[\u0300-\uffff]/.test(text)) columnsOf = (await import("string-width")).default;
}

/** Cuts a text to a number of columns, with an ellipsis if something is missing. */
export function fit(text: string, width: number): string {
  if (columnsOf(text) <= width) return text;
  let [shown, left] = ["", width - 1];
  for (const { segment } of new Intl.Segmenter().segment(text)) {
    left -= columnsOf(segment);
    if (left < 0) break;
    shown += segment;
  }
  return `${shown}…`;
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
  const widths = heads.map((head, column) => Math.max(head.length, ...texts.map((row) => columnsOf(row[column]))));
  const line = (cells: string[], colourOf: (column: number) => Colour | undefined) => {
    let left = terminal.width;
    const parts = cells.map((text, column) => {
      const last = column === cells.length - 1;
      const shown = last ? fit(text, left) : text + " ".repeat(widths[column] - columnsOf(text));
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
