import type { Rule } from "../../model/rule.ts";
import type { Database } from "./database.ts";
import { dropExpected, putExpected } from "./expected.ts";

/**
 * Keeps rule versions. They are the only documents stored as they are, unmasked: their secrets are unresolved names,
 * and a module in which "***" had replaced a piece of code would not run.
 */
export function putVersions(database: Database, rules: Rule[]): void {
  const known = knownOf(database, rules);
  for (const rule of rules) {
    if (known.has(rule.version)) continue;
    database.run("INSERT INTO versions (version, rule) VALUES (@version, @rule)", rule.version, JSON.stringify(rule));
    putExpected(database, rule);
  }
  setInForce(database, rules);
}

/** One query for all of them: a start with 1,000 rules asks for 1,000 versions. */
function knownOf(database: Database, rules: Rule[]): Set<string> {
  const rows = database.all<{ version: string }>(
    "SELECT version FROM versions WHERE version IN (SELECT value FROM json_each(@versions))",
    JSON.stringify(rules.map(({ version }) => version)),
  );
  return new Set(rows.map(({ version }) => version));
}

function setInForce(database: Database, rules: Rule[]): void {
  const inForce = new Map(rules.map(({ id, version }) => [id, version]));
  const before = database.all<{ id: string; version: string }>(
    "SELECT id, version FROM rules WHERE version IS NOT NULL",
  );
  for (const { id, version } of before) {
    if (inForce.get(id) === version) inForce.delete(id);
    else if (!inForce.has(id)) database.run("UPDATE rules SET version = NULL WHERE id = @rule", id);
  }
  for (const [id, version] of inForce) {
    database.run(
      "INSERT INTO rules (id, version) VALUES (@rule, @version) ON CONFLICT (id) DO UPDATE SET version = excluded.version",
      id,
      version,
    );
  }
}

/** The rules that were in force when {@link putVersions} was called last, of those named. */
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
