import { triggerLog } from "../engine/run_log.ts";
import { type TriggerFailure, TriggerFailures } from "../folder/attachments.ts";
import { CONFIG_SOURCE } from "../folder/settings/config_source.ts";
import type { Run } from "../model/run.ts";
import type { Capped } from "../triggers/trigger.ts";
import type { AppParts } from "./parts.ts";

/** The result of one pass of `whenthen once`. */
export interface OnceReport {
  failedRuns: Run[];
  /** Triggers whose pass failed, with the reason. */
  failures: TriggerFailure[];
  /** Rule files that do not load. */
  broken: string[];
}

/** What became of the last pass of each trigger: listed, counted, logged, and emitted as events of the program itself. */
export class TriggerReports {
  readonly #failures = new TriggerFailures();

  constructor(private readonly parts: () => Pick<AppParts, "live" | "ownEvents" | "metrics">) {}

  /** The triggers whose last pass failed. */
  list(): TriggerFailure[] {
    return this.#failures.list(this.parts().live.rules);
  }

  /**
   * A trigger's last pass failed, with the reason, or worked (null).
   * @param capped set if it failed because there is too much to look at
   */
  report(rule: string, trigger: string, failure: string | null, capped?: Capped): void {
    this.#failures.report(rule, trigger, failure);
    this.#reportCondition(rule, trigger, failure, capped);
    if (failure === null) return;
    this.parts().metrics.countPollFailure(rule, trigger);
    triggerLog(rule, trigger).warn(`${trigger}: ${failure}`);
  }

  #reportCondition(rule: string, trigger: string, failure: string | null, capped?: Capped): void {
    const { live, ownEvents } = this.parts();
    const kind = live.rules.get(rule)?.triggers.find(({ id }) => id === trigger)?.kind;
    const isFleet = live.loaded?.fleets.has(rule) === true;
    if (kind !== "poll" && kind !== "watch" && !isFleet && rule !== CONFIG_SOURCE.rule) return;
    const about = { rule, trigger };
    if (failure === null) {
      ownEvents.end("poll", about);
      ownEvents.end("capped", about);
    } else if (capped) ownEvents.begin("capped", about, failure, { ...capped });
    // Whether there are still too many items is unknown, so "capped" goes on.
    else ownEvents.begin("poll", about, failure);
  }
}
