import type { Rule } from "../../model/rule.ts";
import { putRun } from "./put_run.ts";
import type { Context } from "./context.ts";
import { addNote } from "./notes.ts";
import { readRunRow } from "./rows.ts";
import { getVersion } from "./versions.ts";

/**
 * A new run of an old one's event. An operator asked for it: no limit holds it and no mode turns it away, but it takes
 * its turn in the lane of the old run's key.
 */
export function replayRun(
  context: Context,
  id: string,
  version: string | undefined,
  by: string,
  now: number,
): string | undefined {
  const { database } = context;
  const old = readRunRow(database, id);
  const rule: Rule | undefined = old && getVersion(database, version ?? old.version);
  if (!old || !rule || database.value("SELECT whole FROM events WHERE key = ?", old.event) !== 1) return undefined;
  const run = context.ids.run(now);
  putRun(context, {
    id: run,
    event: old.event,
    began: context.ids.lastEvent,
    candidate: { rule: old.rule, version: rule.version, trigger: old.trigger_id },
    admission: {
      kind: "admit",
      mode: rule.mode,
      max: rule.max,
      key: JSON.parse(old.key),
      limit: null,
      asksFirst: rule.if === "function",
    },
    readyAt: now,
    now,
    replayOf: id,
  });
  database.run("UPDATE events SET live = live + 1 WHERE key = ?", old.event);
  addNote(database, id, `Replayed by ${by} as run ${run}`, now);
  addNote(database, run, `Replays run ${id}, asked for by ${by}`, now);
  return run;
}
