import { z } from "zod";
import { people } from "../language/arg_types.ts";
import { hintAtUnknown } from "../language/hints.ts";
import { isOwnType, matchesOwn, OWN_EVENTS } from "../model/event.ts";
import { defineTrigger, type TriggerContext } from "./trigger.ts";

const typePattern = z.string().regex(/^([\w-]+(\.[\w-]+)*(\.\*)?|\*)$/, {
  error: "expected an event type such as order.created, or order.*",
}).refine((pattern) => !isOwnType(pattern) || matchesOwn(pattern), {
  error: ({ input }) => {
    return `the program has no event "${input}"; ${hintAtUnknown(String(input), Object.keys(OWN_EVENTS))}`;
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

/** Fires once per rule and program start, also for a rule that was added or repaired later, but not on reload. */
export const start = defineTrigger({
  kind: "start",
  summary: "Emits once each time the program starts",
  main: z.union([z.null(), z.literal(true), z.strictObject({})]),
  options: {},
  address: () => "start",
  async attach(context) {
    await emitStart(context);
    return () => {};
  },
  pass: emitStart,
});

async function emitStart(context: TriggerContext<unknown>): Promise<void> {
  const id = new Date(context.startedAt).toISOString();
  const key = { rule: context.rule.id, trigger: context.trigger.id };
  if (await context.store.getMark(key) === id) return;
  await context.ingest([{ id, type: "start", time: id, data: null }], { mark: id });
}

/** `whenthen start`, the API, the page `/start`: these address the rule, so there is nothing to attach. */
export const manual = defineTrigger({
  kind: "manual",
  summary: "Starts the rule by hand: whenthen start, the API, or the page /start",
  main: z.union([z.null(), z.literal(true), z.strictObject({})]),
  options: { to: people().optional().describe("Who may start it; without it only operators") },
  address: () => "manual",
  attach: () => () => {},
});
