import type { Context, Hono } from "hono";
import { type Verdict, VERDICT_KINDS, type VerdictKind } from "../../model/event.ts";
import type { EventRecord, EventSearch } from "../../store/store.ts";
import type { WebContext } from "../context.ts";
import type { RefusedRequest } from "../refused_requests.ts";
import {
  countLinks,
  type Filter,
  type Filters,
  filtersOf,
  type Found,
  hasFilters,
  href,
  listBody,
  MOST_PARTS,
  ROWS,
  rowTable,
  TIME_FILTERS,
} from "./lists.ts";
import { liveMark, type Look, MOST_NEWER, newerPart } from "./live.ts";
import { joined, type Markup, markup, type Part } from "./markup.ts";
import { rulePath } from "./rules.ts";
import { page } from "./shell.ts";
import { type Times, timesFor } from "./times.ts";
import { sizeOf } from "./values.ts";
import type { ConsoleEnv } from "./viewer.ts";
import { word, type WordName } from "./words.ts";

/** Runs and other verdicts of one event that its row names; the rest is counted. */
const MOST_RUNS = 4;
const MOST_SAID = 2;

/** `/events`: received events with the verdict of each rule, and refused requests. */
export function addEvents(app: Hono<ConsoleEnv>, context: WebContext): void {
  app.get("/events", async (c) => {
    const set = filtersOf(c, EVENT_FILTERS);
    const { before } = c.req.query();
    const times = timesFor(c, context);
    const found = await findEventRows(context, set, times, { before });
    const newest = Math.max(found.rows[0]?.key ?? 0, times.now * 1_000 - 1);
    const live = before === undefined && href("/live", { page: "events", ...set, after: found.rows[0]?.key ?? newest });
    const body = listBody({
      title: "Events",
      path: "/events",
      filters: EVENT_FILTERS,
      set,
      before,
      counts: await countsOf(context, set),
      table: eventTable(found.rows, set, times),
      none: hasFilters(set) ? "No event is like that. Upper and lower case differ." : "No event has come yet.",
      found,
      reached: (cursor) => Number(cursor) / 1_000,
    }, times);
    return page(c, context, { title: "Events", at: "/events", head: liveMark(live), body });
  });
}

/** How many newer rows there are than a page has. */
export function lookForEvents(c: Context, context: WebContext): Look {
  const set = filtersOf(c, EVENT_FILTERS);
  const after = Number(c.req.query("after"));
  const path = href("/events", set);
  return async () => {
    const { rows } = await findEventRows(context, set, timesFor(c, context), { after, limit: MOST_NEWER });
    return { parts: [newerPart(path, rows.length)], isLast: rows.length === MOST_NEWER };
  };
}

/** How often each verdict was given since the store was created; each links to its list. */
async function countsOf(context: WebContext, set: EventFilters): Promise<Markup> {
  const isCounted = Object.keys(set).every((name) => name === "rule" || name === "verdict");
  const byRule = isCounted ? await context.store.countVerdicts() : {};
  const rules = set.rule === undefined ? Object.values(byRule) : [byRule[set.rule] ?? {}];
  const counts = (kind: VerdictKind) => rules.reduce((sum, each) => sum + (each[kind] ?? 0), 0);
  const shown = [
    ...VERDICT_KINDS.map((kind) => ({ name: kind, ...isCounted && { count: counts(kind) } })),
    { name: "unmatched" as const },
    ...set.rule === undefined ? [{ name: "refused" as const, ...isCounted && { count: context.refused.count } }] : [],
  ];
  const some = shown.filter(({ name, ...each }) => !("count" in each) || each.count !== 0 || name === set.verdict);
  return countLinks("By verdict", "/events", "verdict", set, some);
}

function eventTable(rows: EventRow[], set: EventFilters, times: Times): Markup | false {
  const shown = rows.map((row) => "event" in row ? eventRow(row.event, set, times) : refusedRow(row.refused, times));
  return rows.length > 0 && rowTable("events", ["Time", "Event", "Subject", "Verdict", "Why"], shown);
}

