import { at, cron, every } from "./cron_every_at.ts";
import { event, manual, start } from "./event_start_manual.ts";
import { poll } from "./poll/poll.ts";
import type { TriggerKind } from "./trigger.ts";
import { watch } from "./watch.ts";
import { webhook } from "./webhook.ts";

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
