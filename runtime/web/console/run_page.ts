import type { Context, Hono } from "hono";
import { mayStart } from "../../ingest/start_rule.ts";
import { isObject, type Json } from "../../model/json.ts";
import type { Run, StepRecord } from "../../model/run.ts";
import type { EventRecord } from "../../store/store.ts";
import { UserCode } from "../../workers/user_code.ts";
import type { WebContext } from "../context.ts";
import { fleetPath } from "./fleets.ts";
import { commandPath } from "./commands.ts";
import { brief, configPath, lowerFirst, sayPlace } from "./config_page.ts";
import { causedBy, eventLink } from "./event_page.ts";
import { href } from "./lists.ts";
import { hiddenInput, joined, type Markup, markup } from "./markup.ts";
import { sourceLines, viewSource } from "./rule_source.ts";
import {
  addRunActions,
  hiddenInputs,
  load,
  noteText,
  type RunAction,
  shortVersion,
  type Shown,
  unknownRun,
} from "./run_actions.ts";
import { runLiveMark, runOutput } from "./run_output.ts";
import { shownText, stepHref, stepTable } from "./run_steps.ts";
import { notice, page } from "./shell.ts";
import { startPath } from "./start_page.ts";
import { span } from "./times.ts";
import { answerValue, shownValue } from "./values.ts";
import type { ConsoleEnv } from "./viewer.ts";
import { wordOf } from "./words.ts";

/** `/runs/<id>`: what a run did, step by step, and the actions available on it. */
export function addRun(app: Hono<ConsoleEnv>, context: WebContext): void {
  app.get("/runs/:id", async (c) => {
    const { of, turn, step } = c.req.query();
    if (of !== undefined && turn !== undefined) return await toTurn(c, context, of, turn);
    const shown = await load(c, context, step);
    if (shown === undefined) return await unknownRun(c, context);
    if (!c.get("viewer").isOperator) return await page(c, context, ownRunPage(c, context, shown));
    return await page(c, context, runPage(c, context, shown, await causedBy(shown.trace.run, context.store)));
  });
  app.get("/runs/:id/value", (c) => rawValue(c, context));
  addRunActions(app, context);
}

/** Opens a turn by its number: `lines[12]`, or the step `look#12`. */
async function toTurn(c: Context<ConsoleEnv>, context: WebContext, of: string, turn: string): Promise<Response> {
  const id = c.req.param("id")!;
  const trace = await context.store.getRun(id);
  if (trace === undefined) return await unknownRun(c, context);
  const number = Number(turn);
  const paths = [`${of}[${number}]`, number === 1 ? of : `${of}#${number}`];
  const isThere = (path: string) =>
    trace.steps.some((step) =>
      step.path === path || step.path.startsWith(`${path}/`) || step.path.startsWith(`${path}[`)
    );
  const path = paths.find(isThere);
  if (path !== undefined) return c.redirect(stepHref(id, path), 303);
  const text = `Step "${of}" has no turn ${turn} in this run.`;
  return await page(c, context, notice("No such turn", text, "/runs"), 404);
}

// ── the page ─────────────────────────────────────────────────────────────────────────────────────────────────────────

function runPage(c: Context<ConsoleEnv>, context: WebContext, shown: Shown, caused: EventRecord[]) {
  const { trace: { run, notes }, view, rule } = shown;
  const body = markup`<p class="crumbs"><a href="/runs">Runs</a> of <a href="${
    originOf(run, context)
  }">${run.rule}</a></p>
${heading(shown)}
${buttons(c, shown)}
${againLink(c, context, run)}
${facts(shown)}
${configuredMarkup(shown)}
${lastActions(shown)}
${runOutput(run, context)}
${stepTable(view, shown)}
${rule?.then === "function" && sourceOf(shown)}
${eventOf(shown)}
${caused.length > 0 && effectsOf(caused, shown)}
${notes.length > 0 && notesOf(shown)}`;
  return { title: `${wordOf(run.state).icon} ${run.rule}`, at: "/runs", head: runLiveMark(run), body };
}

/** The page of what the run belongs to: a rule, or the command or fleet of a run by hand. */
function originOf({ rule: id }: Run, { rules }: WebContext): string {
  const { command, fleet } = rules().startable.get(id) ?? {};
  if (fleet !== undefined) return fleetPath(fleet);
  return command === undefined ? `/rules/${id}` : commandPath(id);
}

