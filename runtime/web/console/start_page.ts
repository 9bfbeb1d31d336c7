import type { Context, Hono } from "hono";
import { problemsOfGiven } from "../../ingest/rule_inputs.ts";
import { mayStart, startersOf, startRule, triggerFor } from "../../ingest/start_rule.ts";
import { checkValues, mayChange, withoutCleared } from "../../language/fields/check_values.ts";
import { textOfValue } from "../../language/fields/field_value.ts";
import { relationsOf } from "../../language/fields/relations.ts";
import { newId } from "../../model/id.ts";
import { isObject, type Json, type JsonObject } from "../../model/json.ts";
import type { Field, Rule, Trigger } from "../../model/rule.ts";
import type { Receipt } from "../../store/store.ts";
import type { WebContext } from "../context.ts";
import {
  fieldMarkup,
  problemsBeside,
  problemSummary,
  shownFields,
  textIn,
  textsOf,
  typedValues,
} from "../forms/fields.ts";
import { reasonOf } from "./events.ts";
import { idPath, namedList, rowTable } from "./lists.ts";
import { hiddenInput, type Markup, markup, type Part } from "./markup.ts";
import { csrfInput, notice, page, readAction } from "./shell.ts";
import { previewMarkup } from "./start_preview.ts";
import { stepGraph } from "./svg.ts";
import type { ConsoleEnv, Viewer } from "./viewer.ts";
import { word } from "./words.ts";

const AT = "/start";
/** The hidden input with the one-time id; no field can have a name with a dash. */
const ID_INPUT = "start-id";
const LONGEST_ID = 200;
/** The button that shows what would run. */
const PREVIEW_INPUT = "start-preview";

/** `/start`: what the viewer may start by hand, and the form that starts it. */
export function addStart(app: Hono<ConsoleEnv>, context: WebContext): void {
  app.get(AT, (c) => list(c, context));
  app.get(`${AT}/:id{.+}`, (c) => open(c, context));
  app.post(`${AT}/:id{.+}`, (c) => start(c, context));
}

/** The path of the form that starts a rule; a rule's id may contain slashes. */
export function startPath(rule: string): string {
  return idPath(AT, rule);
}

// ── the list ─────────────────────────────────────────────────────────────────────────────────────────────────────────

function list(c: Context<ConsoleEnv>, context: WebContext): Promise<Response> {
  const { person, isOperator } = c.get("viewer");
  const body = namedList(c, {
    title: "Start a rule",
    path: AT,
    all: [...context.rules().rules.values()].filter((rule) => mayStart(rule, person)),
    nameOf: (rule) => rule,
    table: (rules) => ruleTable(rules, isOperator, context),
    none: nothing(isOperator),
  });
  return page(c, context, { title: "Start a rule", at: AT, body });
}

function nothing(isOperator: boolean): Part {
  if (!isOperator) return "There is nothing that you may start.";
  return "There are no rules yet: save a file in the rules folder.";
}

function ruleTable(rules: Rule[], isOperator: boolean, context: WebContext): Markup {
  const { paused } = context.rules();
  const rows = rules.map((rule) => {
    const starters = startersOf(rule);
    const who = isOperator &&
      markup`<td class="why soft">${["operators", ...starters].join(", ")}</td>`;
    return markup`<tr><td class="grow cut"><div><a href="${startPath(rule.id)}">${nameOf(rule)}</a></div></td>
<td class="nowrap">${isPaused(rule, paused) && word("paused")}</td><td class="number nowrap">${
      countOf(Object.keys(rule.inputs ?? {}).length)
    }</td>${who}</tr>\n`;
  });
  const heads = ["Rule", "State", ["Inputs", "number"], ...isOperator ? ["Who may start it"] : []] as const;
  return rowTable("", heads, rows);
}

function nameOf({ id, name = id }: Rule): string {
  return name;
}

function countOf(inputs: number): string {
  return inputs === 0 ? "no inputs" : inputs === 1 ? "1 input" : `${inputs} inputs`;
}

