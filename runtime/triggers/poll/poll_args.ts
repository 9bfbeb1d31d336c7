import { z } from "zod";
import { charset, duration, expression, format, number, source, template, url } from "../../language/fields/field.ts";
import type { Args, ReadArgs } from "../../language/kind.ts";
import type { TriggerContext } from "../trigger.ts";

/** The names in an expression about a document. A step other than http has only the body. */
const DOCUMENT = ["body", "status", "headers"];

/** The arguments of a poll. */
export const schemas = {
  kind: "poll",
  main: z.union([url(), source()]),
  options: {
    every: duration().default(300_000),
    headers: z.record(z.string(), template()).optional(),
    items: expression({ names: DOCUMENT }).optional(),
    key: expression({ names: ["item", "index"] }).optional(),
    on: z.array(z.enum(["added", "changed", "removed"])).min(1).default(["added", "changed"]),
    ignore: z.array(z.string()).optional(),
    first: z.enum(["seed", "emit"]).default("seed"),
    format: format().optional(),
    charset: charset().optional(),
    pages: z.strictObject({
      next: expression({ names: DOCUMENT }),
      max: number({ min: 1, integer: true }).default(200),
    }).optional(),
  },
} as const;

export type PollArgs = Args<typeof schemas>;
export type ReadPollArgs = ReadArgs<typeof schemas>;
export type PollContext = TriggerContext<PollArgs>;
