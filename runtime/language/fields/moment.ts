import { Cron } from "croner";
import { parseDuration } from "../../model/duration.ts";
import { zone, zoneOf } from "./cron_schedule.ts";

const CLOCK_TIME = /^([01]\d|2[0-3]):([0-5]\d)(?::([0-5]\d))?$/;
const DATE = /^\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?(Z|[+-]\d{2}:?\d{2})?)?$/;

/** An example of a moment, for messages. */
export const A_MOMENT = "a time such as 2027-01-01T09:00:00Z or 09:00";

/**
 * Reads a moment: `2027-01-01T09:00:00+01:00`; without an offset (`2027-01-01`, `2027-01-01T09:00`) in the zone; or
 * `09:00`, the next one there. A time that daylight saving skips becomes the time after the gap.
 * @param timezone by default `TZ`, else UTC
 * @returns milliseconds since the epoch, or undefined if the text is no moment
 */
export function parseMoment(text: string, now: number, timezone?: string): number | undefined {
  const [, hour, minute, second = "0"] = CLOCK_TIME.exec(text) ?? [];
  if (hour !== undefined) return firstOf(`${Number(second)} ${Number(minute)} ${Number(hour)} * * *`, now, timezone);
  const date = DATE.exec(text);
  const [day, time = "00:00"] = text.split(/[T ]/);
  if (!date || !isDay(day)) return undefined;
  if (date[1] !== undefined) return validOrUndefined(Date.parse(`${day}T${time}`));
  if (validOrUndefined(Date.parse(`${day}T${time}Z`)) === undefined) return undefined;
  const [whole, fraction = ""] = time.split(".");
  const found = firstOf(`${day}T${whole.length === 5 ? `${whole}:00` : whole}`, -LAST, timezone);
  return found === undefined ? undefined : found + Math.floor(Number(`0.${fraction}`) * 1_000);
}

/** Reads a duration from `now`, or a moment; undefined if the text is neither. */
export function parseDue(text: string, now: number, timezone?: string): number | undefined {
  const duration = parseDuration(text);
  return duration === undefined ? parseMoment(text, now, timezone) : later(now, duration);
}

/** The last moment that a `Date` can hold; a later one could not be shown. */
const LAST = 8_640_000_000_000_000;

/** The moment that many milliseconds later. */
export function later(now: number, ms: number): number {
  return Math.min(now + ms, LAST);
}

/** Whether there is such a time zone. */
export function isZone(name: string): boolean {
  return zone.safeParse(name).success;
}

/** The first time after `after` that matches a cron pattern, or a date and time of the zone. */
function firstOf(pattern: string, after: number, timezone: string | undefined): number | undefined {
  return new Cron(pattern, { paused: true, timezone: zoneOf(timezone) }).nextRun(new Date(after))?.getTime();
}

/** `Date` rolls 31 February over into March. */
function isDay(text: string): boolean {
  const [year, month, day] = text.split("-").map(Number);
  const date = new Date(Date.UTC(year, month - 1, day));
  return date.getUTCMonth() === month - 1 && date.getUTCDate() === day;
}

function validOrUndefined(time: number): number | undefined {
  return Number.isNaN(time) ? undefined : time;
}
