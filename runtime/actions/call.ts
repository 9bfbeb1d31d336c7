import { z } from "zod";
import { connection, json, target } from "../language/fields/field.ts";
import { readTarget } from "../model/target.ts";
import { defineAction } from "./action.ts";
import { checkOutput, OUTPUT_OPTIONS } from "./run.ts";

/** How a command is run; the same as for `run`. */
const COMMAND_OPTIONS = {
  stdin: json().optional().describe("For a command: its standard input"),
  ...OUTPUT_OPTIONS,
};

/**
 * Calls an exported function in a worker. A YAML action has its own steps, which `engine/` interprets; a command file is executed by
 * `command.ts`.
 */
export const call = defineAction({
  kind: "call",
  summary: "Calls a function of a TypeScript file or a package, a YAML action, or a command",
  main: target().describe("./file.ts#function, package#export, ./action.yaml or ./command.yaml, relative to this file"),
  options: {
    with: z.record(z.string(), json()).optional().describe(
      "The function's argument, or the inputs of the action or command",
    ),
    auth: z.strictObject({ connection: connection() }).optional().describe(
      "For code: the connection of the requests that it sends, { connection: name }",
    ),
    ...COMMAND_OPTIONS,
  },
  defaults: { timeout: 600_000, attempts: 1 },
  check({ call: target, auth, keep, format, save, ...args }) {
    if (auth !== undefined && /\.ya?ml$/.test(target)) {
      return [`auth: only code has it; take it out, or write it at the requests of ${target}`];
    }
    const given = { keep, format, save, ...args } as Record<string, unknown>;
    const key = Object.keys(COMMAND_OPTIONS).find((each) => given[each] !== undefined);
    if (key !== undefined && !/\.ya?ml$/.test(target)) return [`${key}: only a command has it; take it out`];
    return checkOutput({ keep, format, save });
  },
  async execute({ call: target, with: input = {}, auth }, context) {
    const callee = readTarget(context.folder, context.ruleFolder, target);
    return { output: await context.services.callModule({ ...callee, inputs: input, ...auth && { auth } }, context) };
  },
});
