import type { Context, Hono } from "hono";
import { isUpper, mayConfigure } from "../../folder/settings/config_layers.ts";
import { textOfValue, valueOfText } from "../../language/fields/field_value.ts";
import type { ConfigEntry, ConfigValue, RefusedValue, RuleConfig } from "../../model/config.ts";
import type { Json } from "../../model/json.ts";
import type { PageValue } from "../../store/store.ts";
import type { WebContext } from "../context.ts";
import { fieldMarkup, labelOf, problemsBeside, problemSummary, type ShownField, textIn } from "../forms/fields.ts";
import { idPath, namedList, rowTable } from "./lists.ts";
import { hiddenInput, type Markup, markup, type Part } from "./markup.ts";
import { rulePath } from "./rules.ts";
import { csrfInput, notice, page, readAction } from "./shell.ts";
import { type Times, timesFor } from "./times.ts";
import type { ConsoleEnv } from "./viewer.ts";

const AT = "/config";
/** Names of other inputs than those of the fields, whose names have no dash. */
const SEEN = "config-seen";
const UNDO = "config-undo";
const REMOVE = "config-remove";
const WAS = "was-";
/** Earlier values of a field that are shown at first: with all of many fields a page would be large. */
const FEW = 3;
/** Characters of a value in a sentence. */
const LONGEST = 200;

/** `/config`: the rules whose config the viewer may set, and a form for each. */
export function addConfig(app: Hono<ConsoleEnv>, context: WebContext): void {
  app.get(AT, (c) => list(c, context));
  app.get(`${AT}/:id{.+}`, (c) => open(c, context));
  app.post(`${AT}/:id{.+}`, (c) => change(c, context));
}

/** The path of the page of a rule's config. */
export function configPath(rule: string): string {
  return idPath(AT, rule);
}

// ── the list ─────────────────────────────────────────────────────────────────────────────────────────────────────────

function list(c: Context<ConsoleEnv>, context: WebContext): Promise<Response> {
  const { person, isOperator } = c.get("viewer");
  const body = namedList(c, {
    title: "Config",
    path: AT,
    all: [...context.rules().configs.values()].filter((config) => mayConfigure(config, person)),
    nameOf: ({ rule: id, name }) => ({ id, name }),
    table: (configs) => ruleTable(configs, isOperator),
    none: isOperator
      ? "No rule has config: fields stand under config: in its file."
      : "There is nothing that you may set.",
  });
  return page(c, context, { title: "Config", at: AT, body });
}

function ruleTable(configs: RuleConfig[], isOperator: boolean): Markup {
  const rows = configs.map((config) => {
    const set = config.entries.filter(({ from }) => from === "page").length;
    return markup`<tr><td class="grow cut"><div><a href="${configPath(config.rule)}">${nameOf(config)}</a></div></td>
<td class="number nowrap">${set > 0 && `${set} set here`}</td>
<td class="error nowrap">${config.refused.length > 0 && `${config.refused.length} not used`}</td>${
      isOperator && markup`<td class="why soft">${["operators", ...config.editors].join(", ")}</td>`
    }</tr>\n`;
  });
  const heads = ["Rule", ["Values", "number"], "Problems", ...isOperator ? ["Who may set it"] : []] as const;
  return rowTable("", heads, rows);
}

function nameOf({ rule, name = rule }: RuleConfig): string {
  return name;
}

// ── the form ─────────────────────────────────────────────────────────────────────────────────────────────────────────

/** The config at this path; undefined if there is none, or the viewer may not set it. */
function configAt(c: Context<ConsoleEnv>, context: WebContext): RuleConfig | undefined {
  const config = context.rules().configs.get(c.req.param("id")!);
  return config && mayConfigure(config, c.get("viewer").person) ? config : undefined;
}

async function open(c: Context<ConsoleEnv>, context: WebContext): Promise<Response> {
  const config = configAt(c, context);
  if (config === undefined) return await notConfigurable(c, context);
  return await form(c, context, config, {});
}

