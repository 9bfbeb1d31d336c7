import type { Json } from "../model/json.ts";
import type { TriggerContext } from "./trigger.ts";

/** Items in one read. With items of 1 kB, a read takes a few milliseconds, and all other work waits for it. */
const PAGE = 500;

/** A trigger's baseline, in pages ordered by key. Only the trigger itself changes it, so the pages are consistent. */
export async function* readBaseline(
  { store, rule, trigger }: Pick<TriggerContext, "store" | "rule" | "trigger">,
): AsyncGenerator<Map<string, Json>> {
  const key = { rule: rule.id, trigger: trigger.id };
  let after: string | undefined;
  for (;;) {
    const page = await store.getBaseline(key, PAGE, after);
    if (page.size > 0) yield page;
    if (page.size < PAGE) return;
    after = [...page.keys()].at(-1);
  }
}
