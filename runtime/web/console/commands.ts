import type { Context, Hono } from "hono";
import { settable } from "../../commands/check_set.ts";
import { mayStart } from "../../ingest/start_rule.ts";
import type { Command, Rule } from "../../model/rule.ts";
import type { WebContext } from "../context.ts";
import { type Filter, filterForm, filtersOf, pageOf, pager } from "./lists.ts";
import { type Markup, markup } from "./markup.ts";
import { page } from "./shell.ts";
import type { ConsoleEnv, Viewer } from "./viewer.ts";

const AT = "/commands";
/** Commands of a page of the list. */
const PAGE = 50;
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
  return `${AT}/${id.split("/").map(encodeURIComponent).join("/")}`;
}

/** The commands that somebody may see: operators all of them, others those of the rules that they may start. */
export function visibleCommands({ person, isOperator }: Viewer, context: WebContext): Command[] {
  const { rules, commands } = context.rules();
  const all = [...commands.values()];
  if (isOperator) return all;
  const own = [...rules.values()].filter((rule) => mayStart(rule, person));
  return all.filter(({ file }) => own.some((rule) => usesCommand(rule, file)));
}

/** Whether a rule calls a command, directly or through actions. @param file of the command */
export function usesCommand({ commands = {} }: Rule, file: string): boolean {
  return Object.hasOwn(commands, file);
}

function list(c: Context<ConsoleEnv>, context: WebContext): Promise<Response> {
  const viewer = c.get("viewer");
  const set = filtersOf(c, FILTERS);
  const { before } = c.req.query();
  const first = Number(before) || 0;
  const all = visibleCommands(viewer, context);
  const wanted = all.filter((command) => hasText(command, set.text) && hasFlag(command, set.flag));
  const { rows, last } = pageOf(wanted.slice(first, first + PAGE + 1), PAGE);
  const none = all.length > 0
    ? "No command is like that."
    : viewer.isOperator
    ? "There are no commands yet."
    : "You may start nothing that uses a command.";
  const body = markup`<h1>Commands</h1>
${all.length > 0 && filterForm(AT, FILTERS, set)}
${rows.length > 0 ? commandTable(rows, context) : markup`<p class="soft">${none}</p>`}
${pager(AT, set, before, last && String(first + PAGE))}
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
  const { rules } = context.rules();
  const rows = commands.map((command) => {
    const { id, name = id, help, program, root, file } = command;
    const users = [...rules.values()].filter((rule) => usesCommand(rule, file)).length;
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
  return markup`<table class="rows">
<thead><tr><th>Command</th><th>Program</th><th>What it does</th><th class="number">Inputs</th><th class="number wide">Used by</th></tr></thead>
<tbody>
${rows}</tbody>
</table>`;
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
