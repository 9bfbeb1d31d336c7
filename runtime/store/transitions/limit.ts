import type { Rate } from "../../model/duration.ts";
import type { Rows } from "../ledger/rows.ts";

/**
 * Takes one place in a rule's limit by the generic cell rate algorithm (ITU-T I.371): `count` may start at once, then
 * one each `per / count`. Places are assigned in order, so delayed runs keep their order.
 * @returns when the run may start (now, or later if it is delayed), and the rule's new theoretical arrival time, to be
 * stored with the verdict
 */
export function takePlace(rows: Rows, rule: string, { count, per }: Rate, now: number) {
  const interval = per / count;
  // The theoretical arrival time of this run, if runs arrived evenly.
  const arrival = Math.max(rows.get("rule", rule)?.arrival ?? 0, now);
  return { readyAt: Math.max(now, Math.ceil(arrival - (per - interval))), arrival: arrival + interval };
}