/** For the person who started the run and is not an operator: no actions, and no links to pages for operators only. */
function ownRunPage(c: Context<ConsoleEnv>, context: WebContext, shown: Shown) {
  const { trace: { run }, view, times } = shown;
  const name = context.rules().startable.get(run.rule)?.name ?? run.rule;
  const body = markup`<p class="crumbs"><a href="/start">Start</a> · ${name}</p>
${heading(shown)}
${againLink(c, context, run)}
<p class="about">since ${times.short(view.since)} · started by you ${times.short(run.createdAt)}</p>
${lastActions(shown)}
${runOutput(run, context)}
${stepTable(view, shown)}
<section><h2>Event</h2>
${valuesOf(run)}</section>
`;
  return { title: `${wordOf(run.state).icon} ${name}`, at: "/start", head: runLiveMark(run), body };
}

function heading({ trace: { run }, view, ...drawing }: Shown): Markup {
  const { icon, tone } = wordOf(run.state);
  return markup`<h1 class="sentence"><a class="word ${tone}" href="/help#${run.state}" aria-label="${run.state}"><span aria-hidden="true">${icon}</span></a> ${
    shownText(view.sentence, drawing)
  }</h1>`;
}

/** A link to the form that starts the rule again with the inputs of this run. */
function againLink(c: Context<ConsoleEnv>, { rules }: WebContext, run: Run): Markup | false {
  const rule = rules().startable.get(run.rule);
  if (rule === undefined || !mayStart(rule, c.get("viewer").person)) return false;
  if (rule.fleet !== undefined) return false;
  if (rule.command === undefined && (run.inputs === undefined || rule.inputs === undefined)) return false;
  const path = rule.command === undefined ? startPath(rule.id) : commandPath(rule.id);
  return markup`<p class="actions"><a href="${href(path, { from: run.id })}">Start again with these inputs</a></p>`;
}

function facts({ trace: { run }, view, current, behind, times }: Shown): Markup {
  const age = current === undefined
    ? ", whose rule was removed"
    : behind === 0
    ? ""
    : behind !== undefined
    ? markup`, ${behind} behind <code>${shortVersion(current)}</code>`
    : markup`, older than the current <code>${shortVersion(current)}</code>`;
  const parts = [
    markup`since ${times.short(view.since)}`,
    markup`version <code>${shortVersion(run.version)}</code>${age}`,
    markup`work ${span(view.work)}`,
    view.wait >= 1_000 && markup`waits ${span(view.wait)}`,
    run.key !== undefined && markup`key <code>${run.key}</code>`,
    run.replayOf !== undefined && markup`replays <a href="/runs/${run.replayOf}">${run.replayOf}</a>`,
  ];
  return markup`<p class="about">${joined(parts)}</p>`;
}

/** Values of the config that are shown with who set them. */
const MOST_CONFIGURED = 5;

/** By whom the run was configured. */
function configuredMarkup({ trace: { run }, configured, times }: Shown): Markup | false {
  if (configured.length === 0) return false;
  const parts = configured.slice(0, MOST_CONFIGURED).map((value) =>
    markup`<code>${value.key}</code> ${brief(value.value)}, ${lowerFirst(sayPlace(value))}${
      value.at !== undefined && markup`, ${times.short(value.at)}`
    }`
  );
  const rest = configured.length - MOST_CONFIGURED;
  return markup`<p class="about">Config: ${joined(parts)}${
    rest > 0 && markup` · <a href="${configPath(run.rule)}">${rest} more</a>`
  }</p>`;
}

/** If a run has hundreds of waits, only the first ones and the open one have a button. */
const MOST_SKIPS = 3;

/** The available actions, each with its effect; below them the unavailable ones, with the reason. */
function buttons(c: Context<ConsoleEnv>, shown: Shown): Markup {
  const possible = shown.actions.filter(({ refused }) => refused === undefined);
  const skips = possible.filter(({ name }) => name === "skip");
  const some = skips.filter((skip, index) => index < MOST_SKIPS || skip.step === shown.view.open);
  const can = possible.filter((action) => action.name !== "skip" || some.includes(action));
  const cannot = shown.actions.filter(({ refused }) => refused !== undefined);
  return markup`<div class="run-actions">
${can.map((action) => button(c, action, shown))}${
    cannot.length > 0 && markup`<details class="refused">
<summary>Not now: ${cannot.map(({ label }) => label.toLowerCase()).join(", ")}</summary>
<ul>
${
      cannot.map(({ label, refused }) =>
        markup`<li><button disabled>${label}</button> <span class="soft">${refused}</span></li>\n`
      )
    }</ul>
</details>`
  }
</div>`;
}

