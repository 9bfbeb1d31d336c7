import { z } from "zod";
import { people } from "../language/fields/field.ts";
import { defineTrigger } from "./trigger.ts";

/** `whenthen start`, the API, the page `/start`: these address the rule, so there is nothing to attach. */
export const manual = defineTrigger({
  kind: "manual",
  summary: "Starts the rule by hand: whenthen start, the API, or the page /start",
  main: z.union([z.null(), z.literal(true), z.strictObject({})]),
  options: { to: people().optional().describe("Who may start it; without it only operators") },
  address: () => "manual",
  attach: () => () => {},
});
