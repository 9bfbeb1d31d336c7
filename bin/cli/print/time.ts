import { formatDuration } from "../../../runtime/model/duration.ts";

const UNITS: [name: string, ms: number][] = [["d", 86_400_000], ["h", 3_600_000], ["m", 60_000], ["s", 1_000]];

/** A time relative to now: `3m ago`, `in 2h30m`, `now`. */
export function relativeTime(at: number, now: number): string {
  const distance = Math.abs(at - now);
  const unit = UNITS.find(([, ms]) => distance >= ms);
  if (unit === undefined) return "now";
  return at < now ? `${Math.floor(distance / unit[1])}${unit[0]} ago` : `in ${formatDuration(distance)}`;
}

/** A time to the second, in UTC: `2026-11-21 07:14:02Z`. */
export function absoluteTime(at: number): string {
  return new Date(at).toISOString().replace("T", " ").replace(/\.\d+Z$/, "Z");
}

/** The time at which something ends, and how long until then: `2026-11-23 08:00:00Z (in 1d12h)`. */
export function deadline(at: number, now: number): string {
  return `${absoluteTime(at)} (${at > now ? `in ${formatDuration(at - now)}` : "now"})`;
}
