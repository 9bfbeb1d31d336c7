import { readFeedDate } from "../../formats/feed_dates.ts";
import { isZone, parseMoment } from "../fields/moment.ts";
import { show } from "../hints.ts";
import type { Numeric } from "./numbers.ts";

/** Seconds since 1970 up to the year 5138 are smaller, milliseconds from March 1973 on are larger. */
const FIRST_MILLISECONDS = 100_000_000_000;
/** The years that CEL's timestamps have: 1 to 9999. */
const [FIRST, LAST] = [-62_135_596_800_000, 253_402_300_799_999];

/** A time of seconds or milliseconds since 1970: the size of the number tells which. */
export function timeOfNumber(value: Numeric): Date {
  const number = Number(value);
  return validTime(
    Math.abs(number) < FIRST_MILLISECONDS ? number * 1_000 : number,
    `time() needs seconds or milliseconds since 1970, got ${value}`,
  );
}

/** A time of seconds since 1970, as CEL has it. */
export function timeOfSeconds(value: Numeric): Date {
  const problem = `timestamp() needs seconds since 1970, got ${value}; time(${value}) takes milliseconds, too`;
  return validTime(Number(value) * 1_000, problem);
}

function validTime(milliseconds: number, problem: string): Date {
  if (milliseconds >= FIRST && milliseconds <= LAST) return new Date(milliseconds);
  throw new Error(problem);
}

/**
 * A time of text that says its zone: RFC 3339, or as in mails and feeds. A day alone begins in UTC, or in the zone.
 * @param zone the zone of times that do not say it
 * @param asker the function that the text was given to
 * @throws Error if the text is no time; the machine's zone is never taken
 */
export function timeOfText(text: string, zone?: string, asker = "time"): Date {
  if (zone !== undefined && !isZone(zone)) {
    throw new Error(`${asker}() needs a time zone such as Europe/Berlin, got ${show(zone)}`);
  }
  const read = zone === undefined || !/^\d{4}-\d{2}-\d{2}([T ]|$)/.test(text)
    ? readFeedDate(text)
    : parseMoment(text, 0, zone);
  if (read !== null && read !== undefined) return new Date(read);
  const isLocal = parseMoment(text, 0, "UTC") !== undefined && /^\d{4}-/.test(text) &&
    !/(Z|[+-]\d{2}:?\d{2})$/.test(text);
  const hint = isLocal ? `; for a time of a zone write time(${JSON.stringify(text)}, "Europe/Berlin")` : "";
  throw new Error(`${asker}() needs a time such as 2027-01-31T09:00:00Z, got ${show(text)}${hint}`);
}
