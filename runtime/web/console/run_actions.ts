import type { Context, Hono } from "hono";
import type { Rule } from "../../model/rule.ts";
import { CONDITION_STEP, describeState, isFinal, type Run, type StepWait } from "../../model/run.ts";
import type { By, Note, Operated, Seen, Trace } from "../../store/store.ts";
import { configuredOf, type ConfiguredValue } from "../config_api.ts";
import type { WebContext } from "../context.ts";
import { hiddenInput, type Markup, markup } from "./markup.ts";
import { type Drawing, shownText } from "./run_steps.ts";
import { type RunView, viewRun } from "./run_view.ts";
import { oneLine, type Text } from "./run_words.ts";
import { csrfInput, notice, page, readAction } from "./shell.ts";
import { timesFor } from "./times.ts";
import type { ConsoleEnv } from "./viewer.ts";

const ACTIONS = ["retry", "skip", "move", "cancel", "replay"] as const;
type ActionName = typeof ACTIONS[number];

/** `/runs/<id>/<action>`: what people do to a run. */
export function addRunActions(app: Hono<ConsoleEnv>, context: WebContext): void {
  const action = `/runs/:id/:action{${ACTIONS.join("|")}}`;
  app.get(action, (c) => confirm(c, context));
  app.post(action, (c) => act(c, context));
}

/** The confirmation page for actions that cannot be undone. */
async function confirm(c: Context<ConsoleEnv>, context: WebContext): Promise<Response> {
  const shown = await load(c, context);
  if (shown === undefined) return await unknownRun(c, context);
  const action = askedAction(c, shown, c.req.query("step"));
  if (action?.refused !== undefined || action === undefined) return await refuse(c, context, shown, action?.refused);
  const { label, effect, explained = effect } = action;
  const body = markup`<h1>${label}?</h1>
<p>${shownText(explained, shown)}.</p>
<p class="soft">Run <a href="/runs/${shown.run}">${shown.run}</a> of ${shown.trace.run.rule}: ${
    shownText(shown.view.sentence, shown)
  }</p>
<form method="post" action="/runs/${shown.run}/${action.name}">${hiddenInputs(c, action, shown)}
<p class="actions"><button class="main">${label}</button> <a href="/runs/${shown.run}">Back, and change nothing</a></p>
</form>`;
  return await page(c, context, { title: `${label}?`, at: "/runs", narrow: true, body });
}

function askedAction(c: Context<ConsoleEnv>, { actions }: Shown, step: string | undefined): RunAction | undefined {
  const name = c.req.param("action");
  return actions.find((action) => action.name === name && (step === undefined || step === "" || action.step === step));
}

async function act(c: Context<ConsoleEnv>, context: WebContext): Promise<Response> {
  const inputs = await readAction(c, context);
  if (inputs instanceof Response) return inputs;
  const id = c.req.param("id")!;
  const seen = readSeen(inputs);
  const current = context.rules().startable.get((await context.store.getRun(id))?.run.rule ?? "")?.version ?? "";
  const isChanged = inputs.version !== undefined && inputs.version !== current;
  const done = isChanged
    ? { kind: "refused" as const, reason: `its rule has changed: the current version is ${shortVersion(current)} now` }
    : await applyAction(actionOf(c), id, { ...inputs, seen }, c.get("viewer").by, context);
  if (done === undefined) return await unknownRun(c, context);
  if (done.kind === "done") return c.redirect(`/runs/${done.run ?? id}`, 303);
  const shown = await load(c, context);
  return shown === undefined ? await unknownRun(c, context) : await refuse(c, context, shown, done.reason, seen);
}

/** The action of a request; the route accepts no other text. */
function actionOf(c: Context): ActionName {
  return ACTIONS.find((name) => name === c.req.param("action"))!;
}

type Done = { kind: "done"; run?: string } | Extract<Operated, { kind: "refused" }>;

/** Applies an action to a run, recorded as the viewer's decision. */
export async function applyAction(
  name: ActionName,
  run: string,
  { step, seen }: { step?: string; seen: Seen | undefined },
  by: By,
  { operators }: WebContext,
): Promise<Done | undefined> {
  switch (name) {
    case "retry":
      return await operators.retry(run, by, seen);
    case "skip":
      return await operators.skip(run, step, by, seen);
    case "move":
      return await operators.move(run, by, seen);
    case "cancel": {
      const state = await operators.cancel(run, by, seen);
      if (typeof state !== "string") return state;
      return state === "cancelled" ? { kind: "done" } : { kind: "refused", reason: describeState(state) };
    }
    case "replay": {
      const replayed = await operators.replay(run, by, seen);
      return typeof replayed === "string" ? { kind: "done", run: replayed } : replayed;
    }
  }
}

