import { getLogger, type LogRecord } from "@logtape/logtape";
import type { JsonObject } from "../model/json.ts";

const log = getLogger("whenthen");
const LEVELS = { debug: "debug", info: "info", warn: "warning", error: "error" } as const;

type Level = keyof typeof LEVELS;

/** Writes one line to the program's log; `bin/cli/start_log.ts` sets up its destination and format. */
export function logLine(level: Level, message: string, details: JsonObject): void {
  emit(level, [message], details);
}

/** Writes a record of several lines. Only the breaks between these lines are shown as line breaks. */
export function logLines(level: Level, lines: string[], details: JsonObject): void {
  emit(level, lines, details);
}

function emit(level: Level, message: string[], properties: JsonObject): void {
  // Not `log.info`, which treats the message as a template. With its category, LogTape need not copy the record.
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
