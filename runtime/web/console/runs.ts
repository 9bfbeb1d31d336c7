import type { Context, Hono } from "hono";
import { isFinal, type Run, RUN_STATES } from "../../model/run.ts";
import { timeOfRun } from "../../store/ledger/keys.ts";
import type { WebContext } from "../context.ts";
import { bulkLinks } from "./bulk.ts";
import { type LiveChange, liveMark, type Look, MOST_NEWER, newerPart, part } from "./live.ts";
import { countLinks, filtersOf, hasFilters, href, listBody, rowTable } from "./lists.ts";
import { type Markup, markup, type Part } from "./markup.ts";
import { findRunRows, RUN_FILTERS, type RunFilters, type RunRow, runSearch } from "./run_search.ts";
import { oneLine } from "./run_words.ts";
import { page } from "./shell.ts";
import { span, type Times, timesFor } from "./times.ts";
import type { ConsoleEnv } from "./viewer.ts";
import { word } from "./words.ts";

/** The most runs that a folded row, and all rows of a page, can open: the page must stay small. */
const MOST_LISTED = 50;
const MOST_LISTED_IN_ALL = 240;

/** `/runs`: runs in all states. */
export function addRuns(app: Hono<ConsoleEnv>, context: WebContext): void {
  app.get("/runs", async (c) => {
    const set = filtersOf(c, RUN_FILTERS);
    const { before } = c.req.query();
    const times = timesFor(c, context);
    const found = await findRunRows(context.store, set, times, before);
    const body = listBody({
      title: "Runs",
      path: "/runs",
      filters: RUN_FILTERS,
      set,
      before,
      counts: await countsOf(context, set),
      actions: found.rows.length > 0 && bulkLinks(set),
      table: runTable(found.rows, set, times),
      none: hasFilters(set) ? "No run is like that. Upper and lower case differ." : "No run has been started yet.",
      found,
      reached: (cursor) => Math.min(timeOfRun(cursor), times.now),
    }, times);
    const live = before === undefined && liveFor(set, found.rows);
    return page(c, context, { title: "Runs", at: "/runs", head: liveMark(live), body });
  });
}

// ── live ─────────────────────────────────────────────────────────────────────────────────────────────────────────────

function liveFor(set: RunFilters, rows: RunRow[]): string {
  const live = rows.map(({ newest }) => newest).filter(({ state }) => !isFinal(state)).map(({ id }) => id);
  return href("/live", {
    page: "runs",
    ...set,
    after: rows[0]?.newest.id ?? "",
    ...live.length > 0 && { live: live.join(".") },
  });
}

/** How many runs are newer than the page, and the current states of the runs that were live. */
export function lookForRuns(c: Context, context: WebContext): Look {
  const set = filtersOf(c, RUN_FILTERS);
  const { after = "", live = "" } = c.req.query();
  const watched = new Set(live.split(".").filter((id) => /^[\da-z]{20}$/.test(id)).slice(0, 100));
  const path = href("/runs", set);
  let newer = 0;
  return async () => {
    const times = timesFor(c, context);
    const parts: Markup[] = [];
    for (const run of await changedRuns(watched, context)) {
      parts.push(part(`s-${run.id}`, word(run.state)), part(`w-${run.id}`, markup`${whyOf(run, times)}`));
    }
    if (newer < MOST_NEWER) {
      const found = await context.store.searchRunHeads({ ...runSearch(set, times), after, limit: MOST_NEWER });
      newer = found.rows.length;
    }
    return {
      parts: [newerPart(path, newer), ...parts],
      isLast: newer === MOST_NEWER && watched.size === 0,
    } satisfies LiveChange;
  };
}

/** The current state of the watched runs. Ended runs are no longer watched. */
async function changedRuns(watched: Set<string>, { store }: WebContext): Promise<Run[]> {
  const runs = await store.getLiveRuns([...watched]);
  const live = new Set(runs.map(({ id }) => id));
  for (const id of watched) {
    if (live.has(id)) continue;
    const ended = await store.getRun(id);
    if (ended !== undefined) runs.push(ended.run);
    watched.delete(id);
  }
  return runs;
}

// ── the page ─────────────────────────────────────────────────────────────────────────────────────────────────────────

/** Runs by state: live ones now, ended ones since the store was created. Counted only without other filters: all runs count. */
async function countsOf({ store }: WebContext, set: RunFilters): Promise<Markup> {
  const isCounted = Object.keys(set).every((name) => name === "state");
  const counts = await store.countRuns();
  const shown = RUN_STATES.map((state) => ({ name: state, ...isCounted && { count: counts[state] } }));
  return countLinks("By state", "/runs", "state", set, shown);
}

function runTable(rows: RunRow[], set: RunFilters, times: Times): Markup | false {
  const folded = rows.filter(({ runs }) => runs.length > 1).length;
  const listed = Math.min(MOST_LISTED, Math.floor(MOST_LISTED_IN_ALL / Math.max(1, folded)));
  const heads = ["State", "Rule", "Subject", "Why", ["Work", "number"], ["Started", "number"]] as const;
  const shown = rows.map((row) =>
    row.runs.length === 1 ? runRow(row.newest, times) : foldedRow(row, listed, set, times)
  );
  return rows.length > 0 && rowTable("runs", heads, shown);
}

function runRow(run: Run, times: Times): Markup {
  const { id, rule, state, event, createdAt, spent } = run;
  return markup`<tr><td id="s-${id}" class="state nowrap">${
    word(state)
  }</td><td class="grow cut"><div><a href="/runs/${id}">${rule}</a></div></td>
<td class="wide cut"><div>${event.subject}</div></td><td class="why cut"><div id="w-${id}">${
    whyOf(run, times)
  }</div></td><td class="wide number nowrap">${isFinal(state) && span(spent)}</td><td class="number nowrap">${
    times.short(createdAt)
  }</td></tr>
`;
}

/** What a run waits for, or why it failed; otherwise its subject. */
function whyOf({ state, waitingFor, due, error, output, event }: Run, times: Times): Part {
  if (!isFinal(state) && waitingFor !== undefined) {
    return markup`for ${oneLine(waitingFor, 120)}${due !== undefined && markup` until ${times.short(due)}`}`;
  }
  if (error !== undefined) return oneLine(error.message, 200);
  if (typeof output === "string") return oneLine(output, 120);
  return markup`<span class="soft">${event.type}</span>`;
}

/** Several runs in one row that can be opened: it has a link to each of them. */
function foldedRow({ newest, runs, isCut }: RunRow, listed: number, set: RunFilters, times: Times): Markup {
  const { rule, state, id, spent } = newest;
  const all = href("/runs", { ...set, rule, state, before: `${id}0` });
  const links = runs.slice(0, listed).map(({ id, createdAt, subject }) =>
    markup`<li><a href="/runs/${id}">${times.short(createdAt)}${
      subject !== undefined && markup` ${oneLine(subject, 40)}`
    }</a></li>\n`
  );
  return markup`<tr class="folded"><td class="state nowrap">${
    word(state)
  }</td><td class="grow cut"><div>${rule}</div></td>
<td class="wide"></td><td class="why"><details id="f-${id}"><summary>×${runs.length.toLocaleString("en")}${
    isCut && "+"
  } ${state}</summary>
<ul class="folded">
${links}</ul>
${
    runs.length > listed && markup`<p><a href="${all}">All of them, one by one</a></p>`
  }</details></td><td class="wide number nowrap soft">${
    span(spent)
  }</td><td class="number nowrap"><span class="wide-only">${times.short(runs[runs.length - 1].createdAt)} – </span>${
    times.short(newest.createdAt)
  }</td></tr>
`;
}
