import type { Database } from "./database.ts";

/** Sets or takes away the reason why a rule is paused. */
export function setPaused(database: Database, rule: string, paused: string | null): void {
  database.run(
    "INSERT INTO rules (id, paused) VALUES (@rule, ?) ON CONFLICT (id) DO UPDATE SET paused = excluded.paused",
    rule,
    paused,
  );
}

/** The reasons of the rules that are paused. */
export function listPaused(database: Database): Record<string, string> {
  const rows = database.all<{ id: string; paused: string }>(
    "SELECT id, paused FROM rules WHERE paused IS NOT NULL ORDER BY id",
  );
  return Object.fromEntries(rows.map(({ id, paused }) => [id, paused]));
}
