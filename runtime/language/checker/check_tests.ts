import { z } from "zod";
import { isObject, type Json, type JsonObject } from "../../model/json.ts";
import type { Field, Rule, Step } from "../../model/rule.ts";
import type { RuleTest, TestEntry, TestEntryKind } from "../../model/test.ts";
import { parseKindArgs } from "./check_args.ts";
import { type Checking, findKind, type Path } from "./checking.ts";
import { checkValues } from "../fields/check_values.ts";
import { resolvedArgs } from "../kind.ts";
import { didYouMean, hintAtUnknown, listKnown, show } from "../hints.ts";
import { parseWith } from "./sentences.ts";
import { isStep, withoutIterations } from "../expectation.ts";
import { DEFAULT_NOW, isEntryKind, STUB_KEYS, testKinds, testSchema } from "./test_kinds.ts";
import { stepsIn } from "../expressions/check_expression.ts";

/** The parts of the tested rule that tests can name. */
export interface Tested {
  triggers: Rule["triggers"];
  /** All its steps, at any depth; undefined if they cannot be known (TypeScript, called actions). */
  steps?: Step[];
  fields: Record<string, Field>;
}

/** The parts that tests of a rule can name. */
export function testedOf(rule: Pick<Rule, "triggers" | "then" | "onError">, fields: Record<string, Field>): Tested {
  const steps = stepsIn(rule);
  const calls = steps.some(({ kind, args }) => kind === "call" && /\.ya?ml$/.test(String(args.call)));
  const known = rule.then !== "function" && !calls;
  return { triggers: rule.triggers, fields, ...known && { steps } };
}

const KEYS = [...Object.keys(testSchema.shape), "do"];
/** Names for `stub` besides steps: the kinds with external effects, and the sources of polls. */
const STUBBED = ["http", "run", "call", "mail", "task", "poll", "one", "update"];

/** Checks the entries under `tests` of a rule that has no errors. */
export function checkTests(checking: Checking, raw: unknown, tested: Tested): RuleTest[] {
  if (!Array.isArray(raw)) {
    const hint = "write each test on a line that begins with - name:";
    checking.error(["tests"], "value", `expected a list of tests, got ${show(raw)}`, hint);
    return [];
  }
  const tests = raw.map((test, index) => checkTest(checking, ["tests", index], test, tested));
  const names = raw.map((test) => isObject(test) ? test.name : undefined);
  for (const [index, name] of names.entries()) {
    if (typeof name !== "string" || names.indexOf(name) === index) continue;
    const hint = "give one of the two another name";
    checking.error(["tests", index, "name"], "value", `the test "${name}" is here twice`, hint);
  }
  return tests.filter((test) => test !== undefined);
}

/** Checks one test; undefined if it has a problem. */
function checkTest(checking: Checking, path: Path, raw: unknown, tested: Tested): RuleTest | undefined {
  const before = checking.problems.length;
  if (!isObject(raw)) {
    checking.error(path, "value", `expected a test, got ${show(raw)}`, "a test has name: and do:");
    return undefined;
  }
  const excused = checking.checkKeys(raw, path, KEYS);
  const world = checkWorld(checking, path, raw, tested, excused);
  if (!("do" in raw) && !excused.includes("do")) {
    checking.error(path, "value", '"do" is missing', "add do: with a list of entries, as in - send: { type: … }");
  }
  const entries = raw.do === undefined || raw.do === null
    ? []
    : checkEntries(checking, [...path, "do"], raw.do, tested);
  if (checking.problems.length > before) return undefined;
  return { ...world, at: checking.origin.at(path, "value"), do: entries };
}

/**
 * Checks the keys besides `do`.
 * @param excused keys that are not reported as missing, as they already have a problem
 */
