import type { Context, Hono } from "hono";
import { newId } from "../../model/id.ts";
import type { Run, RunState } from "../../model/run.ts";
import type { WebContext } from "../context.ts";
import { readAction } from "./inputs.ts";
import { filtersOf, href } from "./lists.ts";
import { type Markup, markup } from "./markup.ts";
import { pathOf } from "./rules.ts";
import { perform } from "./run.ts";
import { RUN_FILTERS, type RunFilters, runSearch } from "./run_list.ts";
import { oneLine } from "./run_words.ts";
import { csrfInput, notice, page } from "./shell.ts";
import { timesFor } from "./times.ts";
import { type ConsoleEnv, SOMEBODY } from "./viewer.ts";

/** The most runs that one action applies to. */
const MOST = 1_000;
/** Runs that are processed concurrently, so that they share disk writes. */
const AT_ONCE = 20;
/** Parts of history that may be read to find the runs: nearly all, because bulk actions are rare. */
const PARTS = 40;
/** Results that are kept for the pages that show them. */
const MOST_RESULTS = 50;

const BULK = ["retry", "replay", "cancel"] as const;
type BulkName = typeof BULK[number];

interface Bulk {
  /** The action applies to runs in these states. */
  states: RunState[];
  verb: string;
  done: string;
  effect: string;
}

const ACTIONS: Record<BulkName, Bulk> = {
  retry: {
    states: ["failed"],
    verb: "Retry",
    done: "retried",
    effect: "Each resumes after its last good step, by its own version.",
  },
  replay: {
    states: ["succeeded", "failed", "cancelled"],
    verb: "Replay",
    done: "replayed",
    effect: "Each is repeated from the beginning in a new run, by the current version of its rule.",
  },
  cancel: {
    states: ["queued", "running", "waiting"],
    verb: "Cancel",
    done: "cancelled",
    effect: "Each ends as cancelled: what it does now is aborted, and its later steps never begin.",
  },
};

/** The results of one bulk action. */
interface Result {
  name: BulkName;
  by: string;
  reason: string;
  at: number;
  done: number;
  refused: { run: string; reason: string }[];
}

/** Links to the actions on all runs of a list. */
export function bulkLinks(set: RunFilters): Markup {
  const fitting = BULK.filter((name) =>
    set.state === undefined || ACTIONS[name].states.includes(set.state as RunState)
  );
  const links = fitting.map((name) =>
    markup`<a href="${href("/runs/bulk", { do: name, ...set })}">${ACTIONS[name].verb} all…</a>\n`
  );
  return markup`<p class="bulk soft">${links}</p>`;
}

/** `/runs/bulk`: retries, replays or cancels all runs of a filtered list, after a page that confirms the set. */
export function addBulk(app: Hono<ConsoleEnv>, context: WebContext): void {
  /** By confirmation number, so that a form that is sent twice acts once. */
  const results = new Map<string, Promise<Result>>();
  app.get("/runs/bulk", (c) => confirm(c, context));
  app.post("/runs/bulk", async (c) => {
    const inputs = await readAction(c, context);
    if (inputs instanceof Response) return inputs;
    const { do: name = "", once = "", reason = "", ids = "" } = inputs;
    const runs = ids.split(" ").filter((id) => /^[\da-z]{20}$/.test(id)).slice(0, MOST);
    if (!isBulk(name) || !/^[\w-]{1,40}$/.test(once) || runs.length === 0) return await unknown(c, context);
    if (reason.trim() === "") {
      return await page(
        c,
        context,
        notice("A reason is needed", "Go back and write why: it is recorded.", "/runs"),
        400,
      );
    }
    if (!results.has(once)) {
      results.set(once, actOnAll(c, context, name, runs, reason.trim()));
      for (const oldest of results.keys()) if (results.size > MOST_RESULTS) results.delete(oldest);
    }
    await results.get(once);
    return c.redirect(`/runs/bulk/${once}`, 303);
  });
  app.get("/runs/bulk/:once", async (c) => {
    const result = await results.get(c.req.param("once"));
    return result === undefined ? unknown(c, context) : resultPage(c, context, result);
  });
}

function isBulk(name: string): name is BulkName {
  return (BULK as readonly string[]).includes(name);
}

function unknown(c: Context, context: WebContext): Promise<Response> {
  const text = "This page is not kept any more. What was done is in the notes of each run.";
  return page(c, context, notice("Nothing here", text, "/runs"), 404);
}

