import type { Database } from "./database.ts";

/** Adds a line to a run's trace. */
export function addNote(database: Database, run: string, text: string, now: number): void {
  database.run(
    "INSERT INTO notes (run, position, at, text) " +
      "VALUES (@run, (SELECT count(*) FROM notes WHERE run = @run), ?, ?)",
    run,
    now,
    text,
  );
}
