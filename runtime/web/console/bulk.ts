import type { Context, Hono } from "hono";
import { newId } from "../../model/id.ts";
import { isFinal, type Run, type RunState } from "../../model/run.ts";
import type { Decision } from "../../store/store.ts";
import { timeOfRun } from "../../store/ledger/keys.ts";
import type { WebContext } from "../context.ts";
import { csrfInput, notice, page, readAction } from "./shell.ts";
import { filtersOf, href } from "./lists.ts";
import { hiddenInput, type Markup, markup, type Part } from "./markup.ts";
import { rulePath } from "./rules.ts";
import { applyAction } from "./run_actions.ts";
import { RUN_FILTERS, type RunFilters, runSearch } from "./run_search.ts";
import { oneLine } from "./run_words.ts";
import { timesFor } from "./times.ts";
import type { ConsoleEnv } from "./viewer.ts";

/** The most runs that one action applies to. */
const MOST = 1_000;
/** Runs that are processed concurrently, so that they share disk writes. */
const AT_ONCE = 20;
/** Parts of history that may be read to find the runs: nearly all, because bulk actions are rare. */
const PARTS = 40;
const MOST_REASON = 200;
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

/** A confirmed bulk action. */
interface Request {
  name: BulkName;
  /** Its id, which is recorded in each run's note. */
  id: string;
  runs: string[];
  reason: string;
  /** What the list contains in addition to these runs. */
  rest: Rest;
}

/** `most`: more than the limit. `stopped`: the search ended early, so older runs were not looked at. */
type Rest = "" | "most" | "stopped";

/** The results of one bulk action. */
interface Result extends Pick<Request, "name" | "reason" | "rest"> {
  by: string;
  at: number;
  done: number;
  /** Runs on which the same action had been done before, as its form was sent again. */
  before: number;
  refused: { run: string; reason: string }[];
}

/** Links to the actions on all runs of a list. */
export function bulkLinks(set: RunFilters): Markup {
  const fitting = BULK.filter((name) =>
    set.state === undefined || ACTIONS[name].states.some((state) => state === set.state)
  );
  const links = fitting.map((name) =>
    markup`<a href="${href("/runs/bulk", { do: name, ...set })}">${ACTIONS[name].verb} all…</a>\n`
  );
  return markup`<p class="bulk soft">${links}</p>`;
}

/** `/runs/bulk`: retries, replays or cancels all runs of a filtered list, after a page that confirms the set. */
export function addBulk(app: Hono<ConsoleEnv>, context: WebContext): void {
  /** By id, so that a form that is sent twice at once acts once. After a restart, the notes of the runs show it. */
  const results = new Map<string, Promise<Result>>();
  app.get("/runs/bulk", (c) => confirm(c, context));
  app.post("/runs/bulk", async (c) => {
    const inputs = await readAction(c, context);
    if (inputs instanceof Response) return inputs;
    const { do: name = "", once: id = "", reason = "", ids = "", rest = "" } = inputs;
    const runs = ids.split(" ").filter((id) => /^[\da-z]{20}$/.test(id)).slice(0, MOST);
    if (!isBulk(name) || !/^[\w-]{1,40}$/.test(id) || runs.length === 0) return await unknown(c, context);
    if (reason.trim() === "") {
      return await page(
        c,
        context,
        notice("A reason is needed", "Go back and write why: it is recorded.", "/runs"),
        400,
      );
    }
    if (!results.has(id)) {
      const request = { name, id, runs, reason: reason.trim().slice(0, MOST_REASON), rest: isRest(rest) ? rest : "" };
      results.set(id, actOnAll(c, context, request));
      for (const oldest of results.keys()) if (results.size > MOST_RESULTS) results.delete(oldest);
    }
    await results.get(id);
    return c.redirect(`/runs/bulk/${id}`, 303);
  });
  app.get("/runs/bulk/:id", async (c) => {
    const result = await results.get(c.req.param("id"));
    return result === undefined ? unknown(c, context) : resultPage(c, context, result);
  });
}

function isBulk(name: string): name is BulkName {
  return BULK.some((each) => each === name);
}

function isRest(rest: string): rest is Rest {
  return rest === "" || rest === "most" || rest === "stopped";
}

function unknown(c: Context, context: WebContext): Promise<Response> {
  const text = "This page is not kept any more. What was done is in the notes of each run.";
  return page(c, context, notice("Nothing here", text, "/runs"), 404);
}

/** The runs of a list that an action applies to, newest first, up to its limit. */
async function findRuns(
  c: Context,
  context: WebContext,
  set: RunFilters,
  states: RunState[],
): Promise<{ runs: Run[]; rest: Rest; reached: number }> {
  const search = runSearch(set, timesFor(c, context));
  const wanted = states.filter((state) => set.state === undefined || state === set.state);
  const found = await Promise.all(
    wanted.map((state) => context.store.searchRuns({ ...search, state, limit: MOST + 1, parts: PARTS })),
  );
  const all = found.flatMap(({ rows }) => rows).sort((a, b) => a.id < b.id ? 1 : -1);
  // If one of the searches ended early, the runs of the other states from before that point are left out, too.
  const stoppedAt = found.map(({ stoppedAt = "" }) => stoppedAt).sort().at(-1)!;
  const runs = all.filter(({ id }) => id >= stoppedAt).slice(0, MOST);
  const rest = all.length > MOST ? "most" : stoppedAt !== "" ? "stopped" : "";
  return { runs, rest, reached: timeOfRun(stoppedAt) };
}

