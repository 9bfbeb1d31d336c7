import type { Event } from "../model/event.ts";
import type { StepRecord } from "../model/run.ts";
import type { History } from "./history/history.ts";
import type { Rows } from "./ledger/rows.ts";
import type { WaitRow } from "./ledger/tables.ts";
import { isTaken, matches, needleOf } from "./transitions/awaited.ts";
import { stepKey } from "./transitions/trace.ts";
import { type Place, type Resolved, resolveSearch, type Search } from "./transitions/waits.ts";
import type { Transition } from "./transitions/transition.ts";

/**
 * Searches for the oldest event since a run began that matches one of its waits. The wait is already registered, so no event is
 * missed: the wait notes events that arrive during the search.
 * @param read reads live rows
 * @param decide runs the transition with the outcome
 * @returns the step's current record; undefined if it no longer waits
 */
export async function findAwaited(
  place: Place,
  history: History,
  read: <T>(work: (rows: Rows) => T) => Promise<T>,
  decide: (search: Search, transition: Transition<Search, Resolved>) => Promise<Resolved>,
): Promise<StepRecord | undefined> {
  const started = await read((rows) => {
    const wait = rows.get("wait", stepKey(place.run, place.path));
    return wait?.searching && { wait, began: rows.get("run", place.run)!.began };
  });
  if (!started) return undefined;
  const searchBehind = async (after: number): Promise<Search> => {
    const found = await findBehind(after, started.wait, history, read);
    return { ...place, ...found && { found } };
  };
  for (let search = await searchBehind(started.began);;) {
    const resolved = await decide(search, resolveSearch);
    if (resolved.kind === "record") return resolved.record;
    if (resolved.kind === "again") search = await searchBehind(resolved.after);
    else {
      const { key } = resolved;
      const record = await history.getEvent(key);
      search = { ...place, ...record ? { found: { key, event: record.event } } : { gone: key } };
    }
  }
}

/** The oldest matching event after a key that has not ended another wait of the run. */
async function findBehind(
  after: number,
  wait: WaitRow,
  history: History,
  read: <T>(work: (rows: Rows) => T) => Promise<T>,
): Promise<{ key: number; event: Event } | undefined> {
  for await (const { key, event } of history.findEvents({ types: wait.types!, after, needle: needleOf(wait) })) {
    if (matches(event, wait) && !await read((rows) => isTaken(rows, wait.run, key))) return { key, event };
  }
  return undefined;
}
