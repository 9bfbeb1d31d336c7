import type { RunState } from "../../model/run.ts";
import { VERDICT_KINDS, type VerdictKind } from "../../model/verdict.ts";
import type { Rows } from "../ledger/rows.ts";
import type { RuleRow, RunRow } from "../ledger/tables.ts";
import type { RunEnd } from "../store.ts";

/** The row of a rule, or the initial row of an unknown one. */
export function ruleRow(rows: Rows, id: string): RuleRow {
  return rows.get("rule", id) ?? { id, arrival: 0, counts: {} };
}

/**
 * Counts a verdict of a rule on an event. Counts are permanent, even after history has dropped the event.
 * @param arrival the rule's new theoretical arrival time, if its limit was applied
 */
export function countVerdict(rows: Rows, rule: string, kind: VerdictKind, event: number, arrival?: number): void {
  const row = ruleRow(rows, rule);
  const lastVerdicts = { ...row.lastVerdicts };
  lastVerdicts[kind] = Math.max(event, lastVerdicts[kind] ?? 0);
  rows.put("rule", rule, { ...row, counts: counted(row, kind), lastVerdicts, arrival: arrival ?? row.arrival });
}

/** Counts the end of a run that is listed. */
export function countEnd(rows: Rows, { id, rule, event }: RunRow, state: RunEnd["state"]): void {
  const row = ruleRow(rows, rule);
  rows.put("rule", rule, { ...row, counts: counted(row, state), lastRun: { id, event } });
}

function counted({ counts }: RuleRow, kind: keyof RuleRow["counts"]): RuleRow["counts"] {
  const changed = { ...counts };
  changed[kind] = (changed[kind] ?? 0) + 1;
  return changed;
}

/** A failed run is live again: its end no longer counts. */
export function uncountFailure(rows: Rows, rule: string): void {
  const row = ruleRow(rows, rule);
  rows.put("rule", rule, { ...row, counts: { ...row.counts, failed: (row.counts.failed ?? 0) - 1 } });
}

/** The events and runs that history keeps for ever: each rule's last run, and its newest event with each kind of verdict. */
export function readKept(rows: Rows): { events: Set<number>; runs: Set<string> } {
  const kept = { events: new Set<number>(), runs: new Set<string>() };
  for (const [, { lastRun, lastVerdicts = {} }] of rows.all("rule")) {
    for (const event of Object.values(lastVerdicts)) kept.events.add(event);
    if (lastRun === undefined) continue;
    kept.runs.add(lastRun.id);
    kept.events.add(lastRun.event);
  }
  return kept;
}

/** Verdicts by rule and kind. */
export function countVerdicts(rows: Rows): Record<string, Partial<Record<VerdictKind, number>>> {
  const counted: Record<string, Partial<Record<VerdictKind, number>>> = {};
  for (const [id, { counts }] of [...rows.all("rule")].sort(([a], [b]) => a < b ? -1 : 1)) {
    const kinds = VERDICT_KINDS.filter((kind) => counts[kind]);
    if (kinds.length > 0) counted[id] = Object.fromEntries(kinds.map((kind) => [kind, counts[kind]!]));
  }
  return counted;
}

/** Runs by state: live ones now, ended ones since the store was created. */
export function countRuns(rows: Rows): Record<RunState, number> {
  const counted = { queued: 0, running: 0, waiting: 0, succeeded: 0, failed: 0, cancelled: 0 };
  for (const state of ["queued", "running", "waiting"] as const) counted[state] = rows.count("run", "state", state);
  for (const [, { counts }] of rows.all("rule")) {
    for (const state of ["succeeded", "failed", "cancelled"] as const) counted[state] += counts[state] ?? 0;
  }
  return counted;
}
