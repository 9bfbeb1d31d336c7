import { type Repeatable, toHeaders } from "../../model/event.ts";
import type { Json } from "../../model/json.ts";

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

/**
 * Finds a header that no host accepts. The errors of the hosts themselves may contain its value, which may be a secret.
 * @param shown the headers as they are recorded
 */
export function refusedHeader(headers: Record<string, Repeatable>, shown: Record<string, Json>): string {
  const name = Object.keys(headers).find((name) => !isTaken(name, headers[name]))!;
  return `the header ${JSON.stringify(name)} with the value ${JSON.stringify(shown[name])}: ` +
    "expected a name of letters, digits and dashes, and a value of one line";
}

function isTaken(name: string, value: Repeatable): boolean {
  try {
    toHeaders({ [name]: value });
    return true;
  } catch {
    return false;
  }
}