/** 409: nothing was done. Shows why, and what people did to the run since the page was made. */
function refuse(
  c: Context<ConsoleEnv>,
  context: WebContext,
  shown: Shown,
  reason = "none of its steps waits there",
  seen?: Seen,
): Promise<Response> {
  const { trace: { notes }, times, view } = shown;
  const since = seen === undefined ? [] : notes.filter(({ by }) => by !== undefined).slice(seen.actions);
  const body = markup`<h1>Nothing was done</h1>
${
    since.length === 0 ? markup`<p>${reason}.</p>` : markup`<p>Somebody else has acted since this page was opened:</p>
<ul>
${since.map((note) => markup`<li>${times.short(note.at)} ${noteText(note)}</li>\n`)}</ul>`
  }
<p class="soft">The run now: ${shownText(view.sentence, shown)}</p>
<p><a href="/runs/${shown.run}">To the run as it is now</a></p>`;
  return page(c, context, { title: "Nothing was done", at: "/runs", narrow: true, body }, 409);
}

// ── the run of the page ─────────────────────────────────────────────────────────────────────────────────────────────────

/** A run with everything that its pages show. */
export interface Shown extends Drawing {
  trace: Trace;
  /** At the run's version, if that is still stored. */
  rule: Rule | undefined;
  /** The version in force; undefined if the rule was removed. */
  current: string | undefined;
  /** How many versions came into force after the run's; undefined if that is not known. */
  behind: number | undefined;
  view: RunView;
  actions: RunAction[];
  /** Who set values of its config. */
  configured: ConfiguredValue[];
}

/** Reads a run. @param step that is to be open */
export async function load(c: Context<ConsoleEnv>, context: WebContext, step?: string): Promise<Shown | undefined> {
  const trace = await context.store.getRun(c.req.param("id")!);
  if (trace === undefined) return undefined;
  const times = timesFor(c, context);
  const rule = await context.store.getVersion(trace.run.version);
  const current = context.rules().startable.get(trace.run.rule)?.version;
  const view = viewRun({ trace, rule, now: times.now, ...step !== undefined && step !== "" && { step } });
  const actions = actionsOf({ trace, rule, current, failed: view.failed });
  const behind = await versionsBehind(trace.run, current, context);
  const configured = await configuredOf(context, trace.run);
  return { trace, rule, current, behind, view, actions, configured, times, run: trace.run.id };
}

async function versionsBehind({ rule, version }: Run, current: string | undefined, { store }: WebContext) {
  if (current === undefined) return undefined;
  if (current === version) return 0;
  const versions = await store.listVersions(rule);
  const [own, newest] = [version, current].map((each) => versions.indexOf(each));
  return own === -1 || newest < own ? undefined : newest - own;
}

/** The answer for a run that is not kept. */
export function unknownRun(c: Context<ConsoleEnv>, context: WebContext): Promise<Response> {
  const text = "There is no run with this id. Runs are removed with the oldest part of history.";
  return page(c, context, notice("No such run", text, "/runs"), 404);
}

/** What the page showed with the button, so that a late click on an outdated page has no unwanted effect. */
export function hiddenInputs(c: Context<ConsoleEnv>, { name, step }: RunAction, { trace, current }: Shown): Markup[] {
  const given = {
    seen: writeSeen(trace),
    ...step !== undefined && { step, since: String(trace.run.waits?.find((wait) => wait.step === step)?.since) },
    ...(name === "move" || name === "replay") && { version: current ?? "" },
  };
  return [
    csrfInput(c.get("viewer").csrf),
    ...Object.entries(given).map(([name, value]) => hiddenInput(name, value)),
  ];
}

/** A note with its reason, and with how many others the run was acted on. */
export function noteText({ text, reason, bulk }: Note): Markup {
  const others = bulk !== undefined && bulk.runs > 1 && `, as one of ${bulk.runs.toLocaleString("en")} runs`;
  return markup`${text}${others}${reason !== undefined && markup` · reason: ${reason}`}`;
}

// ── the available actions ───────────────────────────────────────────────────────────────────────────────────────────────

/** An action on a run. */
export interface RunAction {
  name: ActionName;
  label: string;
  /** What it repeats or ends, and with which version; in a few words. */
  effect: Text;
  /** The same in whole sentences, for the confirmation page. */
  explained?: Text;
  /** Why it cannot be done now. */
  refused?: string;
  /** Whether it needs confirmation, on a page of its own. */
  confirms: boolean;
  /** The waiting step that it is about. */
  step?: string;
}

/** What decides which actions are available. */
export interface ActionSource {
  trace: Trace;
  /** The rule at the run's version, if that is still stored. */
  rule: Rule | undefined;
  /** The version in force; undefined if the rule was removed. */
  current: string | undefined;
  /** The step that failed the run. */
  failed: string | undefined;
}

