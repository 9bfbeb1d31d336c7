import { isDeepStrictEqual } from "node:util";
import { readExactJson, writeRecordJson } from "../../formats/exact_json.ts";
import type { UpperValue } from "../../model/config.ts";
import { VERDICT_KINDS, type VerdictKind } from "../../model/event.ts";
import type { Rule } from "../../model/rule.ts";
import { type RunState } from "../../model/run.ts";
import { join } from "../ledger/keys.ts";
import type { Rows } from "../ledger/rows.ts";
import { MOST_VERSIONS, type RuleRow, type RunRow } from "../ledger/tables.ts";
import {
  type ConfigChange,
  type ConfigChanged,
  MOST_EARLIER,
  type PageValue,
  type RuleEnds,
  type RunEnd,
} from "../store.ts";
import type { TransitionContext } from "./transition.ts";

/** Stores rule versions, and sets all rules in force. */
export function putVersions(rows: Rows, rules: Rule[]): void {
  const ids = new Set(rules.map(({ id }) => id));
  const gone = [...rows.all("rule")].flatMap(([id, { version }]) => version !== undefined && !ids.has(id) ? [id] : []);
  changeVersions(rows, { changed: rules, gone });
}

/** The same for a reload, if the other rules are already in force: costs only as much as the changes. */
export function changeVersions(rows: Rows, { changed, gone }: { changed: Rule[]; gone: string[] }): void {
  for (const rule of changed) {
    if (rows.get("version", rule.version) === undefined) rows.put("version", rule.version, writeRecordJson(rule));
    const row = ruleRow(rows, rule.id);
    if (row.version === rule.version) continue;
    rows.put("rule", rule.id, { ...row, version: rule.version });
    succeed(rows, rule.id, row.version, rule.version);
  }
  for (const id of gone) {
    const row = rows.get("rule", id);
    if (row?.version === undefined) continue;
    const { version, ...rest } = row;
    rows.put("rule", id, rest);
    if (rows.get("succession", id) === undefined) rows.put("succession", id, [version]);
  }
}

/** Notes the order of a rule's versions. A version that comes back is the newest again; a rule's only version needs no row. */
function succeed(rows: Rows, rule: string, from: string | undefined, to: string): void {
  const before = rows.get("succession", rule) ?? (from === undefined ? [] : [from]);
  if (before.length === 0) return;
  rows.put("succession", rule, [...before.filter((version) => version !== to), to].slice(-MOST_VERSIONS));
}

/** The versions of a rule that were in force, oldest first; empty if it had only one. */
export function listVersions(rows: Rows, rule: string): string[] {
  return rows.get("succession", rule) ?? [];
}

/** Those of these rules that are in force. */
export function getInForce(rows: Rows, ids: string[]): Rule[] {
  return [...new Set(ids)].sort().flatMap((id) => {
    const version = rows.get("rule", id)?.version;
    return version === undefined ? [] : getVersion(rows, version) ?? [];
  });
}

/** The rule as it was at that version. */
export function getVersion(rows: Rows, version: string): Rule | undefined {
  const text = rows.get("version", version);
  return text === undefined ? undefined : readExactJson(text) as Rule;
}

/** The versions that no live run is pinned to and that are not in `live`, with the length of each. */
export function listUnused(rows: Rows, live: string[]): { version: string; length: number }[] {
  const kept = new Set(live);
  return [...rows.all("version")].flatMap(([version, text]) => {
    return kept.has(version) || isPinned(rows, version) ? [] : [{ version, length: text.length }];
  });
}

/** Drops versions, except those that a run was pinned to meanwhile. */
export function dropVersions(rows: Rows, versions: string[]): void {
  for (const version of versions) if (!isPinned(rows, version)) rows.drop("version", version);
}

function isPinned(rows: Rows, version: string): boolean {
  return rows.count("run", "version", version) > 0;
}

