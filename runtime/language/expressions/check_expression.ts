import { isObject } from "../../model/json.ts";
import type { Position } from "../../model/problem.ts";
import type { CalledAction, Field, Rule, Step, Trigger } from "../../model/rule.ts";
import type { SecretFault } from "../../secrets/secrets.ts";
import { type FieldInfo, hasTemplate } from "../arg_types.ts";
import type { Checking, Path } from "../checker/checking.ts";
import { didYouMean, listKnown } from "../hints.ts";
import type { Kinds } from "../kind.ts";
import { compile } from "./expression.ts";
import type { Reference } from "./references.ts";
import { expressionsIn, mapArgs, parseTemplate } from "./template.ts";

/** The names that an expression can use at its place. */
export interface Visible {
  /** Top-level names: `event`, `config`, `item`. */
  names: string[];
  /** Ids under `steps` and `errors`. */
  steps: string[];
  /** Ids of steps in parallel branches: they have no result here, but their ids are taken. */
  beside?: string[];
  /** Ids of steps inside iterations, whose results are not visible here, with the id of the step around them. */
  apart?: Map<string, string>;
  /** Further ids under `errors`: of the steps that this `onError` or `onTimeout` belongs to. */
  failed?: string[];
  /** Ids of all steps of the file, for the hint that a step comes later. */
  allSteps: string[];
  /** Keys under `config` and `inputs`; undefined if they cannot be known. */
  config?: string[];
  inputs?: string[];
}

const EVENT = ["id", "source", "type", "subject", "time", "data", "http", "files", "ce", "cause", "by"];

/** Checks a bare expression in the text at a path, which begins at `offset`. */
export function checkExpression(checking: Checking, path: Path, text: string, visible: Visible, offset = 0): void {
  const { problem, references } = compile(text);
  if (problem !== undefined) {
    const place = { offset: offset + problem.offset, length: problem.length };
    checking.errorWithin(path, place, `bad expression: ${problem.message}`, problem.hint);
  }
  let dashed = false;
  for (const reference of references) {
    // The second half of an id with a dash: the problem is reported at the first half.
    if (dashed && /[\w\])]-$/.test(text.slice(0, reference.offset))) continue;
    const found = checkReference(reference, text, visible);
    const place = { offset: offset + reference.offset, length: reference.length };
    dashed = found !== undefined && text[reference.offset + reference.length] === "-";
    if (found !== undefined) checking.errorWithin(path, place, found.message, found.hint);
    const fault = found === undefined ? faultOfSecret(checking, reference) : undefined;
    if (fault !== undefined) checking.warnWithin(path, place, fault.message, fault.hint, fault.hidden);
  }
}

function faultOfSecret({ context }: Checking, { path }: Reference): SecretFault | undefined {
  return path[0] === "secrets" && path.length > 1 ? context.secretFault?.(path[1]) : undefined;
}

interface Found {
  message: string;
  hint: string;
}

function checkReference({ path, offset }: Reference, text: string, visible: Visible): Found | undefined {
  const [root, member] = path;
  if (!visible.names.includes(root)) return unknownName(root, text, offset, visible);
  if (member === undefined) return undefined;
  switch (root) {
    case "errors":
      if (visible.failed?.includes(member)) return undefined;
      return visible.steps.includes(member) ? undefined : unknownStep(member, text, offset, visible);
    case "steps":
      return visible.steps.includes(member) ? undefined : unknownStep(member, text, offset, visible);
    case "config":
      return unknownKey(root, member, visible.config, "add it under config:");
    case "inputs":
      return unknownKey(root, member, visible.inputs, "add it under inputs:");
    case "event":
      return unknownKey(root, member, EVENT, `an event has ${EVENT.join(", ")}; its payload is under event.data`);
    default:
      return undefined;
  }
}

function unknownName(name: string, text: string, offset: number, visible: Visible): Found {
  const message = `unknown name ${JSON.stringify(name)}`;
  const before = text.slice(0, offset);
  if (/[\w\])]-$/.test(before)) {
    return { message, hint: 'a dash reads as minus: write x["a-b"] for a key, and a_b in an id' };
  }
  const near = didYouMean(name, visible.names);
  if (near !== undefined) return { message, hint: near };
  if (visible.allSteps.includes(name)) return { message, hint: `the result of a step is steps.${name}` };
  if (visible.config?.includes(name)) return { message, hint: `a value of config is config.${name}` };
  return { message, hint: `${listKnown(visible.names)}; write text in quotes` };
}

function unknownStep(id: string, text: string, offset: number, { steps, allSteps, beside, apart }: Visible): Found {
  const message = `unknown step ${JSON.stringify(id)}`;
  if (/^-\w/.test(text.slice(offset).replace(/^(steps|errors)\.\w+/, ""))) {
    return { message, hint: "a dash reads as minus: ids are written with _" };
  }
  if (beside?.includes(id)) return { message, hint: "it is in a concurrent branch, which may not have finished" };
  const around = apart?.get(id);
  if (around !== undefined) {
    return { message, hint: `it is executed separately each time; its results are in steps.${around}` };
  }
  if (allSteps.includes(id)) return { message, hint: "it comes later, so it has no result here yet" };
  const near = didYouMean(id, steps);
  if (near !== undefined) return { message, hint: near };
  return {
    message,
    hint: steps.length > 0 ? `steps before this one: ${steps.join(", ")}` : "there is no step before this one",
  };
}

