import { formatInZone } from "../../../runtime/language/expressions/dates.cjs";
import { describe } from "./cronstrue.cjs";

/** A cron pattern in words, such as `at 08:30, Monday through Friday`; undefined if they are not known. */
export function cronInWords(pattern: string): string | undefined {
  try {
    const words = describe(pattern);
    return words[0].toLowerCase() + words.slice(1);
  } catch {
    // It does not know what only croner has, such as `+5`.
    return undefined;
  }
}

/** A cron trigger by the id that it has if it has no name: `cron 30 8 * * 1-5 Europe/Berlin (at 08:30, Monday through Friday)`. */
export function withWords(id: string): string {
  const [, pattern] = /^cron (.+) \S+$/.exec(id) ?? [];
  const words = pattern === undefined ? undefined : cronInWords(pattern);
  return words === undefined ? id : `${id} (${words})`;
}

/** A time with its weekday and offset in a zone: `Mon 2026-11-30 08:30:00 +01:00`. */
export function zonedTime(at: number, zone: string): string {
  return formatInZone(at, "EEE yyyy-MM-dd HH:mm:ss xxx", zone);
}
