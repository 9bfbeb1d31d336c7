import { describeState } from "../../model/run.ts";
import type { Rows } from "../ledger/rows.ts";
import type { RunRow } from "../ledger/tables.ts";
import type { Operated } from "../store.ts";
import { addNote } from "./trace.ts";
import type { At } from "./transition.ts";
import { getVersion } from "./versions.ts";

/** A request of an operator to pin a run to another version of its rule. */
export interface Move {
  run: RunRow;
  version: string;
  by: string;
}

/** Pins a run that is not running to another version of its rule; it stays in its group. */
export function moveRun(rows: Rows, { run, version, by }: Move, { now }: At): Operated {
  const refused = (why: string): Operated => ({
    kind: "refused",
    reason: `Cannot move run ${run.id} to version ${version}: ${why}`,
  });
  const live = rows.get("run", run.id);
  if (live === undefined) return refused(`${describeState(run.state)}; replay it with that version`);
  if (live.state === "running") return refused("it is running; try again when it waits");
  if (live.admission !== undefined) {
    return refused("its condition is not answered yet, and only the version that it was created with can answer it");
  }
  if (live.version === version) return refused("that is the one it is on");
  const rule = getVersion(rows, version);
  if (!rule) return refused("the store does not have it; those in force and those of live runs can be moved to");
  if (rule.id !== live.rule) return refused(`that is one of ${rule.id}, not of ${live.rule}`);
  rows.put("run", live.id, { ...live, version });
  addNote(rows, live.id, `Moved from version ${live.version} to ${version} by ${by}`, now);
  return { kind: "done" };
}
