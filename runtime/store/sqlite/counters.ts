import type { RunState } from "../../model/run.ts";
import type { VerdictKind } from "../../model/verdict.ts";
import type { RunEnd } from "../store.ts";
import type { Database } from "./database.ts";

type Counter = VerdictKind | RunEnd["state"];

/** The columns that count verdicts. */
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

/**
 * Counts a verdict, or the end of a run, at a rule; for ever, whatever retention drops.
 * @param arrival the rule's new theoretical arrival time, where its limit was asked
 */
export function count(database: Database, rule: string, counter: Counter, arrival?: number): void {
  database.run(
    `INSERT INTO rules (id, ${counter}, arrival) VALUES (@rule, 1, ifnull(@arrival, 0)) ` +
      `ON CONFLICT (id) DO UPDATE SET ${counter} = ${counter} + 1, arrival = ifnull(@arrival, arrival)`,
    rule,
    arrival,
  );
}

/** Verdicts by rule and kind. */
export function countVerdicts(database: Database): Record<string, Partial<Record<VerdictKind, number>>> {
  const rules = database.all(`SELECT id, ${VERDICT_KINDS.join(", ")} FROM rules ORDER BY id`);
  const counted: Record<string, Partial<Record<VerdictKind, number>>> = {};
  for (const row of rules) {
    const kinds = VERDICT_KINDS.filter((kind) => row[kind] !== 0);
    if (kinds.length > 0) counted[String(row.id)] = Object.fromEntries(kinds.map((kind) => [kind, Number(row[kind])]));
  }
  return counted;
}

/** Runs by state: live ones as they are, ended ones since the first day. */
export function countRuns(database: Database): Record<RunState, number> {
  const live = (state: RunState) =>
    database.value<number>("SELECT count(*) FROM runs WHERE state = @state AND listed = 1", state)!;
  const ended = database.one<Record<RunEnd["state"], number>>(
    "SELECT ifnull(sum(succeeded), 0) AS succeeded, ifnull(sum(failed), 0) AS failed, " +
      "ifnull(sum(cancelled), 0) AS cancelled FROM rules",
  )!;
  return { queued: live("queued"), running: live("running"), waiting: live("waiting"), ...ended };
}
