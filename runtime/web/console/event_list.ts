import { VERDICT_KINDS } from "../../model/verdict.ts";
import type { EventRecord, EventSearch } from "../../store/store.ts";
import type { WebContext } from "../context.ts";
import type { RefusedRequest } from "../refused.ts";
import { type Filter, type Filters, MOST_PARTS, ROWS } from "./lists.ts";
import type { Times } from "./times.ts";

export const EVENT_FILTERS = [
  { name: "type", label: "Type" },
  { name: "rule", label: "Rule" },
  { name: "subject", label: "Subject" },
  { name: "verdict", label: "Verdict", choices: [...VERDICT_KINDS, "unmatched", "refused"] },
  { name: "from", label: "From", placeholder: "2h or 09:00" },
  { name: "to", label: "To", placeholder: "2026-11-30" },
  { name: "text", label: "Text", placeholder: "in its data" },
] as const satisfies Filter[];

export type EventFilters = Filters<typeof EVENT_FILTERS[number]["name"]>;

/** A row of the page of events: an event, or a request that was refused. */
export type EventRow = { key: number; event: EventRecord } | { key: number; refused: RefusedRequest };

/** A page of rows, and the cursor of the next page. */
export interface EventPage {
  rows: EventRow[];
  /** The cursor of the next page; undefined on the last one. */
  next?: string;
  /** Whether the search ended before the page was full; it continues at `next`. */
  isPartial: boolean;
}

/** The store's search for filters; undefined if they are for refused requests only. */
export function eventSearch(set: EventFilters, times: Times): Omit<EventSearch, "limit"> | undefined {
  const { verdict, from, to, ...rest } = set;
  if (verdict === "refused") return undefined;
  return { ...rest, ...times.range(from, to), verdict: verdict as EventSearch["verdict"], parts: MOST_PARTS };
}

/** Events and refused requests that fit, in order of time, newest first. @param before a key */
export async function findEventRows(
  { store, refused, mask }: Pick<WebContext, "store" | "refused" | "mask">,
  set: EventFilters,
  times: Times,
  { before, after = 0, limit = ROWS }: { before?: string; after?: number; limit?: number },
): Promise<EventPage> {
  const search = eventSearch(set, times);
  const asked = search && { ...search, mask, before, ...after > 0 && { after: String(after) }, limit: limit + 1 };
  const { rows: events, stoppedAt } = asked === undefined ? { rows: [] } : await store.searchEvents(asked);
  const requests = refused.list(limit + 1, Number(before ?? Infinity), fits(set, times, mask));
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
function fits(set: EventFilters, times: Times, mask: WebContext["mask"]): (request: RefusedRequest) => boolean {
  const { type, rule, subject, verdict, text, from, to } = set;
  if (type ?? rule ?? subject) return () => false;
  if (verdict !== undefined && verdict !== "refused") return () => false;
  const range = times.range(from, to);
  return ({ at, path, reason, sender }) =>
    at >= (range.from ?? 0) && at < (range.to ?? Infinity) &&
    (text === undefined || [path, reason, sender].some((value) => mask(value).includes(text)));
}
