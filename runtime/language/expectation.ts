import { asJson, isObject, type Json, type JsonObject } from "../model/json.ts";
import { hintAtUnknown } from "./hints.ts";
import type { Expectation, Mismatch, Seen, SeenStep } from "../model/test.ts";

/** A mismatch; undefined if the value is as expected. */
type Found = Omit<Mismatch, "part"> | undefined;

/**
 * Compares what a test expects with what it sees.
 * @param exact lists must be complete; else other items may come between the expected ones
 * @throws TypeError for an unknown part
 */
export function findMismatches(expected: JsonObject, seen: Seen, exact: boolean): Mismatch[] {
  return Object.entries(expected).flatMap(([part, value]) => {
    if (!isPart(part)) {
      throw new TypeError(`expect has no part "${part}"; ${hintAtUnknown(part, Object.keys(PARTS))}`);
    }
    const found = PARTS[part](value, seen, exact);
    return found === undefined ? [] : [{ part, ...found }];
  });
}

function isPart(part: string): part is keyof Expectation {
  return Object.hasOwn(PARTS, part);
}

const PARTS: Record<keyof Expectation, (expected: Json, seen: Seen, exact: boolean) => Found> = {
  run: (expected, { runs }) => compare(expected, runs.at(-1) ?? "none"),
  runs: (expected, { runs }) => compare(expected, runs),
  verdict: (expected, { verdict }) => compare(expected, verdict),
  clause: (expected, { clause }) => compare(expected, clause),
  form: (expected, { forms }) => findForm(expected, asJson(forms)),
  waits: (expected, { waits }, exact) => compareWaits(expected, asJson(waits), exact),
  steps: (expected, { steps }, exact) =>
    isObject(expected) ? findSteps(expected, steps) : compareSteps(expected, steps, exact),
  calls: (expected, { calls }, exact) => compareLists(expected, calls, exact, isCall),
  logs: (expected, { logs }, exact) => compareLists(expected, logs, exact, contains),
  events: (expected, { events }, exact) => compareLists(expected, events, exact),
  response: (expected, { response }) => compare(expected, response ?? "none"),
  output: (expected, { output }) => compare(expected, output),
  error: (expected, { error }) => contains(expected, error) ? undefined : { expected, seen: error },
  state: (expected, { state }) => compare(expected, state),
};

/** Whether a value is as expected: objects may have more keys, lists must have as many items. */
export function matches(expected: Json, seen: Json | undefined): boolean {
  if (Array.isArray(expected)) {
    return Array.isArray(seen) && seen.length === expected.length &&
      expected.every((item, index) => matches(item, seen[index]));
  }
  if (!isObject(expected)) return expected === (seen ?? null);
  return isObject(seen) && Object.entries(expected).every(([key, value]) => matches(value, own(seen, key)));
}

/** The part of a value that the expectation mentions. */
function shownFor(expected: Json, seen: Json | undefined): Json {
  if (Array.isArray(expected) && Array.isArray(seen)) {
    return seen.map((item, index) => index < expected.length ? shownFor(expected[index], item) : item);
  }
  if (!isObject(expected) || !isObject(seen)) return seen ?? null;
  const known = Object.entries(expected).filter(([key]) => Object.hasOwn(seen, key));
  return Object.fromEntries(known.map(([key, value]) => [key, shownFor(value, seen[key])]));
}

function compare(expected: Json, seen: Json): Found {
  return matches(expected, seen) ? undefined : { expected, seen: shownFor(expected, seen) };
}

/** Checks that the expected items are among those seen, in this order. Matching items are shown as written in the expectation. */
function compareLists(expected: Json, seen: Json[], exact: boolean, fits = matches): Found {
  const wanted = [expected].flat();
  let next = 0;
  const shown = seen.map((item) => {
    const isNext = next < wanted.length && fits(wanted[next], item);
    return isNext ? wanted[next++] : shownFor(whole(wanted, item), item);
  });
  if (next === wanted.length && (!exact || seen.length === wanted.length)) return undefined;
  return { expected, seen: shown };
}

/** The parts of a seen item that any of the expected items mentions, with the key that identifies the item. */
function whole(wanted: Json[], item: Json): Json {
  if (!isObject(item)) return null;
  const [named] = Object.keys(item);
  return wanted.filter((each) => isObject(each)).reduce(together, { [named]: null });
}

/** All keys of both objects, at any depth. */
function together(one: JsonObject, other: JsonObject): JsonObject {
  const both = Object.entries(other).map(([key, value]) => {
    const before = own(one, key);
    return [key, isObject(before) && isObject(value) ? together(before, value) : value];
  });
  return { ...one, ...Object.fromEntries(both) };
}

/** Compares waits in any order, as it does not matter which of several branches began to wait first. */
function compareWaits(expected: Json, waits: JsonObject[], exact: boolean): Found {
  const rest = [...waits];
  const found = [expected].flat().flatMap((wanted) => {
    const index = rest.findIndex((wait) => isWait(wanted, wait));
    return index < 0 ? [] : rest.splice(index, 1);
  });
  return compareLists(expected, [...found, ...rest], exact, isWait);
}

