import { zoneOf } from "../../language/fields/cron_schedule.ts";
import { type Markup, markup } from "./markup.ts";

const MINUTE = 60_000;
const UNITS = [["day", 86_400_000], ["hour", 3_600_000], ["minute", MINUTE]] as const;

/** A time for people, with its zone (`TZ`, else UTC) and its distance from now. */
export function time(at: number, now: number): Markup {
  const written = new Intl.DateTimeFormat("en-GB", {
    dateStyle: "medium",
    timeStyle: "short",
    timeZone: zoneOf(undefined),
  }).format(at);
  return markup`<time datetime="${new Date(at).toISOString()}">${written} ${zoneName(at)}</time> (${
    distance(at, now)
  })`;
}

function distance(at: number, now: number): string {
  // Rounded to minutes, so that five days shown a second later are still five days.
  const away = Math.round((at - now) / MINUTE) * MINUTE;
  const unit = UNITS.find(([, ms]) => Math.abs(away) >= ms);
  if (unit === undefined) return "now";
  // Created here, not at the start: loading its tables would take 4 ms of each start.
  return new Intl.RelativeTimeFormat("en", { numeric: "auto" }).format(Math.trunc(away / unit[1]), unit[0]);
}

function zoneName(at: number): string {
  const parts = new Intl.DateTimeFormat("en-GB", { timeZone: zoneOf(undefined), timeZoneName: "short" }).formatToParts(
    at,
  );
  return parts.find(({ type }) => type === "timeZoneName")!.value;
}
