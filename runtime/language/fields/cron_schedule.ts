import process from "node:process";
import { Cron } from "croner";
import { z } from "zod";
import { parseDuration } from "../../model/duration.ts";

/** The times of a cron pattern. */
export interface Schedule {
  /** The first occurrence after `time`, milliseconds since the epoch; undefined if there is none. */
  after(time: number): number | undefined;
  /** The last occurrence before `time`. */
  before(time: number): number | undefined;
}

/** The name of a time zone. */
export const zone = z.string().superRefine((name, context) => {
  if (isZone(name)) return;
  const expected = "a time zone such as Europe/Berlin";
  context.addIssue({ code: "custom", message: `expected ${expected}`, params: { expected }, input: name });
});

/**
 * Parses a cron pattern of five fields, or six with seconds first. Of a day of the month and a day of the week one is enough; both must
 * fit if the latter begins with `+`: `0 0 13 * +5`.
 * @param timezone by default `TZ`, else UTC
 * @throws Error if the pattern or the zone is not valid
 */
export function cronSchedule(cron: string, timezone: string | undefined): Schedule {
  const pattern = new Cron(cron, {
    paused: true,
    timezone: zoneOf(timezone),
    mode: "5-or-6-parts",
    // On a day without 02:00, "0 2,14 * * *" must still fire for it, as "0 2 * * *" does.
    fixedTimeRule: "no-wildcard",
  });
  return {
    after: (time) => pattern.nextRun(new Date(time))?.getTime(),
    before: (time) => pattern.previousRuns(1, new Date(time))[0]?.getTime(),
  };
}

/** The problem of a cron pattern, with the remedy after `; `; undefined if there is none. */
export function cronProblem(cron: string, timezone: string | undefined, now: number): string | undefined {
  const [, nickname, rest] = /^@(every|reboot)\b\s*(.*)$/.exec(cron.trim()) ?? [];
  if (nickname === "every") {
    const interval = parseDuration(rest) === undefined ? "5m" : rest;
    return `a cron has no @every; an interval is a trigger of its own: every: ${interval}`;
  }
  if (nickname === "reboot") {
    return "a cron has no @reboot; what follows the start of the program is a trigger of its own: start";
  }
  try {
    if (cronSchedule(cron, timezone).after(now) !== undefined) return undefined;
    return `the cron "${cron}" never fires: there is no such date; write a day that one of its months has`;
  } catch (error) {
    if (!isZone(zoneOf(timezone))) return `expected a time zone such as Europe/Berlin, got "${zoneOf(timezone)}"`;
    const reason = error instanceof Error ? error.message.replace(/^Cron\w+: /, "") : String(error);
    return `expected a cron pattern such as "30 8 * * 1-5", got "${cron}": ${reason}`;
  }
}

/** The zone of a rule: by default `TZ`, else UTC. */
export function zoneOf(timezone: string | undefined): string {
  return timezone ?? (process.env.TZ || "UTC");
}

function isZone(name: string): boolean {
  try {
    return new Intl.DateTimeFormat("en", { timeZone: name }) !== undefined;
  } catch {
    return false;
  }
}