function button(c: Context<ConsoleEnv>, action: RunAction, shown: Shown): Markup {
  const { name, label, effect, confirms, step } = action;
  const path = `/runs/${shown.run}/${name}`;
  const open = confirms ? markup`<form action="${path}">` : markup`<form method="post" action="${path}">`;
  const inputs = confirms ? step !== undefined && hiddenInput("step", step) : hiddenInputs(c, action, shown);
  return markup`${open}${inputs}<button${
    name === "retry" && markup` class="main"`
  }>${label}</button> <span class="effect">${shownText(effect, shown)}</span></form>
`;
}

function lastActions({ trace: { notes }, times }: Shown): Markup | false {
  const last = notes.findLast(({ by }) => by !== undefined);
  return last !== undefined && markup`<p class="about">${noteText(last)} ${times.short(last.at)}</p>`;
}

function notesOf({ trace: { notes }, times }: Shown): Markup {
  const lines = notes.map((note) => markup`<li>${times.short(note.at)} ${noteText(note)}</li>\n`);
  return markup`<section><h2>What else happened</h2>
<ol class="notes">
${lines}</ol></section>
`;
}

function eventOf({ trace: { run } }: Shown): Markup {
  const { id, event, trigger } = run;
  const by = event.cause && markup` · caused by run <a href="/runs/${event.cause.run}">${event.cause.run}</a>`;
  return markup`<section><h2>Event</h2>
<p class="about"><a href="/events/${id}">${event.type}</a>${
    event.subject !== undefined &&
    markup` · subject <a href="${href("/go", { q: event.subject })}">${event.subject}</a>`
  } · id <code>${event.id}</code> from <code>${event.source}</code> · trigger ${trigger}${
    event.by !== undefined && ` · started by ${event.by}`
  }${by}</p>
${valuesOf(run)}</section>
`;
}

/** The data of the event, and the inputs with their defaults. */
function valuesOf({ id, event, inputs }: Run): Markup {
  const raw = (of: string) => href(`/runs/${id}/value`, { of });
  return markup`${shownValue("Data", event.data, raw("event"))}${
    inputs !== undefined && shownValue("Inputs", inputs, raw("inputs"))
  }`;
}

/** The events that the run caused. */
function effectsOf(caused: EventRecord[], { times }: Shown): Markup {
  return markup`<section><h2>It caused</h2>
<ul class="hits">
${caused.map((record) => markup`<li>${eventLink(record, times)}</li>\n`)}</ul></section>
`;
}

/** The rule's code at the run's version. The open step is marked; if none is open, the waiting one. */
function sourceOf({ rule, view, trace: { run } }: Shown): Markup | false {
  const source = rule && new UserCode(rule.modules[""]).textOf(rule.file);
  if (source === undefined) return false;
  const path = view.open ?? run.waits?.[0]?.step;
  const { text, first, lines, total, marked } = viewSource(source, path === undefined ? undefined : { path });
  const part = lines < total &&
    markup` <span class="soft">lines ${first} to ${first + lines - 1} of ${total}</span>`;
  return markup`<section class="code"><h2>${rule!.file} <span class="soft">version ${
    shortVersion(run.version)
  }</span>${part}</h2>
${sourceLines(text, first, new Set(marked === undefined ? [] : [marked]))}</section>
`;
}

/** `/runs/<id>/value?step=&of=`: one value of a run, in full. */
async function rawValue(c: Context<ConsoleEnv>, context: WebContext): Promise<Response> {
  const trace = await context.store.getRun(c.req.param("id")!);
  if (trace === undefined) return await unknownRun(c, context);
  const { step, of = "" } = c.req.query();
  const values = { ...valuesOfStep(trace.steps.find(({ path }) => path === step)), ...valuesOfRun(trace.run) };
  const value = Object.hasOwn(values, of) ? values[of] : undefined;
  if (value !== undefined) return answerValue(c, context, value);
  return await page(c, context, notice("No such value", "The run has no such value.", "/runs"), 404);
}

function valuesOfRun({ event, inputs }: Run): Record<string, Json | undefined> {
  return { event: event.data, inputs };
}

function valuesOfStep({ input, output, error }: Partial<StepRecord> = {}): Record<string, Json | undefined> {
  const { stdout, stderr, json } = isObject(output) ? output : {};
  return { input, output, detail: error?.detail, stdout, stderr, json };
}
