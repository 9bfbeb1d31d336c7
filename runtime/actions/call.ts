import { posix, relative, resolve, sep } from "node:path";
import { z } from "zod";
import { json, target } from "../language/fields/field.ts";
import { defineAction } from "./action.ts";

/** Calls an exported function in a worker. A YAML action has its own steps, which `engine/` interprets. */
export const call = defineAction({
  kind: "call",
  summary: "Calls a function of a TypeScript file, or a YAML action",
  main: target().describe("./file.ts#function or ./action.yaml, relative to this file"),
  options: {
    with: z.record(z.string(), json()).optional().describe("The function's argument, or the action's inputs"),
  },
  defaults: { timeout: 600_000, attempts: 1 },
  async execute({ call: target, with: input = {} }, context) {
    const [file, name] = target.split("#");
    const path = relative(context.folder, resolve(context.ruleFolder, file)).replaceAll(sep, posix.sep);
    return { output: await context.services.callModule({ path, export: name, args: input }, context) };
  },
});