function isPaused({ id }: Rule, paused: Readonly<Record<string, string>>): boolean {
  return Object.hasOwn(paused, id);
}

// ── the form ─────────────────────────────────────────────────────────────────────────────────────────────────────────

/** A rule that the viewer may start. */
interface Startable {
  rule: Rule;
  fields: Record<string, Field>;
  /** The values that apply if the person gives none. */
  base: JsonObject;
  /** Inputs that the trigger computes when it starts. */
  later: ReadonlySet<string>;
}

/** The rule at this path; undefined if there is none, or the viewer may not start it. */
function startable(c: Context<ConsoleEnv>, context: WebContext): Startable | undefined {
  const rule = context.rules().rules.get(c.req.param("id")!);
  const trigger = rule && triggerFor(rule, c.get("viewer").person);
  if (rule === undefined || trigger === undefined) return undefined;
  const fields = rule.inputs ?? {};
  return { rule, fields, ...baseOf(fields, trigger) };
}

function baseOf(fields: Record<string, Field>, { inputs = {} }: Trigger): Pick<Startable, "base" | "later"> {
  const base: JsonObject = {};
  const later = new Set(Object.keys(inputs).filter((name) => mayChange(inputs[name])));
  for (const [name, field] of Object.entries(fields)) {
    const value = later.has(name) ? undefined : Object.hasOwn(inputs, name) ? inputs[name] : field.default;
    if (value !== undefined) base[name] = value;
  }
  return { base, later };
}

async function open(c: Context<ConsoleEnv>, context: WebContext): Promise<Response> {
  const found = startable(c, context);
  if (found === undefined) return await notStartable(c, context);
  const { from } = c.req.query();
  if (from === undefined) return await form(c, context, found, { texts: textsOf(found.base) });
  const run = (await context.store.getRun(from))?.run;
  const { isOperator, by } = c.get("viewer");
  if (run === undefined || run.rule !== found.rule.id || !(isOperator || run.event.by === by)) {
    const text = markup`There is no run of yours of this rule with that id. <a href="${
      startPath(found.rule.id)
    }">Start it with other values</a>`;
    return await page(c, context, notice("No such run", text, AT), 404);
  }
  const texts = textsOf(run.inputs ?? (isObject(run.event.data) ? run.event.data : {}));
  // Secrets in text are masked on every page, but attributes are not.
  const hidden = Object.keys(found.fields).filter((name) => context.mask(textIn(texts, name)) !== textIn(texts, name));
  const problems = Object.fromEntries(hidden.map((name) => [name, "This value holds a secret: give it again"]));
  for (const name of hidden) texts[name] = "";
  return await form(c, context, found, { texts, problems });
}

/** @param filled the texts of the fields, and their problems */
function form(
  c: Context<ConsoleEnv>,
  context: WebContext,
  { rule, fields, later }: Startable,
  { texts, problems }: { texts: Record<string, string>; problems?: Record<string, string> },
  status: 200 | 422 = 200,
): Promise<Response> {
  const shown = shownFields(fields, texts, problems).map((each) =>
    later.has(each.name) ? { ...each, field: { ...each.field, required: false } } : each
  );
  const preview = previewMarkup(rule, valuesFor(fields, later, texts), context.mask);
  const { paused } = context.rules();
  const title = `Start ${nameOf(rule)}`;
  const body = markup`<p class="crumbs"><a href="${AT}">Start</a></p>
<h1>${title}</h1>
${isPaused(rule, paused) && markup`<p>${word("paused")} ${paused[rule.id]}. A start has no effect now.</p>`}
${problemSummary(shown, "input")}
<form method="post" action="${startPath(rule.id)}" accept-charset="utf-8">
${csrfInput(c.get("viewer").csrf)}
${hiddenInput(ID_INPUT, newId(context.clock.now()))}
${shown.map(fieldMarkup)}
<p class="actions"><button class="main">Start</button>${
    preview !== false && shown.length > 0 && markup` <button name="${PREVIEW_INPUT}" value="yes">Preview</button>`
  }</p>
</form>
${preview}
${stepGraph(rule)}`;
  return page(c, context, {
    title: status === 200 ? title : `Error: ${title}`,
    at: AT,
    narrow: true,
    body,
  }, status);
}