/** @param typed the texts of the fields, if they were not accepted, and their problems */
async function form(
  c: Context<ConsoleEnv>,
  context: WebContext,
  config: RuleConfig,
  { typed, problems = {} }: { typed?: Record<string, string>; problems?: Record<string, string> },
): Promise<Response> {
  const { rule, fields, entries, refused } = config;
  const { csrf, isOperator } = c.get("viewer");
  const times = timesFor(c, context);
  const set = new Map((await context.store.listConfig(rule)).map((value) => [value.key, value]));
  // After a refusal this stays what the person saw first, so that another change since then is still noticed.
  const seen = typed?.[SEEN] ?? Math.max(0, ...[...set.values()].map(({ at }) => at));
  const hidden = markup`${csrfInput(csrf)}${hiddenInput(SEEN, seen)}`;
  const shown = entries.map((entry) => shownOf(entry, config, context, typed, problems));
  const parts = entries.map((entry, index) => {
    const { key } = entry;
    const notUsed = refused.filter((each) => each.key === key).map((each) => refusedMarkup(each, times));
    const below = [origin(entry, times), ...notUsed, earlierOf(set.get(key), c.req.query("earlier") === key, times)];
    if (entry.from === "--set") return overridden(entry, fields[key], below);
    const was = hiddenInput(WAS + key, typed?.[WAS + key] ?? textShown(entry, context));
    return [fieldMarkup(shown[index]), was, below];
  });
  const unknown = refused.filter(({ key }) => !Object.hasOwn(fields, key)).map((each) => refusedMarkup(each, times));
  const title = `Config of ${nameOf(config)}`;
  const isWrong = typed !== undefined;
  const path = configPath(rule);
  const body = markup`<p class="crumbs"><a href="${AT}">Config</a>${
    isOperator && markup` · <a href="${rulePath(rule)}">The rule</a>`
  }</p>
<h1>${title}</h1>
${c.req.query("saved") !== undefined && markup`<p role="status">Saved. What starts from now on uses it.</p>`}
${brokenNote(config, context)}
${problemSummary(shown, "value")}
<form method="post" action="${path}" accept-charset="utf-8">
${hidden}
${parts}
<p><button class="main">Save</button></p>
</form>
<form id="earlier" method="post" action="${path}">${hidden}
${unknown.length > 0 && markup`<h2>For fields that the rule does not have</h2>${unknown}`}</form>`;
  const head = isWrong ? `Error: ${title}` : title;
  return await page(c, context, { title: head, at: AT, narrow: true, body }, isWrong ? 422 : 200);
}

function shownOf(
  entry: ConfigEntry,
  { fields }: RuleConfig,
  context: WebContext,
  typed: Record<string, string> | undefined,
  problems: Record<string, string>,
): ShownField {
  const { key } = entry;
  const text = textShown(entry, context);
  const isHidden = text !== textOfValue(entry.value);
  const field = fields[key];
  const help = [field.help, isHidden && "Its value holds a secret and is not shown; leave this empty to keep it"];
  return {
    name: key,
    field: {
      ...field,
      required: field.required && !isHidden,
      ...help.some((line) => line) && { help: help.filter((line) => line).join("\n") },
    },
    text: typed === undefined ? text : textIn(typed, key),
    ...Object.hasOwn(problems, key) && { problem: problems[key] },
  };
}

/** The text of a value in its input: secrets in text are masked on every page, but attributes are not. */
function textShown({ value }: ConfigValue, { mask }: WebContext): string {
  const text = textOfValue(value);
  return mask(text) === text ? text : "";
}

/** A value that only the command line can change. */
function overridden(entry: ConfigEntry, field: RuleConfig["fields"][string], below: Part): Markup {
  return markup`<div class="field"><p class="label">${labelOf(entry.key, field)}</p>
<pre class="value">${textOfValue(entry.value)}</pre>
${below}</div>`;
}

/** Where a value comes from, the value of the next lower layer, and the button that removes it. */
function origin(entry: ConfigEntry, times: Times): Markup {
  const { below, key } = entry;
  const isOnPage = entry.from === "page";
  return markup`<div class="origin">${sayFrom(entry, times)}.${
    below !== undefined && [
      isUpper(entry) ? " Without it: " : " Instead of ",
      markup`<span class="mono">${brief(below.value)}</span>`,
      ` (${lowerFirst(sayPlace(below))}).`,
    ]
  }${
    isOnPage &&
    markup` <button form="earlier" name="${REMOVE}" value="${key}">Remove, so that ${
      below === undefined ? "it is not set" : markup`<span class="mono">${brief(below.value)}</span> applies`
    }</button>`
  }</div>`;
}

