import { at } from "./at.ts";
import { cron } from "./cron.ts";
import { event } from "./event.ts";
import { every } from "./every.ts";
import { manual } from "./manual.ts";
import { poll } from "./poll/poll.ts";
import { start } from "./start.ts";
import type { TriggerKind } from "./trigger.ts";
import { watch } from "./watch/watch.ts";
import { webhook } from "./webhook/webhook.ts";

/** All kinds of triggers, by name. */
export const triggerKinds: Record<string, TriggerKind> = {
  cron,
  every,
  at,
  webhook,
  poll,
  watch,
  event,
  start,
  manual,
};
