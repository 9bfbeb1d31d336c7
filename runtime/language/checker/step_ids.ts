import { isObject } from "../../model/json.ts";
import type { Step } from "../../model/rule.ts";
import type { Checking, Path } from "./checking.ts";
import { hasTemplate } from "../fields/field.ts";
import type { Kinds } from "../kind.ts";
import type { Visible } from "../expressions/names.ts";
import { show } from "../hints.ts";

const ID = /^[a-z][A-Za-z0-9_]*$/;

/** The ids of a step and of the steps in it whose results are visible after it. */
export function idsIn(step: Step, kinds: Kinds): string[] {
  return [step.id, ...innerIds(step, kinds)];
}

/** The ids of the steps in a step whose results are visible after it. */
export function innerIds({ kind, children }: Step, kinds: Kinds): string[] {
  if (kinds.steps[kind]?.nested?.apart) return [];
  return Object.values(children).flat().flatMap((inner) => idsIn(inner, kinds));
}

/** The ids of the steps inside an iterating step, with the id of that step: their results are not visible after it. */
export function idsApart({ id, kind, children }: Step, kinds: Kinds): [id: string, around: string][] {
  const inner = Object.values(children).flat();
  if (!kinds.steps[kind]?.nested?.apart) return inner.flatMap((step) => idsApart(step, kinds));
  return inner.flatMap((step) => [step, ...Object.values(step.children).flat()]).map((step) => [step.id, id]);
}

/** The ids that are set in the file, rather than by the checker. */
export function givenIds(steps: Step[], kinds: Kinds): string[] {
  return steps.flatMap((step) => idsIn(step, kinds)).filter((id) => !Object.hasOwn(kinds.steps, id.split("#")[0]));
}

/** The ids of all steps in a raw list, at any depth, for hints. */
export function allStepIds(raw: unknown): string[] {
  if (Array.isArray(raw)) return raw.flatMap(allStepIds);
  if (!isObject(raw)) return [];
  const nested = Object.values(raw).filter(holdsSteps).flatMap(allStepIds);
  return typeof raw.id === "string" ? [raw.id, ...nested] : nested;
}

/** Whether a value is a list of steps, or lists by the names of their branches. */
function holdsSteps(value: unknown): boolean {
  return Array.isArray(value) || (isObject(value) && Object.values(value).some(Array.isArray));
}

/** Sets the ids: those in the file, else the kind, then `kind#2`. */
export function giveIds(checking: Checking, path: Path, entries: unknown[], visible: Visible): string[] {
  const given = entries.map((entry, index) =>
    isObject(entry) && "id" in entry && !isIdOfEvent(checking, entry)
      ? readId(checking, [...path, index, "id"], entry.id)
      : undefined
  );
  const taken = new Set(given.filter((id) => id !== undefined));
  const first = new Set<string>();
  for (const [index, id] of given.entries()) {
    if (id === undefined) continue;
    if (first.has(id) || visible.steps.includes(id) || visible.beside?.includes(id)) {
      checking.error(
        [...path, index, "id"],
        "value",
        `the step id "${id}" is used twice`,
        "give one of the two another id",
      );
    }
    first.add(id);
  }
  return entries.map((entry, index) => given[index] ?? freeId(kindName(checking, entry), taken));
}

/** Whether a name is valid for a step or a branch. */
export function isId(name: string): boolean {
  return ID.test(name);
}

/**
 * Whether `id` next to `emit` is the event's: it is if it contains an expression, else it is the step's as everywhere. A fixed text
 * as identity would make every event after the first a duplicate.
 */
export function isIdOfEvent({ kinds }: Checking, entry: Record<string, unknown>): boolean {
  if (!hasTemplate(entry.id)) return false;
  return Object.keys(entry).some((key) => Object.hasOwn(kinds.steps, key) && "id" in kinds.steps[key].options);
}

function readId(checking: Checking, path: Path, id: unknown): string | undefined {
  if (id === null) return undefined;
  if (typeof id === "string" && ID.test(id)) return id;
  const dash = typeof id === "string" && id.includes("-");
  const hint = dash
    ? `a dash would read as minus in an expression: write ${
      (id as string).replace(/-+(\w?)/g, (_all, letter) => letter.toUpperCase())
    }`
    : "begin with a small letter, then letters, digits and _";
  checking.error(path, "value", `${show(id)} is not a valid id`, hint);
  return undefined;
}

function kindName({ kinds }: Checking, entry: unknown): string {
  const keys = isObject(entry) ? Object.keys(entry).filter((key) => Object.hasOwn(kinds.steps, key)) : [];
  return keys.find((key) => key !== "if") ?? keys[0] ?? "step";
}

function freeId(kind: string, taken: Set<string>): string {
  let id = kind;
  for (let count = 2; taken.has(id); count++) id = `${kind}#${count}`;
  taken.add(id);
  return id;
}
