import type { Rule } from "../model/rule.ts";

/** A trigger whose last pass failed. */
export interface TriggerFailure {
  rule: string;
  trigger: string;
  message: string;
}

/** What went wrong in the last pass of each trigger; gone once it works again, or once the trigger is gone. */
export class TriggerFailures {
  readonly #failures = new Map<string, TriggerFailure>();

  /** @param message null where the pass worked */
  report(rule: string, trigger: string, message: string | null): void {
    const key = JSON.stringify([rule, trigger]);
    if (message === null) this.#failures.delete(key);
    else this.#failures.set(key, { rule, trigger, message });
  }

  /** Those of triggers that are still there. */
  list(rules: ReadonlyMap<string, Rule>): TriggerFailure[] {
    return [...this.#failures.values()].filter(({ rule, trigger }) =>
      rules.get(rule)?.triggers.some(({ id }) => id === trigger)
    );
  }
}
