import type { Context, Hono } from "hono";
import { callerInputs, type CheckedSet, checkSet } from "../../commands/check_set.ts";
import { commandRule } from "../../commands/command_rule.ts";
import { mayStart, startRule } from "../../ingest/start_rule.ts";
import { type FieldProblem, sayProblem } from "../../language/fields/check_values.ts";
import { textOfValue } from "../../language/fields/field_value.ts";
import { newId } from "../../model/id.ts";
import { isObject } from "../../model/json.ts";
import type { Command, CommandInput } from "../../model/rule.ts";
import type { WebContext } from "../context.ts";
import { idOf, textIn } from "../forms/fields.ts";
import {
  defaultTexts,
  hiddenTexts,
  inputMarkup,
  partsOf,
  relationsGraph,
  relationsInWords,
  type Texts,
  textsOf,
  typedPairs,
} from "./command_form.ts";
import { argvMarkup, commandPath, commandRuns, commandRunsPath, rulesUsing, visibleCommands } from "./commands.ts";
import { rowTable } from "./lists.ts";
import { liveMark } from "./live.ts";
import { factList, hiddenInput, type Markup, markup, type Part } from "./markup.ts";
import { csrfInput, notice, page, readAction } from "./shell.ts";
import { startPath } from "./start_page.ts";
import type { ConsoleEnv } from "./viewer.ts";

const AT = "/commands";
/** Hidden inputs and buttons of the form; no input of a command has a name with a blank. */
const ID_INPUT = "start id";
const ASKED_INPUT = "asked for";
const PART_INPUT = "shown part";
/** The buttons that show another part of the inputs. */
const PART = /^part (\d+)$/;
const LONGEST_ID = 200;

/** What the buttons of the form do. */
type Asked = "open" | "try" | "complete" | "start";

/** `/commands/<id>`: a command with its inputs, a form that tries a set and starts it, and its runs. */
export function addCommand(app: Hono<ConsoleEnv>, context: WebContext): void {
  app.get(`${AT}/:id{.+}`, (c) => open(c, context));
  app.post(`${AT}/:id{.+}`, (c) => act(c, context));
}

/** Undefined if there is no such command, or the viewer may not see it. */
function commandAt(c: Context<ConsoleEnv>, context: WebContext): Command | undefined {
  return visibleCommands(c.get("viewer"), context).find(({ id }) => id === c.req.param("id"));
}

function unknown(c: Context<ConsoleEnv>, context: WebContext): Promise<Response> {
  const text = markup`There is no command at this address for you. <a href="${AT}">All commands</a>`;
  return page(c, context, notice("No such command", text, AT), 404);
}

async function open(c: Context<ConsoleEnv>, context: WebContext): Promise<Response> {
  const command = commandAt(c, context);
  if (command === undefined) return await unknown(c, context);
  const inputs = callerInputs(command);
  const { from } = c.req.query();
  if (from === undefined) return await show(c, context, command, { asked: "open", texts: defaultTexts(inputs) });
  const run = c.get("viewer").isOperator ? (await context.store.getRun(from))?.run : undefined;
  if (run === undefined || run.rule !== command.id || !isObject(run.event.data)) {
    const link = markup`There is no run of this command with that id. <a href="${commandPath(command.id)}">Back</a>`;
    return await page(c, context, notice("No such run", link, AT), 404);
  }
  const texts = textsOf(inputs, run.event.data);
  // Attributes are not masked, so what holds a secret has to be given again.
  for (const [name, text] of Object.entries(texts)) if (context.mask(text) !== text) texts[name] = "";
  return await show(c, context, command, { asked: "open", texts });
}

async function act(c: Context<ConsoleEnv>, context: WebContext): Promise<Response> {
  const texts = await readAction(c, context);
  if (texts instanceof Response) return texts;
  const command = commandAt(c, context);
  if (command === undefined) return await unknown(c, context);
  const inputs = callerInputs(command);
  const asked = textIn(texts, ASKED_INPUT);
  const [, part] = PART.exec(asked) ?? [];
  if (part !== undefined) return await show(c, context, command, { asked: "open", texts, part: Number(part) });
  const { complete } = checkSet(command, typedPairs(inputs, texts), { completes: true });
  if (asked === "complete" && complete !== null) {
    return await show(c, context, command, {
      asked: "complete",
      texts: { ...texts, ...textsOf(inputs, complete.values) },
    });
  }
  if (asked !== "start" || !mayStart(commandRule(command), c.get("viewer").person)) {
    return await show(c, context, command, { asked: "try", texts });
  }
  return await start(c, context, command, texts);
}