/** The runs of a list that an action applies to, newest first, up to its limit. */
async function findRuns(c: Context, context: WebContext, set: RunFilters, states: RunState[]): Promise<Run[]> {
  const search = runSearch(set, timesFor(c, context));
  const wanted = states.filter((state) => set.state === undefined || state === set.state);
  const found = await Promise.all(
    wanted.map((state) => context.store.searchRuns({ ...search, state, limit: MOST + 1, parts: PARTS })),
  );
  return found.flatMap(({ rows }) => rows).sort((a, b) => a.id < b.id ? 1 : -1);
}

async function confirm(c: Context<ConsoleEnv>, context: WebContext): Promise<Response> {
  const set = filtersOf(c, RUN_FILTERS);
  const name = c.req.query("do") ?? "";
  if (!isBulk(name)) return await unknown(c, context);
  const { verb, effect, states } = ACTIONS[name];
  const found = await findRuns(c, context, set, states);
  const runs = found.slice(0, MOST);
  const back = href("/runs", set);
  if (runs.length === 0) {
    const text = markup`No run of <a href="${back}">this list</a> is ${states.join(" or ")}.`;
    return await page(c, context, notice(`Nothing to ${name}`, text, "/runs"), 404);
  }
  const times = timesFor(c, context);
  const rules = [...Map.groupBy(runs, ({ rule }) => rule)].map(([rule, { length }]) =>
    markup`<li>${length} of <a href="${pathOf(rule)}">${rule}</a></li>\n`
  );
  const oldest = runs[runs.length - 1];
  const title = `${verb} ${countOf(runs.length)}?`;
  const body = markup`<h1>${title}</h1>
<p>${effect} Exactly these runs, whatever comes meanwhile:</p>
<ul>
${rules}</ul>
<p>Created from ${times.long(oldest.createdAt)} to ${times.long(runs[0].createdAt)}.</p>
${found.length > MOST && markup`<p>The list has more: these are the ${MOST} newest of it.</p>`}
<form method="post" action="/runs/bulk">
${csrfInput(c.get("viewer").csrf)}
<input type="hidden" name="do" value="${name}">
<input type="hidden" name="once" value="${newId(context.clock.now())}">
<input type="hidden" name="ids" value="${runs.map(({ id }) => id).join(" ")}">
<div class="field"><label for="reason">Reason</label><input id="reason" name="reason" required maxlength="200" autocomplete="off"></div>
<p class="actions"><button class="main">${verb} ${
    countOf(runs.length)
  }</button> <a href="${back}">Back, and change nothing</a></p>
</form>`;
  return await page(c, context, { title, at: "/runs", narrow: true, body });
}

function countOf(count: number): string {
  return count === 1 ? "1 run" : `${count.toLocaleString("en")} runs`;
}

async function actOnAll(
  c: Context<ConsoleEnv>,
  context: WebContext,
  name: BulkName,
  runs: string[],
  reason: string,
): Promise<Result> {
  const { by } = c.get("viewer");
  const result: Result = { name, by, reason, at: context.clock.now(), done: 0, refused: [] };
  const rest = runs.length - 1;
  const others = rest === 0 ? "" : `with ${rest === 1 ? "1 other" : `${rest} others`}: `;
  for (let at = 0; at < runs.length; at += AT_ONCE) {
    await Promise.all(
      runs.slice(at, at + AT_ONCE).map(async (run) => {
        const outcome = await perform(
          name,
          run,
          { seen: undefined },
          `${by} (${others}${reason.slice(0, 200)})`,
          context,
        )
          .catch((error: Error) => ({ kind: "refused" as const, reason: error.message }));
        if (outcome?.kind === "done") result.done++;
        else result.refused.push({ run, reason: outcome?.reason ?? "it is no longer in history" });
      }),
    );
  }
  return result;
}

function resultPage(c: Context<ConsoleEnv>, context: WebContext, result: Result): Promise<Response> {
  const { name, by, reason, at, done, refused } = result;
  const title = `${countOf(done)} ${ACTIONS[name].done}`;
  const lines = refused.map(({ run, reason }) =>
    markup`<li><a href="/runs/${run}">${run}</a> <span class="soft">${oneLine(reason, 300)}</span></li>\n`
  );
  const body = markup`<h1>${title}</h1>
<p class="soft">By ${by === SOMEBODY ? "an operator" : by}, ${timesFor(c, context).long(at)}: ${reason}</p>
${
    refused.length > 0 && markup`<h2>${countOf(refused.length)} refused</h2>
<ul>
${lines}</ul>`
  }
<p><a href="/runs">To the runs</a></p>`;
  return page(c, context, { title, at: "/runs", narrow: true, body });
}
