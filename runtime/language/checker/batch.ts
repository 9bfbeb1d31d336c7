import { isError } from "../../model/problem.ts";
import { z } from "zod";
import { isObject } from "../../model/json.ts";
import type { Batch } from "../../model/rule.ts";
import type { BatchTerms } from "../../store/store.ts";
import { boolean, duration, number } from "../arg_types.ts";
import { cronProblem, cronSchedule, zone } from "../fields/cron_schedule.ts";
import { show } from "../hints.ts";
import { type Kind, resolvedArgs } from "../kind.ts";
import { checkArgs } from "./check_args.ts";
import type { Checking, Path } from "./checking.ts";

/** Maximum events of a batch, which becomes one event that a run gets as a whole. */
const MOST_EVENTS = 10_000;

/** The options of `batch`. */
export const batchSchema = z.strictObject({
  every: duration().optional().describe("It closes this long after its first event"),
  quiet: duration().optional().describe("It closes when no event has come for this long"),
  within: duration().optional().describe("With quiet: it closes this long after its first event at the latest"),
  cron: z.string().optional().describe("It closes at the times of a cron pattern"),
  timezone: zone.optional().describe("With cron; by default TZ, else UTC"),
  empty: boolean().default(false).describe("With cron: it starts a run even without events"),
  max: number({ min: 1, max: MOST_EVENTS, integer: true }).default(1_000).describe(
    "It closes early with this many events",
  ),
});

/** `batch` is parsed like the argument of a trigger: it may use config and environment. */
const schemas = { kind: "batch", main: batchSchema, options: {} } as const;
const kind: Kind = { ...schemas, summary: "Collects events for one run" };

const CLOSES = ["every", "quiet", "cron"];
const EXAMPLES = 'write { every: 1h }, { quiet: 30s, within: 5m } or { cron: "0 9 * * 1" }';

/** The data about the rule that the check of a batch needs. */
export interface AroundBatch {
  /** Names of its config. */
  config: string[] | undefined;
  hasKey: boolean;
  hasFunctionIf: boolean;
}

/** Parses the `batch` of a trigger; undefined if it has a problem. */
export function checkBatch(checking: Checking, trigger: Path, raw: unknown, rule: AroundBatch): Batch | undefined {
  const path = [...trigger, "batch"];
  if (!isObject(raw)) {
    checking.error(path, "value", `expected the options of a batch, got ${show(raw)}`, EXAMPLES);
    return undefined;
  }
  const before = checking.problems.length;
  const visible = { names: ["config", "env"], steps: [], allSteps: [], ...(rule.config && { config: rule.config }) };
  const args = checkArgs(checking, trigger, kind, { batch: raw }, visible, {
    resolve: true,
    excused: [],
    checkSource() {},
  });
  checkCombination(checking, path, raw);
  const batch: Batch | undefined = args && resolvedArgs(schemas, args).batch;
  if (batch !== undefined) {
    checkTimes(checking, path, batch);
    checkRule(checking, path, batch, rule);
  }
  return checking.problems.slice(before).some(isError) ? undefined : batch;
}

function checkCombination(checking: Checking, path: Path, raw: Record<string, unknown>): void {
  const closes = CLOSES.filter((key) => key in raw);
  const expected = 'expected one of "every", "quiet", "cron"';
  if (closes.length === 0) {
    checking.error(path, "value", `a batch has to close: ${expected}`, EXAMPLES);
    return;
  }
  if (closes.length > 1) {
    const got = closes.map((key) => JSON.stringify(key)).join(" and ");
    const hint = closes.includes("every") && closes.includes("quiet")
      ? 'the longest time beside "quiet" is "within"'
      : "keep the one that says when it closes";
    checking.error([...path, closes[1]], "key", `${expected}, got ${got}`, hint);
    return;
  }
  for (const [key, needs] of [["within", "quiet"], ["timezone", "cron"], ["empty", "cron"]]) {
    if (!(key in raw) || closes[0] === needs) continue;
    checking.error(
      [...path, key],
      "key",
      `${JSON.stringify(key)} has no effect without ${JSON.stringify(needs)}`,
      `remove it, or write ${needs}: instead of ${closes[0]}:`,
    );
  }
}

function checkTimes(checking: Checking, path: Path, { every, quiet, within, cron, timezone }: Batch): void {
  for (const [key, time] of Object.entries({ every, quiet, within })) {
    if (time !== 0) continue;
    checking.error([...path, key], "value", "expected a duration longer than 0, got 0", "write 1s");
  }
  if (quiet !== undefined && within !== undefined && within <= quiet) {
    const hint = "make it longer, or write every: if only the time since the first event counts";
    checking.error([...path, "within"], "value", '"within" has to be longer than "quiet"', hint);
  }
  const problem = cron === undefined ? undefined : cronProblem(cron, timezone, checking.context.now);
  if (problem === undefined) return;
  const [message, hint] = problem.split("; ", 2);
  checking.error([...path, "cron"], "value", message, hint);
}

function checkRule(checking: Checking, path: Path, batch: Batch, { hasKey, hasFunctionIf }: AroundBatch): void {
  if (hasFunctionIf) {
    const hint = 'write it as CEL, as in if: "event.data.amount > 100", and without a validator of the event';
    checking.error(
      path,
      "key",
      "a function `if` cannot filter collected events: rule code runs only after the batch closes",
      hint,
    );
  }
  if (batch.empty && hasKey) {
    const hint = "take out one of the two; each key has a batch of its own, from its first event on";
    checking.error([...path, "empty"], "key", '"empty" means nothing beside the key of the rule', hint);
  }
}

/** The terms of a batch by its options at a given time. */
export function batchTerms(batch: Batch, now: number): BatchTerms {
  const { every, quiet, within = every, cron, max, empty } = batch;
  return {
    ...within !== undefined && { within },
    ...quiet !== undefined && { quiet },
    ...cron !== undefined && { at: nextOccurrence(batch, now) },
    max,
    empty,
    options: JSON.stringify(batch),
  };
}

/** Cached occurrences, each valid from the time of its computation: computing one takes longer than storing an event. */
const occurrences = new WeakMap<Batch, { from: number; at: number }>();

function nextOccurrence(batch: Batch, now: number): number {
  const known = occurrences.get(batch);
  if (known !== undefined && known.from <= now && now < known.at) return known.at;
  const at = cronSchedule(batch.cron!, batch.timezone).after(now)!;
  occurrences.set(batch, { from: now, at });
  return at;
}

/** The last occurrence of a batch's cron up to a given time. */
export function lastOccurrence({ cron, timezone }: Batch, now: number): number | undefined {
  return cron === undefined ? undefined : cronSchedule(cron, timezone).before(now + 1);
}
