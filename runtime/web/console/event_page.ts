import type { Context, Hono } from "hono";
import type { Event } from "../../model/event.ts";
import { asJson, type Json } from "../../model/json.ts";
import type { Run } from "../../model/run.ts";
import type { EventRecord, Store } from "../../store/store.ts";
import type { WebContext } from "../context.ts";
import { reasonOf, verdictOf } from "./events.ts";
import { href, rowTable } from "./lists.ts";
import { joined, type Markup, markup, type Part } from "./markup.ts";
import { rulePath } from "./rules.ts";
import { oneLine } from "./run_words.ts";
import { notice, page } from "./shell.ts";
import { type Times, timesFor } from "./times.ts";
import { answerValue, shownValue } from "./values.ts";
import type { ConsoleEnv } from "./viewer.ts";
import { word, wordOf } from "./words.ts";

/** The most runs and events that are shown as effects. */
const MOST_EFFECTS = 20;
/** The most causes that are followed back; no chain is longer. */
const MOST_CAUSES = 16;
/** Milliseconds after the end of a run within which an event that it caused may still arrive over HTTP. */
const LATE = 60_000;

/** The parts of an event beside its data that have a page of their own, with their titles. */
const PARTS: Record<string, [name: "http" | "files" | "ce", title: string]> = {
  files: ["files", "Files"],
  attributes: ["ce", "Attributes of the CloudEvent"],
  request: ["http", "Request"],
};

/** `/events/<key>`, or by the id of a run that it started: an event's verdicts, causes, effects and data. */
export function addEvent(app: Hono<ConsoleEnv>, context: WebContext): void {
  app.get("/events/:id", async (c) => {
    const record = await context.store.getEvent(c.req.param("id"));
    if (record === undefined) return unknownEvent(c, context);
    if (record.key !== c.req.param("id")) return c.redirect(`/events/${record.key}`, 302);
    const { event } = record;
    const times = timesFor(c, context);
    const [causes, effects] = await Promise.all([causesOf(event, context.store), effectsOf(record, context.store)]);
    const { icon, tone } = wordOf(verdictOf(record));
    const body = markup`<p class="crumbs"><a href="/events">Events</a> of type <a href="${
      href("/events", { type: event.type })
    }">${event.type}</a></p>
<h1 class="sentence"><span class="${tone}" aria-hidden="true">${icon}</span> ${sentence(record)}</h1>
${facts(record, times)}
${verdicts(record, effects.runs)}
${chain(record, causes, effects, times)}
<h2 class="hidden">What it says</h2>
<div class="columns">
${shownValue("Data", event.data, `/events/${record.key}/data`)}
${
      Object.entries(PARTS).map(([part, [name, title]]) =>
        event[name] !== undefined && shownValue(title, asJson(event[name]), `/events/${record.key}/${part}`)
      )
    }
</div>`;
    return page(c, context, { title: `${icon} ${event.type}`, at: "/events", body });
  });

  app.get("/events/:id/:part{data|request|files|attributes}", async (c) => {
    const record = await context.store.getEvent(c.req.param("id"));
    if (record === undefined) return unknownEvent(c, context);
    const part = c.req.param("part");
    const found = part === "data" ? undefined : record.event[PARTS[part][0]];
    return answerValue(c, context, part === "data" ? record.event.data : found === undefined ? null : asJson(found));
  });
}

function unknownEvent(c: Context, context: WebContext): Promise<Response> {
  const text = "There is no event here. Events are removed with the oldest part of history.";
  return page(c, context, notice("No such event", text, "/events"), 404);
}

/** The outcome of an event, in one sentence. */
function sentence({ event, delivery, verdicts, ended }: EventRecord): string {
  const started = verdicts.filter(({ verdict: { kind } }) => kind === "started" || kind === "held").length;
  const nothing = verdicts.length - started;
  const parts = [
    started > 0 && `started ${started === 1 ? "a run" : `${started} runs`}`,
    ended.length > 0 && `ended ${ended.length === 1 ? "a wait" : `${ended.length} waits`}`,
    nothing > 0 && `${started > 0 ? "" : "started "}nothing at ${nothing === 1 ? "one rule" : `${nothing} rules`}`,
  ].filter((part) => part !== false);
  if (parts.length > 0) return `${event.type} ${parts.join(", and ")}`;
  return delivery === "unmatched" ? `${event.type} started nothing: no rule listens for this type` : event.type;
}

function facts({ event, receivedAt, deliveries }: EventRecord, times: Times): Markup {
  const { id, source, subject, time } = event;
  const happened = Date.parse(time);
  const parts: Part[] = [
    markup`received ${times.short(receivedAt)}`,
    Math.abs(happened - receivedAt) > 1_000 && markup`happened ${times.short(happened)}`,
    deliveries > 1 && markup`came ${deliveries} times; the later ones started nothing`,
    subject !== undefined &&
    markup`subject <a href="${href("/events", { subject })}">${subject}</a>, <a href="${
      href("/runs", { subject })
    }">its runs</a>`,
    markup`id <code>${id}</code> from <code>${source}</code>`,
  ];
  return markup`<p class="about">${joined(parts)}</p>`;
}

