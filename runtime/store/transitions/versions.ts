import { readExactJson, writeRecordJson } from "../../formats/exact_json.ts";
import type { Rule } from "../../model/rule.ts";
import { describeState } from "../../model/run.ts";
import { join, ordered } from "../ledger/ordered.ts";
import type { Rows } from "../ledger/rows.ts";
import { MOST_VERSIONS, type RunRow } from "../ledger/tables.ts";
import type { Decision, Operated } from "../store.ts";
import { ruleRow } from "./counters.ts";
import { addNote } from "./trace.ts";
import { forgetWrites } from "./patching.ts";
import type { At } from "./transition.ts";

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

/** A request of an operator to pin a run to another version of its rule. */
export interface Move {
  run: RunRow;
  version: string;
  decision: Decision;
}

/** Pins a run that is not running to another version of its rule; it stays in its group. */
export function moveRun(rows: Rows, { run, version, decision }: Move, { now }: At): Operated {
  const refused = (why: string): Operated => ({
    kind: "refused",
    reason: `Cannot move run ${run.id} to version ${version}: ${why}`,
  });
  const live = rows.get("run", run.id);
  if (live === undefined) return refused(`${describeState(run.state)}; replay it with that version`);
  if (live.state === "running") return refused("it is running; try again when it waits");
  if (live.admission !== undefined) {
    return refused("its condition is not evaluated yet, and only the version that it was created with can evaluate it");
  }
  if (live.version === version) return refused("it is on that version already");
  const rule = getVersion(rows, version);
  if (!rule) return refused("the store does not have it; only live versions and those of live runs are possible");
  if (rule.id !== live.rule) return refused(`that is one of ${rule.id}, not of ${live.rule}`);
  rows.put("run", live.id, { ...live, version });
  addNote(rows, live.id, `Moved from version ${live.version} to ${version} by ${decision.by}`, now, decision);
  return { kind: "done" };
}

/** How many rows of each kind one transition drops. */
const SLICE = 256;

/**
 * One slice of retention over live rows: drops expired memory across runs, old writes to items, and closed forms older than the identity retention.
 * @returns true while there may be more
 */
export function prune(rows: Rows, _input: undefined, { now, retention }: At): boolean {
  const expired = rows.range("state", "end", "", SLICE).filter(({ expiresAt }) => expiresAt! <= now);
  for (const { key } of expired) rows.drop("state", key);
  const oldest = ordered(Math.max(0, now - retention.identities));
  let dropped = 0;
  for (const state of ["answered", "expired", "cancelled"]) {
    const ids = rows.index("form", "state").range(join(state, ""), undefined, SLICE);
    const old = ids.filter((id) => ordered(rows.get("form", id)!.createdAt) <= oldest);
    for (const id of old) if (!rows.get("run", rows.get("form", id)!.run)) dropped += Number(rows.drop("form", id));
  }
  const forgotten = forgetWrites(rows, now, SLICE);
  return expired.length === SLICE || dropped >= SLICE || forgotten === SLICE;
}
