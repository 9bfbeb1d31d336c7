import { configure, getJsonLinesFormatter, getTextFormatter, type LogLevel, type LogRecord } from "@logtape/logtape";
import { env, stderr } from "node:process";
import { styleText } from "node:util";
import { LogLines } from "./log_lines.ts";
import { escapeControls } from "../../runtime/model/escape_controls.ts";
import { writeExactJson } from "../../runtime/formats/exact_json.ts";

/**
 * Sets up the log: one line for each record on standard error, so that listings on standard output stay clean. Every
 * line passes through the mask once there is one.
 */
export async function startLog(format: "pretty" | "json", lowestLevel: LogLevel): Promise<void> {
  const colours = stderr.isTTY === true && !env.NO_COLOR;
  const write = format === "json" ? jsonLine : (record: LogRecord) => prettyLine(record, colours);
  // What LogTape says of itself has values of any kind in it.
  const writeMeta = format === "json" ? getJsonLinesFormatter() : getTextFormatter();
  const sink = (record: LogRecord) => lines.add(masked(write(record)));
  await configure({
    reset: true,
    sinks: {
      stderr: Object.assign(sink, { [WRITES_AT_ONCE]: true }),
      meta: (record) => lines.add(masked(writeMeta(record))),
    },
    loggers: [
      { category: ["whenthen"], sinks: ["stderr"], lowestLevel },
      { category: ["logtape", "meta"], sinks: ["meta"], lowestLevel: "error" },
    ],
  });
}

/** From here on log lines and complaints pass through `masking`, which knows the secrets of the rules. */
export function maskLog(masking: (text: string) => string): void {
  mask = masking;
}

/** A text as it may be shown. */
export function masked(text: string): string {
  return mask(text);
}

/** What LogTape marks its own sinks with that need no copy of a record, as they have written it when they return. */
const WRITES_AT_ONCE = Symbol.for("LogTape.sinkSnapshotPolicy.immediate");

const lines = new LogLines(stderr);
let mask = (text: string): string => text;

/** As LogTape's own JSON lines, at a third of their cost: here all values are plain JSON. */
function jsonLine({ timestamp, level, message, category, properties }: LogRecord): string {
  const line = writeExactJson({
    "@timestamp": new Date(timestamp).toISOString(),
    level: level === "warning" ? "WARN" : level.toUpperCase(),
    message: message.join("\n"),
    logger: category.join("."),
    properties,
  });
  // Terminals and readers of lines obey some that JSON lets stand.
  return `${escapeControls(line)}\n`;
}

/** `08:06:31 what happened`; the level is said where it is worth a look. */
function prettyLine({ timestamp, level, message: texts, properties }: LogRecord, colours: boolean): string {
  const paint = (colour: "dim" | "yellow" | "red", text: string) =>
    colours ? styleText(colour, text, { validateStream: false }) : text;
  const time = paint("dim", timeOf(timestamp));
  const message = texts.map((text) => escapeControls(text as string)).join("\n");
  const data = properties.data === undefined ? "" : ` ${escapeControls(writeExactJson(properties.data))}`;
  if (level === "warning") return `${time} ${paint("yellow", "warning:")} ${message}${data}\n`;
  if (level === "error" || level === "fatal") return `${time} ${paint("red", "error:")} ${message}${data}\n`;
  return `${time} ${message}${data}\n`;
}

let shown = { second: NaN, time: "" };

/** The local time of day. The lines of one second share it. */
function timeOf(timestamp: number): string {
  const second = Math.floor(timestamp / 1_000);
  if (second !== shown.second) shown = { second, time: new Date(timestamp).toTimeString().slice(0, 8) };
  return shown.time;
}
