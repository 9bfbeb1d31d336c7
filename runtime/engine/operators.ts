import type { Clock } from "../host/clock.ts";
import { logLine } from "../host/log_line.ts";
import type { LiveRules } from "../folder/live_rules.ts";
import type { RunState } from "../model/run.ts";
import type { Operated, Store } from "../store/store.ts";
import type { Runner } from "./runner.ts";

/** What operators work on. */
export interface OperatorsOptions {
  store: Pick<Store, "getRun" | "replayRun" | "retryRun" | "skipWait" | "moveRun">;
  clock: Clock;
  live: Pick<LiveRules, "rules" | "pause">;
  runner: Pick<Runner, "cancel" | "wake" | "woken">;
}

/**
 * What an operator can do about runs and rules. `by` says who asks: that stands in the notes of the run and in the log. All of a
 * run's methods give undefined where there is no such run.
 */
export class Operators {
  constructor(private readonly options: OperatorsOptions) {}

  /** Ends a run; it is gone, with its children, when this resolves. @returns the state it is in then */
  async cancel(run: string, by: string): Promise<RunState | undefined> {
    const state = await this.options.runner.cancel(run, `Cancelled by ${by}`);
    if (state === "cancelled") log(`Run ${run} cancelled by ${by}`, { run });
    return state;
  }

  /** A new run of the same event by the rule as it is now, or as it was where it is gone. @returns its id */
  async replay(run: string, by: string): Promise<string | undefined> {
    const { store, clock, live, runner } = this.options;
    const trace = await store.getRun(run);
    const replayed = await store.replayRun(run, trace && live.rules.get(trace.run.rule)?.version, by, clock.now());
    if (replayed !== undefined) log(`Run ${run} replayed by ${by} as run ${replayed}`, { run });
    runner.wake();
    return replayed;
  }

  /** A failed run goes on behind its last good step. */
  async retry(run: string, by: string): Promise<Operated | undefined> {
    const { store, clock, runner } = this.options;
    const operated = await store.retryRun(run, by, clock.now());
    if (operated?.kind === "done") log(`Run ${run} retried by ${by}`, { run });
    runner.wake();
    return operated;
  }

  /** Ends a wait of a run: that of the step, or its only one. */
  async skip(run: string, step: string | undefined, by: string): Promise<Operated | undefined> {
    const { store, clock, runner } = this.options;
    const operated = await store.skipWait(run, step, by, clock.now());
    if (operated?.kind === "done") {
      log(`Wait "${operated.step}" of run ${run} skipped by ${by}`, { run });
      runner.woken([run]);
    }
    return operated;
  }

  /** A queued or waiting run goes on by its rule as it is now. */
  async move(run: string, by: string): Promise<Operated | undefined> {
    const { store, clock, live, runner } = this.options;
    const trace = await store.getRun(run);
    if (trace === undefined) return undefined;
    const version = live.rules.get(trace.run.rule)?.version;
    if (version === undefined) {
      return { kind: "refused", reason: `Cannot move run ${run}: its rule "${trace.run.rule}" is not there any more` };
    }
    const operated = await store.moveRun(run, version, by, clock.now());
    if (operated?.kind === "done") log(`Run ${run} moved to version ${version} by ${by}`, { run });
    runner.wake();
    return operated;
  }

  /** The events of a rule start nothing until it is resumed. */
  async pause(rule: string, reason: string, by: string): Promise<void> {
    await this.options.live.pause(rule, reason);
    log(`Rule ${rule} paused by ${by}: ${reason}`, { rule });
  }

  async resume(rule: string, by: string): Promise<void> {
    await this.options.live.pause(rule, null);
    log(`Rule ${rule} resumed by ${by}`, { rule });
  }
}

function log(text: string, details: { run: string } | { rule: string }): void {
  logLine("info", text, details);
}
