import { DEVICE_STATES, type DeviceState } from "../../model/fleet.ts";
import { join, SEPARATOR } from "../ledger/keys.ts";
import type { Rows } from "../ledger/rows.ts";
import type { DeviceReport, HeldPlace, Holder, NamedPlace, PlaceRow, TakenPlace } from "../places.ts";
import { endOrdersOf } from "./orders.ts";
import type { TransitionContext } from "./transition.ts";

/** Places that one transition changes: all other work of the store waits for it. */
export const PLACES_SLICE = 256;

/** See {@link PlaceStore.wantPlaces}. */
export function wantPlaces(
  rows: Rows,
  { inventory, fleet, wanted: all }: { inventory: string; fleet: string; wanted: [name: string, replica: string][] },
  { now }: TransitionContext,
): string[] {
  const known = all.filter(([name]) =>
    rows.get("baseline", join(fleet, inventory, JSON.stringify(name))) !== undefined
  );
  for (const [name, wanted] of known) {
    const key = join(fleet, name);
    const row = rows.get("place", key) ?? { fleet, epoch: 0, state: "waiting", since: now };
    rows.put("place", key, { ...row, wanted, wantedAt: now });
  }
  return known.map(([name]) => name);
}

/** See {@link PlaceStore.takePlaces}. */
export function takePlaces(
  rows: Rows,
  { replica, fleet, names }: { replica: string; fleet: string; names: string[] },
): TakenPlace[] {
  return names.flatMap((name): TakenPlace[] => {
    const key = join(fleet, name);
    const row = rows.get("place", key);
    if (row === undefined || row.owner !== undefined || row.wanted !== replica || row.news === "removed") return [];
    const epoch = row.epoch + 1;
    rows.put("place", key, { ...withoutNews(row), owner: replica, epoch });
    const { state, since, failures, error } = row;
    const stopped = rows.get("stopped", key);
    return [{
      name,
      epoch,
      state,
      since,
      ...failures !== undefined && { failures },
      ...error !== undefined && { error },
      ...stopped && { stopped },
    }];
  });
}

/** See {@link PlaceStore.releasePlaces}. */
export function releasePlaces(rows: Rows, { fleet, ...holder }: Holder & { fleet: string }): void {
  for (const [name] of heldNow(rows, fleet, holder)) free(rows, join(fleet, name));
}

/** See {@link PlaceStore.noteNews}. */
export function noteNews(rows: Rows, { fleet, ...holder }: Holder & { fleet: string }): void {
  for (const [name] of heldNow(rows, fleet, holder)) {
    const key = join(fleet, name);
    const row = rows.get("place", key)!;
    if (row.news === "changed") rows.put("place", key, withoutNews(row));
  }
}

/** Frees a slice of a replica's places. @returns whether it may have more */
export function freePlaces(rows: Rows, { replica }: { replica: string }): boolean {
  const keys = rows.index("place", "owner").range(join(replica, ""), undefined, PLACES_SLICE);
  for (const key of keys) free(rows, key);
  endOrdersOf(rows, replica);
  for (const [key] of [...rows.all("carried")]) if (key.endsWith(join("", replica))) rows.drop("carried", key);
  return keys.length === PLACES_SLICE;
}

/** See {@link PlaceStore.setCarried}. */
export function setCarried(
  rows: Rows,
  { replica, versions }: { replica: string; versions: Record<string, string> },
): void {
  for (const [key] of [...rows.all("carried")]) {
    const [fleet, by] = key.split(SEPARATOR);
    if (by === replica && !Object.hasOwn(versions, fleet)) rows.drop("carried", key);
  }
  for (const [fleet, version] of Object.entries(versions)) {
    const key = join(fleet, replica);
    if (rows.get("carried", key) !== version) rows.put("carried", key, version);
  }
}

/**
 * Takes a change of the inventory: owners learn of it. A device that nobody holds is forgotten at once if it was removed.
 * @param changed those that have a place already
 */
export function changePlaces(rows: Rows, fleet: string, changed: string[], removed: string[]): void {
  if (rows.size("place") === 0) return;
  for (const name of changed) {
    const row = rows.get("place", join(fleet, name));
    // One that was removed and came back meanwhile also gets a new session.
    if (row?.owner !== undefined) rows.put("place", join(fleet, name), { ...row, news: "changed" });
  }
  for (const name of removed) {
    const key = join(fleet, name);
    const row = rows.get("place", key);
    if (row?.owner === undefined) rows.drop("place", key);
    else rows.put("place", key, { ...row, news: "removed" });
  }
}

/** Those of the devices that a replica still holds. Devices without a place are nobody's: then there are no replicas. */
export function heldNow(rows: Rows, fleet: string, { replica, held }: Holder): HeldPlace[] {
  return held.filter(([name, epoch]) => {
    const row = rows.get("place", join(fleet, name));
    return row?.owner === replica && row.epoch === epoch;
  });
}

/** Stores what the owner says of a device. */
export function putReport(
  rows: Rows,
  fleet: string,
  name: string,
  { state, since, failures, error }: DeviceReport,
): void {
  const key = join(fleet, name);
  const { failures: _failures, error: _error, ...row } = rows.get("place", key)!;
  const more = { ...failures !== undefined && { failures }, ...error !== undefined && { error } };
  rows.put("place", key, { ...row, state, since, ...more });
}

/** See {@link PlaceStore.listCarried}. */
export function listCarried(rows: Rows): Map<string, Map<string, string>> {
  const found = new Map<string, Map<string, string>>();
  for (const [key, version] of rows.all("carried")) {
    const [fleet, replica] = key.split(SEPARATOR);
    const versions = found.get(fleet) ?? new Map<string, string>();
    found.set(fleet, versions.set(replica, version));
  }
  return found;
}

/** See {@link PlaceStore.listDuePlaces}. */
export function listDuePlaces(rows: Rows, replica: string, max: number, after?: NamedPlace): NamedPlace[] {
  const prefix = join(replica, "");
  const from = after && prefix + join(after.fleet, after.name);
  return named(rows, rows.index("place", "due").range(prefix, from, max));
}

/** See {@link PlaceStore.listPlaces}. */
export function listPlaces(rows: Rows, fleet: string, max: number, after?: string): NamedPlace[] {
  const prefix = join(fleet, "");
  return named(rows, rows.index("place", "fleet").range(prefix, after && prefix + after, max));
}

/** See {@link PlaceStore.getPlaces}. */
export function getPlaces(rows: Rows, fleet: string, names: string[]): NamedPlace[] {
  return named(rows, names.map((name) => join(fleet, name)).filter((key) => rows.get("place", key) !== undefined));
}

/** See {@link PlaceStore.countPlaces}. */
export function countPlaces(rows: Rows, fleet: string): Record<DeviceState, number> {
  const counts = DEVICE_STATES.map((state): [DeviceState, number] => [
    state,
    rows.count("place", "state", join(fleet, state)),
  ]);
  return Object.fromEntries(counts) as Record<DeviceState, number>;
}

function named(rows: Rows, keys: string[]): NamedPlace[] {
  return keys.map((key) => {
    const row = rows.get("place", key)!;
    const stopped = rows.get("stopped", key);
    return { ...row, name: key.slice(row.fleet.length + SEPARATOR.length), ...stopped && { again: stopped.again } };
  });
}

function free(rows: Rows, key: string): void {
  const { owner: _owner, ...row } = rows.get("place", key)!;
  if (row.news === "removed") rows.drop("place", key);
  else rows.put("place", key, withoutNews(row));
}

function withoutNews({ news: _news, ...row }: PlaceRow): PlaceRow {
  return row;
}
