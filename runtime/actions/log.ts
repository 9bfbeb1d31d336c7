import { z } from "zod";
import type { Json } from "../model/json.ts";
import { json, template } from "../language/fields/field.ts";
import type { Action } from "./action.ts";

interface LogArgs {
  log: string;
  level?: "debug" | "info" | "warn" | "error";
  data?: Json;
}

/** Writes one line to the program's log. */
export const log: Action = {
  kind: "log",
  summary: "Writes a line to the program's log",
  main: template().describe("The line"),
  options: {
    level: z.enum(["debug", "info", "warn", "error"]).optional().describe("By default info"),
    data: json().optional().describe("Shown beside the line"),
  },
  defaults: { timeout: 30_000, attempts: 1 },
  perform(args, { run, path, services }) {
    const { log: message, level = "info", data } = args as unknown as LogArgs;
    services.log(level, message, { rule: run.rule, run: run.id, step: path, ...(data !== undefined && { data }) });
    return { output: null };
  },
};