export function checkWorld(
  checking: Checking,
  path: Path,
  raw: Record<string, unknown>,
  tested: Tested,
  excused: string[],
): Omit<RuleTest, "at" | "do"> {
  const read: Record<string, unknown> = {};
  for (const [key, schema] of Object.entries(testSchema.shape)) {
    if (raw[key] === null || excused.includes(key)) continue;
    // One by one, so that all problems are found at once.
    const { value, problems } = parseWith(z.object({ [key]: schema }), { [key]: raw[key] });
    checking.addAll(path, problems);
    Object.assign(read, value);
  }
  const { name = "", now = DEFAULT_NOW, people, config = {}, secrets = {}, env = {}, stub = {} } = read as Partial<
    RuleTest
  >;
  for (const { key, message, hint } of checkConfig(tested.fields, config)) {
    checking.error([...path, "config", key], key in tested.fields ? "value" : "key", message, hint);
  }
  for (const [key, answers] of Object.entries(stub)) {
    const asking = isOfRequests(key) && !isKnownStep(key, tested) ? key.slice(0, key.lastIndexOf("/")) : key;
    checkStep(checking, [...path, "stub", key], "key", asking, tested, STUBBED);
    checkAnswers(checking, [...path, "stub", key], key, answers, tested);
  }
  return { name, now, ...people && { people }, config, secrets, env, stub };
}

/** Whether a stub is for the requests that the code of a step or of a poll's source sends: `poll/http`. */
function isOfRequests(name: string): boolean {
  return name.endsWith("/http");
}

/** Checks an answer that a step can get, or a list of them, if the kind of step is known. */
function checkAnswers(checking: Checking, path: Path, name: string, answers: Json, { steps = [] }: Tested): void {
  const last = name.slice(name.lastIndexOf("/") + 1);
  const kind = steps.find(({ id }) => id === last)?.kind ?? (isOfRequests(name) ? last : name);
  const keys = Object.entries(STUB_KEYS).find(([stubbed]) => stubbed === kind)?.[1];
  if (keys === undefined) return;
  for (const [index, answer] of [answers].flat().entries()) {
    const at = Array.isArray(answers) ? [...path, index] : path;
    if (isObject(answer)) checking.checkKeys(answer, at, keys, ["body"]);
    else checking.error(at, "value", `expected a result of ${kind}, got ${show(answer)}`, `as in { ${keys[0]}: … }`);
  }
}

/** Checks the config values that a test sets; others stay unchanged. */
function checkConfig(
  fields: Record<string, Field>,
  config: JsonObject,
): { key: string; message: string; hint?: string }[] {
  const set = Object.entries(fields).filter(([key]) => Object.hasOwn(config, key));
  return checkValues(Object.fromEntries(set), config).problems.map((problem) => {
    if (Object.hasOwn(fields, problem.key)) return problem;
    return { ...problem, hint: hintAtUnknown(problem.key, Object.keys(fields)) };
  });
}

function checkEntries(checking: Checking, path: Path, raw: unknown, tested: Tested): TestEntry[] {
  if (!Array.isArray(raw) || raw.length === 0) {
    const hint = "write each entry on a line that begins with -, as in - send: { type: … }";
    checking.error(path, "value", `expected a list of entries, got ${show(raw)}`, hint);
    return [];
  }
  return raw.flatMap((entry, index) => checkEntry(checking, [...path, index], entry, tested) ?? []);
}

function checkEntry(checking: Checking, path: Path, raw: unknown, tested: Tested): TestEntry | undefined {
  if (!isObject(raw)) {
    checking.error(path, "value", `expected an entry, got ${show(raw)}`, "as in - advance: 2d");
    return undefined;
  }
  if ("webhook" in raw) {
    checking.error(
      [...path, "webhook"],
      "key",
      "a request goes under send",
      "write - send: { webhook: /path, json: … }",
    );
    return undefined;
  }
  const kind = findKind(checking, path, raw, testKinds, []);
  if (kind === undefined || !isEntryKind(kind.kind)) return undefined;
  const parsed = parseKindArgs(kind, raw);
  if ("problems" in parsed) {
    checking.addAll(path, parsed.problems);
    return undefined;
  }
  checkNames(checking, path, kind.kind, parsed.args, tested);
  return { kind: kind.kind, at: checking.origin.at(path, "value"), args: parsed.args };
}

