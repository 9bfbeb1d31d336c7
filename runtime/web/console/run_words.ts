import { isObject, type Json, type JsonObject } from "../../model/json.ts";
import type { Rule, Step } from "../../model/rule.ts";
import { ON_ERROR_STEP, type Run, type StepRecord, type StepWait } from "../../model/run.ts";
import { listsOf, turnOf } from "./run_tree.ts";

/** A text with times and steps in it, which the page shows in the viewer's zone and as links. */
export type Text = (string | { at: number } | { step: string })[];

/** Characters of an error, a name or a value in a row. */
const SHORT = 120;

/** The first line of a text, shortened to fit into a row. */
export function oneLine(text: string, most = SHORT): string {
  const line = text.trimStart().split("\n", 1)[0].trimEnd();
  return line.length > most ? `${line.slice(0, most - 1)}…` : line;
}

/** The outcome of a step, in a few words. @param wait the step's open wait, if there is one */
export function outcomeOf(record: StepRecord, wait: StepWait | undefined, step: Step | undefined, now: number): Text {
  const { state, attempts, due, error } = record;
  switch (state) {
    case "failed":
      return [oneLine(error?.message ?? "failed")];
    case "cancelled":
      return [`cancelled: ${oneLine(error?.message ?? "the run ended before")}`];
    case "skipped":
      return [attempts === 0 ? "skipped: its if does not hold" : "skipped by an operator"];
    case "retrying":
      return [
        ...due === undefined || due <= now ? [`attempt ${attempts + 1}`] : [`attempt ${attempts + 1} at `, { at: due }],
        ...error === undefined ? [] : [` after ${oneLine(error.message)}`],
      ];
    case "waiting":
      return wait === undefined ? ["waits"] : waitText(wait, step);
    case "succeeded": {
      const text = resultOf(record);
      return text === "" ? [] : [text];
    }
  }
}

/** What a step waits for, until when, and what happens then: `waits for bank.booked until Thu 09:00, then null`. */
function waitText({ kind, what, until }: StepWait, step: Step | undefined): Text {
  if (kind === "time") return until === undefined ? ["waits for its time"] : ["waits until ", { at: until }];
  const then = step?.onTimeout === undefined ? "null" : "its onTimeout";
  return [`waits for ${oneLine(what)}`, ...until === undefined ? [] : [" until ", { at: until }, `, then ${then}`]];
}

function resultOf({ kind, path, input, output }: StepRecord): string {
  const given = isObject(input) ? input : {};
  const result = isObject(output) ? output : {};
  const isTurn = turnOf({ name: /\[\d+\]$/.exec(path)?.[0] ?? "" }) !== undefined;
  switch (kind) {
    case "if":
      return output === true ? "yes" : "no";
    case "http":
      return "status" in result ? String(result.status) : "";
    case "run":
      return "code" in result ? `exit code ${result.code}` : "";
    case "form":
      return output === null ? "nobody answered" : answerOf(result);
    case "waitFor":
      return output === null ? "did not come in time" : "came";
    case "stop":
      return `stops the run: ${oneLine(String(result.reason))}`;
    case "parallel":
      return `${given.join ?? "all"} of ${Array.isArray(given.parallel) ? given.parallel.length : "several"}`;
    case "repeat":
      return isTurn ? "" : counted(Number(result.turns), "turn");
    case "each":
      return "total" in result ? `${counted(Number(result.total), "item")}, ${result.failed} failed` : "";
    default:
      return scalar(output);
  }
}

/** The choice in an answer, without any text: `anna: approve`. */
function answerOf({ by, at: _at, ...values }: JsonObject): string {
  const shown = Object.values(values).map(scalar).find((text) => text !== "");
  return shown === undefined ? `answered by ${by}` : `${by}: ${shown}`;
}

/** A short value as it is; "" for anything else. */
function scalar(value: Json | undefined): string {
  if (typeof value === "string") return value.length <= 40 ? oneLine(value) : "";
  return typeof value === "number" || typeof value === "boolean" ? String(value) : "";
}

function counted(count: number, what: string): string {
  return `${count.toLocaleString("en")} ${what}${count === 1 ? "" : "s"}`;
}

/** What else the sentence about a run needs. */
interface SentenceFacts {
  /** The step that failed the run, or the one that is attempted now. */
  step: string | undefined;
  /** The rule's step at a path. */
  stepAt(path: string): Step | undefined;
}

/** The sentence at the top of a run's page: its state, its error, or what it waits for and until when. */
export function sentenceOf(run: Run, { step, stepAt }: SentenceFacts): Text {
  const at = { at: run.endedAt ?? run.createdAt };
  switch (run.state) {
    case "queued":
      return [`is queued and waits for ${run.waitingFor ?? "its turn"}`, ...dueText(run)];
    case "running":
      return step === undefined ? ["is running"] : ["is running at ", { step }];
    case "waiting":
      return waitingText(run, stepAt);
    case "succeeded":
      return ["succeeded ", at, ...typeof run.output === "string" ? [`: ${oneLine(run.output)}`] : []];
    case "failed": {
      const where = step === undefined ? [] : [" at ", { step }];
      return ["failed ", at, ...where, `: ${oneLine(run.error?.message ?? String(run.output ?? "no message"), 300)}`];
    }
    case "cancelled":
      return ["was cancelled ", at, ...run.error === undefined ? [] : [`: ${oneLine(run.error.message)}`]];
  }
}

/** If there are several waits, this many are named. */
const MOST_NAMED = 2;

function waitingText(run: Run, stepAt: (path: string) => Step | undefined): Text {
  const { waits = [] } = run;
  if (waits.length === 0) return [`waits for ${run.waitingFor ?? "its time"}`, ...dueText(run)];
  const named = waits.slice(0, MOST_NAMED).map((wait): Text => {
    const text = waitText(wait, stepAt(wait.step));
    return wait.kind === "time" ? [...text, " at ", { step: wait.step }] : text;
  });
  const more = waits.length - named.length;
  return [
    ...named.flatMap((text, index) => index === 0 ? text : ["; ", ...text]),
    ...more > 0 ? [`; ${more} more`] : [],
  ];
}

function dueText({ due }: Run): Text {
  return due === undefined ? [] : [" until ", { at: due }];
}

/** Finds steps of a rule by the paths of their records, ignoring turns and attempts. */
export function stepFinder(rule: Rule | undefined): (path: string) => Step | undefined {
  if (rule === undefined || rule.then === "function") return () => undefined;
  const found = new Map<string, Step>();
  const add = (steps: Step[], prefix: string) => {
    for (const step of steps) {
      const path = prefix + step.id;
      found.set(path, step);
      for (const [name, inside] of Object.entries(listsOf(step))) {
        const isTurn = name === "then" && (step.kind === "each" || step.kind === "repeat");
        add(inside, isTurn ? `${path}/` : `${path}/${name}/`);
      }
    }
  };
  add(rule.then, "");
  add(rule.onError, `${ON_ERROR_STEP}/`);
  return (path) => found.get(path.replaceAll(/\[\d+\]/g, ""));
}
