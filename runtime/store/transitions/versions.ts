import { readExactJson, writeRecordJson } from "../../formats/exact_json.ts";
import type { Rule } from "../../model/rule.ts";
import type { Rows } from "../ledger/rows.ts";
import { ruleRow } from "./counters.ts";

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
    if (row.version !== rule.version) rows.put("rule", rule.id, { ...row, version: rule.version });
  }
  for (const id of gone) {
    const row = rows.get("rule", id);
    if (row?.version === undefined) continue;
    const { version: _version, ...rest } = row;
    rows.put("rule", id, rest);
  }
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
