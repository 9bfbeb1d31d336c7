import { layOutJson } from "../../../runtime/formats/exact_json.ts";
import type { RecordedError } from "../../../runtime/model/errors.ts";
import type { Json } from "../../../runtime/model/json.ts";
import { type Colour, paint, type Terminal, visible } from "./terminal.ts";

/** How many lines of one input, output or event are shown; `--json` shows all. */
const MOST_LINES = 30;
/** Width of a label in columns. */
const LABEL = 9;

/** Prints a value next to a label; text as it is, anything else as JSON. */
export function printValue(terminal: Terminal, label: string, json: Json): void {
  printBlock(terminal, label, typeof json === "string" ? json : layOutJson(json));
}

/** Prints an error, and where in rule code it was thrown. */
export function printError(terminal: Terminal, label: string, { name, message, stack, detail }: RecordedError): void {
  const frames = (stack ?? "").split("\n").filter((line) => /^\s+at /.test(line));
  const says = name === "Error" || name === "TerminalError" ? message : `${name}: ${message}`;
  printBlock(terminal, label, [says, ...frames].join("\n"), "red");
  if (detail !== undefined) printValue(terminal, label.replace("error", "detail"), detail);
}

/** The column at which the text after a label begins: labels of one depth are aligned. */
export function column(label: string): number {
  return label.search(/\S/) + LABEL;
}

function printBlock(terminal: Terminal, label: string, text: string, colour?: Colour): void {
  const lines = visible(text).trimEnd().split("\n");
  const shown = lines.slice(0, MOST_LINES);
  if (lines.length > MOST_LINES) shown.push(`… ${lines.length - MOST_LINES} more lines (--json shows all)`);
  const indent = " ".repeat(column(label));
  const head = paint(terminal, "dim", label.padEnd(indent.length));
  terminal.write(
    shown.map((line, index) => (index === 0 ? head : indent) + paint(terminal, colour, line)).join("\n") + "\n",
  );
}