/** The first characters of a version: enough to tell them apart. */
export function shortVersion(version: string): string {
  return version.slice(0, 4);
}

/** All actions, in the order of their buttons: those that can be done now come first. */
export function actionsOf(source: ActionSource): RunAction[] {
  const actions = [retry(source), ...skips(source), move(source), cancel(source), replay(source)];
  const can = (action: RunAction) => action.refused === undefined;
  return [...actions.filter(can), ...actions.filter((action) => !can(action))];
}

function retry({ trace: { run, steps }, rule, failed }: ActionSource): RunAction {
  const from: Text = failed === undefined ? ["after the last recorded step"] : ["with step ", { step: failed }];
  const isCondition = steps.some(({ path, state }) => path === CONDITION_STEP && state === "failed");
  const refused = run.state !== "failed"
    ? `only a failed run can be retried; ${describeState(run.state)}`
    : rule === undefined
    ? `version ${shortVersion(run.version)} of its rule is no longer kept; replay it`
    : isCondition
    ? "its condition failed, before any step; replay it"
    : undefined;
  const effect: Text = ["resumes ", ...from, `, by version ${shortVersion(run.version)}`];
  return { name: "retry", label: "Retry", effect, confirms: false, ...refused !== undefined && { refused } };
}

/** One for each wait; one disabled button if nothing waits. */
function skips({ trace: { run } }: ActionSource): RunAction[] {
  const { waits = [] } = run;
  if (waits.length === 0) {
    const refused = "none of its steps waits for something that could be skipped";
    return [{ name: "skip", label: "Skip", effect: [], confirms: true, refused }];
  }
  return waits.map((wait) => skip(wait, run.version));
}

function skip({ step, what, kind }: StepWait, version: string): RunAction {
  const wait = kind === "time" ? "its time" : oneLine(what, 80);
  const explained: Text = [
    ...["Step ", { step }, ` no longer waits for ${wait}: its result is null`],
    `, and the run continues by version ${shortVersion(version)}`,
  ];
  return { name: "skip", label: "Skip", effect: [{ step }, " ends with null"], explained, confirms: true, step };
}

function move({ trace: { run }, current }: ActionSource): RunAction {
  const refused = isFinal(run.state)
    ? `${describeState(run.state)}; replay it with the current version`
    : current === undefined
    ? "its rule was removed"
    : current === run.version
    ? "it is on the current version"
    : run.state === "running"
    ? "it is running; a run can be moved while it waits"
    : undefined;
  const to = current === undefined ? "the current version" : `the current version ${shortVersion(current)}`;
  const explained: Text = [
    `The run continues by ${to} rather than by ${shortVersion(run.version)}. What is recorded stays; `,
    "if that version has other steps before it, the run fails",
  ];
  const effect: Text = [`continues by ${to}`];
  return { name: "move", label: "Move", effect, explained, confirms: true, ...refused !== undefined && { refused } };
}

function cancel({ trace: { run } }: ActionSource): RunAction {
  const refused = isFinal(run.state) ? describeState(run.state) : undefined;
  const explained: Text = ["The run ends as cancelled: what it does now is aborted, and its later steps never begin"];
  const effect: Text = ["ends the run"];
  return {
    name: "cancel",
    label: "Cancel",
    effect,
    explained,
    confirms: true,
    ...refused !== undefined && { refused },
  };
}

function replay({ rule, trace: { run }, current }: ActionSource): RunAction {
  const version = current ?? (rule && run.version);
  const refused = version === undefined ? "its rule was removed, and its version is no longer kept" : undefined;
  const by = `${current === undefined || current === run.version ? "" : "the current "}version ${
    shortVersion(version ?? "")
  }`;
  const effect: Text = [`repeats all steps in a new run, by ${by}`];
  return { name: "replay", label: "Replay", effect, confirms: false, ...refused !== undefined && { refused } };
}

/** What a page shows of a run, for the forms on it: how many actions of people were recorded, and whether it had ended. */
function writeSeen({ run: { state }, notes }: Trace): string {
  return `${notes.filter(({ by }) => by !== undefined).length} ${isFinal(state) ? "ended" : "live"}`;
}

/** @returns undefined if the text is not from {@link writeSeen} */
function readSeen({ seen = "", since }: Record<string, string | undefined>): Seen | undefined {
  const [, actions, state] = /^(\d{1,9}) (ended|live)$/.exec(seen) ?? [];
  if (actions === undefined) return undefined;
  return { actions: Number(actions), ended: state === "ended", ...since !== undefined && { since: Number(since) } };
}
