import {
  configure,
  type FormattedValues,
  getJsonLinesFormatter,
  getTextFormatter,
  type LogLevel,
  type TextFormatter,
} from "@logtape/logtape";
import { env, stderr } from "node:process";
import { styleText } from "node:util";
import { LogLines } from "./log_lines.ts";
import { withRawNumbers, writeExactJson } from "../runtime/model/exact_json.ts";

/**
 * Sets up the log: one line for each record on standard error, so that listings on standard output stay clean. Every
 * line passes through the mask once there is one.
 */
export async function startLog(format: "pretty" | "json", lowestLevel: LogLevel): Promise<void> {
  const write = formatterOf(format);
  await configure({
    reset: true,
    sinks: { stderr: (record) => lines.add(mask(write(record))) },
    loggers: [
      { category: ["whenthen"], sinks: ["stderr"], lowestLevel },
      { category: ["logtape", "meta"], sinks: ["stderr"], lowestLevel: "error" },
    ],
  });
}

/** From here on log lines pass through `masking`, which knows the secrets of the rules. */
export function maskLog(masking: (text: string) => string): void {
  mask = masking;
}

const lines = new LogLines(stderr);
let mask = (text: string): string => text;

function formatterOf(format: "pretty" | "json"): TextFormatter {
  if (format === "json") {
    const write = getJsonLinesFormatter();
    return (record) => write({ ...record, properties: withRawNumbers(record.properties) });
  }
  const colours = stderr.isTTY === true && !env.NO_COLOR;
  return getTextFormatter({ format: (values) => prettyLine(values, colours) });
}

/** `08:06:31 what happened`; the level is said where it is worth a look. */
function prettyLine({ message, record }: FormattedValues, colours: boolean): string {
  const paint = (colour: "dim" | "yellow" | "red", text: string) =>
    colours ? styleText(colour, text, { validateStream: false }) : text;
  const { level, timestamp, properties } = record;
  const time = paint("dim", new Date(timestamp).toTimeString().slice(0, 8));
  const data = properties.data === undefined ? "" : ` ${writeExactJson(properties.data)}`;
  if (level === "warning") return `${time} ${paint("yellow", "warning:")} ${message}${data}`;
  if (level === "error" || level === "fatal") return `${time} ${paint("red", "error:")} ${message}${data}`;
  return `${time} ${message}${data}`;
}
