import { messageOf } from "../../model/errors.ts";
import { show } from "../hints.ts";
import { formatInZone } from "./dates.cjs";
import { LruCache } from "./lru_cache.ts";

/** Quoted text, or repeated letters. */
const TOKENS = /'(?:''|[^'])*('|$)|([A-Za-z])\2*/g;

/** Letters that are unknown, or that date-fns reads unlike people expect, with their replacements. */
const TRAPS: Record<string, string> = {
  A: "AM or PM is a",
  T: "the T of ISO 8601 is text",
  W: "the week of ISO 8601 is I, and its year R",
  Z: "the offset is XXX",
  t: "text needs quotes",
  w: "the week of ISO 8601 is I, and its year R",
  e: "the day of the week of ISO 8601 is i",
  c: "the day of the week of ISO 8601 is i",
  P: "write out the order, as in d MMMM yyyy",
  p: "write out the order, as in HH:mm",
};

/** Problems by format, empty if there is none. Formats may come from data. */
const problems = new LruCache((format) => findProblem(format) ?? "");
/** The canonical name of each zone by its spelling, or empty. Spellings may come from data, and the package never drops a name from its cache. */
const zones = new LruCache(zoneNamed);

/**
 * Formats a time in a zone, with the letters of Unicode TR 35 as date-fns knows them; `YYYY`, `YY`, `DD` and `D` mean `yyyy`, `yy`, `dd` and
 * `d`. Text is in single quotes; other characters are kept.
 * @throws RangeError if a letter or the zone is unknown
 */
export function formatDate(time: Date, format: string, zone: string): string {
  const problem = problems.get(format);
  if (problem !== "") throw new RangeError(problem);
  const name = zones.get(zone);
  if (name === "") throw new RangeError(`date() needs a time zone such as Europe/Berlin, got ${show(zone)}`);
  return formatInZone(time.getTime(), withUnicodeLetters(format), name);
}

/** What is wrong with a format of `date`; undefined if nothing is. */
export function dateFormatProblem(format: string): string | undefined {
  return problems.get(format) || undefined;
}

function findProblem(format: string): string | undefined {
  if (format === "") return "date() needs a format such as 'yyyy-MM-dd', got an empty one";
  for (const [token, end, letter] of format.matchAll(TOKENS)) {
    if (letter === undefined) {
      if (end === "" || token === "'") return cannot(format, "a quote has no end; write '' for the character itself");
    } else if (Object.hasOwn(TRAPS, letter)) {
      return cannot(
        format,
        `unknown letter ${letter}: ${TRAPS[letter]}; text is written in single quotes, as '${token}'`,
      );
    } else if (/^d{3}/i.test(token)) {
      return cannot(format, `unknown letters ${token}: the name of the day is EEEE, short EEE`);
    }
  }
  try {
    formatInZone(0, withUnicodeLetters(format), "UTC");
    return undefined;
  } catch (error) {
    const letter = /`(.+?)`/.exec(messageOf(error))?.[1] ?? "";
    return cannot(format, `unknown letter ${letter}; text is written in single quotes, as '${letter}'`);
  }
}

function cannot(format: string, why: string): string {
  return `date() cannot use the format ${show(format)}: ${why}`;
}

/** In TR 35 `YYYY` is the year of a week and `DD` the day of a year; other libraries use them for the year and the day of the month. */
function withUnicodeLetters(format: string): string {
  return format.replace(TOKENS, (token, _end, letter?: string) => {
    return letter === "Y" || letter === "D" ? token.toLowerCase() : token;
  });
}

function zoneNamed(spelling: string): string {
  try {
    return new Intl.DateTimeFormat("en-US", { timeZone: spelling }).resolvedOptions().timeZone;
  } catch {
    return "";
  }
}
