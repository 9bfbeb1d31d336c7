import { formatDuration } from "../../model/duration.ts";
import type { RunState } from "../../model/run.ts";
import type { Verdict } from "../../model/verdict.ts";
import type { Admission } from "../store.ts";
import type { Context } from "./context.ts";
import { endRun, type LiveRun } from "./end_run.ts";
import { laneOf } from "./lanes.ts";
import { takePlace } from "./limit.ts";
import { addNote } from "./notes.ts";

/** What mode, key and limit say to a run. */
export interface Admitted {
  verdict: Verdict;
  /** When it may start; undefined where it is turned away. */
  readyAt?: number;
  /** What the limit says is to be stored with the verdict. */
  arrival?: number;
  /** Running runs that it replaces. */
  replaces: string[];
}

/** Admits a run by its rule's mode and key, then by its limit: what is busy takes no place in the limit. */
export function admit(context: Context, run: string, rule: string, admission: Admission, now: number): Admitted {
  const { mode, key, limit } = admission;
  const lane = laneOf(key);
  if (mode === "single") {
    const live = liveInLane(context, rule, lane, 1)[0];
    if (live) return { verdict: { kind: "busy", reason: busyReason(live, key) }, replaces: [] };
  }
  const replaces = mode === "restart" ? replace(context, rule, lane, run, now) : [];
  const { readyAt, arrival } = limit ? takePlace(context.database, rule, limit, now) : { readyAt: now };
  if (!limit || readyAt <= now) return { verdict: { kind: "started", run }, readyAt, arrival, replaces };
  const reason = `Held until ${new Date(readyAt).toISOString()}: the rule is limited to ${limit.count} in ${
    formatDuration(limit.per)
  }`;
  return { verdict: { kind: "held", run, reason, until: readyAt }, readyAt, arrival, replaces };
}

interface LiveState extends LiveRun {
  state: RunState;
  /** Null once admitted. */
  admission: string | null;
}

function liveInLane({ database }: Context, rule: string, lane: string, most: number): LiveState[] {
  return database.all<LiveState>(
    "SELECT id, rule, lane, event, state, admission FROM runs " +
      "WHERE rule = @rule AND lane = ? AND ended_at IS NULL ORDER BY id LIMIT ?",
    rule,
    lane,
    most,
  );
}

/** Cancels what is live in the lane. What runs is left to its runner; the new run waits until it is gone. */
function replace(context: Context, rule: string, lane: string, by: string, now: number): string[] {
  const running: string[] = [];
  for (const live of liveInLane(context, rule, lane, -1)) {
    const reason = `Replaced by run ${by}`;
    addNote(context.database, live.id, reason, now);
    if (live.state === "running") running.push(live.id);
    else {
      const spent = context.database.value<number>("SELECT spent FROM runs WHERE id = @run", live.id)!;
      endRun(context, live, { state: "cancelled", error: { name: "Cancelled", message: reason }, spent }, now);
    }
  }
  return running;
}

function busyReason(live: LiveState, key: string | null): string {
  const which = key === null ? "" : ` for key ${key}`;
  return `Run ${live.id} of this rule${which} is still ${live.state}, and its mode is single`;
}
