import { typePatterns } from "../model/event.ts";
import type { Registry, Subscription } from "../triggers/trigger.ts";

/** Which rules listen to which event types: exact ones in a map, `prefix.*` in a map of prefixes. */
export class Subscriptions implements Registry<Subscription> {
  readonly #byType = new Map<string, Set<Subscription>>();

  add(subscription: Subscription): () => void {
    for (const type of subscription.types) {
      const listeners = this.#byType.get(type) ?? new Set();
      this.#byType.set(type, listeners.add(subscription));
    }
    return () => {
      for (const type of subscription.types) {
        const listeners = this.#byType.get(type);
        listeners?.delete(subscription);
        if (listeners?.size === 0) this.#byType.delete(type);
      }
    };
  }

  /** The subscriptions that match an event type: `order.paid` matches `order.paid`, `order.*` and `*`. */
  of(type: string): Subscription[] {
    const found = new Set<Subscription>();
    for (const pattern of typePatterns(type)) {
      this.#byType.get(pattern)?.forEach((subscription) => found.add(subscription));
    }
    return [...found];
  }
}
