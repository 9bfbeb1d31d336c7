/** Minutes from UTC, by the zones of RFC 822 (section 5.1), and those of Europe, whose names have one meaning (tz database). */
const ZONES: Record<string, number> = {
  ...{ Z: 0, UT: 0, GMT: 0, UTC: 0 },
  ...{ EST: -300, EDT: -240, CST: -360, CDT: -300, MST: -420, MDT: -360, PST: -480, PDT: -420 },
  ...{ WET: 0, WEST: 60, CET: 60, CEST: 120, EET: 120, EEST: 180 },
};

const MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const MONTH = "(jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|" +
  "oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)";
const DAY = "(?:(?:mon|tue(?:s)?|wed(?:nes)?|thu(?:rs?)?|fri|sat(?:ur)?|sun)(?:day)?\\.?,?\\s*)?";
const TIME = "(\\d{1,2}):(\\d{2})(?::(\\d{2})(?:[.,]\\d+)?)?";

/** RFC 822 with the years of RFC 2822, and a comment after the zone. */
const RFC_822 = new RegExp(
  `^${DAY}(\\d{1,2})[\\s-]+${MONTH}\\.?[\\s-]+(\\d{4}|\\d{2})\\s+${TIME}\\s*([a-z]{1,4}|[+-]\\d{2}:?\\d{2})(?:\\s*\\([^)]*\\))?$`,
  "i",
);
/** RFC 3339 (section 5.6); seconds may be missing, as in the W3C's profile of ISO 8601. */
const RFC_3339 = /^(\d{4})-(\d{2})-(\d{2})[T ](\d{2}):(\d{2})(?::(\d{2})(?:[.,](\d+))?)?\s?(Z|[+-]\d{2}:?\d{2})$/i;
const FULL_DATE = /^(\d{4})-(\d{2})-(\d{2})$/;

/**
 * Reads a date of a feed: RFC 822 with a zone, or RFC 3339. A day alone, as in `2026-11-20`, is its beginning in UTC.
 * @returns RFC 3339 in UTC; null for anything else, such as a date without a zone or a day that does not exist: nothing is guessed
 */
export function readFeedDate(text: string): string | null {
  const trimmed = text.trim();
  const mail = RFC_822.exec(trimmed);
  if (mail !== null) {
    const [, day, month, year, hour, minute, second, zone] = mail;
    return momentOf(
      { year: fullYear(year), month: MONTHS.indexOf(month.slice(0, 3).toLowerCase()), day: Number(day) },
      {
        hour,
        minute,
        second,
        zone,
      },
    );
  }
  const net = RFC_3339.exec(trimmed);
  if (net !== null) {
    const [, year, month, day, hour, minute, second, fraction, zone] = net;
    return momentOf(dayOf(year, month, day), { hour, minute, second, fraction, zone });
  }
  const date = FULL_DATE.exec(trimmed);
  return date === null ? null : momentOf(dayOf(date[1], date[2], date[3]), { hour: "0", minute: "0", zone: "Z" });
}

interface Day {
  year: number;
  /** From 0. */
  month: number;
  day: number;
}

interface Time {
  hour: string;
  minute: string;
  second?: string;
  fraction?: string;
  zone: string;
}

function dayOf(year: string, month: string, day: string): Day {
  return { year: Number(year), month: Number(month) - 1, day: Number(day) };
}

/** RFC 2822, section 4.3. */
function fullYear(year: string): number {
  const number = Number(year);
  return year.length > 2 ? number : number + (number < 50 ? 2000 : 1900);
}

function momentOf(
  { year, month, day }: Day,
  { hour, minute, second = "0", fraction = "0", zone }: Time,
): string | null {
  const offset = offsetOf(zone);
  const [hours, minutes, seconds] = [hour, minute, second].map(Number);
  // A leap second is 60; it counts as the second after it.
  if (offset === undefined || hours > 23 || minutes > 59 || seconds > 60) return null;
  const date = new Date(Date.UTC(year, month, day));
  if (date.getUTCFullYear() !== year || date.getUTCMonth() !== month || date.getUTCDate() !== day) return null;
  const milliseconds = Math.floor(Number(`0.${fraction}`) * 1_000);
  date.setUTCHours(hours, minutes - offset, seconds, milliseconds);
  return date.toISOString();
}

function offsetOf(zone: string): number | undefined {
  const found = /^([+-])(\d{2}):?(\d{2})$/.exec(zone);
  if (found === null) return ZONES[zone.toUpperCase()];
  const [, sign, hours, minutes] = found;
  if (Number(hours) > 23 || Number(minutes) > 59) return undefined;
  return (Number(hours) * 60 + Number(minutes)) * (sign === "-" ? -1 : 1);
}
