import { getLogger } from "@logtape/logtape";
import type { JsonObject } from "../model/json.ts";

const log = getLogger("whenthen");

/** Writes one line to the program's log; where it goes and how it looks is set up in `bin/log.ts`. */
export function logLine(level: "debug" | "info" | "warn" | "error", message: string, details: JsonObject): void {
  // The message is finished text, not a template: braces in it stay as they are.
  log[level](message.replaceAll("{", "{{").replaceAll("}", "}}"), details);
}
