import type { Clock } from "../host/clock.ts";
import type { Json } from "../model/json.ts";
import { newId } from "../model/id.ts";
import type { Store, TriggerKey } from "../store/store.ts";
import type { Hook } from "../triggers/trigger.ts";

/**
 * Deliveries to the hooks of polls, which make a poll look at once: one replica polls, and a delivery may arrive at any. A mark in the
 * store tells of the last one.
 */
export class Nudges {
  /** The hooks of polls of this replica, with the last mark that was seen. */
  readonly #seen = new Map<Hook, Json | undefined>();

  constructor(private readonly store: Pick<Store, "accept" | "getMark">, private readonly clock: Clock) {}

  /** Polls when another replica gets a delivery to this hook. @returns a function that ends that */
  watch(hook: Hook): () => void {
    this.#seen.set(hook, undefined);
    // There may have been a delivery while no replica decided. It fails only if the store is lost or closed.
    this.look().catch(() => {});
    return () => void this.#seen.delete(hook);
  }

  /** Asks the replica that polls to poll at once. */
  async passOn(trigger: TriggerKey): Promise<void> {
    const now = this.clock.now();
    await this.store.accept([], [{ ...markOf(trigger), mark: newId(now) }], now);
    // This one may decide by now.
    await this.look();
  }

  /** Polls at once wherever another replica got a delivery; after the start of this program perhaps once too often. */
  async look(): Promise<void> {
    for (const [hook, seen] of this.#seen) {
      const mark = await this.store.getMark(markOf(hook));
      if (mark === undefined || mark === seen || !this.#seen.has(hook)) continue;
      this.#seen.set(hook, mark);
      await hook.nudge!();
    }
  }
}

function markOf({ rule, trigger }: TriggerKey): TriggerKey {
  return { rule, trigger: `${trigger} asked` };
}
