import type { Form } from "../../model/form.ts";
import { isObject, type Json } from "../../model/json.ts";
import type { Rule, Trigger } from "../../model/rule.ts";
import type { Run } from "../../model/run.ts";
import { cronSchedule } from "../../language/fields/cron_schedule.ts";
import { resolvedArgs } from "../../language/kind.ts";
import { at, cron, every } from "../../triggers/cron_every_at.ts";
import { poll } from "../../triggers/poll/poll.ts";
import type { Outcome } from "../activity.ts";
import type { WebContext } from "../context.ts";
import { listRules, type RuleListing } from "../rules_api.ts";

/** What a rule needs, most urgent first; the order of lists of rules. */
export const NEEDS = ["broken", "failing", "overdue", "waiting", "paused", "on", "off"] as const;

export type Need = typeof NEEDS[number];

/** A rule and what it needs. */
export interface Standing extends RuleListing {
  need: Need;
  /** Its last run, if that failed. */
  failed?: Outcome;
  /** Runs that should have resumed by now. */
  overdue: Run[];
  /** Runs that wait, newest first. */
  waiting: Run[];
  /** Open forms of its runs, oldest first. */
  forms: Form[];
}

/** A run that should have resumed this long ago is overdue: the program was busy, or its limit is too low. */
const LATE = 60_000;
/** The most live runs and open forms that are read, so that the page's time does not grow with their number. */
export const MOST_LOOKED_AT = 1_000;

/** All rules: those that need attention first, then by id. */
export async function standings(context: WebContext): Promise<Standing[]> {
  const { store, clock, activity } = context;
  const now = clock.now();
  const [rules, failing, waiting, forms, late] = await Promise.all([
    listRules(context),
    activity.failing(),
    store.listRuns({ state: "waiting", limit: MOST_LOOKED_AT }),
    store.listForms({ state: "open", limit: MOST_LOOKED_AT }),
    lateRuns(context, now - LATE),
  ]);
  const waitingBy = Map.groupBy(waiting, ({ rule }) => rule);
  const formsBy = Map.groupBy(forms.filter(({ due = Infinity }) => due > now), ({ rule }) => rule);
  const lateBy = Map.groupBy(late, ({ rule }) => rule);
  return rules.map((listing): Standing => {
    const { id } = listing;
    const failed = failing.get(id);
    const found = {
      overdue: lateBy.get(id) ?? [],
      waiting: waitingBy.get(id) ?? [],
      forms: formsBy.get(id) ?? [],
      ...failed && { failed },
    };
    return { ...listing, ...found, need: needOf(listing, found) };
  }).sort((a, b) => NEEDS.indexOf(a.need) - NEEDS.indexOf(b.need) || (a.id < b.id ? -1 : 1));
}

function needOf(
  { state, triggers, connections }: RuleListing,
  { failed, overdue, waiting }: Pick<Standing, "failed" | "overdue" | "waiting">,
): Need {
  if (state === "broken" || state === "kept") return "broken";
  // The person who paused a rule knows about it.
  if (state === "paused") return "paused";
  if (connections !== undefined) return "failing";
  if (failed !== undefined || triggers.some(({ failure }) => failure !== undefined)) return "failing";
  if (overdue.length > 0) return "overdue";
  if (waiting.some(waitsForOthers)) return "waiting";
  return state === "disabled" ? "off" : "on";
}

/** A wait for a time ends by itself. */
function waitsForOthers({ waits = [] }: Run): boolean {
  return waits.some(({ kind }) => kind !== "time");
}

async function lateRuns({ store }: WebContext, before: number): Promise<Run[]> {
  if ((await store.nextDue() ?? Infinity) > before) return [];
  const states = ["queued", "waiting"] as const;
  const lists = await Promise.all(states.map((state) => store.listRuns({ state, limit: MOST_LOOKED_AT })));
  return lists.flat().filter(({ due = Infinity }) => due < before);
}

/** When a rule's triggers next check or fire, soonest first; triggers that wait for outside events have no time. */
export async function nextTimes(
  rule: Rule,
  { store, clock }: Pick<WebContext, "store" | "clock">,
): Promise<{ trigger: Trigger; at: number }[]> {
  const now = clock.now();
  const times = await Promise.all(rule.triggers.map(async (trigger) => {
    const mark = await store.getMark({ rule: rule.id, trigger: trigger.id });
    return { trigger, at: nextOf(trigger, mark, now) };
  }));
  return times.filter((time): time is { trigger: Trigger; at: number } => time.at !== undefined)
    .sort((a, b) => a.at - b.at);
}

/** @param mark the trigger's own progress, see `triggers/timetable.ts` and `triggers/poll/` */
function nextOf({ kind, args }: Trigger, mark: Json | undefined, now: number): number | undefined {
  switch (kind) {
    case "cron": {
      const { cron: pattern, timezone } = resolvedArgs(cron, args);
      return cronSchedule(pattern, timezone).after(now);
    }
    case "every":
      return nextAfter(String(mark), resolvedArgs(every, args).every, now);
    case "poll": {
      const { polled, notBefore } = isObject(mark) ? mark : {};
      const next = nextAfter(String(polled), resolvedArgs(poll, args).every, now);
      return next === undefined ? undefined : Math.max(next, Date.parse(String(notBefore)) || 0);
    }
    case "at": {
      const moment = Date.parse(resolvedArgs(at, args).at);
      return moment > now ? moment : undefined;
    }
  }
}

/** The first time after now that is a whole number of intervals after the last time. */
function nextAfter(last: string, interval: number, now: number): number | undefined {
  const from = Date.parse(last);
  return Number.isNaN(from) ? undefined : from + Math.max(1, Math.floor((now - from) / interval) + 1) * interval;
}
