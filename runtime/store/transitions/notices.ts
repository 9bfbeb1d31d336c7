import { OWN_PREFIX, type OwnEvent, type OwnEventType, typePatterns } from "../../model/event.ts";
import type { Condition, ConditionChange, DeviceChange, Notice, StoppedDevice } from "../store.ts";
import { join, ordered } from "../ledger/keys.ts";
import type { Rows } from "../ledger/rows.ts";
import { changePlaces, heldNow, putReport } from "./places.ts";
import { writeProgress } from "./progress.ts";
import type { TransitionContext } from "./transition.ts";

/**
 * Stores an own event, in the transition whose change it reports, if a rule listens to its type or a run waits for it. Ingest
 * accepts it afterwards.
 */
export function putNotice(
  rows: Rows,
  type: OwnEventType,
  context: TransitionContext,
  make: () => Omit<OwnEvent, "type">,
): void {
  if (!isWanted(rows, type, context)) return;
  rows.put("notice", ordered(context.ids.key(context.now)), { type, ...make(), at: context.now });
}

/** Whether a rule listens to a type, or a run waits for it. */
export function isWanted(
  rows: Rows,
  type: OwnEventType,
  { hasListener }: Pick<TransitionContext, "hasListener">,
): boolean {
  return hasListener(type) || isAwaited(rows, type);
}

function isAwaited(rows: Rows, type: OwnEventType): boolean {
  // Nearly always nobody waits for any own event.
  if (rows.size("wait") === 0 || rows.first("wait", "event", OWN_PREFIX) === undefined) return false;
  return typePatterns(type).some((pattern) => rows.first("wait", "event", join(pattern, "")) !== undefined);
}

/** Up to `max` notices, oldest first. */
export function listNotices(rows: Rows, max: number): Notice[] {
  return rows.index("notice", "id").range("", undefined, max).map((id) => ({ id, ...rows.get("notice", id)! }));
}

/** Removes a notice: its event is accepted. */
export function dropNotice(rows: Rows, id: string): void {
  rows.drop("notice", id);
}

/** Begins or ends a condition and stores its event; does nothing if the condition has not changed. */
export function changeCondition(
  rows: Rows,
  { condition, about, reason, event }: ConditionChange,
  context: TransitionContext,
): void {
  const known = rows.get("condition", condition);
  if ((known === undefined) === (reason === null)) return;
  if (reason === null) rows.drop("condition", condition);
  else rows.put("condition", condition, { since: context.now, about, reason });
  if (event) putNotice(rows, event.type, context, () => event);
}

/** All conditions that hold. */
export function listConditions(rows: Rows): Map<string, Condition> {
  return new Map(rows.all("condition"));
}

/** Writes changes of devices: the inventory, the stopped devices and the events, all together. */
export function changeDevices(
  rows: Rows,
  { fleet, progress, changed = [], removed = [], holder, reports = [], stopped, events }: DeviceChange,
  context: TransitionContext,
): number {
  if (progress !== undefined) writeProgress(rows, progress);
  changePlaces(rows, fleet, changed, removed);
  const held = holder && new Map(heldNow(rows, fleet, holder));
  const isSaid = (name: string) => held === undefined || held.has(name);
  for (const [name, report] of reports) if (isSaid(name)) putReport(rows, fleet, name, report);
  for (const [name, row] of stopped) {
    if (!isSaid(name)) continue;
    if (row === null) rows.drop("stopped", join(fleet, name));
    else rows.put("stopped", join(fleet, name), row);
  }
  for (const event of events) if (isSaid(event.subject)) putNotice(rows, event.type, context, () => event);
  return rows.size("notice");
}

/** The fleets with a stored inventory: what has a mark of this trigger, and never was a rule. */
export function listInventories(rows: Rows, trigger: string): string[] {
  const end = join("", trigger);
  const places = [...rows.keys("mark")].filter((place) => place.endsWith(end));
  return places.map((place) => place.slice(0, -end.length)).filter((id) => rows.get("rule", id) === undefined);
}

/** The stopped devices of a fleet, by name. */
export function listStopped(rows: Rows, fleet: string): Map<string, StoppedDevice> {
  const prefix = join(fleet, "");
  const keys = rows.index("stopped", "fleet").range(prefix, undefined, Infinity);
  return new Map(keys.map((key) => [key.slice(prefix.length), rows.get("stopped", key)!]));
}
