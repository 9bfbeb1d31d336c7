/** The longest time that an answer may delay an attempt. */
const LONGEST = 86_400_000;

/**
 * Reads `Retry-After`: seconds, or a date (RFC 9110, section 10.2.3). A date is taken relative to the answer's own `Date`, so that a
 * difference between the clocks does not matter.
 * @returns milliseconds from now, at most a day; undefined if there is none or it is neither
 */
export function readRetryAfter(headers: Headers, now: number): number | undefined {
  const value = headers.get("retry-after")?.trim();
  if (!value) return undefined;
  if (/^\d+(\.\d+)?$/.test(value)) return bound(Number(value) * 1_000);
  const until = /^(Mon|Tue|Wed|Thu|Fri|Sat|Sun)/.test(value) ? Date.parse(value) : NaN;
  if (Number.isNaN(until)) return undefined;
  const sent = Date.parse(headers.get("date") ?? "");
  return bound(until - (Number.isNaN(sent) ? now : sent));
}

function bound(ms: number): number {
  return Math.min(Math.max(Math.round(ms), 0), LONGEST);
}
