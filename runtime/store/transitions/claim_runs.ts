import type { Rows } from "../ledger/rows.ts";
import type { RunRow } from "../ledger/tables.ts";
import type { ClaimedRun, Lease, Reclaiming, Suspension } from "../store.ts";
import { endAsked, endCancelled } from "./end_run.ts";
import { readEvent } from "./event_rows.ts";
import { headOfLane, newerInLane, refreshLane } from "./lanes.ts";
import { addNote, readSteps, readWaits, toRun, withoutPlans } from "./run_rows.ts";
import type { TransitionContext } from "./transition.ts";
import { getVersion } from "./rule_rows.ts";

/** Leases due runs to an owner, oldest first. Reads groups, not runs: groups without a free slot cost nothing. */
export function claimRuns(rows: Rows, { owner, max }: Lease, { now }: TransitionContext): ClaimedRun[] {
  const claimed: ClaimedRun[] = [];
  while (claimed.length < max) {
    const lane = rows.first("lane", "next", "");
    if (lane === undefined || lane.nextAt! > now) break;
    claimed.push(claim(rows, headOfLane(rows, lane)!, owner, now));
    refreshLane(rows, lane.rule, lane.lane);
  }
  return claimed;
}

function claim(rows: Rows, before: RunRow, owner: string, now: number): ClaimedRun {
  const asksFirst = before.admission !== undefined;
  // Running the condition is not a start: the run starts with its steps.
  const startedAt = before.startedAt ?? (asksFirst ? undefined : now);
  const { woken: _woken, ...rest } = withoutPlans(before);
  const row: RunRow = { ...rest, state: "running", owner, ...(startedAt !== undefined && { startedAt }) };
  rows.put("run", row.id, row);
  return {
    run: toRun(row, readEvent(rows, row.event), readWaits(rows, row.id)),
    steps: readSteps(rows, row.id),
    asksFirst,
    again: before.startedAt !== undefined,
    alone: before.alone,
  };
}

/** How many runs one transition reclaims. */
const SLICE = 256;

/**
 * Queues runs again that other owners left running, except those that a newer run replaces or that were to be ended. Handles one
 * slice per call.
 * @returns how many were queued; `more` if there may be more
 */
export function reclaimRuns(
  rows: Rows,
  whose: Reclaiming,
  context: TransitionContext,
): { queued: number; more: boolean } {
  const { now } = context;
  const isLeft = ({ owner }: RunRow) => "of" in whose ? whose.of.includes(owner!) : !whose.kept.includes(owner!);
  const left: RunRow[] = rows.range("run", "owned", "").filter(isLeft).slice(0, SLICE);
  let queued = 0;
  for (const run of left) {
    if (endAsked(rows, run, context) || endReplaced(rows, run, context)) continue;
    rows.put("run", run.id, {
      ...withoutPlans(run),
      state: "queued",
      readyAt: Math.min(run.createdAt, now),
      waitingFor: "another attempt",
    });
    addNote(rows, run.id, "The program ended while it was running; queued again", now);
    refreshLane(rows, run.rule, run.lane);
    queued++;
  }
  return { queued, more: left.length === SLICE };
}

/** Ends a run that was replaced (mode `restart`), if the program ended before the runner could end it. */
function endReplaced(rows: Rows, run: RunRow, context: TransitionContext): boolean {
  const newer = newerInLane(rows, run);
  if (newer === undefined || getVersion(rows, run.version)?.mode !== "restart") return false;
  endCancelled(rows, run, `Replaced by run ${newer}`, context);
  return true;
}

/**
 * Suspends a run, `running` → `waiting` or `queued`, and frees its slot. If one of its waits ended meanwhile, it may be claimed
 * at once. One that was to be ended ends instead. Does nothing if the run is not running.
 */
export function suspendRun(
  rows: Rows,
  { run: id, suspension }: { run: string; suspension: Suspension },
  context: TransitionContext,
): void {
  const { now } = context;
  const run = rows.get("run", id);
  if (run?.state !== "running" || endAsked(rows, run, context)) return;
  const { woken, ...rest } = withoutPlans(run);
  const isWoken = suspension.state === "waiting" && woken === true;
  const state = isWoken ? "queued" : suspension.state;
  const due = isWoken || suspension.due === undefined ? undefined : Math.ceil(suspension.due);
  const readyAt = due ?? (state === "queued" ? now : undefined);
  const row: RunRow = {
    ...rest,
    state,
    ...(!isWoken && { waitingFor: suspension.waitingFor }),
    ...(due !== undefined && { due }),
    ...(readyAt !== undefined && { readyAt }),
    spent: Math.round(suspension.spent),
    alone: suspension.alone ?? run.alone,
  };
  rows.put("run", id, row);
  refreshLane(rows, run.rule, run.lane);
}
