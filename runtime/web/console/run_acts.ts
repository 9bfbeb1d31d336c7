import type { Context, Hono } from "hono";
import { describeState } from "../../model/run.ts";
import type { By, Operated, Seen } from "../../store/store.ts";
import type { WebContext } from "../context.ts";
import { readAction } from "./inputs.ts";
import { markup } from "./markup.ts";
import { type ActionName, ACTIONS, readSeen, type RunAction, shortVersion } from "./run_actions.ts";
import { hiddenInputs, load, noteText, type Shown, unknownRun } from "./run_load.ts";
import { shownText } from "./run_steps.ts";
import { page } from "./shell.ts";
import type { ConsoleEnv } from "./viewer.ts";

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
  const name = c.req.param("action") as ActionName;
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
    : await perform(c.req.param("action") as ActionName, id, { ...inputs, seen }, c.get("viewer").by, context);
  if (done === undefined) return await unknownRun(c, context);
  if (done.kind === "done") return c.redirect(`/runs/${done.run ?? id}`, 303);
  const shown = await load(c, context);
  return shown === undefined ? await unknownRun(c, context) : await refuse(c, context, shown, done.reason, seen);
}

type Done = { kind: "done"; run?: string } | Extract<Operated, { kind: "refused" }>;

/** Applies an action to a run, recorded as the viewer's decision. */
export async function perform(
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
