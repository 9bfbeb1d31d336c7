import { z } from "zod";
import { defineTrigger, type TriggerContext } from "./trigger.ts";

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