/** The values of the form; undefined if they are not valid, or not known yet. */
function valuesFor(
  fields: Record<string, Field>,
  later: ReadonlySet<string>,
  texts: Record<string, string>,
): JsonObject | undefined {
  if (later.size > 0) return undefined;
  const typed = typedValues(fields, texts);
  const { values, problems } = checkValues(withoutCleared(fields, typed), typed);
  return problems.length > 0 ? undefined : values;
}

// ── the start ────────────────────────────────────────────────────────────────────────────────────────────────────────

async function start(c: Context<ConsoleEnv>, context: WebContext): Promise<Response> {
  const inputs = await readAction(c, context);
  if (inputs instanceof Response) return inputs;
  const found = startable(c, context);
  if (found === undefined) return await notStartable(c, context);
  const { rule } = found;
  if (textIn(inputs, PREVIEW_INPUT) !== "") return await preview(c, context, found, inputs);
  const { clock, ingest } = context;
  const id = textIn(inputs, ID_INPUT).slice(0, LONGEST_ID);
  const started = await startRule({ clock, ingest, rules: context.rules().rules }, rule.id, {
    ...starterOf(c.get("viewer")),
    inputs: givenOf(found, inputs),
    ...id !== "" && { id },
  });
  switch (started.kind) {
    case "accepted":
      return await accepted(c, context, rule, started.receipt);
    case "invalid":
      return await form(c, context, found, { texts: inputs, problems: problemsBeside(started.problems) }, 422);
    case "unknown":
    case "forbidden":
      return await notStartable(c, context);
  }
}

/** The form with what was typed, its problems, and the arguments of its commands; nothing starts. */
function preview(
  c: Context<ConsoleEnv>,
  context: WebContext,
  found: Startable,
  inputs: Record<string, string>,
): Promise<Response> {
  const trigger = triggerFor(found.rule, c.get("viewer").person)!;
  const problems = problemsOfGiven(found.rule.inputs, trigger, givenOf(found, inputs)) ?? {};
  return form(c, context, found, { texts: inputs, problems: problemsBeside(problems) });
}

function starterOf({ person, by }: Viewer) {
  return { by, ...person && { person } };
}

/**
 * The typed values. A value that was left at its default is omitted if it excludes others: a default yields to
 * them, a given value does not.
 */
function givenOf({ fields, base }: Startable, inputs: Record<string, string>): JsonObject {
  const excludes = relationsOf(fields)?.conflicts;
  const isLeft = (name: string, value: Json) =>
    Object.hasOwn(base, name) && textOfValue(base[name]) === textOfValue(value) &&
    (excludes?.has(name) || fields[name].oneOf !== undefined);
  return Object.fromEntries(
    Object.entries(typedValues(fields, inputs, (name) => Object.hasOwn(base, name))).filter(([name, value]) =>
      !isLeft(name, value)
    ),
  );
}

function accepted(c: Context<ConsoleEnv>, context: WebContext, rule: Rule, { runs, verdicts }: Receipt) {
  if (runs.length > 0) return c.redirect(`/runs/${runs[0]}`, 303);
  const verdict = verdicts[0]?.verdict;
  const text = markup`${verdict ? [word(verdict.kind), " ", reasonOf(verdict)] : "This was sent before"}.
<a href="${startPath(rule.id)}">Back to the form</a>`;
  return page(c, context, notice("Nothing has started", text, AT));
}

/** A person who may not start a rule must not learn whether it exists. */
function notStartable(c: Context<ConsoleEnv>, context: WebContext): Promise<Response> {
  const link = markup`<a href="${AT}">What you may start</a>`;
  if (c.get("viewer").isOperator) {
    return page(
      c,
      context,
      notice("No such rule", markup`There is no rule to start at this address. ${link}`, AT),
      404,
    );
  }
  return page(c, context, notice("Not for you", markup`You may not start this. ${link}`, AT), 403);
}
