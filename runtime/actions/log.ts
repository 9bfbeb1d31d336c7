import { z } from "zod";
import { json, template } from "../language/fields/field.ts";
import { defineAction } from "./action.ts";

/** Writes one line to the program's log. */
export const log = defineAction({
  kind: "log",
  summary: "Writes a line to the program's log",
  main: template().describe("The line"),
  options: {
    level: z.enum(["debug", "info", "warn", "error"]).optional().describe("By default info"),
    data: json().optional().describe("Logged with the line"),
  },
  defaults: { timeout: 30_000, attempts: 1 },
  execute({ log: message, level = "info", data }, { run, path, services }) {
    services.log(level, message, { rule: run.rule, run: run.id, step: path, ...(data !== undefined && { data }) });
    return { output: null };
  },
});
