import { posix } from "node:path";
import { checkSet } from "../../commands/check_set.ts";
import { compile, ExpressionError } from "../../language/expressions/expression.ts";
import { templatesIn } from "../../language/expressions/check_expression.ts";
import { resolve } from "../../language/expressions/template.ts";
import { readWritten, sayProblem } from "../../language/fields/check_values.ts";
import { isObject, type Json, type JsonObject } from "../../model/json.ts";
import type { Command, Rule, Step } from "../../model/rule.ts";
import { argvMarkup, commandPath } from "./commands.ts";
import { type Markup, markup } from "./markup.ts";

/** Steps that are shown. */
const MOST = 20;

/** A step of a rule that runs a command, as far as its arguments are known before the start. */
interface PreviewedStep {
  step: string;
  command: Command;
  argv?: string[];
  problems: string[];
  /** Inputs whose values are known only in the run. */
  open: string[];
}

/**
 * What the commands of a rule would get.
 * @param inputs the checked values of the rule's inputs; undefined if they are not valid yet
 */
function previewSteps(rule: Rule, inputs: JsonObject | undefined): PreviewedStep[] {
  const { then, file, commands = {}, config } = rule;
  if (then === "function") return [];
  return callsIn(then).flatMap(({ step, call }) => {
    const path = posix.join(posix.dirname(file), call);
    if (!Object.hasOwn(commands, path)) return [];
    const command = commands[path];
    const given = isObject(step.args.with) ? step.args.with : {};
    const isOpen = (value: Json) => !isKnown(value, inputs !== undefined);
    const open = Object.keys(given).filter((name) => isOpen(given[name]));
    const known = Object.entries(given).filter(([name]) => !open.includes(name));
    return [{ step: step.id, command, open, ...checkKnown(step, command, known, new Set(open), { inputs, config }) }];
  });
}

/** The arguments of each command, for the form that starts the rule. */
export function previewMarkup(rule: Rule, inputs: JsonObject | undefined, mask: (text: string) => string) {
  const steps = previewSteps(rule, inputs);
  if (steps.length === 0) return false;
  return markup`<section class="preview" aria-label="What it runs"><h2>What it runs</h2>
<ul class="hits">
${steps.slice(0, MOST).map((step) => stepMarkup(step, mask))}</ul></section>`;
}

function stepMarkup({ step, command, argv, problems, open }: PreviewedStep, mask: (text: string) => string): Markup {
  const outcome = argv !== undefined
    ? argvMarkup(command.program, argv.map(mask), command.root)
    : problems.length > 0
    ? markup`<p class="error">${problems.join("; ")}</p>`
    : markup`<p class="soft"><code>${command.program}</code>: known in the run, with ${open.join(", ")}</p>`;
  return markup`<li><a class="mono" href="${commandPath(command.id)}">${step}</a> ${outcome}</li>\n`;
}

function callsIn(steps: Step[]): { step: Step; call: string }[] {
  return steps.flatMap((step) => [
    ...typeof step.args.call === "string" ? [{ step, call: step.args.call }] : [],
    ...callsIn(Object.values(step.children).flat()),
  ]);
}

/** Only literals, `inputs` and `config` are known before a run. */
function isKnown(value: Json, hasInputs: boolean): boolean {
  const roots = hasInputs ? ["inputs", "config"] : ["config"];
  const texts = templatesIn(value);
  if (texts.some((text) => /\bnow\s*\(/.test(text))) return false;
  const references = texts.flatMap((text) => compile(text).references);
  return references.every(({ path: [root] }) => roots.includes(String(root)));
}

function checkKnown(
  { written }: Step,
  command: Command,
  known: [string, Json][],
  open: ReadonlySet<string>,
  scope: { inputs: JsonObject | undefined; config: JsonObject },
): Pick<PreviewedStep, "argv" | "problems"> {
  try {
    const values = Object.fromEntries(known.map(([name, value]) => [name, resolve(value, { ...scope, $now: 0 })]));
    const pairs = Object.entries(readWritten(command.inputs, { values, written }));
    const { argv, problems } = checkSet(command, pairs, { open });
    return { ...argv && { argv }, problems: problems.map(sayProblem) };
  } catch (error) {
    if (!(error instanceof ExpressionError)) throw error;
    return { problems: [error.message] };
  }
}
