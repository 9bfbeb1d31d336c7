import type { Rows } from "../ledger/rows.ts";
import type { EventRow, RunRow } from "../ledger/tables.ts";
import { reviveEvent } from "./events.ts";
import { putRun } from "./put_run.ts";
import { addNote, addNoteLater } from "./trace.ts";
import type { At } from "./transition.ts";
import { getVersion } from "./versions.ts";

/** A run that an operator replays, with its event. */
export interface Replay {
  run: RunRow;
  event: EventRow;
  /** The version of the rule; that of the old run if undefined. */
  version: string | undefined;
  by: string;
}

/**
 * Makes a new run of an old run's event. As an operator requests it, no limit delays it and no mode rejects it, but it queues in
 * the group of the old run's key.
 * @returns its id, or undefined if the version is no longer stored
 */
export function replayRun(rows: Rows, { run: old, event, version, by }: Replay, { now, ids }: At): string | undefined {
  const rule = getVersion(rows, version ?? old.version);
  if (rule === undefined) return undefined;
  const began = ids.last;
  // A new key, as the ids of an event's own runs are derived from the event's key.
  const key = ids.key(now);
  const run = ids.run(key, 0);
  rows.put("fact", "last", { ...rows.get("fact", "last") as object, key });
  putRun(rows, {
    id: run,
    event: old.event,
    began,
    candidate: { rule: old.rule, version: rule.version, trigger: old.trigger },
    admission: {
      kind: "admit",
      mode: rule.mode,
      max: rule.max,
      key: old.key,
      limit: null,
      asksFirst: rule.if === "function",
    },
    readyAt: now,
    now,
    replayOf: old.id,
  });
  reviveEvent(rows, event);
  addNoteLater(rows, old.id, `Replayed by ${by} as run ${run}`, now);
  addNote(rows, run, `Replays run ${old.id}, asked for by ${by}`, now);
  return run;
}