function eventRow(record: EventRecord, set: EventFilters, times: Times): Markup {
  const { key, event: { type, subject }, receivedAt, deliveries, delivery, ended } = record;
  // A list of one rule or one verdict shows only those; the rest is on the event's page.
  const verdicts = record.verdicts.filter(({ rule, verdict }) =>
    (set.rule ?? rule) === rule && (set.verdict ?? verdict.kind) === verdict.kind
  );
  const others = record.verdicts.length - verdicts.length;
  const shown = { delivery, verdicts, ended: others > 0 ? [] : ended };
  const rest = others > 0 && markup` <span class="soft">· ${others} more</span>`;
  const again = deliveries > 1 && markup` <span class="soft">came ${deliveries} times</span>`;
  return markup`<tr><td class="nowrap">${
    times.short(receivedAt)
  }</td><td class="grow cut"><div><a href="/events/${key}">${type}</a></div></td>
<td class="wide cut"><div>${subject}</div></td><td class="nowrap">${
    word(verdictOf(shown))
  }</td><td class="why cut"><div>${whyOf(shown)}${rest}${again}</div></td></tr>
`;
}

function refusedRow({ at, method, path, status, reason, sender, size, count }: RefusedRequest, times: Times): Markup {
  const from = sender === "" ? "" : ` · from ${sender}`;
  const bytes = size === undefined || size === 0 ? "" : ` · ${sizeOf(size)}`;
  const often = count > 1 && markup` <b>×${count.toLocaleString("en")}</b>`;
  return markup`<tr><td class="nowrap">${
    times.short(at)
  }</td><td class="grow cut"><div><code>${method} ${path}</code></div></td>
<td class="wide"></td><td class="nowrap">${
    word("refused")
  }</td><td class="why"><div>${status}: ${reason}${often}<span class="soft">${from}${bytes}</span></div></td></tr>
`;
}

type Outcome = Pick<EventRecord, "delivery" | "verdicts" | "ended">;

/** Most important first: problems, then started runs. */
const ORDER: VerdictKind[] = [
  "error",
  "invalid",
  "looped",
  "started",
  "held",
  "batched",
  "busy",
  "disabled",
  "condition",
];

/** The verdict that a row shows for an event with several. */
export function verdictOf({ delivery, verdicts }: Outcome): WordName {
  const kinds = verdicts.map(({ verdict }) => verdict.kind);
  return ORDER.find((kind) => kinds.includes(kind)) ?? delivery;
}

/** Why an event has its verdicts: what it started, and the reasons why it started nothing elsewhere. */
function whyOf({ verdicts, ended, delivery }: Outcome): Part {
  const started = verdicts.flatMap(({ rule, verdict }) =>
    verdict.kind === "started" ? [{ rule, run: verdict.run }] : []
  );
  const others = verdicts.filter(({ verdict }) => verdict.kind !== "started")
    .sort((a, b) => ORDER.indexOf(a.verdict.kind) - ORDER.indexOf(b.verdict.kind));
  const runs = started.slice(0, MOST_RUNS).map(({ rule, run }) => markup`<a href="/runs/${run}">${rule}</a>`);
  const rest = started.length - runs.length + Math.max(0, others.length - MOST_SAID);
  const parts: Part[] = [
    ...runs.length > 0 ? [markup`${started.length === 1 ? "run of " : "runs of "}${joined(runs, ", ")}`] : [],
    ...ended.map(({ rule, run, step }) => markup`ended the wait ${step} of <a href="/runs/${run}">${rule}</a>`),
    ...others.slice(0, MOST_SAID).map(sentenceOf),
    ...rest > 0 ? [`${rest} more`] : [],
  ];
  if (parts.length === 0) return delivery === "unmatched" ? "no rule listens for this type" : "";
  return joined(parts);
}

