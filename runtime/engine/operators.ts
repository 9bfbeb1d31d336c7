import type { Clock } from "../host/clock.ts";
import { logLine } from "../host/log_line.ts";
import type { LiveRules } from "../folder/live_rules.ts";
import type { RunState } from "../model/run.ts";
import { decisionOf } from "../store/run_changes.ts";
import type { By, Operated, Refused, Seen, Store } from "../store/store.ts";
import type { Runner } from "./runner.ts";

/** What {@link Operators} works with. */
interface OperatorsOptions {
  store: Pick<Store, "getRun" | "replayRun" | "retryRun" | "skipWait" | "moveRun">;
  clock: Clock;
  live: Pick<LiveRules, "rules" | "pause">;
  runner: Pick<Runner, "cancel" | "wake" | "woken">;
}

/**
 * What an operator can do with runs and rules. `by` is the operator, or their decision with its reason, for the notes of
 * the run and the log. Methods for a run return undefined if there is no such run. With `seen` they refuse a run that has
 * changed since.
 */
export class Operators {
  constructor(private readonly options: OperatorsOptions) {}

  /** Ends a run; it has stopped, with its children, when this resolves. @returns its state then */
  async cancel(run: string, by: By, seen?: Seen): Promise<RunState | Refused | undefined> {
    const state = await this.options.runner.cancel(run, `Cancelled by ${decisionOf(by).by}`, by, seen);
    if (state === "cancelled") log(`Run ${run} cancelled by ${said(by)}`, { run });
    return state;
  }

  /**
   * Starts a new run of the same event with the current rule, or with the recorded version if the rule was removed.
   * @returns its id
   */
  async replay(run: string, by: By, seen?: Seen): Promise<string | Refused | undefined> {
    const { store, clock, live, runner } = this.options;
    const trace = await store.getRun(run);
    const version = trace && live.rules.get(trace.run.rule)?.version;
    const replayed = await store.replayRun(run, version, by, clock.now(), seen);
    if (typeof replayed === "string") log(`Run ${run} replayed as run ${replayed} by ${said(by)}`, { run });
    runner.wake();
    return replayed;
  }

  /** A failed run resumes after its last good step. */
  async retry(run: string, by: By, seen?: Seen): Promise<Operated | undefined> {
    const { store, clock, runner } = this.options;
    const operated = await store.retryRun(run, by, clock.now(), seen);
    if (operated?.kind === "done") log(`Run ${run} retried by ${said(by)}`, { run });
    runner.wake();
    return operated;
  }

  /** Ends a wait of a run: that of the given step, or the only one. */
  async skip(run: string, step: string | undefined, by: By, seen?: Seen): Promise<Operated | undefined> {
    const { store, clock, runner } = this.options;
    const operated = await store.skipWait(run, step, by, clock.now(), seen);
    if (operated?.kind === "done") {
      log(`Wait "${operated.step}" of run ${run} skipped by ${said(by)}`, { run });
      runner.woken([run]);
    }
    return operated;
  }

  /** A queued or waiting run continues with the current version of its rule. */
  async move(run: string, by: By, seen?: Seen): Promise<Operated | undefined> {
    const { store, clock, live, runner } = this.options;
    const trace = await store.getRun(run);
    if (trace === undefined) return undefined;
    const version = live.rules.get(trace.run.rule)?.version;
    if (version === undefined) {
      return { kind: "refused", reason: `Cannot move run ${run}: its rule "${trace.run.rule}" was removed` };
    }
    const operated = await store.moveRun(run, version, by, clock.now(), seen);
    if (operated?.kind === "done") log(`Run ${run} moved to version ${version} by ${said(by)}`, { run });
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

/** Who did something, and why. */
function said(by: By): string {
  const { by: name, reason } = decisionOf(by);
  return reason === undefined ? name : `${name}: ${reason}`;
}

function log(text: string, details: { run: string } | { rule: string }): void {
  logLine("info", text, details);
}
