import type { Hono } from "hono";
import type { Store } from "../../store/store.ts";
import type { WebContext } from "../context.ts";
import { commandPath } from "./commands.ts";
import { verdictOf } from "./events.ts";
import { href, MOST_PARTS } from "./lists.ts";
import { type Markup, markup } from "./markup.ts";
import { rulePath } from "./rules.ts";
import { oneLine } from "./run_words.ts";
import { page } from "./shell.ts";
import { type Times, timesFor } from "./times.ts";
import type { ConsoleEnv } from "./viewer.ts";
import { word } from "./words.ts";

/** Hits listed of each kind; a link to the full list follows. */
const MOST = 10;

/** Something that a search found. */
interface Hit {
  path: string;
  shown: Markup;
}

/** `/go?q=`: finds things by id or subject. A single hit opens. */
export function addGo(app: Hono<ConsoleEnv>, context: WebContext): void {
  app.get("/go", async (c) => {
    const q = c.req.query("q")?.trim() ?? "";
    const times = timesFor(c, context);
    const exact = q === "" ? undefined : await findById(q, context);
    if (exact !== undefined) return c.redirect(exact, 303);
    const { events, runs } = q === "" ? { events: [], runs: [] } : await findBySubject(q, context.store, times);
    // Usually the hits are one event and the runs it started: then the event's page shows all of them.
    if (events.length === 1) return c.redirect(events[0].path, 303);
    if (events.length === 0 && runs.length === 1) return c.redirect(runs[0].path, 303);
    const body = markup`<h1>${q === "" ? "Search" : q}</h1>
${section("Events", events, href("/events", { subject: q }))}
${section("Runs", runs, href("/runs", { subject: q }))}
${
      events.length === 0 && runs.length === 0 && markup`<p>${
        q === ""
          ? "Type the id of a run, an event or a form, the name of a rule, or a subject."
          : "Nothing has this id or this subject."
      }</p>
${q !== "" && markup`<p><a href="${href("/events", { text: q })}">Search the data of events for it</a></p>`}`
    }`;
    return page(c, context, { title: q === "" ? "Search" : q, at: "/go", body });
  });
}

/** The path of the page for this id. Events are also found by the id that their sender gave them. */
async function findById(q: string, { store, rules, hooks }: WebContext): Promise<string | undefined> {
  if (/^[\da-z]{20}$/.test(q) && await store.getRun(q) !== undefined) return `/runs/${q}`;
  if (/^\d{13,16}$/.test(q) && await store.getEvent(q) !== undefined) return `/events/${q}`;
  if (rules().rules.has(q) || rules().broken.has(q)) return rulePath(q);
  if (rules().commands.has(q)) return commandPath(q);
  if (await store.getForm(q) !== undefined) return `/forms/${encodeURIComponent(q)}`;
  const sources = ["/events", ...hooks.paths().map((path) => `/hooks${path}`)];
  for (const source of sources) {
    const key = await store.findEventKey({ source, id: q });
    if (key !== undefined && await store.getEvent(key) !== undefined) return `/events/${key}`;
  }
  return await findBySentId(q, store);
}

/** An event by its id, from any source. Ids have no index, so only the newest parts of history are searched. */
async function findBySentId(q: string, store: Store): Promise<string | undefined> {
  const { rows } = await store.searchEvents({ id: q, limit: 20, parts: MOST_PARTS / 2 });
  return rows.length === 1 ? `/events/${rows[0].key}` : undefined;
}

async function findBySubject(subject: string, store: Store, times: Times): Promise<{ events: Hit[]; runs: Hit[] }> {
  const [events, runs] = await Promise.all([
    store.searchEvents({ subject, limit: MOST + 1, parts: MOST_PARTS }),
    store.searchRuns({ subject, limit: MOST + 1, parts: MOST_PARTS }),
  ]);
  return {
    events: events.rows.map(({ key, event, receivedAt, ...record }) => ({
      path: `/events/${key}`,
      shown: markup`${word(verdictOf(record))} <a href="/events/${key}">${event.type}</a> ${times.short(receivedAt)}`,
    })),
    runs: runs.rows.map(({ id, rule, state, createdAt, error }) => ({
      path: `/runs/${id}`,
      shown: markup`${word(state)} <a href="/runs/${id}">${rule}</a> ${times.short(createdAt)}${
        error !== undefined && markup` <span class="soft">${oneLine(error.message)}</span>`
      }`,
    })),
  };
}

function section(title: string, hits: Hit[], all: string): Markup | false {
  if (hits.length === 0) return false;
  return markup`<section><h2>${title}</h2>
<ul class="hits">
${hits.slice(0, MOST).map(({ shown }) => markup`<li>${shown}</li>\n`)}</ul>
${hits.length > MOST && markup`<p><a href="${all}">All of them</a></p>`}</section>`;
}