/** One rule's verdict in words. */
function sentenceOf({ rule, verdict }: EventRecord["verdicts"][number]): Part {
  return markup`<a href="${rulePath(rule)}">${rule}</a>: ${reasonOf(verdict)}`;
}

/** Why a rule gave its verdict, with links to the runs that it names. */
export function reasonOf(verdict: Verdict): Part {
  if (verdict.kind === "started") return markup`<a href="/runs/${verdict.run}">its run</a>`;
  const run = "run" in verdict && verdict.run !== undefined && !verdict.reason.includes(verdict.run) &&
    markup` (<a href="/runs/${verdict.run}">its run</a>)`;
  return [...verdict.reason.split(RUN_ID).map((part, index) => index % 2 === 1 ? runLink(part) : part), run];
}

const RUN_ID = /\b([0-9a-hjkmnp-tv-z]{20})\b/;

function runLink(id: string): Markup {
  return markup`<a class="mono" href="/runs/${id}">${id}</a>`;
}

// ── the search ──────────────────────────────────────────────────────────────────────────────────────────────────────────

const EVENT_FILTERS = [
  { name: "type", label: "Type" },
  { name: "rule", label: "Rule" },
  { name: "subject", label: "Subject" },
  { name: "verdict", label: "Verdict", choices: [...VERDICT_KINDS, "unmatched", "refused"] },
  ...TIME_FILTERS,
  { name: "text", label: "Text", placeholder: "in its data" },
] as const satisfies Filter[];

type EventFilters = Filters<typeof EVENT_FILTERS[number]["name"]>;

/** A row of the page of events: an event, or a request that was refused. */
export type EventRow = { key: number; event: EventRecord } | { key: number; refused: RefusedRequest };

/** The store's search for filters; undefined if they are for refused requests only. */
function eventSearch(set: EventFilters, times: Times): Omit<EventSearch, "limit"> | undefined {
  const { verdict, from, to, ...rest } = set;
  if (verdict === "refused") return undefined;
  return { ...rest, ...times.range(from, to), verdict: verdict as EventSearch["verdict"], parts: MOST_PARTS };
}

/** Events and refused requests that match, newest first. @param before a key */
async function findEventRows(
  { store, refused, mask }: Pick<WebContext, "store" | "refused" | "mask">,
  set: EventFilters,
  times: Times,
  { before, after = 0, limit = ROWS }: { before?: string; after?: number; limit?: number },
): Promise<Found<EventRow>> {
  const search = eventSearch(set, times);
  const asked = search && { ...search, mask, before, ...after > 0 && { after: String(after) }, limit: limit + 1 };
  const { rows: events, stoppedAt } = asked === undefined ? { rows: [] } : await store.searchEvents(asked);
  const requests = refused.list(limit + 1, Number(before ?? Infinity), matches(set, times, mask));
  const rows: EventRow[] = [
    ...events.map((event) => ({ key: Number(event.key), event })),
    ...requests.map((refused) => ({ key: refused.key, refused })),
  ].filter(({ key }) => key > after && key >= Number(stoppedAt ?? 0)).sort((a, b) => b.key - a.key);
  const isFull = rows.length > limit;
  const next = isFull ? String(rows[limit - 1].key) : stoppedAt;
  return {
    rows: rows.slice(0, limit),
    ...next !== undefined && { next },
    isPartial: !isFull && stoppedAt !== undefined,
  };
}

/** Refused requests have no type, rule or subject: a filter by one of these leaves them out. */
function matches(set: EventFilters, times: Times, mask: WebContext["mask"]): (request: RefusedRequest) => boolean {
  const { type, rule, subject, verdict, text, from, to } = set;
  if (type ?? rule ?? subject) return () => false;
  if (verdict !== undefined && verdict !== "refused") return () => false;
  const range = times.range(from, to);
  return ({ at, path, reason, sender }) =>
    at >= (range.from ?? 0) && at < (range.to ?? Infinity) &&
    (text === undefined || [path, reason, sender].some((value) => mask(value).includes(text)));
}
