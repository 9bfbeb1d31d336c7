import { getLogger, type LogRecord } from "@logtape/logtape";
import type { JsonObject } from "../model/json.ts";

const log = getLogger("whenthen");
const LEVELS = { debug: "debug", info: "info", warn: "warning", error: "error" } as const;

type Level = keyof typeof LEVELS;

/** Writes one line to the program's log; where it goes and how it looks is set up in `bin/cli/start_log.ts`. */
export function logLine(level: Level, message: string, details: JsonObject): void {
  emit(level, [message], details);
}

/** Writes a record of several lines: those that follow the first one are ours, not of data in it. */
export function logLines(level: Level, lines: string[], details: JsonObject): void {
  emit(level, lines, details);
}

function emit(level: Level, message: string[], properties: JsonObject): void {
  // Not `log.info`, which takes the message for a template. With its category, LogTape need not copy the record.
  const record: LogRecord = {
    category: log.category,
    level: LEVELS[level],
    message,
    rawMessage: message[0],
    timestamp: Date.now(),
    properties,
  };
  log.emit(record);
}