function sayFrom(value: ConfigValue, times: Times): Part {
  const { from, by, at } = value;
  if (from === "default" && value.value === null) return "Not set";
  if (from !== "page") return [sayPlace(value), at !== undefined && markup`, ${times.short(at)}`];
  return markup`Set by ${by}, ${times.short(at!)}`;
}

export function sayPlace({ from, by, value }: Pick<ConfigValue, "from" | "by" | "value">): string {
  switch (from) {
    case "default":
      return value === null ? "Not set" : "The default";
    case "page":
      return `Set by ${by}`;
    case "source":
      return `From the source of config${by === undefined ? "" : `, ${by}`}`;
    case "--set":
      return "Given with --set when the program was started: only a start without it changes that";
    default:
      return `From ${from}`;
  }
}

export function lowerFirst(text: string): string {
  return text.charAt(0).toLowerCase() + text.slice(1);
}

export function brief(value: Json): string {
  const text = value === null ? "nothing" : textOfValue(value).replaceAll("\n", ", ");
  // A part of it would hide the secret in it from the mask.
  return text.length > LONGEST ? `a value of ${text.length} characters` : text;
}

function refusedMarkup({ key, value, from, by = "", at, reason, hint }: RefusedValue, times: Times): Markup {
  const what = value === undefined || value === null ? key : brief(value);
  const who = sayPlace({ from, by, value: null });
  return markup`<div class="origin error">Not used: <span class="mono">${what}</span>. ${who}${
    at !== undefined && markup`, ${times.short(at)}`
  }: ${reason}${hint && `; ${hint}`}.${
    from === "page" && markup` <button form="earlier" name="${REMOVE}" value="${key}">Remove it</button>`
  }</div>`;
}

/** The earlier values of a field. @param isAll whether to list all of them */
function earlierOf(set: PageValue | undefined, isAll: boolean, times: Times): Part {
  if (set === undefined || set.earlier.length === 0) return false;
  const { rule, key, earlier } = set;
  const rest = isAll ? 0 : earlier.length - FEW;
  const items = earlier.slice(0, isAll ? earlier.length : FEW).map(({ value, by, at }) =>
    markup`<li><span class="mono">${value === null ? "Removed" : brief(value)}</span>, ${by}, ${times.short(at)}
<button form="earlier" name="${UNDO}" value="${key}@${at}">${
      value === null ? "Remove again" : "Use this again"
    }</button></li>\n`
  );
  return markup`<details class="earlier" id="earlier-${key}"${
    isAll && markup` open`
  }><summary>Earlier values (${earlier.length})</summary><ul>
${items}${
    rest > 0 &&
    markup`<li><a href="${configPath(rule)}?earlier=${encodeURIComponent(key)}#earlier-${key}">${rest} more</a></li>`
  }</ul></details>`;
}

function brokenNote({ rule, file }: RuleConfig, context: WebContext): Part {
  const { broken, rules } = context.rules();
  if (![...broken.values()].includes(rule)) return false;
  return markup`<p class="error" role="alert">${file} does not load${
    rules.has(rule) && "; its last good version stays in force"
  }. What you set takes effect when it loads.</p>`;
}

// ── the change ───────────────────────────────────────────────────────────────────────────────────────────────────────

