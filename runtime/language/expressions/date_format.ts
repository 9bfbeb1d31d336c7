import { LruCache } from "./lru_cache.ts";

/** By zone. The zone may come from data and have any spelling. */
const formatters = new LruCache(newFormatter);

/**
 * Formats a time in a zone. Letters as in Unicode TR 35: `yyyy` `yy` `MMMM` `MMM` `MM` `M` `dd` `d` `EEEE` `EEE` `HH` `H` `hh` `h`
 * `a` `mm` `m` `ss` `s` `SSS` `XXX` (offset); `YYYY` and `DD` mean `yyyy` and `dd`. Other characters are kept; text in single
 * quotes is literal.
 * @throws RangeError if the zone is unknown
 */
export function formatDate(time: Date, format: string, zone: string): string {
  const parts = partsOf(time, zone);
  return format.replace(
    /'((?:[^']|'')*)'|yyyy|yy|YYYY|YY|M{1,4}|d{1,2}|D{1,2}|E{3,4}|H{1,2}|h{1,2}|a|m{1,2}|s{1,2}|SSS|XXX/g,
    (token, literal: string | undefined) =>
      literal === undefined ? write(token, parts) : literal.replaceAll("''", "'") || "'",
  );
}

function write(token: string, parts: Record<string, string>): string {
  const hour = Number(parts.hour);
  const pad = (text: string | number) => String(text).padStart(token.length, "0");
  switch (token) {
    case "yyyy":
    case "YYYY":
      return parts.year.padStart(4, "0");
    case "yy":
    case "YY":
      return parts.year.slice(-2);
    case "MMMM":
      return parts.month;
    case "MMM":
      return parts.month.slice(0, 3);
    case "EEEE":
      return parts.weekday;
    case "EEE":
      return parts.weekday.slice(0, 3);
    case "a":
      return hour < 12 ? "AM" : "PM";
    case "SSS":
      return parts.fractionalSecond;
    case "XXX":
      return parts.timeZoneName.replace("GMT", "") || "Z";
  }
  switch (token[0]) {
    case "M":
      return pad(MONTHS.indexOf(parts.month) + 1);
    case "d":
    case "D":
      return pad(Number(parts.day));
    case "H":
      return pad(hour);
    case "h":
      return pad(hour % 12 || 12);
    case "m":
      return pad(Number(parts.minute));
    default:
      return pad(Number(parts.second));
  }
}

const MONTHS = [
  "January",
  "February",
  "March",
  "April",
  "May",
  "June",
  "July",
  "August",
  "September",
  "October",
  "November",
  "December",
];

function partsOf(time: Date, zone: string): Record<string, string> {
  const formatter = formatters.get(zone);
  return Object.fromEntries(formatter.formatToParts(time).map(({ type, value }) => [type, value]));
}

function newFormatter(timeZone: string): Intl.DateTimeFormat {
  try {
    return new Intl.DateTimeFormat("en-US", {
      timeZone,
      hourCycle: "h23",
      year: "numeric",
      month: "long",
      day: "numeric",
      weekday: "long",
      hour: "numeric",
      minute: "numeric",
      second: "numeric",
      fractionalSecondDigits: 3,
      timeZoneName: "longOffset",
    });
  } catch {
    throw new RangeError(`date() needs a time zone such as Europe/Berlin, got "${timeZone}"`);
  }
}
