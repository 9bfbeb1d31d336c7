import type { Context, Hono } from "hono";
import { settable } from "../../commands/check_set.ts";
import { mayStart } from "../../ingest/start_rule.ts";
import type { Command, Rule } from "../../model/rule.ts";
import { isFinal, type Run } from "../../model/run.ts";
import type { WebContext } from "../context.ts";
import { type Filter, filterForm, filtersOf, href, idPath, memoryPage, pager, rowTable } from "./lists.ts";
import { type Look, part } from "./live.ts";
import { type Markup, markup } from "./markup.ts";
import { outputsOf } from "./run_output.ts";
import { oneLine } from "./run_words.ts";
import { page } from "./shell.ts";
import { timesFor } from "./times.ts";
import type { ConsoleEnv, Viewer } from "./viewer.ts";
import { word } from "./words.ts";

const AT = "/commands";
const FILTERS = [
  { name: "text", label: "Text", placeholder: "name, program, help" },
  { name: "flag", label: "Flag", placeholder: "--output" },
] as const satisfies Filter[];

/** `/commands`: the commands of the folder, by text and by flag. */
export function addCommands(app: Hono<ConsoleEnv>, context: WebContext): void {
  app.get(AT, (c) => list(c, context));
}

/** The path of a command's page; its id may contain slashes. */
export function commandPath(id: string): string {
  return idPath(AT, id);
}

/** The commands that the viewer may see: operators see all of them, other people those of the rules that they may start. */
export function visibleCommands({ person, isOperator }: Viewer, context: WebContext): Command[] {
  const all = [...context.rules().commands.values()];
  if (isOperator) return all;
  return all.filter((command) => rulesUsing(command, context).some((rule) => mayStart(rule, person)));
}

/** The rules that call a command, directly or through actions. */
export function rulesUsing({ file }: Command, context: WebContext): Rule[] {
  return [...context.rules().rules.values()].filter(({ commands = {} }) => Object.hasOwn(commands, file));
}

function list(c: Context<ConsoleEnv>, context: WebContext): Promise<Response> {
  const viewer = c.get("viewer");
  const set = filtersOf(c, FILTERS);
  const { before } = c.req.query();
  const all = visibleCommands(viewer, context);
  const wanted = all.filter((command) => hasText(command, set.text) && hasFlag(command, set.flag));
  const { rows, next } = memoryPage(wanted, before);
  const none = all.length > 0
    ? "No command is like that."
    : viewer.isOperator
    ? "There are no commands yet."
    : "You may start nothing that uses a command.";
  const body = markup`<h1>Commands</h1>
${all.length > 0 && filterForm(AT, FILTERS, set)}
${rows.length > 0 ? commandTable(rows, context) : markup`<p class="soft">${none}</p>`}
${pager(AT, set, before, next)}
${viewer.isOperator && howToAdd()}`;
  return page(c, context, { title: "Commands", at: AT, body });
}

/** Adding a command is adding a file. */
function howToAdd(): Markup {
  return markup`<section><h2>Add a command</h2>
<p>Save a file in the rules folder, such as <code>commands/wc.yaml</code>: it is here as soon as it is saved, and rules can call it.</p>
<pre class="source" tabindex="0" aria-label="An example">command: wc
help: Counts lines, words and bytes
inputs:
  -l: { type: boolean, help: Only lines }
  files: { type: list, of: path, position: last }
end: "--"</pre>
<p class="soft"><code>whenthen import FILE.json -o commands/nmap.yaml</code> makes one of an export of OTO.</p></section>`;
}

function commandTable(commands: Command[], context: WebContext): Markup {
  const rows = commands.map((command) => {
    const { id, name = id, help, program, root } = command;
    const users = rulesUsing(command, context).length;
    return markup`<tr><td class="grow cut"><div><a href="${commandPath(id)}">${name}</a></div></td>
<td class="mono nowrap">${program}${
      root && markup` <span class="soft">as root</span>`
    }</td><td class="why soft">${help}</td><td class="number nowrap">${
      settable(command).length
    } inputs</td><td class="wide number nowrap">${
      users === 0 ? "no rule" : users === 1 ? "1 rule" : `${users} rules`
    }</td></tr>
`;
  });
  const heads = ["Command", "Program", "What it does", ["Inputs", "number"], ["Used by", "number wide"]] as const;
  return rowTable("", heads, rows);
}

function hasText(command: Command, text: string | undefined): boolean {
  if (text === undefined) return true;
  const { id, name = "", help = "", program, inputs } = command;
  const all = [id, name, help, program, ...Object.values(inputs).flatMap(({ title = "", help = "" }) => [title, help])];
  return all.join("\n").toLowerCase().includes(text.toLowerCase());
}

/** The flag may be given without its dashes, and only its beginning. */
function hasFlag(command: Command, flag: string | undefined): boolean {
  if (flag === undefined) return true;
  const bare = (name: string) => name.replace(/^[-<]+/, "").toLowerCase();
  return Object.keys(command.inputs).some((name) => name === flag || bare(name).startsWith(bare(flag)));
}

// ── the runs of a command ────────────────────────────────────────────────────────────────────────────────────────────

/** Runs that are shown, and the rules whose runs are read. */
const MOST = 10;
const MOST_RULES = 20;

/** The address of the stream of a command's runs. */
export function commandRunsPath(command: string): string {
  return href("/live", { page: "command", command });
}

/** The last runs of a command: its own, and those of the rules that call it. */
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

async function runsMarkup(c: Context<ConsoleEnv>, context: WebContext, command: Command): Promise<Markup> {
  const users = rulesUsing(command, context).slice(0, MOST_RULES);
  const rules = [command.id, ...users.map(({ id }) => id)];
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
  return markup`${rowTable("", ["State", "Rule", "Why", ["Started", "number"]], rows)}
${live.map((run) => outputsOf(run.id, context))}`;
}

function whyOf({ error, event }: Run): string {
  if (error !== undefined) return oneLine(error.message, 200);
  return event.by === undefined ? event.type : `started by ${event.by}`;
}

/** Arguments as a shell command; those with special characters are quoted. */
export function argvMarkup(program: string, argv: readonly string[], root: boolean): Markup {
  const words = [...root ? ["sudo", "-n"] : [], program, ...argv];
  return markup`<pre class="argv" tabindex="0">${words.map(quoted).join(" ")}</pre>`;
}

function quoted(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}