/** Sets or removes the reason why a rule is paused. */
export function setPaused(rows: Rows, { rule, paused }: { rule: string; paused: string | null }): void {
  const { paused: _paused, ...rest } = ruleRow(rows, rule);
  rows.put("rule", rule, paused === null ? rest : { ...rest, paused });
}

/** The reasons of the rules that are paused. */
export function listPaused(rows: Rows): Record<string, string> {
  const paused = [...rows.all("rule")].flatMap(([id, { paused }]) => paused === undefined ? [] : [[id, paused]]);
  return Object.fromEntries(paused.sort(([a], [b]) => a < b ? -1 : 1));
}

/** The row of a rule, or the initial row of an unknown one. */
function ruleRow(rows: Rows, id: string): RuleRow {
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
export function countEnd(rows: Rows, { id, rule, event }: RunRow, state: RunEnd["state"], now: number): void {
  const row = ruleRow(rows, rule);
  const ended = { ...row, counts: counted(row, state), lastRun: { id, event } };
  rows.put("rule", rule, state === "succeeded" ? { ...ended, succeededAt: now } : ended);
}

function counted({ counts }: RuleRow, kind: keyof RuleRow["counts"]): RuleRow["counts"] {
  const changed = { ...counts };
  changed[kind] = (changed[kind] ?? 0) + 1;
  return changed;
}

/** A failed run is live again: its end no longer counts. */
export function uncountFailure(rows: Rows, rule: string): void {
  const row = ruleRow(rows, rule);
  const counts = { ...row.counts, failed: (row.counts.failed ?? 0) - 1 };
  rows.put("rule", rule, { ...row, counts, retried: (row.retried ?? 0) + 1 });
}

/** The events and runs that history keeps forever: each rule's last run, and its newest event with each kind of verdict. */
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

/** How runs ended, by rule, for rules in force and those that ever ran. A run that is retried counts each time it ends. */
export function countEnds(rows: Rows): Map<string, RuleEnds> {
  const ends = new Map<string, RuleEnds>();
  for (const [id, { version, counts, retried = 0, succeededAt }] of rows.all("rule")) {
    const { succeeded = 0, failed = 0, cancelled = 0 } = counts;
    const runs = { succeeded, failed: failed + retried, cancelled };
    const isKnown = version !== undefined || Object.values(runs).some((count) => count > 0);
    if (isKnown) ends.set(id, { runs, ...succeededAt !== undefined && { succeededAt } });
  }
  return ends;
}

/** Sets or removes values of a rule's config, if nobody has changed them since its author looked. */
export function setConfig(
  rows: Rows,
  { rule, set, by, seen }: ConfigChange,
  { now }: TransitionContext,
): ConfigChanged {
  const known = listConfig(rows, rule);
  const byKey = new Map(known.map((value) => [value.key, value]));
  for (const key of Object.keys(set)) {
    const current = byKey.get(key);
    if (current === undefined || seen === undefined || current.at <= seen) continue;
    return { kind: "stale", key, by: current.by, at: current.at };
  }
  // Later than all before it, also after a clock rollback: `seen` orders the changes of a rule.
  const at = Math.max(now, ...known.map((value) => value.at + 1));
  for (const [key, value] of Object.entries(set)) {
    const current = byKey.get(key);
    if (current === undefined ? value === null : isDeepStrictEqual(current.value, value)) continue;
    const earlier = current === undefined
      ? []
      : [{ value: current.value, by: current.by, at: current.at }, ...current.earlier].slice(0, MOST_EARLIER);
    rows.put("config", join(rule, key), { rule, key, value, by, at, earlier });
  }
  return { kind: "changed", at };
}

/** All values that were set, or those of one rule. */
export function listConfig(rows: Rows, rule?: string): PageValue[] {
  return rows.range("config", "rule", rule === undefined ? "" : join(rule, ""));
}

/** Replaces the values of the source. */
export function keepSourced(rows: Rows, values: UpperValue[]): void {
  rows.putFact("sourced", values);
}

/** The values that the source last gave. */
export function getSourced(rows: Rows): UpperValue[] {
  return rows.fact("sourced") ?? [];
}
