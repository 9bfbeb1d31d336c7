import { env, stdout } from "node:process";
import { styleText } from "node:util";

/** An output, and what it can do. */
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

/** Cuts a text to a number of columns, with an ellipsis if something is missing. */
export function fit(text: string, width: number): string {
  if (text.length <= width) return text;
  const characters = [...text];
  return characters.length <= width ? text : characters.slice(0, Math.max(0, width - 1)).join("") + "…";
}