/** Checks that the parts of the rule that an entry names exist. */
function checkNames(checking: Checking, path: Path, kind: TestEntryKind, args: JsonObject, tested: Tested): void {
  const at = [...path, kind];
  switch (kind) {
    case "answer":
      return checkForm(checking, at, resolvedArgs(testKinds.answer, args).answer, tested);
    case "skip":
      return checkStep(checking, at, "value", resolvedArgs(testKinds.skip, args).skip, tested, []);
    case "look":
      return checkSend(checking, path, { trigger: resolvedArgs(testKinds.look, args).look }, tested, "look");
    case "send":
      return checkSend(checking, at, resolvedArgs(testKinds.send, args).send, tested);
    case "expect": {
      const { steps = [], form } = resolvedArgs(testKinds.expect, args).expect;
      if (Array.isArray(steps)) {
        for (const [index, name] of steps.entries()) {
          checkStep(checking, [...at, "steps", index], "value", name, tested, []);
        }
      } else {
        for (const name of Object.keys(steps)) {
          checkStep(checking, [...at, "steps", name], "key", name, tested, []);
        }
      }
      if (isObject(form) && typeof form.step === "string") {
        checkForm(checking, [...at, "form", "step"], form.step, tested);
      }
    }
  }
}

function checkSend(
  checking: Checking,
  path: Path,
  { trigger, webhook }: { trigger?: string; webhook?: string },
  { triggers }: Tested,
  key = "trigger",
): void {
  if (webhook !== undefined && !triggers.some(({ kind }) => kind === "webhook")) {
    checking.error([...path, "webhook"], "value", "the rule has no webhook", "send the event that it listens to");
  }
  if (trigger === undefined || findTrigger(triggers, trigger) !== undefined) return;
  const names = triggers.map(({ id }) => id);
  const hint = didYouMean(trigger, [...names, ...triggers.map(({ kind }) => kind)]) ??
    listKnown(names.map((name) => JSON.stringify(name)));
  checking.error([...path, key], "value", `the rule has no trigger ${show(trigger)}`, hint);
}

/** The trigger that a test names: by its name or address, or by its kind if that is unambiguous. */
export function findTrigger(triggers: Rule["triggers"], name: string): Rule["triggers"][number] | undefined {
  const ofKind = triggers.filter(({ kind }) => kind === name);
  return triggers.find(({ id }) => id === name) ?? (ofKind.length === 1 ? ofKind[0] : undefined);
}

function checkForm(checking: Checking, path: Path, name: string, tested: Tested): void {
  const forms = tested.steps?.filter(({ kind }) => kind === "form");
  if (forms === undefined || forms.some(({ id }) => isStep(name, id) || name.endsWith(`/${id}`))) return;
  const there = forms.map(({ id }) => id);
  checking.error(path, "value", `the rule has no form ${show(name)}`, hintAtUnknown(name, there));
}

/** The id at the end of a path. */
function lastOf(name: string): string {
  return withoutIterations(name.slice(name.lastIndexOf("/") + 1));
}

function isKnownStep(name: string, { steps = [] }: Tested): boolean {
  return steps.some(({ id }) => isStep(lastOf(name), id));
}

/** Checks the name of a step: its id, or its path, which ends with the id. */
function checkStep(
  checking: Checking,
  path: Path,
  part: "key" | "value",
  name: string,
  { steps, triggers }: Tested,
  others: string[],
): void {
  if (steps === undefined || others.includes(name) || (others.length > 0 && findTrigger(triggers, name))) return;
  // A form without other settings notifies by mail.
  const implied = steps.some(({ kind }) => kind === "form") ? ["mail"] : [];
  const ids = [...steps.map(({ id }) => id), ...implied];
  const last = lastOf(name);
  if (ids.some((id) => isStep(last, id))) return;
  const known = [...new Set([...ids, ...others])];
  checking.error(path, part, `the rule has no step ${show(name)}`, hintAtUnknown(last, known));
}