/** Each rule's verdict, its reason and the values that decided it. */
function verdicts({ verdicts, ended }: EventRecord, runs: Run[]): Markup | false {
  if (verdicts.length === 0 && ended.length === 0) return false;
  const byId = new Map(runs.map((run) => [run.id, run]));
  const rows = verdicts.map(({ rule, trigger, verdict }) => {
    const run = "run" in verdict && verdict.run !== undefined ? byId.get(verdict.run) : undefined;
    return markup`<tr><td class="nowrap">${word(verdict.kind)}</td><td class="grow cut"><div><a href="${
      rulePath(rule)
    }">${rule}</a></div></td>
<td class="wide mono cut"><div>${trigger}</div></td><td class="why">${reasonOf(verdict)}${
      run !== undefined && markup` ${word(run.state)}`
    }${verdict.kind === "condition" && valuesOf(verdict)}</td></tr>
`;
  });
  const waits = ended.map(({ rule, run, step }) =>
    markup`<tr><td class="nowrap">${word("accepted", "ended a wait")}</td><td class="grow cut"><div><a href="${
      rulePath(rule)
    }">${rule}</a></div></td>
<td class="wide mono cut"><div>${step}</div></td><td class="why">of <a href="/runs/${run}">its run</a></td></tr>
`
  );
  return rowTable("verdicts", ["Verdict", "Rule", "Trigger", "Why"], [...rows, ...waits]);
}

/** The values in a clause of a condition. */
function valuesOf({ clause, values = {} }: { clause?: string; values?: Record<string, Json> }): Part {
  const names = Object.keys(values);
  if (clause === undefined && names.length === 0) return false;
  return markup`<dl class="facts values">${
    clause !== undefined && markup`<dt>clause</dt><dd><code>${clause}</code></dd>`
  }${
    names.map((name) =>
      markup`<dt><code>${name}</code></dt><dd><code>${oneLine(JSON.stringify(values[name]), 400)}</code></dd>`
    )
  }</dl>`;
}

// ── causes and effects ───────────────────────────────────────────────────────────────────────────────────────────────

/** A run that caused an event, and the event that it answered. */
interface CauseLink {
  run: string;
  rule?: string;
  event?: EventRecord;
}

/** What led to an event, the nearest cause first. */
async function causesOf(event: Event, store: Store): Promise<CauseLink[]> {
  const links: CauseLink[] = [];
  for (let { cause } = event; cause !== undefined && links.length < MOST_CAUSES;) {
    const [trace, before] = await Promise.all([store.getRun(cause.run), store.getEvent(cause.run)]);
    links.push({ run: cause.run, rule: trace?.run.rule, event: before });
    cause = before?.event.cause;
  }
  return links;
}

/** The runs that an event started, with those that replay one of them, and the events that these caused. */
interface Effects {
  runs: Run[];
  events: { run: string; records: EventRecord[] }[];
}

async function effectsOf({ event, verdicts }: EventRecord, store: Store): Promise<Effects> {
  const { rows } = await store.searchRuns({ event, limit: MOST_EFFECTS });
  // After the event's identity has expired, its runs are found by its verdicts.
  const ids = verdicts.flatMap(({ verdict }) => "run" in verdict && verdict.run !== undefined ? [verdict.run] : []);
  const missing = ids.filter((id) => !rows.some((run) => run.id === id)).slice(0, MOST_EFFECTS);
  const traces = await Promise.all(missing.map((id) => store.getRun(id)));
  const runs = [...rows, ...traces.flatMap((trace) => trace === undefined ? [] : [trace.run])];
  const events = await Promise.all(runs.map(async (run) => ({ run: run.id, records: await causedBy(run, store) })));
  return { runs, events };
}

/** The events that a run caused, newest first. */
export async function causedBy(
  { id, createdAt, endedAt }: Run,
  store: Pick<Store, "searchEvents">,
): Promise<EventRecord[]> {
  const to = endedAt === undefined ? undefined : endedAt + LATE;
  return (await store.searchEvents({ cause: id, from: createdAt, to, limit: MOST_EFFECTS, parts: 4 })).rows;
}

/** The chain as a list: causes from the first one, the event itself, its runs, and what they caused. */
function chain(record: EventRecord, causes: CauseLink[], { runs, events }: Effects, times: Times): Markup | false {
  if (causes.length === 0 && runs.length === 0) return false;
  const before = causes.toReversed().map(({ run, rule, event }) =>
    markup`<li>${
      event === undefined ? "an event that is no longer in history" : eventLink(event, times)
    } started <a href="/runs/${run}">${rule ?? run}</a>, which caused</li>\n`
  );
  const after = runs.map((run) => {
    const caused = events.find((each) => each.run === run.id)?.records ?? [];
    const replay = run.replayOf !== undefined && " (replay)";
    return markup`<li>${word(run.state)} <a href="/runs/${run.id}">${run.rule}</a>${replay} ${
      times.short(run.createdAt)
    }${
      caused.length > 0 && markup`<ul>${caused.map((each) => markup`<li>caused ${eventLink(each, times)}</li>\n`)}</ul>`
    }</li>\n`;
  });
  return markup`<section><h2>Cause and effect</h2>
<ul class="chain">
${before}<li><b>${record.event.type}</b> ${times.short(record.receivedAt)}${
    after.length > 0 && markup`<ul>
${after}</ul>`
  }</li>
</ul></section>`;
}

/** An event in a list of causes or effects. */
export function eventLink(
  { key, event: { type, subject }, receivedAt, ...record }: EventRecord,
  times: Times,
): Markup {
  return markup`<a href="/events/${key}">${type}</a>${subject !== undefined && ` ${oneLine(subject, 60)}`} ${
    times.short(receivedAt)
  } ${word(verdictOf(record))}`;
}