async function change(c: Context<ConsoleEnv>, context: WebContext): Promise<Response> {
  const inputs = await readAction(c, context);
  if (inputs instanceof Response) return inputs;
  const config = configAt(c, context);
  if (config === undefined) return await notConfigurable(c, context);
  const { rule } = config;
  const { by, person } = c.get("viewer");
  const setting = await settingOf(config, inputs, context);
  if (setting === undefined) {
    const text = markup`That earlier value is not kept any more. <a href="${configPath(rule)}">See what is</a>`;
    return await page(c, context, notice("Nothing was changed", text, AT), 409);
  }
  const { set, problems } = setting;
  const again = (problems: Record<string, string>) =>
    form(c, context, config, { typed: { ...textsOf(config, context), ...inputs }, problems });
  if (problems !== undefined) return await again(problems);
  const seen = Number(inputs[SEEN]) || 0;
  const outcome = await context.setConfig(rule, { set, by, seen, ...person && { person } });
  switch (outcome.kind) {
    case "accepted":
      return c.redirect(`${configPath(rule)}?saved=1`, 303);
    case "invalid":
      return await again(problemsBeside(outcome.problems));
    case "stored": {
      const text =
        markup`The values are kept, and take effect when the rule loads with them. Until then it runs with those from
before. What is wrong: ${outcome.reason}. <a href="${configPath(rule)}">See what is set</a>`;
      const title = "Saved, but not in force";
      return await page(c, context, notice(title, text, AT), outcome.isFault ? 500 : 409);
    }
    case "stale": {
      const { key, by, at } = outcome;
      const label = Object.hasOwn(config.fields, key) ? labelOf(key, config.fields[key]) : key;
      const text = markup`${by} changed “${label}” meanwhile, ${timesFor(c, context).short(at)}.
<a href="${configPath(rule)}">See how it is now</a>`;
      return await page(c, context, notice("Nothing was changed", text, AT), 409);
    }
    case "unknown":
    case "forbidden":
      return await notConfigurable(c, context);
  }
}

function textsOf({ entries }: RuleConfig, context: WebContext): Record<string, string> {
  return Object.fromEntries(entries.map((entry) => [entry.key, textShown(entry, context)]));
}

interface Setting {
  set: Record<string, Json>;
  problems?: Record<string, string>;
}

/** What the inputs set: an earlier value (undefined if it was removed), a removal, or what the person changed on the page. */
async function settingOf(
  config: RuleConfig,
  inputs: Record<string, string>,
  context: WebContext,
): Promise<Setting | undefined> {
  const removed = inputs[REMOVE];
  if (removed !== undefined) return { set: { [removed]: null } };
  const undone = inputs[UNDO];
  if (undone === undefined) return typedSetting(config, inputs);
  const [, key, at] = /^(.*)@(\d+)$/.exec(undone) ?? [];
  const value = (await context.store.listConfig(config.rule)).find((each) => each.key === key);
  const earlier = value?.earlier.find((each) => each.at === Number(at));
  return earlier && { set: { [key]: earlier.value } };
}

function typedSetting({ fields, entries }: RuleConfig, inputs: Record<string, string>): Setting {
  const set: Record<string, Json> = {};
  const problems: Record<string, string> = {};
  for (const { key, from, value: current } of entries) {
    if (!Object.hasOwn(inputs, key) || !Object.hasOwn(inputs, WAS + key)) continue;
    const text = inputs[key];
    if (plain(text) === plain(inputs[WAS + key])) continue;
    const value = valueOfText(fields[key], text);
    if (value !== undefined) set[key] = value;
    else if (from === "page") set[key] = null;
    else problems[key] = `It cannot be emptied here: ${brief(current)} comes from below (${from})`;
  }
  return Object.keys(problems).length > 0 ? { set, problems } : { set };
}

/** Browsers send line breaks in their own way. */
function plain(text: string): string {
  return text.replaceAll("\r\n", "\n").trim();
}

/** A person who may not set a rule's config must not learn whether it exists. */
function notConfigurable(c: Context<ConsoleEnv>, context: WebContext): Promise<Response> {
  const link = markup`<a href="${AT}">What you may set</a>`;
  if (c.get("viewer").isOperator) {
    return page(c, context, notice("No such config", markup`No rule with config has this address. ${link}`, AT), 404);
  }
  return page(c, context, notice("Not for you", markup`You may not set this. ${link}`, AT), 403);
}

// ── in the page of a rule ────────────────────────────────────────────────────────────────────────────────────────────

/** The values of a rule's config in force, with their origins. */
export function configView(rule: string, context: WebContext): Part {
  const config = context.rules().configs.get(rule);
  if (config === undefined || config.entries.length === 0) {
    return markup`<p class="soft">It has no config: fields stand under <code>config:</code> in its file, values in <code>config.yaml</code>.</p>`;
  }
  const rows = config.entries.map((entry) =>
    markup`<tr><td class="mono nowrap">${entry.key}</td><td class="grow mono">${
      brief(entry.value)
    }</td><td class="why soft">${sayPlace(entry)}</td></tr>\n`
  );
  return markup`<p><a href="${configPath(rule)}">Set the config</a></p>
${rowTable("", ["Field", "Value in force", "From"], rows)}`;
}
