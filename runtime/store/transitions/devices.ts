import { join } from "../ledger/ordered.ts";
import type { Rows } from "../ledger/rows.ts";
import type { DeviceChange, StoppedDevice } from "../own.ts";
import { tell } from "./notices.ts";
import { writeProgress } from "./progress.ts";
import type { At } from "./transition.ts";

/** Writes changes of devices: the inventory, those that are left alone, and the events, all together. */
export function changeDevices(rows: Rows, { fleet, progress, stopped, events }: DeviceChange, at: At): number {
  if (progress !== undefined) writeProgress(rows, progress);
  for (const [name, row] of stopped) {
    if (row === null) rows.drop("stopped", join(fleet, name));
    else rows.put("stopped", join(fleet, name), row);
  }
  for (const event of events) tell(rows, event.type, at, () => event);
  return rows.size("notice");
}

/** The stopped devices of a fleet, by name. */
export function listStopped(rows: Rows, fleet: string): Map<string, StoppedDevice> {
  const prefix = join(fleet, "");
  const keys = rows.index("stopped", "fleet").range(prefix, undefined, Infinity);
  return new Map(keys.map((key) => [key.slice(prefix.length), rows.get("stopped", key)!]));
}
