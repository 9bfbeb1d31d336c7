import type { Rule } from "../../model/rule.ts";
import type { Database } from "./database.ts";
import { dropExpected, putExpected } from "./expected.ts";

/**
 * Keeps rule versions. They are the only documents stored as they are, unmasked: their secrets are unresolved names,
 * and a module in which "***" had replaced a piece of code would not run.
 */
export function putVersions(database: Database, rules: Rule[]): void {
  const ids = new Set(rules.map(({ id }) => id));
  const before = database.all<{ id: string }>("SELECT id FROM rules WHERE version IS NOT NULL");
  changeVersions(database, rules, before.map(({ id }) => id).filter((id) => !ids.has(id)));
}

/** The same where the others are known to be in force already: costs as much as what changed. */
export function changeVersions(database: Database, changed: Rule[], gone: string[]): void {
  const known = knownOf(database, changed);
  const inForce = inForceOf(database, changed);
  for (const rule of changed) {
    if (!known.has(rule.version)) putVersion(database, rule);
    if (inForce.get(rule.id) !== rule.version) setInForce(database, rule);
  }
  for (const id of gone) database.run("UPDATE rules SET version = NULL WHERE id = @rule", id);
}

/** One query for all of them: a start with 1,000 rules asks for 1,000 versions. */
function knownOf(database: Database, rules: Rule[]): Set<string> {
  const rows = database.all<{ version: string }>(
    "SELECT version FROM versions WHERE version IN (SELECT value FROM json_each(@versions))",
    JSON.stringify(rules.map(({ version }) => version)),
  );
  return new Set(rows.map(({ version }) => version));
}

function inForceOf(database: Database, rules: Rule[]): Map<string, string | null> {
  const rows = database.all<{ id: string; version: string | null }>(
    "SELECT id, version FROM rules WHERE id IN (SELECT value FROM json_each(@rules))",
    JSON.stringify(rules.map(({ id }) => id)),
  );
  return new Map(rows.map(({ id, version }) => [id, version]));
}

function putVersion(database: Database, rule: Rule): void {
  database.run("INSERT INTO versions (version, rule) VALUES (@version, @rule)", rule.version, JSON.stringify(rule));
  putExpected(database, rule);
}

function setInForce(database: Database, { id, version }: Rule): void {
  database.run(
    "INSERT INTO rules (id, version) VALUES (@rule, @version) ON CONFLICT (id) DO UPDATE SET version = excluded.version",
    id,
    version,
  );
}

/** The rules that were in force when they were put here last, of those named. */
export function getInForce(database: Database, ids: string[]): Rule[] {
  const rows = database.all<{ rule: string }>(
    "SELECT versions.rule FROM rules JOIN versions USING (version) WHERE id IN (SELECT value FROM json_each(@rules)) ORDER BY id",
    JSON.stringify(ids),
  );
  return rows.map(({ rule }) => JSON.parse(rule));
}

/** The rule as it was at that version. */
export function getVersion(database: Database, version: string): Rule | undefined {
  const rule = database.value<string>("SELECT rule FROM versions WHERE version = @version", version);
  return rule === undefined ? undefined : JSON.parse(rule);
}

/** Drops the versions that no live run is pinned to and that are not in `live`. */
export function dropVersions(database: Database, live: string[]): void {
  const dropped = database.run(
    "DELETE FROM versions WHERE version NOT IN (SELECT value FROM json_each(@live)) " +
      "AND NOT EXISTS (SELECT 1 FROM runs WHERE runs.version = versions.version AND ended_at IS NULL)",
    JSON.stringify(live),
  );
  if (dropped > 0) dropExpected(database);
}
