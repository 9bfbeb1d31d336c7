import { z } from "zod";
import { nearest } from "../language/hints.ts";
import { isOwnType } from "../model/event.ts";
import { matchesOwn, OWN_EVENTS } from "../model/own_events.ts";
import { defineTrigger } from "./trigger.ts";

const typePattern = z.string().regex(/^([\w-]+(\.[\w-]+)*(\.\*)?|\*)$/, {
  error: "expected an event type such as order.created, or order.*",
}).refine((pattern) => !isOwnType(pattern) || matchesOwn(pattern), {
  error: ({ input }) => {
    const meant = nearest(String(input), Object.keys(OWN_EVENTS));
    return `the program has no event "${input}"; ${
      meant ? `did you mean ${meant}?` : `its own are ${Object.keys(OWN_EVENTS).join(", ")}`
    }`;
  },
});

/** Emitted events: from a step `emit`, `POST /events` or `whenthen emit`. */
export const event = defineTrigger({
  kind: "event",
  summary: "Listens to emitted events of one type, several, or all below a prefix: order.created, order.*",
  main: z.union([typePattern, z.array(typePattern).min(1)]),
  options: {},
  address: (args) => `event ${typesOf(args.event).join(" ")}`,
  attach: ({ rule, trigger, args, subscriptions }) =>
    subscriptions.add({ rule: rule.id, trigger: trigger.id, types: typesOf(args.event) }),
});

function typesOf(main: string | string[]): string[] {
  return [main].flat();
}
