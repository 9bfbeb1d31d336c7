import { CursorExpired, RetryAfterError, TerminalError } from "../model/errors.ts";
import { device, task } from "./device.ts";
import { rule } from "./rule.ts";
import { type } from "./event_data.ts";
import { action, source } from "./source.ts";
import { testRule } from "./test.ts";
import * as triggers from "./generated/triggers.ts";
import { event, manual, poll, watch, webhook } from "./triggers.ts";

/**
 * The run-time meaning of `import … from "whenthen"`. Bundles contain only the key, so that a bundle made by an older
 * program runs in a newer one: entries may be added here, but a change of meaning needs a new key.
 */
export const protocol = {
  rule,
  ...triggers,
  poll,
  webhook,
  watch,
  event,
  manual,
  type,
  testRule,
  source,
  action,
  device,
  task,
  CursorExpired,
  TerminalError,
  RetryAfterError,
};

/** The worker stores the protocol on `globalThis` under this registered symbol. */
export const PROTOCOL_KEY = "whenthen/1";