async function start(
  c: Context<ConsoleEnv>,
  context: WebContext,
  command: Command,
  texts: Texts,
): Promise<Response> {
  const { clock, ingest } = context;
  const { person, by } = c.get("viewer");
  const id = textIn(texts, ID_INPUT).slice(0, LONGEST_ID);
  const started = await startRule({ clock, ingest, rules: context.rules().startable }, command.id, {
    by,
    ...person && { person },
    inputs: Object.fromEntries(typedPairs(callerInputs(command), texts)),
    ...id !== "" && { id },
  });
  if (started.kind !== "accepted") return await show(c, context, command, { asked: "start", texts }, 422);
  const [run] = started.receipt.runs;
  if (run !== undefined) return c.redirect(`/runs/${run}`, 303);
  const text = markup`The command is paused, or it is being replaced. <a href="${commandPath(command.id)}">Back</a>`;
  return await page(c, context, notice("Nothing has started", text, AT));
}

interface Form {
  asked: Asked;
  texts: Texts;
  /** Which part of the inputs to show, from 1. */
  part?: number;
}

/** The part of the inputs to show: of a set with problems that of the first one. */
function partOf(command: Command, form: Form): { names: string[]; at: number; parts: string[][] } {
  const parts = partsOf(command.inputs);
  const keys = form.asked === "open" ? [] : checkedOf(command, form).problems.map(({ key }) => key);
  const wrong = parts.findIndex((names) => names.some((name) => keys.includes(name)));
  const wanted = wrong >= 0 ? wrong : (form.part ?? Number(textIn(form.texts, PART_INPUT) || 1)) - 1;
  const at = parts[wanted] === undefined ? 0 : wanted;
  return { names: parts[at], at, parts };
}

async function show(
  c: Context<ConsoleEnv>,
  context: WebContext,
  command: Command,
  form: Form,
  status: 200 | 422 = 200,
): Promise<Response> {
  const { id, name = id, help, inputs, file } = command;
  const { isOperator } = c.get("viewer");
  const body = markup`<p class="crumbs"><a href="${AT}">Commands</a></p>
<h1>${name}</h1>
${help !== undefined && markup`<p>${help}</p>`}
${facts(command)}
${tried(command, form, context)}
<section><h2>Inputs</h2>
${inputTable(command, partOf(command, form))}
${relationsGraph(inputs, file)}</section>
${formMarkup(c, command, form, context)}
${users(c, command, context)}
${isOperator && await commandRuns(c, context, command)}
<p class="soft">This page is the file <code>${file}</code>: save it to change the command, and a file beside it to add one.</p>`;
  const title = form.asked === "start" ? `Error: ${name}` : name;
  const head = isOperator && liveMark(commandRunsPath(id));
  return await page(c, context, { title, at: AT, head, body }, status);
}

function facts(command: Command): Markup {
  const { id, file, program, root, version, fixed, only, end, complete } = command;
  return factList([
    ["Program", markup`<span class="mono">${program}</span>${root && " as root: by sudo, unless the program is root"}`],
    ["Version", version && markup`<span class="mono">${version.is}</span>`],
    [
      "Always set",
      fixed.length > 0 &&
      markup`<span class="mono">${fixed.map(([name, value]) => written(name, value)).join(" ")}</span>`,
    ],
    ["Order", only && markup`<span class="mono">${only.join(" ")}</span>`],
    ["Before the last", end !== undefined && markup`<span class="mono">${end}</span>`],
    ["Completes", complete && "adds what is required by what is set"],
    ["Id", markup`<span class="mono">${id}</span>`],
    ["File", markup`<span class="mono">${file}</span>`],
  ]);
}

function written(name: string, value: Parameters<typeof textOfValue>[0]): string {
  return value === true ? name : `${name} ${textOfValue(value)}`;
}

function inputTable(command: Command, { names, at, parts }: ReturnType<typeof partOf>): Markup {
  const { inputs } = command;
  const own = callerInputs(command);
  const rows = names.map((name) => {
    const input = inputs[name];
    const words = relationsInWords(name, inputs).join("; ");
    return markup`<tr><td class="mono">${name}</td><td>${typeOf(input)}</td><td class="why">${input.help}${
      !Object.hasOwn(own, name) && markup` <span class="soft">callers cannot set it</span>`
    }</td><td class="why soft">${words}</td></tr>
`;
  });
  if (rows.length === 0) return markup`<p class="soft">It takes none.</p>`;
  return markup`${rowTable("inputs", ["Input", "Type", "Help", "Requires and excludes"], rows)}
${parts.length > 1 && markup`<p class="soft">${range(at, parts)}: the buttons below show the others.</p>`}`;
}

/** `Inputs 61 to 120 of 200` */
function range(at: number, parts: string[][]): string {
  const before = parts.slice(0, at).flat().length;
  return `Inputs ${before + 1} to ${before + parts[at].length} of ${parts.flat().length}`;
}

