import type { Json } from "../../model/json.ts";
import type { Position } from "../../model/problem.ts";
import type { CalledAction, Rule, Step, Trigger } from "../../model/rule.ts";
import { compile } from "./expression.ts";
import { type FieldInfo, hasTemplate } from "../fields/field.ts";
import type { Kinds } from "../kind.ts";
import { isObject } from "../fields/map_fields.ts";
import { expressionsIn, mapArgs } from "./template.ts";
import { parseTemplate } from "./template_text.ts";

/** The parts that rules and actions share. */
type Part = Pick<Rule, "then"> & Partial<Pick<Rule, "triggers" | "if" | "key" | "onError">> | CalledAction;

/** The names of the secrets that a rule or an action uses: `secrets.X` in expressions, and `secret:` options. */
export function secretNames(part: Part, kinds: Kinds): string[] {
  const names = new Set<string>();
  const addExpression = (text: string) => {
    for (const { path } of compile(text).references) if (path[0] === "secrets" && path.length > 1) names.add(path[1]);
  };
  for (const text of bareExpressions(part)) addExpression(text);
  visitArgs(part, kinds, (info, value) => {
    if (info?.is === "expression") addExpression(String(value));
    else if (info?.is === "secret") { for (const name of value as string[]) names.add(name); }
    else for (const text of templatesIn(value)) addExpression(text);
  });
  return [...names];
}

/** The targets of `call:` in a rule or an action, including sources of polls, with the position of the step or trigger. */
export function callTargets(part: Part, kinds: Kinds): { target: string; at: Position }[] {
  const targets: { target: string; at: Position }[] = [];
  visitArgs(part, kinds, (info, value, at) => {
    if (info?.is === "target") targets.push({ target: value as string, at });
  });
  return targets;
}

type Visit = (info: FieldInfo | undefined, value: unknown, at: Position) => void;

function visitArgs(part: Part, kinds: Kinds, visit: Visit): void {
  for (const trigger of "triggers" in part ? part.triggers ?? [] : []) {
    visitEntry(trigger, kinds.triggers, kinds, visit);
  }
  for (const step of stepsIn(part)) visitEntry(step, kinds.steps, kinds, visit);
}

function visitEntry(
  { kind, args, at }: Pick<Trigger | Step, "kind" | "args" | "at">,
  table: Kinds["steps"],
  kinds: Kinds,
  visit: Visit,
): void {
  mapArgs(table[kind], args, (info, value) => {
    if (info?.is === "source" && isObject(value)) {
      const inner = Object.keys(value).find((key) => Object.hasOwn(kinds.steps, key));
      if (inner !== undefined) visitEntry({ kind: inner, args: value as Step["args"], at }, kinds.steps, kinds, visit);
    } else visit(info, value, at);
    return value;
  });
}

/** All steps of a rule or an action, at any depth. */
export function stepsIn(part: Part): Step[] {
  const own = part.then === "function" ? [] : part.then;
  const failing = "onError" in part ? part.onError ?? [] : [];
  return [...own, ...failing].flatMap(withNested);
}

function withNested(step: Step): Step[] {
  const failing = Array.isArray(step.onError) ? step.onError : [];
  const nested = [...Object.values(step.children).flat(), ...failing, ...step.onTimeout ?? []];
  return [step, ...nested.flatMap(withNested)];
}

function bareExpressions(part: Part): string[] {
  const conditions = stepsIn(part).flatMap((step) => step.if ?? []);
  if ("inputs" in part) return [...conditions, ...(part.output === undefined ? [] : [part.output])];
  const clauses = [
    ...Array.isArray(part.if) ? part.if : [],
    ...(part.triggers ?? []).flatMap((trigger) => trigger.if ?? []),
  ];
  return [...conditions, ...clauses.map(({ text }) => text), ...(part.key === undefined ? [] : [part.key])];
}

/** The expressions in the templates of a value, at any depth. */
export function templatesIn(value: unknown): string[] {
  if (Array.isArray(value)) return value.flatMap(templatesIn);
  if (isObject(value)) return Object.values(value as Record<string, Json>).flatMap(templatesIn);
  return hasTemplate(value)
    ? expressionsIn(parseTemplate(value as string).parts).map(({ expression }) => expression)
    : [];
}
