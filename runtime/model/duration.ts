/** Milliseconds of 24 hours. */
export const DAY = 86_400_000;

const UNITS: Record<string, number> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: DAY };
const ISO = /^P(?:(\d+)W)?(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+(?:\.\d+)?)S)?)?$/;

/**
 * Parses `250ms`, `30s`, `5m`, `2h`, `3d`, or an ISO 8601 duration of weeks and below (months and years have no
 * fixed length).
 * @returns milliseconds, or undefined if the text is not a duration
 */
export function parseDuration(text: string): number | undefined {
  const short = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)$/.exec(text);
  if (short) return Math.round(Number(short[1]) * UNITS[short[2]]);
  const iso = ISO.exec(text);
  if (!iso || iso.slice(1).every((part) => part === undefined)) return undefined;
  const [weeks, days, hours, minutes, seconds] = iso.slice(1).map((part) => Number(part ?? 0));
  return Math.round((weeks * 7 + days) * UNITS.d + hours * UNITS.h + minutes * UNITS.m + seconds * UNITS.s);
}

/** Formats milliseconds in the largest suitable units: `1h30m`, `2.5s`, `40ms`. */
export function formatDuration(ms: number): string {
  if (ms < 1_000) return `${Math.round(ms)}ms`;
  if (ms < UNITS.m) return `${Math.round(ms / 100) / 10}s`;
  const parts: string[] = [];
  let rest = Math.round(ms / 1_000) * 1_000;
  for (const unit of ["d", "h", "m", "s"]) {
    const count = Math.floor(rest / UNITS[unit]);
    rest -= count * UNITS[unit];
    if (count > 0 && parts.length < 2) parts.push(`${count}${unit}`);
  }
  return parts.join("");
}

/** Formats milliseconds as a duration that {@link parseDuration} parses to the same value. */
export function exactDuration(ms: number): string {
  const unit = ["d", "h", "m", "s"].find((unit) => ms > 0 && ms % UNITS[unit] === 0) ?? "ms";
  return `${ms / UNITS[unit]}${unit}`;
}

/** How often something may happen: `count` times in each `per` milliseconds. */
export interface Rate {
  count: number;
  per: number;
}

/** Parses `100/m`, `10/s`, `5/h`, `1/d`; undefined if the text is not a rate. */
export function parseRate(text: string): Rate | undefined {
  const match = /^(\d+)\/(s|m|h|d)$/.exec(text);
  if (!match || Number(match[1]) < 1) return undefined;
  return { count: Number(match[1]), per: UNITS[match[2]] };
}