function typeOf({ type, of, choices, min, max, default: standard, required, root, value, pass }: CommandInput): string {
  const parts = [
    type === "list" ? `list of ${of?.type ?? "anything"}` : type === "choice" ? "" : type,
    choices === undefined ? "" : choices.map(textOfValue).join(" | "),
    min === undefined && max === undefined ? "" : `${min ?? "…"} to ${max ?? "…"}`,
    value === "optional" ? "or alone" : "",
    standard === undefined ? "" : `default ${textOfValue(standard)}`,
    required ? "required" : "",
    root ? "only as root" : "",
    pass === undefined ? "" : `by ${pass}`,
  ];
  return parts.filter((part) => part !== "").join(", ");
}

// ── a set ────────────────────────────────────────────────────────────────────────────────────────────────────────────

function checkedOf(command: Command, { texts }: Form): CheckedSet {
  return checkSet(command, typedPairs(callerInputs(command), texts), { completes: true });
}

/** The outcome of a set that somebody has tried: its arguments, or all problems with their paths. */
function tried(command: Command, form: Form, { mask }: WebContext): Markup | false {
  if (form.asked === "open") return false;
  const { argv, problems, complete } = checkedOf(command, form);
  const added = complete?.added ?? [];
  const completes = added.length > 0 &&
    markup`<p>${command.complete ? "Added" : "To complete it"}: ${
      added.map((name) => complete!.open.includes(name) ? `${name} (needs a value)` : name).join(", ")
    }.</p>`;
  if (argv !== undefined) {
    const line = argv.map(mask);
    return markup`<div class="tried" role="status"><h2 id="tried">It would run</h2>
${argvMarkup(command.program, line, command.root)}
${completes}<p class="soft">Nothing has been started.</p></div>`;
  }
  return markup`<div class="summary" role="alert" tabindex="-1" autofocus aria-labelledby="tried">
<h2 id="tried">${problems.length === 1 ? "One problem" : `${problems.length} problems`}; nothing has been started</h2>
<ul>
${problems.map((problem) => markup`<li>${sentence(command, problem, form)}</li>\n`)}</ul>
${completes}${complete === null && markup`<p>No set that contains this one would be valid.</p>`}</div>`;
}

function sentence(command: Command, problem: FieldProblem, form: Form): Part {
  const says = sayProblem(problem);
  const isShown = partOf(command, form).names.includes(problem.key);
  return isShown && Object.hasOwn(callerInputs(command), problem.key)
    ? markup`<a href="#${idOf(problem.key)}">${says}</a>`
    : says;
}

function formMarkup(c: Context<ConsoleEnv>, command: Command, form: Form, context: WebContext): Markup {
  const { person, csrf } = c.get("viewer");
  const inputs = callerInputs(command);
  const problems = form.asked === "open" ? [] : checkedOf(command, form).problems;
  const problemOf = (name: string) =>
    problems.filter(({ key }) => key === name).map(({ message }) => message).join("; ") || undefined;
  const { names, at, parts } = partOf(command, form);
  const shown = names.filter((name) => Object.hasOwn(inputs, name));
  const fields = shown.map((name) => inputMarkup(name, inputs[name], form.texts, problemOf(name)));
  const others = parts.length > 1 &&
    markup`<p class="actions"><span class="soft">${range(at, parts)}</span>${
      at > 0 && markup` <button name="${ASKED_INPUT}" value="part ${at}">Earlier inputs</button>`
    }${
      at + 1 < parts.length && markup` <button name="${ASKED_INPUT}" value="part ${at + 2}">Further inputs</button>`
    }</p>
${hiddenInput(PART_INPUT, at + 1)}
${hiddenTexts(inputs, names, form.texts)}`;
  const canStart = mayStart(commandRule(command), person);
  return markup`<section class="set"><h2>Try a set</h2>
<form method="post" action="${commandPath(command.id)}" accept-charset="utf-8">
${csrfInput(csrf)}
${hiddenInput(ID_INPUT, newId(context.clock.now()))}
${fields}
${others}
<p class="actions"><button name="${ASKED_INPUT}" value="try">Try</button> <button name="${ASKED_INPUT}" value="complete">Complete</button>${
    canStart && markup` <button class="main" name="${ASKED_INPUT}" value="start">Start</button>`
  }</p>
<p class="soft">“Try” starts nothing: it shows the arguments, or what is wrong. “Complete” also adds what is required.${
    canStart && " “Start” runs it in a folder of its own."
  }</p>
</form></section>`;
}

/** The rules that call it. */
function users(c: Context<ConsoleEnv>, command: Command, context: WebContext): Markup | false {
  const { person, isOperator } = c.get("viewer");
  const all = rulesUsing(command, context);
  const shown = isOperator ? all : all.filter((rule) => mayStart(rule, person));
  if (shown.length === 0) return false;
  const items = shown.map((rule) => {
    const name = rule.name ?? rule.id;
    const start = mayStart(rule, person) && markup` <a href="${startPath(rule.id)}">start it</a>`;
    return markup`<li>${isOperator ? markup`<a href="/rules/${rule.id}">${name}</a>` : name}${start}</li>\n`;
  });
  return markup`<section><h2>Rules that call it</h2>
<ul class="hits">
${items}</ul></section>`;
}
