import { zoneOf } from "../../rule/cron_schedule.ts";
import { type Markup, markup } from "./markup.ts";

const UNITS = [["day", 86_400_000], ["hour", 3_600_000], ["minute", 60_000]] as const;
const RELATIVE = new Intl.RelativeTimeFormat("en", { numeric: "auto" });

/** A time as people read it, with its zone (`TZ`, else UTC), and how far off it is. */
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
  const unit = UNITS.find(([, ms]) => Math.abs(at - now) >= ms);
  return unit === undefined ? "now" : RELATIVE.format(Math.trunc((at - now) / unit[1]), unit[0]);
}

function zoneName(at: number): string {
  const parts = new Intl.DateTimeFormat("en-GB", { timeZone: zoneOf(undefined), timeZoneName: "short" }).formatToParts(
    at,
  );
  return parts.find(({ type }) => type === "timeZoneName")!.value;
}
