import type { StepRecord } from "../../model/run.ts";
import type { Database } from "./database.ts";

/**
 * Writes a step's record; it keeps its place where there was one of the same path.
 * @param settled the store ended it: nothing that is recorded later changes it
 */
export function putStep(database: Database, run: string, record: StepRecord, settled = false): void {
  database.run(
    "INSERT INTO steps (run, path, record, settled) VALUES (@run, ?, $record, ?) " +
      "ON CONFLICT (run, path) DO UPDATE SET record = excluded.record, settled = excluded.settled",
    run,
    record.path,
    record,
    Number(settled),
  );
}