async function confirm(c: Context<ConsoleEnv>, context: WebContext): Promise<Response> {
  const set = filtersOf(c, RUN_FILTERS);
  const name = c.req.query("do") ?? "";
  if (!isBulk(name)) return await unknown(c, context);
  const { verb, effect, states } = ACTIONS[name];
  const { runs, rest, reached } = await findRuns(c, context, set, states);
  const back = href("/runs", set);
  const times = timesFor(c, context);
  if (runs.length === 0) {
    const from = rest === "stopped" &&
      markup`, back to ${times.long(reached)}: filter by an earlier time to look further`;
    const text = markup`No run of <a href="${back}">this list</a> is ${states.join(" or ")}${from}.`;
    return await page(c, context, notice(`Nothing to ${name}`, text, "/runs"), 404);
  }
  const rules = [...Map.groupBy(runs, ({ rule }) => rule)].map(([rule, { length }]) =>
    markup`<li>${length} of <a href="${rulePath(rule)}">${rule}</a></li>\n`
  );
  const oldest = runs[runs.length - 1];
  const title = `${verb} ${countOf(runs.length)}?`;
  const body = markup`<h1>${title}</h1>
<p>${effect} Exactly these runs, whatever comes meanwhile:</p>
<ul>
${rules}</ul>
<p>Created from ${times.long(oldest.createdAt)} to ${times.long(runs[0].createdAt)}.</p>
${rest !== "" && markup`<p class="error">${restOf(rest, runs.length, times.long(reached))}</p>`}
<form method="post" action="/runs/bulk">
${csrfInput(c.get("viewer").csrf)}
${hiddenInput("do", name)}
${hiddenInput("once", newId(context.clock.now()))}
${hiddenInput("rest", rest)}
${hiddenInput("ids", runs.map(({ id }) => id).join(" "))}
<div class="field"><label for="reason">Reason</label><input id="reason" name="reason" required maxlength="${MOST_REASON}" autocomplete="off"></div>
<p class="actions"><button class="main">${verb} ${
    countOf(runs.length)
  }</button> <a href="${back}">Back, and change nothing</a></p>
</form>`;
  return await page(c, context, { title, at: "/runs", narrow: true, body });
}

/** What a list contains in addition to the runs that are acted on. @param back the time that the search reached */
function restOf(rest: Rest, count: number, back?: Part): Markup | string {
  if (rest === "most") return `The list has more: these are the ${count.toLocaleString("en")} newest of it.`;
  return markup`The search looked at a part of history only${
    back !== undefined && markup`, back to ${back}`
  }: older runs of the list are not among these.`;
}

function countOf(count: number): string {
  return count === 1 ? "1 run" : `${count.toLocaleString("en")} runs`;
}

/**
 * Acts on each run, unless its notes say that this bulk action did already: the program may have crashed in between, and the
 * form was sent again.
 */
async function actOnAll(
  c: Context<ConsoleEnv>,
  context: WebContext,
  { name, id, runs, reason, rest }: Request,
): Promise<Result> {
  const { by } = c.get("viewer");
  const result: Result = { name, by, reason, rest, at: context.clock.now(), done: 0, before: 0, refused: [] };
  const decision: Decision = { by, reason, bulk: { id, runs: runs.length } };
  const isDone = async (run: string) => {
    const trace = await context.store.getRun(run);
    if (trace === undefined || !trace.notes.some(({ bulk }) => bulk?.id === id)) return false;
    // A running run is noted before it is ended.
    return name !== "cancel" || isFinal(trace.run.state);
  };
  const act = async (run: string) => {
    if (await isDone(run)) return void result.before++;
    const outcome = await applyAction(name, run, { seen: undefined }, decision, context);
    if (outcome?.kind === "done") result.done++;
    else result.refused.push({ run, reason: outcome?.reason ?? "it is no longer in history" });
  };
  for (let at = 0; at < runs.length; at += AT_ONCE) {
    await Promise.all(
      runs.slice(at, at + AT_ONCE).map((run) =>
        act(run).catch((error: Error) => result.refused.push({ run, reason: error.message }))
      ),
    );
  }
  return result;
}

function resultPage(c: Context<ConsoleEnv>, context: WebContext, result: Result): Promise<Response> {
  const { name, by, reason, rest, at, done, before, refused } = result;
  const title = `${countOf(done + before)} ${ACTIONS[name].done}`;
  const lines = refused.map(({ run, reason }) =>
    markup`<li><a href="/runs/${run}">${run}</a> <span class="soft">${oneLine(reason, 300)}</span></li>\n`
  );
  const body = markup`<h1>${title}</h1>
<p class="soft">By ${by}, ${timesFor(c, context).long(at)}: ${reason}</p>
${
    before > 0 &&
    markup`<p>${countOf(before)} of them by the same form, when it was sent before: nothing was done twice.</p>`
  }
${rest !== "" && markup`<p class="error">${restOf(rest, done + before + refused.length)}</p>`}
${
    refused.length > 0 && markup`<h2>${countOf(refused.length)} refused</h2>
<ul>
${lines}</ul>`
  }
<p><a href="/runs">To the runs</a></p>`;
  return page(c, context, { title, at: "/runs", narrow: true, body });
}
