import type { Context } from "hono";
import { getCookie } from "hono/cookie";
import { zoneOf } from "../../language/fields/cron_schedule.ts";
import { DAY, parseDuration } from "../../model/duration.ts";
import { UsageError } from "../../model/errors.ts";
import type { WebContext } from "../context.ts";
import { type Markup, markup } from "./markup.ts";

const MINUTE = 60_000;
const UNITS = [["day", DAY], ["hour", 3_600_000], ["minute", MINUTE]] as const;
const SHORT_UNITS = [["d", DAY], ["h", 3_600_000], ["min", MINUTE], ["s", 1_000]] as const;

/** Writes times for one viewer, as of one moment. */
export class Times {
  /** @param zone of the viewer; @param now milliseconds since the epoch, like all times here */
  constructor(readonly now: number, readonly zone: string) {}

  /** As short as the distance allows: `09:00:12` today, `Mon 09:00` within six days, `3 Nov 09:00`, `3 Nov 2025`. */
  short(at: number): Markup {
    return this.#element(at, this.#short(at));
  }

  /** For a sentence, with zone and distance: `21 Nov 2026, 09:00 UTC (in 5 days)`. */
  long(at: number): Markup {
    const written = `${this.#format(at, { dateStyle: "medium", timeStyle: "short" })} ${this.#zoneName(at)}`;
    return markup`<time datetime="${new Date(at).toISOString()}">${written}</time> (${distance(at, this.now)})`;
  }

  /** `3 minutes ago`, `in 2 hours`. */
  distance(at: number): Markup {
    return this.#element(at, distance(at, this.now));
  }

  /** The hour and minute, as on an axis. */
  clock(at: number): string {
    return this.#format(at, { hour: "2-digit", minute: "2-digit" });
  }

  /**
   * The times of a filter: `2h` ago, `09:00` of today, a date (its first moment), or both; in the viewer's zone unless they name
   * another.
   * @throws UsageError if one is no time
   */
  range(from: string | undefined, to: string | undefined): { from?: number; to?: number } {
    return { ...from !== undefined && { from: this.#read(from) }, ...to !== undefined && { to: this.#read(to) } };
  }

  #read(text: string): number {
    const ago = parseDuration(text);
    if (ago !== undefined) return this.now - ago;
    const local = /^(\d{4}-\d\d-\d\d)?(?:^|[T ]|$)(\d{1,2}:\d\d(?::\d\d)?)?$/.exec(text);
    const today = new Date(this.now + this.#offset(this.now)).toISOString().slice(0, 10);
    const read = local && text !== ""
      ? Date.parse(`${local[1] ?? today}T${(local[2] ?? "00:00").padStart(5, "0")}Z`)
      : Date.parse(text);
    if (Number.isNaN(read)) {
      throw new UsageError(`Cannot read the time "${text}": write one such as 2h (ago), 09:00 or 2026-11-21 09:00`);
    }
    // Twice, because the first guess may be on the other side of a daylight saving change.
    return local ? read - this.#offset(read - this.#offset(read)) : read;
  }

  /** Milliseconds by which the viewer's clock is ahead of UTC. */
  #offset(at: number): number {
    const parts = formatOf(this.zone, { timeZoneName: "longOffset" }).formatToParts(at);
    const name = parts.find(({ type }) => type === "timeZoneName")!.value;
    const [, sign, hours, minutes] = /([+-])(\d\d):(\d\d)/.exec(name) ?? [];
    return sign === undefined ? 0 : (sign === "-" ? -1 : 1) * (Number(hours) * 60 + Number(minutes)) * MINUTE;
  }

  #short(at: number): string {
    const time = { hour: "2-digit", minute: "2-digit" } as const;
    if (this.#day(at) === this.#day(this.now)) return this.#format(at, { ...time, second: "2-digit" });
    const away = Math.abs(at - this.now);
    if (away < 6 * DAY) return this.#format(at, { weekday: "short", ...time });
    if (away < 300 * DAY) return this.#format(at, { day: "numeric", month: "short", ...time });
    return this.#format(at, { day: "numeric", month: "short", year: "numeric" });
  }

  #element(at: number, text: string): Markup {
    const iso = new Date(at).toISOString();
    const full = `${this.#format(at, { dateStyle: "full", timeStyle: "medium" })} ${this.#zoneName(at)}`;
    return markup`<time datetime="${iso}" title="${full}">${text}</time>`;
  }

  #day(at: number): string {
    return this.#format(at, { dateStyle: "short" });
  }

  #format(at: number, options: Intl.DateTimeFormatOptions): string {
    return formatOf(this.zone, options).format(at).replace(/^(\w{3}), (?=\d\d:)/, "$1 ").replace(/ at (?=\d\d:)/, ", ");
  }

  #zoneName(at: number): string {
    const parts = formatOf(this.zone, { timeZoneName: "short" }).formatToParts(at);
    return parts.find(({ type }) => type === "timeZoneName")!.value;
  }
}

/** The times for the viewer of a request: in the zone that the browser named, else in that of the program (`TZ`, else UTC). */
export function timesFor(c: Context, { clock }: Pick<WebContext, "clock">): Times {
  return new Times(clock.now(), zoneFor(c));
}

/** A length of time in its two largest units: `2 d 3 h`, `41 s`, `350 ms`. */
export function span(ms: number): string {
  if (ms < 1_000) return `${Math.round(ms)} ms`;
  if (ms < 10_000) return `${(ms / 1_000).toFixed(1)} s`;
  const first = SHORT_UNITS.findIndex(([, size]) => ms >= size);
  const [unit, size] = SHORT_UNITS[first];
  const [smaller, rest] = SHORT_UNITS[first + 1] ?? [];
  const more = rest === undefined ? 0 : Math.floor((ms % size) / rest);
  return `${Math.floor(ms / size)} ${unit}${more > 0 ? ` ${more} ${smaller}` : ""}`;
}

function zoneFor(c: Context): string {
  const named = getCookie(c, "whenthen_zone") ?? "";
  return isZone(named) ? named : zoneOf(undefined);
}

const zones = new Map<string, boolean>();

function isZone(name: string): boolean {
  if (!/^[A-Za-z][\w+/-]{1,40}$/.test(name)) return false;
  let known = zones.get(name);
  if (known === undefined) {
    if (zones.size === 1_000) zones.clear();
    zones.set(name, known = canFormat(name));
  }
  return known;
}

function canFormat(zone: string): boolean {
  try {
    return new Intl.DateTimeFormat("en", { timeZone: zone }) !== undefined;
  } catch {
    return false;
  }
}

/** Creating a format takes a hundred times as long as using it. */
const formats = new Map<string, Intl.DateTimeFormat>();

function formatOf(zone: string, options: Intl.DateTimeFormatOptions): Intl.DateTimeFormat {
  const key = `${zone} ${JSON.stringify(options)}`;
  let format = formats.get(key);
  if (format === undefined) {
    if (formats.size === 100) formats.clear();
    formats.set(key, format = new Intl.DateTimeFormat("en-GB", { ...options, timeZone: zone }));
  }
  return format;
}

let relative: Intl.RelativeTimeFormat | undefined;

function distance(at: number, now: number): string {
  // Rounded to minutes, so that five days shown a second later are still five days.
  const away = Math.round((at - now) / MINUTE) * MINUTE;
  const unit = UNITS.find(([, ms]) => Math.abs(away) >= ms);
  if (unit === undefined) return "now";
  relative ??= new Intl.RelativeTimeFormat("en", { numeric: "auto" });
  return relative.format(Math.trunc(away / unit[1]), unit[0]);
}
