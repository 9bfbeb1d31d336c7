import type { Rule } from "../model/rule.ts";

/** A trigger whose last pass failed. */
export interface TriggerFailure {
  rule: string;
  trigger: string;
  message: string;
}

/** Failures in the last pass of each trigger; dropped when a pass works again, or when the trigger is removed. */
export class TriggerFailures {
  readonly #failures = new Map<string, TriggerFailure>();

  /** @param message null if the pass worked */
  report(rule: string, trigger: string, message: string | null): void {
    const key = JSON.stringify([rule, trigger]);
    if (message === null) this.#failures.delete(key);
    else this.#failures.set(key, { rule, trigger, message });
  }

  /** The failures of triggers that still exist. */
  list(rules: ReadonlyMap<string, Rule>): TriggerFailure[] {
    return [...this.#failures.values()].filter(({ rule, trigger }) =>
      rules.get(rule)?.triggers.some(({ id }) => id === trigger)
    );
  }
}
