import type { Json } from "../model/json.ts";
import type { TriggerContext } from "./trigger.ts";

/** Items in one read: of 1 kB they take a few milliseconds, for which everybody else waits. */
const PAGE = 500;

/** A trigger's baseline, page by page, in order of the keys. Only the trigger itself changes it, so the pages fit together. */
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
