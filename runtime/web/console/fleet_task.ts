import type { Context, Hono } from "hono";
import { UsageError } from "../../model/errors.ts";
import type { FleetSummary, FleetTask, Recipients } from "../../model/fleet.ts";
import type { Field } from "../../model/rule.ts";
import type { WebContext } from "../context.ts";
import { sendByHand, tasksFor } from "../fleets_api.ts";
import { defaultTexts, fieldMarkup, problemSummary, shownFields, textIn, typedValues } from "../forms/fields.ts";
import { fleetPath, unknownFleet, visibleFleet } from "./fleets.ts";
import { csrfInput, notice, page, readAction } from "./shell.ts";
import { hiddenInput, type Markup, markup } from "./markup.ts";
import type { ConsoleEnv } from "./viewer.ts";

const AT = "/task";
/** No field of a task has a name with a dash. */
const FLEET = "send-fleet";
const TASK = "send-task";
const TO = "send-to";
const TO_FIELD: Field = {
  type: "text",
  title: "Devices",
  help: 'A name, several with commas between them, tag:press for those with a tag, or all; "a, b" is one name',
  required: true,
};

/** `/task?fleet=…&task=…`: the form that sends a task by hand. */
export function addFleetTask(app: Hono<ConsoleEnv>, context: WebContext): void {
  app.get(AT, async (c) => {
    const found = chosen(c, context, c.req.query());
    if (found === undefined) return await unknownFleet(c, context);
    const texts = { ...defaultTexts(found.task.inputs), [TO]: writeName(c.req.query("to") ?? "") };
    return await form(c, context, found, { texts });
  });
  app.post(AT, (c) => send(c, context));
}

interface Chosen {
  found: FleetSummary;
  task: FleetTask;
}

/** The task; undefined if there is none, or the viewer may not send it. */
function chosen(c: Context<ConsoleEnv>, context: WebContext, given: Record<string, string>): Chosen | undefined {
  const found = visibleFleet(c, context, textIn(given, "fleet"));
  const { person, isOperator } = c.get("viewer");
  const task = tasksFor(found, isOperator ? undefined : person).find(({ name }) => name === textIn(given, "task"));
  return found && task && { found, task };
}

function form(
  c: Context<ConsoleEnv>,
  context: WebContext,
  { found: { fleet }, task }: Chosen,
  { texts, problems }: { texts: Record<string, string>; problems?: Record<string, string> },
  status: 200 | 422 = 200,
): Promise<Response> {
  const shown = shownFields({ [TO]: TO_FIELD, ...task.inputs }, texts, problems);
  const title = `${task.title ?? task.name}: ${fleet.name ?? fleet.id}`;
  const body = markup`${crumbs(fleet.id)}
<h1>${title}</h1>
${task.help !== undefined && markup`<p>${task.help}</p>`}
${problemSummary(shown, "input")}
<form method="post" action="${AT}" accept-charset="utf-8">
${csrfInput(c.get("viewer").csrf)}
${hiddenInput(FLEET, fleet.id)}${hiddenInput(TASK, task.name)}
${shown.map(fieldMarkup)}
<p class="actions"><button class="main">Send</button></p>
</form>`;
  const own = status === 200 ? title : `Error: ${title}`;
  return page(c, context, { title: own, at: "/fleets", narrow: true, body }, status);
}

function crumbs(fleet: string): Markup {
  return markup`<p class="crumbs"><a href="/fleets">Fleets</a> › <a href="${fleetPath(fleet)}">${fleet}</a></p>`;
}

async function send(c: Context<ConsoleEnv>, context: WebContext): Promise<Response> {
  const texts = await readAction(c, context);
  if (texts instanceof Response) return texts;
  const given = chosen(c, context, { fleet: textIn(texts, FLEET), task: textIn(texts, TASK) });
  if (given === undefined) return await unknownFleet(c, context);
  const { found: { fleet }, task } = given;
  const to = readTo(textIn(texts, TO));
  const { person, by, isOperator } = c.get("viewer");
  if (to === undefined) return await form(c, context, given, { texts, problems: { [TO]: "Say which devices" } }, 422);
  const order = { task: task.name, to, inputs: typedValues(task.inputs, texts) };
  const sent = await sendByHand(context, fleet.id, order, { by, ...!isOperator && person && { person } });
  if (sent.kind === "invalid") return await form(c, context, given, { texts, problems: sent.problems }, 422);
  if (sent.kind === "absent") throw new UsageError(sent.error);
  const [run] = sent.receipt.runs;
  if (run !== undefined) return c.redirect(`/runs/${run}`, 303);
  const text = markup`The fleet's file is being replaced. <a href="${fleetPath(fleet.id)}">Back</a>`;
  return await page(c, context, notice("Nothing was sent", text, "/fleets"));
}

/** A name as the field takes it. */
function writeName(name: string): string {
  return /[,"]/.test(name) ? `"${name.replaceAll('"', '""')}"` : name;
}

/**
 * Commas separate devices; within double quotes they belong to a name, and `""` is one quote, as in CSV.
 * @returns undefined if nothing was typed
 */
function readTo(text: string): Recipients | undefined {
  const words = [...text.matchAll(/\s*(?:"((?:[^"]|"")+)"|([^,]+))\s*(?:,|$)/g)]
    .map(([, quoted, plain = ""]) => quoted?.replaceAll('""', '"') ?? plain.trim())
    .filter((word) => word !== "");
  const tags = words.filter((word) => word.startsWith("tag:")).map((word) => word.slice(4));
  if (tags.length > 0 && tags.length === words.length) return { tags };
  return words.length === 0 ? undefined : words.length === 1 ? words[0] : words;
}
