import { getLogger, type LogRecord } from "@logtape/logtape";
import type { JsonObject } from "../model/json.ts";

const log = getLogger("whenthen");
const LEVELS = { debug: "debug", info: "info", warn: "warning", error: "error" } as const;

/** Writes one line to the program's log; where it goes and how it looks is set up in `bin/log.ts`. */
export function logLine(level: "debug" | "info" | "warn" | "error", message: string, details: JsonObject): void {
  // Not `log.info`, which takes the message for a template. With its category, LogTape need not copy the record.
  const record: LogRecord = {
    category: log.category,
    level: LEVELS[level],
    message: [message],
    rawMessage: message,
    timestamp: Date.now(),
    properties: details,
  };
  log.emit(record);
}
