import { z } from "zod";
import { defineTrigger } from "./trigger.ts";

/** `whenthen emit --rule`, the API, a button: these address the rule, so there is nothing to attach. */
export const manual = defineTrigger({
  kind: "manual",
  summary: "Starts the rule by hand: whenthen emit --rule, or the API",
  main: z.union([z.null(), z.literal(true), z.strictObject({})]),
  options: {},
  address: () => "manual",
  attach: () => () => {},
});
