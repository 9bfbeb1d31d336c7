import { configure, dispose, type LogLevel, type LogRecord, type Sink } from "@logtape/logtape";
import process, { stderr } from "node:process";
import { setImmediate } from "node:timers";
import { styleText } from "node:util";
import { writeExactJson } from "../../runtime/formats/exact_json.ts";
import { messageOf, UsageError } from "../../runtime/model/errors.ts";
import { escapeControls } from "../../runtime/model/problem.ts";
import { progress } from "./print/progress.ts";
import { hasColours } from "./print/terminal.ts";

/**
 * Buffers lines for a stream. The lines of one turn of the event loop are written at once: a folder of a thousand rules
 * logs `loaded` a thousand times in one turn, and each write costs a quarter of a millisecond.
 */
export class LogLines {
  #waiting = "";

  constructor(private readonly stream: { write(text: string): unknown }) {
    // The lines of the turn that ends the program.
    process.on("exit", () => this.#flush());
  }

  /** @param line including its newline */
  add(line: string): void {
    if (this.#waiting === "") setImmediate(() => this.#flush());
    this.#waiting += line;
  }

  #flush(): void {
    const text = this.#waiting;
    this.#waiting = "";
    if (text === "") return;
    try {
      this.stream.write(text);
    } catch {
      // The disk is full, on Deno. There is nowhere to report that, and the program continues.
    }
  }
}

/** A file that the log is written to as well. */
export interface LogFile {
  logFile?: string;
  /** Megabytes after which the file is renamed and a new one begins. */
  logFileSize: number;
}

/** How many renamed log files are kept: `file.1`, the newest, to `file.5`. */
const KEPT_FILES = 5;

/**
 * Sets up the log: one line for each record on standard error, so that listings on standard output stay clean, and in the
 * file, if one is given. Every line passes through the mask after {@link maskLog} was called.
 * @throws UsageError if the file cannot be written
 */
export async function startLog(format: "pretty" | "json", lowestLevel: LogLevel, file?: LogFile): Promise<void> {
  const colours = hasColours(stderr);
  const write = format === "json" ? jsonLine : (record: LogRecord) => prettyLine(record, colours);
  const sink = (record: LogRecord) => lines.add(masked(write(record)));
  const inFile = format === "json" ? jsonLine : (record: LogRecord) => prettyLine(record, false);
  const report = new FileReport();
  const files: Record<string, Sink> = file?.logFile === undefined
    ? {}
    : { file: await openLogFile(file.logFile, file.logFileSize, inFile, report) };
  await configure({
    reset: true,
    sinks: {
      stderr: Object.assign(sink, { [WRITES_AT_ONCE]: true }),
      meta: (record) => {
        const message = record.properties.path === undefined ? aboutLog(record) : report.failed(record);
        if (message !== undefined) sink({ ...record, level: "warning", message: [message], properties: {} });
      },
      ...files,
    },
    loggers: [
      { category: ["whenthen"], sinks: ["stderr", ...Object.keys(files)], lowestLevel },
      // A file that can no longer be written is a warning.
      { category: ["logtape", "meta"], sinks: ["meta"], lowestLevel: "warning" },
    ],
  });
}

/** What LogTape says about itself, without the stacks of errors. */
function aboutLog({ message }: LogRecord): string {
  return message.map(messageOf).join("");
}

/**
 * Reports once that the log file cannot be written: a full disk would be a warning each second. LogTape tells only failures, so a
 * line that was not followed by one for some time is taken for written.
 */
export class FileReport {
  #isFailing = false;
  /** When the first line after the last failure was added. */
  #since: number | undefined;

  /** A line is written to the file later. */
  added({ timestamp }: Pick<LogRecord, "timestamp">): void {
    if (!this.#isFailing) return;
    this.#since ??= timestamp;
    if (timestamp - this.#since > 3 * FLUSH_INTERVAL) this.#isFailing = false;
  }

  /** @returns what to report, if it has not been reported yet */
  failed({ properties: { path, error } }: Pick<LogRecord, "properties">): string | undefined {
    this.#since = undefined;
    if (this.#isFailing) return;
    this.#isFailing = true;
    return `Cannot write the log file ${path}: ${messageOf(error)}; its lines are lost until it can be written again`;
  }
}

/** Milliseconds. */
const FLUSH_INTERVAL = 1_000;

/** Writes a second's lines at once, and does not wait for the disk. */
async function openLogFile(path: string, megabytes: number, line: (record: LogRecord) => string, report: FileReport) {
  const { getRotatingFileSink } = await import("@logtape/file");
  try {
    return getRotatingFileSink(path, {
      formatter: (record) => {
        report.added(record);
        return masked(line(record));
      },
      maxSize: megabytes * 1_000_000,
      maxFiles: KEPT_FILES,
      nonBlocking: true,
      flushInterval: FLUSH_INTERVAL,
    });
  } catch (error) {
    throw new UsageError(`Cannot write the log file ${path}: ${messageOf(error)}; name another with --log-file`);
  }
}

/** Writes what is not yet in the log file, before the program exits. */
export function endLog(): Promise<void> {
  return dispose();
}

/** From now on log lines and error messages pass through `masking`, which knows the secrets of the rules. */
export function maskLog(masking: (text: string) => string): void {
  mask = masking;
}

/** A text with its secrets masked. */
export function masked(text: string): string {
  return mask(text);
}

/** Marks a sink that writes a record before it returns, so that LogTape need not copy the record. */
const WRITES_AT_ONCE = Symbol.for("LogTape.sinkSnapshotPolicy.immediate");

const lines = new LogLines({ write: (text) => progress.above(() => stderr.write(text)) });
let mask = (text: string): string => text;

/** The same line as LogTape's own formatter, at a third of the cost: here all values are plain JSON. */
function jsonLine({ timestamp, level, message, category, properties }: LogRecord): string {
  const line = writeExactJson({
    "@timestamp": new Date(timestamp).toISOString(),
    level: level === "warning" ? "WARN" : level.toUpperCase(),
    message: message.join("\n"),
    logger: category.join("."),
    properties,
  });
  // Terminals and line readers interpret some characters that JSON does not escape.
  return `${escapeControls(line)}\n`;
}

/** `08:06:31 what happened`; the level is shown only for warnings and errors. */
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

/** The local time of day, cached for the lines of one second. */
function timeOf(timestamp: number): string {
  const second = Math.floor(timestamp / 1_000);
  if (second !== shown.second) shown = { second, time: new Date(timestamp).toTimeString().slice(0, 8) };
  return shown.time;
}
