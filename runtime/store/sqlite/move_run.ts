import { describeState } from "../../model/run.ts";
import type { Operated } from "../store.ts";
import type { Context } from "./context.ts";
import { addNote } from "./notes.ts";
import { readRunRow } from "./rows.ts";
import { getVersion } from "./versions.ts";

/** Pins a run that nobody performs to another version of its rule; it stays in its lane. */
export function moveRun(
  { database }: Context,
  id: string,
  version: string,
  by: string,
  now: number,
): Operated | undefined {
  const run = readRunRow(database, id);
  if (!run) return undefined;
  const refused = (why: string): Operated => ({
    kind: "refused",
    reason: `Cannot move run ${id} to version ${version}: ${why}`,
  });
  if (run.state === "running") return refused("it is running; try again once it waits");
  if (run.ended_at !== null) return refused(`${describeState(run.state)}; replay it with that version`);
  if (run.admission !== null) return refused("its condition is yet to be answered, by the version that it came with");
  if (run.version === version) return refused("that is the one it is on");
  const rule = getVersion(database, version);
  if (!rule) return refused("the store does not have it; those in force and those of live runs can be moved to");
  if (rule.id !== run.rule) return refused(`that is one of ${rule.id}, not of ${run.rule}`);
  database.run("UPDATE runs SET version = @version WHERE id = @run", version, id);
  addNote(database, id, `Moved from version ${run.version} to ${version} by ${by}`, now);
  return { kind: "done" };
}
