import type { Context } from "hono";
import type { Rule } from "../../model/rule.ts";
import type { Run } from "../../model/run.ts";
import type { Note, Trace } from "../../store/store.ts";
import { configuredOf, type ConfiguredValue } from "../config_api.ts";
import type { WebContext } from "../context.ts";
import { type Markup, markup } from "./markup.ts";
import { actionsOf, type RunAction, writeSeen } from "./run_actions.ts";
import type { Drawing } from "./run_steps.ts";
import { type RunView, viewRun } from "./run_view.ts";
import { csrfInput, notice, page } from "./shell.ts";
import { timesFor } from "./times.ts";
import type { ConsoleEnv } from "./viewer.ts";

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
    ...Object.entries(given).map(([name, value]) => markup`<input type="hidden" name="${name}" value="${value}">`),
  ];
}

/** A note with its reason, and with how many others the run was acted on. */
export function noteText({ text, reason, bulk }: Note): Markup {
  const others = bulk !== undefined && bulk.runs > 1 && `, as one of ${bulk.runs.toLocaleString("en")} runs`;
  return markup`${text}${others}${reason !== undefined && markup` · reason: ${reason}`}`;
}
