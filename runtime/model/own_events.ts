import { type Cause, isOwnType } from "./event.ts";
import type { JsonObject } from "./json.ts";

/** The types of the program's own events, each with the fact that it tells. Nobody else can send them. */
export const OWN_EVENTS = {
  "whenthen.run.failed": "A run failed",
  "whenthen.run.succeeded": "A run succeeded",
  "whenthen.poll.failed": "A look of a poll or watch failed, after one that worked",
  "whenthen.poll.recovered": "A poll or watch that had failed works again",
  "whenthen.poll.capped": "A poll found more items than its `max`",
  "whenthen.rule.broken": "A file stopped loading",
  "whenthen.config.refused": "A config value was refused",
  "whenthen.hook.refused": "A webhook refused a request, after ones that it accepted",
  "whenthen.connection.lost": "A connection needs to be made again",
  "whenthen.store.full": "The store accepts no more events",
  "whenthen.device.added": "A device is new in the inventory of its fleet",
  "whenthen.device.initialized": "A device has a session",
  "whenthen.device.reachable": "A ping of a device worked, after one that failed or after its init",
  "whenthen.device.unreachable": "A ping of a device failed; each one that fails",
  "whenthen.device.dead": "Too many pings of a device in a row failed; it is left alone for a while",
  "whenthen.device.removed": "A device is gone from the inventory of its fleet",
  "whenthen.device.init.error": "A device could not be initialized",
  "whenthen.device.stop.error": "The session of a device did not end as it should",
} as const;

export type OwnEventType = keyof typeof OWN_EVENTS;

/** The source of the program's own events. */
export const OWN_SOURCE = "/whenthen";

/** An event of the program itself. */
export interface OwnEvent {
  type: OwnEventType;
  /** What it is about: a rule's id, a file, a path. */
  subject: string;
  data: JsonObject;
  cause?: Cause;
}

/** Whether a pattern of event types can match an own event: patterns that begin with `whenthen.` can, `*` never. */
export function matchesOwn(pattern: string): boolean {
  return Object.keys(OWN_EVENTS).some((type) =>
    pattern.endsWith("*") ? isOwnType(pattern) && type.startsWith(pattern.slice(0, -1)) : pattern === type
  );
}
