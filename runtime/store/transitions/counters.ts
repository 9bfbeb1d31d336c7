import type { RunState } from "../../model/run.ts";
import type { VerdictKind } from "../../model/verdict.ts";
import type { Rows } from "../ledger/rows.ts";
import type { RuleRow } from "../ledger/tables.ts";

const VERDICT_KINDS: VerdictKind[] = [
  "started",
  "held",
  "condition",
  "busy",
  "batched",
  "disabled",
  "looped",
  "error",
];

/** The row of a rule, or that of one of which nothing is known yet. */
export function ruleRow(rows: Rows, id: string): RuleRow {
  return rows.get("rule", id) ?? { id, arrival: 0, counts: {} };
}

/**
 * Counts a verdict, or the end of a run, at a rule; for ever, whatever becomes of history.
 * @param arrival the rule's new theoretical arrival time, if its limit was asked
 */
export function count(rows: Rows, rule: string, counter: keyof RuleRow["counts"], arrival?: number, by = 1): void {
  const row = ruleRow(rows, rule);
  const counts = { ...row.counts, [counter]: (row.counts[counter] ?? 0) + by };
  rows.put("rule", rule, { ...row, counts, ...(arrival !== undefined && { arrival }) });
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

/** Runs by state: live ones as they are, ended ones since the first day. */
export function countRuns(rows: Rows): Record<RunState, number> {
  const counted = { queued: 0, running: 0, waiting: 0, succeeded: 0, failed: 0, cancelled: 0 };
  for (const state of ["queued", "running", "waiting"] as const) counted[state] = rows.count("run", "state", state);
  for (const [, { counts }] of rows.all("rule")) {
    for (const state of ["succeeded", "failed", "cancelled"] as const) counted[state] += counts[state] ?? 0;
  }
  return counted;
}
