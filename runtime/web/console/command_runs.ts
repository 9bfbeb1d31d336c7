import type { Context } from "hono";
import type { Command } from "../../model/rule.ts";
import { isFinal, type Run } from "../../model/run.ts";
import type { WebContext } from "../context.ts";
import { usesCommand } from "./commands.ts";
import { href } from "./lists.ts";
import { type Look, part } from "./live.ts";
import { type Markup, markup } from "./markup.ts";
import { outputsOf } from "./run_output.ts";
import { oneLine } from "./run_words.ts";
import { timesFor } from "./times.ts";
import type { ConsoleEnv } from "./viewer.ts";
import { word } from "./words.ts";

/** Runs that are shown, and the rules whose runs are looked for. */
const MOST = 10;
const MOST_RULES = 20;

/** The address of the stream of a command's runs. */
export function commandRunsPath(command: string): string {
  return href("/live", { page: "command", command });
}

/** The last runs of a command: those that were started by itself, and those of rules that call it. */
export async function commandRuns(c: Context<ConsoleEnv>, context: WebContext, command: Command): Promise<Markup> {
  return markup`<section><h2>Its runs</h2>
<div id="runs">${await runsMarkup(c, context, command)}</div></section>`;
}

/** The same, live, with what running programs print. */
export function lookForCommandRuns(c: Context<ConsoleEnv>, context: WebContext): Look {
  const id = c.req.query("command") ?? "";
  return async () => {
    const command = context.rules().commands.get(id);
    if (command === undefined) return { parts: [], isLast: true };
    return { parts: [part("runs", await runsMarkup(c, context, command))] };
  };
}

async function runsMarkup(c: Context<ConsoleEnv>, context: WebContext, { id, file }: Command): Promise<Markup> {
  const users = [...context.rules().rules.values()].filter((rule) => usesCommand(rule, file)).slice(0, MOST_RULES);
  const rules = [id, ...users.map((rule) => rule.id)];
  const found = await Promise.all(rules.map((rule) => context.store.listRuns({ rule, limit: MOST })));
  // Ids of runs sort by time.
  const runs = found.flat().sort((a, b) => a.id < b.id ? 1 : -1).slice(0, MOST);
  if (runs.length === 0) return markup`<p class="soft">There is none yet.</p>`;
  const times = timesFor(c, context);
  const rows = runs.map((run) =>
    markup`<tr><td class="state nowrap">${
      word(run.state)
    }</td><td class="grow cut"><div><a href="/runs/${run.id}">${run.rule}</a></div></td>
<td class="why cut"><div>${whyOf(run)}</div></td><td class="number nowrap">${times.short(run.createdAt)}</td></tr>
`
  );
  const live = runs.filter(({ state }) => !isFinal(state));
  return markup`<table class="rows">
<thead><tr><th>State</th><th>Rule</th><th>Why</th><th class="number">Started</th></tr></thead>
<tbody>
${rows}</tbody>
</table>
${live.map((run) => outputsOf(run.id, context))}`;
}

function whyOf({ error, event }: Run): string {
  if (error !== undefined) return oneLine(error.message, 200);
  return event.by === undefined ? event.type : `started by ${event.by}`;
}
