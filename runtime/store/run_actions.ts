import type { EventRow } from "./ledger/tables.ts";
import type { By, Cancelled, Operated, Refused, Seen } from "./store.ts";
import { decisionOf } from "./run_changes.ts";
import type { RunTrace } from "./transitions/operate_run.ts";
import type { Transition } from "./transitions/transition.ts";
import {
  type ActionInput,
  type ActionName,
  type ActionResult,
  ACTIONS,
  unlessChanged,
} from "./transitions/unless_changed.ts";

/** A run that a person acts on: live without its steps, or ended with its whole trace. */
type Found = RunTrace & { event: number };

/** How actions reach the rows. */
interface Reach {
  change<I, R>(transition: Transition<I, R>, input: I, now: number): Promise<R>;
  traceOf(run: string): Promise<Found | undefined>;
  eventOf(key: number): Promise<EventRow | undefined>;
  /** This replica, if several share the store. */
  replica(): string | undefined;
}

/**
 * Actions of people on runs. Actions on one run are executed one after the other, so that each sees the notes of the
 * earlier ones, even if these are in history: two clicks on the same button are one action.
 */
export class RunActions {
  /** The latest action in progress on each run. */
  readonly #last = new Map<string, Promise<unknown>>();

  constructor(private readonly reach: Reach) {}

  cancel(run: string, reason: string, now: number, by?: By, seen?: Seen): Promise<Cancelled | Refused | undefined> {
    return this.#inTurn(run, async () => {
      // A run may end between these two reads, but an ended one becomes live only by another action.
      const before = seen && await this.reach.traceOf(run);
      const decision = by === undefined ? undefined : decisionOf(by);
      const replica = this.reach.replica();
      const cancelling = { run, reason, decision, ...replica !== undefined && { replica } };
      const cancelled = await this.#change("cancelRun", cancelling, before, seen, now);
      if (cancelled !== undefined) return cancelled;
      const state = (await this.reach.traceOf(run))?.run.state;
      return state && { kind: "asked", state, ended: false };
    });
  }

  replay(run: string, version: string | undefined, by: By, now: number, seen?: Seen) {
    return this.#inTurn(run, async (): Promise<string | Refused | undefined> => {
      const trace = await this.reach.traceOf(run);
      const event = trace && await this.reach.eventOf(trace.event);
      return event &&
        await this.#change(
          "replayRun",
          { run: trace!.run, event, version, decision: decisionOf(by) },
          trace,
          seen,
          now,
        );
    });
  }

  retry(run: string, by: By, now: number, seen?: Seen): Promise<Operated | undefined> {
    return this.#onTrace(run, async (trace) => {
      const event = await this.reach.eventOf(trace.event);
      return await this.#change("retryRun", { trace, event, decision: decisionOf(by) }, trace, seen, now);
    });
  }

  skip(run: string, step: string | undefined, by: By, now: number, seen?: Seen): Promise<Operated | undefined> {
    return this.#onTrace(
      run,
      (trace) =>
        this.#change("skipWait", { run, step, decision: decisionOf(by), since: seen?.since }, trace, seen, now),
    );
  }

  move(run: string, version: string, by: By, now: number, seen?: Seen): Promise<Operated | undefined> {
    return this.#onTrace(
      run,
      (trace) => this.#change("moveRun", { run: trace.run, version, decision: decisionOf(by) }, trace, seen, now),
    );
  }

  #onTrace<R>(run: string, act: (trace: Found) => Promise<R>): Promise<R | undefined> {
    return this.#inTurn(run, async () => {
      const trace = await this.reach.traceOf(run);
      return trace && await act(trace);
    });
  }

  /** Acts on a run; refuses if that has changed since a person looked at it. */
  async #change<A extends ActionName>(
    action: A,
    input: ActionInput<A>,
    trace: Found | undefined,
    seen: Seen | undefined,
    now: number,
  ): Promise<ActionResult<A> | Refused> {
    const { change } = this.reach;
    const isChecked = seen !== undefined && trace !== undefined;
    const acting = isChecked
      ? change(unlessChanged, { action, input, run: trace.run.id, notes: trace.notes, seen }, now)
      : change(ACTIONS[action] as Transition<ActionInput<A>, unknown>, input, now);
    return await acting as ActionResult<A> | Refused;
  }

  async #inTurn<R>(run: string, act: () => Promise<R>): Promise<R> {
    const before = this.#last.get(run);
    const own = (async () => {
      await before?.catch(() => {});
      return await act();
    })();
    this.#last.set(run, own);
    try {
      return await own;
    } finally {
      if (this.#last.get(run) === own) this.#last.delete(run);
    }
  }
}
