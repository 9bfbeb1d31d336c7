import type { StepRecord } from "../../model/run.ts";
import type { Database } from "./database.ts";

/** Writes a step's record; it keeps its place where there was one of the same path. */
export function putStep(database: Database, run: string, record: StepRecord): void {
  database.run(
    "INSERT INTO steps (run, path, position, record) " +
      "VALUES (@run, ?, (SELECT count(*) FROM steps WHERE run = @run), $record) " +
      "ON CONFLICT (run, path) DO UPDATE SET record = excluded.record",
    run,
    record.path,
    record,
  );
}
