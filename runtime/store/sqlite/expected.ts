import { typePatterns } from "../../model/event.ts";
import type { Rule, Step } from "../../model/rule.ts";
import type { Database } from "./database.ts";

/**
 * Keeps the types of events that a version's steps may wait for, so that such an event is there when its `waitFor` is reached.
 * What a TypeScript function waits for, or an expression names, is not known before it does: events that come before may go
 * with retention.
 */
export function putExpected(database: Database, { version, then, onError, actions }: Rule): void {
  const lists = [then === "function" ? [] : then, onError, ...Object.values(actions).map((action) => action.then)];
  for (const type of new Set(lists.flatMap((steps) => steps.flatMap(typesOf)))) {
    database.run("INSERT INTO expected (type, version) VALUES (?, @version)", type, version);
  }
}

/** Forgets the versions that are no longer kept. */
export function dropExpected(database: Database): void {
  database.run("DELETE FROM expected WHERE version NOT IN (SELECT version FROM versions)");
}

/** The event behind which a live run may still wait for all of this type; undefined where none does. */
export function expectedBehind(database: Database, type: string): number | undefined {
  const oldest = typePatterns(type).flatMap((pattern) =>
    database.value<number | null>(
      "SELECT min((SELECT min(began) FROM runs WHERE runs.version = expected.version AND ended_at IS NULL)) " +
        "FROM expected WHERE type = ?",
      pattern,
    ) ?? []
  );
  return oldest.length > 0 ? Math.min(...oldest) : undefined;
}

function typesOf({ kind, args, children, onError, onTimeout }: Step): string[] {
  const inside = [...Object.values(children), Array.isArray(onError) ? onError : [], onTimeout ?? []];
  const own = kind === "waitFor" ? [args.waitFor].flat() : [];
  const known = own.filter((type): type is string => typeof type === "string" && !type.includes("${{"));
  return [...known, ...inside.flatMap((steps) => steps.flatMap(typesOf))];
}