function findForm(expected: Json, forms: JsonObject[]): Found {
  if (expected === "none") return forms.length === 0 ? undefined : { expected, seen: forms };
  if (forms.some((form) => isWait(expected, form))) return undefined;
  const shown = forms.map((form) => shownFor({ step: null, ...isObject(expected) && expected }, form));
  return { expected, seen: shown.length === 0 ? "none" : shown.length === 1 ? shown[0] : shown };
}

/** Compares the steps that have succeeded, in their order; those of different branches may come in any. */
function compareSteps(expected: Json, steps: SeenStep[], exact: boolean): Found {
  const succeeded = steps.filter(({ state }) => state === "succeeded").map(({ step }) => step);
  const wanted = [expected].flat().map(String);
  if (areAmong(wanted, succeeded) && (!exact || wanted.length === succeeded.length)) return undefined;
  return compareLists(expected, succeeded, exact, (name, path) => isStep(String(name), String(path)));
}

/** Whether each of these names means another one of the paths, none of which had to come before that of a name before it. */
function areAmong(names: string[], paths: string[]): boolean {
  const taken = new Set<number>();
  return names.every((name) => {
    const index = paths.findIndex((path, at) =>
      !taken.has(at) && isStep(name, path) && ![...taken].some((other) => at < other && !areApart(path, paths[other]))
    );
    taken.add(index);
    return index >= 0;
  });
}

/** Whether two steps are in different branches, or iterations: which of them ends first may depend on the machine. */
function areApart(path: string, other: string): boolean {
  const [one, two] = [path.split("/"), other.split("/")];
  const at = one.findIndex((part, index) => part !== two[index]);
  return at >= 0 && at < one.length - 1 && at < two.length - 1;
}

function findSteps(expected: JsonObject, steps: SeenStep[]): Found {
  const seen: JsonObject = {};
  for (const [name, value] of Object.entries(expected)) {
    const step = steps.find(({ step }) => step === name) ?? steps.findLast(({ step }) => isStep(name, step));
    seen[name] = isObject(value) && step ? shownFor(value, asJson(step)) : step?.state ?? "none";
  }
  return matches(expected, seen) ? undefined : { expected, seen };
}

/** Two ways to write the same call are equal: `https://…` and `GET https://…`, one recipient and a list of one. */
function isCall(expected: Json, call: Json | undefined): boolean {
  return matches(named(inOneWay(expected), call), inOneWay(call ?? null));
}

/** Compares waits; times are equal in any zone. */
function isWait(expected: Json, wait: Json | undefined): boolean {
  if (!isObject(expected) || !isObject(wait)) return matches(expected, wait);
  const { until } = expected;
  const isSame = typeof until === "string" && parseTime(until) === parseTime(String(wait.until));
  return matches(named({ ...expected, ...(isSame && { until: wait.until }) }, wait), wait);
}

/** The expectation with its step, which may be only the end of a path, replaced by the full path seen. */
function named(expected: Json, seen: Json | undefined): Json {
  if (!isObject(expected) || !isObject(seen)) return expected;
  const { step } = expected;
  const isSame = typeof step === "string" && typeof seen.step === "string" && isStep(step, seen.step);
  return isSame ? { ...expected, step: seen.step! } : expected;
}

function inOneWay(call: Json): Json {
  if (!isObject(call)) return call;
  const { http, mail } = call;
  if (typeof http === "string" && /^https?:/.test(http)) return { ...call, http: `GET ${http}` };
  return mail === undefined ? call : { ...call, mail: [mail].flat() };
}

function contains(part: Json, text: Json | undefined): boolean {
  return typeof text === "string" && text.includes(String(part));
}

function own(object: JsonObject, key: string): Json | undefined {
  return Object.hasOwn(object, key) ? object[key] : undefined;
}

const TIME = /^\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d)?)?$/;

/**
 * Parses a time of a test, in UTC if it has no zone.
 * @returns milliseconds since the epoch, or undefined if the text is not a time
 */
export function parseTime(text: string): number | undefined {
  const match = TIME.exec(text);
  if (!match) return undefined;
  const moment = Date.parse(match[1] === undefined || match[4] !== undefined ? match[0] : `${match[0]}Z`);
  return Number.isNaN(moment) ? undefined : moment;
}

/**
 * The names that a test may use for the step at a path, longest first: the path, and each suffix of it down to the id, with and
 * without iterations.
 */
export function stepNames(path: string): string[] {
  const parts = path.split("/");
  return parts.flatMap((_, index) => {
    const end = parts.slice(index).join("/");
    return [end, withoutIterations(end)];
  });
}

/** Whether a name in a test means the step at a path. */
export function isStep(name: string, path: string): boolean {
  return stepNames(path).includes(name);
}

/** `lines[3]/save#2` → `lines/save` */
export function withoutIterations(path: string): string {
  return path.replaceAll(/[[@#]\d+\]?/g, "");
}
