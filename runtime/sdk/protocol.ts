import { RetryAfterError, TerminalError } from "../model/errors.ts";
import { rule } from "./rule.ts";
import { type } from "./schema.ts";
import { testRule } from "./test.ts";
import { at, cron, event, every, manual, poll, start, watch, webhook } from "./triggers.ts";

/**
 * What `import … from "whenthen"` means at run time. Bundles hold only the key, so that one made by an older program
 * runs in a newer one: entries may be added here, a change of meaning needs a new key.
 */
export const protocol = {
  rule,
  poll,
  cron,
  every,
  at,
  webhook,
  watch,
  event,
  start,
  manual,
  type,
  testRule,
  TerminalError,
  RetryAfterError,
};

/** Under this registered symbol the worker leaves the protocol on `globalThis`. */
export const PROTOCOL_KEY = "whenthen/1";