function unknownKey(root: string, member: string, known: string[] | undefined, otherwise: string): Found | undefined {
  if (known === undefined || known.includes(member)) return undefined;
  const near = didYouMean(member, known, (close) => `${root}.${close}`);
  return { message: `unknown ${root}.${member}`, hint: near ?? otherwise };
}

/** The parts that rules and actions share. */
type Part = Pick<Rule, "then"> & Partial<Pick<Rule, "triggers" | "if" | "key" | "onError" | "inputs">> | CalledAction;

/** The names of the secrets that a rule or an action uses: `secrets.X` in expressions, `secret:` options, choices of inputs. */
export function secretNames(part: Part, kinds: Kinds): string[] {
  const names = new Set<string>();
  const addExpression = (text: string) => {
    // Most expressions need not be parsed for this: identifiers have no escapes.
    if (!text.includes("secrets")) return;
    for (const { path } of compile(text).references) if (path[0] === "secrets" && path.length > 1) names.add(path[1]);
  };
  for (const text of bareExpressions(part)) addExpression(text);
  for (const name of secretChoices(part.inputs ?? {})) names.add(name);
  visitArgs(part, kinds, (info, value) => {
    if (info?.is === "expression") addExpression(String(value));
    else if (info?.is === "secret") { for (const name of [value].flat()) names.add(String(name)); }
    else for (const text of templatesIn(value)) addExpression(text);
  });
  return [...names];
}

/** The names of the secrets that a rule uses, with the actions and commands that it calls, and in its code. */
export function secretsOfRule(rule: Rule, kinds: Kinds): string[] {
  const ofParts = [rule, ...Object.values(rule.actions)].flatMap((part) => secretNames(part, kinds));
  const ofCommands = Object.values(rule.commands ?? {}).flatMap(({ inputs }) => secretChoices(inputs));
  return [...new Set([...ofParts, ...ofCommands, ...secretsInCode(rule.modules)])];
}

/** The names of the secrets that code uses, as far as its text tells: `secrets.X`, `secrets["X"]` and `{ X } = secrets`. */
function secretsInCode(modules: Record<string, string>): string[] {
  const names = Object.values(modules).flatMap((code) => {
    const read = [...code.matchAll(/\bsecrets\??\.?(?:(?<=\.)([A-Za-z_]\w*)\b(?!\s*\()|\[\s*["'`](\w+)["'`]\s*\])/g)];
    const taken = [...code.matchAll(/\{([^{}]*)\}\s*=\s*(?:\w+\.)*secrets\b|\bsecrets:\s*\{([^{}]*)\}/g)];
    const keys = taken.flatMap(([, left, right]) => (left ?? right).split(","));
    return [
      ...read.map(([, member, key]) => member ?? key),
      ...keys.flatMap((key) => /^\s*["']?([A-Za-z_]\w*)/.exec(key)?.[1] ?? []),
    ];
  });
  return [...new Set(names)];
}

/** The secrets whose names the values of some fields can be. */
export function secretChoices(fields: Record<string, Field>): string[] {
  return Object.values(fields).flatMap(({ type, choices = [], of }) => {
    const names = type === "secret" ? choices : of?.type === "secret" ? of.choices ?? [] : [];
    return names.map(String);
  });
}

/** The targets of `call:` in a rule or an action, including sources of polls, with the position of the step or trigger. */
export function callTargets(part: Part, kinds: Kinds): { target: string; at: Position }[] {
  const targets: { target: string; at: Position }[] = [];
  visitArgs(part, kinds, (info, value, at) => {
    if (info?.is === "target") targets.push({ target: String(value), at });
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
      if (inner !== undefined) visitEntry({ kind: inner, args: value, at }, kinds.steps, kinds, visit);
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
  if ("output" in part) return part.output === undefined ? conditions : [...conditions, part.output];
  if (!("triggers" in part)) return conditions;
  const clauses = [
    ...Array.isArray(part.if) ? part.if : [],
    ...(part.triggers ?? []).flatMap((trigger) => trigger.if ?? []),
  ];
  return [...conditions, ...clauses.map(({ text }) => text), ...(part.key === undefined ? [] : [part.key])];
}

/** The expressions in the templates of a value, at any depth. */
export function templatesIn(value: unknown): string[] {
  if (Array.isArray(value)) return value.flatMap(templatesIn);
  if (isObject(value)) return Object.values(value).flatMap(templatesIn);
  return hasTemplate(value) ? expressionsIn(parseTemplate(value).parts).map(({ expression }) => expression) : [];
}
