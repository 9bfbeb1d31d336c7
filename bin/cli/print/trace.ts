import { formatDuration } from "../../../runtime/model/duration.ts";
import { type HttpRequestFacts, toParameters } from "../../../runtime/model/event.ts";
import type { Json, JsonObject } from "../../../runtime/model/json.ts";
import { CONDITION_STEP, type StepRecord, type StepState, type StepWait } from "../../../runtime/model/run.ts";
import type { Trace } from "../../../runtime/store/store.ts";
import type { RunAnswer } from "../../../runtime/web/config_api.ts";
import { sayFrom, textOf } from "./config.ts";
import { STATE_COLOURS } from "./listings.ts";
import { fold, type Progress, progressOf, type StepNode, stepTree } from "./step_tree.ts";
import { absoluteTime, type Colour, deadline, oneLine, paint, relativeTime, type Terminal } from "./terminal.ts";
import { column, printError, printValue } from "./value.ts";

/** Prints one run for people: what happened, what was decided, what it waits for, each step, how it ended. */
export function printTrace(terminal: Terminal, { run, steps, notes, configured = [] }: RunAnswer): void {
  const say = (text = "") => terminal.write(text + "\n");
  const fact = (label: string, text: string) =>
    say(`${paint(terminal, "dim", label.padEnd(column(label)))}${oneLine(text)}`);
  const at = (time: number) => `${absoluteTime(time)} (${relativeTime(time, terminal.now)})`;
  const { waits = [] } = run;

  say(`${paint(terminal, "bold", `run ${run.id}`)}  ${paint(terminal, STATE_COLOURS[run.state], run.state)}`);
  fact("rule", `${run.rule}, version ${run.version.slice(0, 12)}`);
  fact("created", at(run.createdAt));
  if (run.endedAt !== undefined) fact("ended", `${at(run.endedAt)} after ${formatDuration(run.spent)} of work`);
  if (run.key !== undefined) fact("key", run.key);
  for (const { key, value, ...set } of configured) {
    fact("config", `${key} ${textOf(value)} (${sayFrom(set, terminal.now)})`);
  }
  if (run.replayOf !== undefined) fact("replays", `run ${run.replayOf}`);
  fact("verdict", verdictOf({ run, steps, notes }));
  if (run.waitingFor !== undefined && waits.length === 0) fact("waits for", run.waitingFor);
  if (run.due !== undefined && waits.length === 0) fact("resumes", at(run.due));

  if (waits.length > 0) say(`\n${paint(terminal, "bold", "waits")}`);
  for (const wait of waits) {
    const since = `since ${at(wait.since)}`;
    say(`  ${paint(terminal, "bold", oneLine(wait.step))}  ${oneLine(waitSentence(wait, terminal.now))}, ${since}`);
  }

  say(`\n${paint(terminal, "bold", "event")}`);
  fact("  type", run.event.type);
  if (run.event.subject !== undefined) fact("  subject", run.event.subject);
  if (run.event.by !== undefined) fact("  by", run.event.by);
  fact("  id", `${run.event.id} from ${run.event.source}`);
  fact("  time", run.event.time);
  if (run.event.cause) fact("  cause", `run ${run.event.cause.run}, ${run.event.cause.depth} deep`);
  if (run.event.http) fact("  http", requestOf(run.event.http));
  printValue(terminal, "  data", run.event.data);
  if (run.inputs !== undefined) printValue(terminal, "inputs", run.inputs);

  say(`\n${paint(terminal, "bold", "steps")}${steps.length === 0 ? "\n  none yet" : ""}`);
  printSteps(terminal, steps, waits);
  if (notes.length > 0) say(`\n${paint(terminal, "bold", "notes")}`);
  for (const { at, text, reason } of notes) {
    say(`  ${absoluteTime(at)}  ${oneLine(reason === undefined ? text : `${text}: ${reason}`)}`);
  }
  if (run.output != null) printValue(terminal, "output", run.output);
  if (run.error === undefined) return;
  // The error of the step that ended the run was shown at the step, but without the stack in rule code.
  const shown = steps.find((step) => step.error?.message === run.error?.message)?.error;
  if (shown?.stack !== undefined) fact("error", run.error.message);
  else if (shown !== undefined) {
    const { message, stack } = run.error;
    printError(terminal, "error", { name: "Error", message, ...stack !== undefined && { stack } });
  } else printError(terminal, "error", run.error);
}

function requestOf({ method, path, query }: HttpRequestFacts): string {
  const search = toParameters(query).toString();
  return `${method} /hooks${path}${search && `?${search}`}`;
}

function verdictOf({ run, steps, notes }: Trace): string {
  const asked = steps.find(({ path }) => path === CONDITION_STEP);
  if (asked?.state === "failed") return `error: the function if failed: ${asked.error?.message ?? "no message"}`;
  if (asked?.output === false) return "condition: the function if returned false";
  const held = notes.find(({ text }) => text.startsWith("held"));
  return held === undefined ? `started by the trigger ${run.trigger}` : held.text;
}

const STEP_COLOURS: Record<StepState, Colour> = {
  retrying: "yellow",
  waiting: "yellow",
  succeeded: "green",
  failed: "red",
  skipped: "dim",
  cancelled: "dim",
};

/** Prints the recorded steps of a run, nested ones below their parents. Of thousands, only the informative ones. */
export function printSteps(terminal: Terminal, steps: StepRecord[], waits: StepWait[]): void {
  printNodes(terminal, stepTree(steps), "  ", waits);
}

function printNodes(terminal: Terminal, nodes: StepNode[], indent: string, waits: StepWait[]): void {
  for (const part of fold(nodes)) {
    if (Array.isArray(part)) printFolded(terminal, part, indent);
    else printNode(terminal, part, indent, waits);
  }
}

function printNode(terminal: Terminal, { name, record, children }: StepNode, indent: string, waits: StepWait[]): void {
  const facts = record === undefined ? [] : factsOf(terminal, record, name, waits);
  terminal.write([indent + paint(terminal, "bold", oneLine(name)), ...facts].join("  ") + "\n");
  if (record !== undefined) printRecord(terminal, record, `${indent}  `);
  printNodes(terminal, children, `${indent}  `, waits);
}

function factsOf(terminal: Terminal, record: StepRecord, name: string, waits: StepWait[]): string[] {
  const { path, kind, state, attempts, startedAt, endedAt } = record;
  if (kind === "onError") return [`handles the failure of "${oneLine(String((record.input as JsonObject).step))}"`];
  const facts = [
    kind === name ? undefined : kind,
    paint(terminal, STEP_COLOURS[state], state),
    endedAt === undefined ? undefined : formatDuration(endedAt - startedAt),
    attempts > 1 ? `${attempts} attempts` : undefined,
    goesOn(record, waits.find(({ step }) => step === path), terminal.now),
    reasonOf(record),
  ];
  return facts.filter((fact) => fact !== undefined).map((fact) => fact);
}

/** What it waits for, or when it is attempted again. */
function goesOn({ due }: StepRecord, wait: StepWait | undefined, now: number): string | undefined {
  if (wait !== undefined) return oneLine(waitSentence(wait, now));
  return due === undefined ? undefined : `resumes ${relativeTime(due, now)}`;
}

/** A wait in a few words: for what, and until when. */
function waitSentence({ kind, what, until }: StepWait, now: number): string {
  const latest = until === undefined ? [] : [`until ${deadline(until, now)}`];
  return ["waits", ...kind === "time" ? [] : [`for ${what}`], ...latest].join(" ");
}

/** Why a step was not executed, or who answered it. */
function reasonOf({ kind, state, attempts, output, error }: StepRecord): string | undefined {
  if (state === "cancelled") return error && oneLine(error.message);
  if (state === "skipped") return attempts === 0 ? "its if does not hold" : "by an operator";
  if (kind === "repeat" && output === false) return "no further turn";
  const by = kind === "form" ? answeredBy(output) : undefined;
  return by && `answered by ${oneLine(by)}`;
}

function answeredBy(output: Json | undefined): string | undefined {
  if (typeof output !== "object" || output === null || Array.isArray(output)) return undefined;
  return typeof output.by === "string" ? output.by : undefined;
}

function printRecord(terminal: Terminal, record: StepRecord, indent: string): void {
  const { kind, input, output, error, state, failures = [] } = record;
  // The failure that these steps handle is shown where it happened.
  if (kind === "onError") return;
  if (input !== undefined) printValue(terminal, `${indent}input`, input);
  // The record of a turn says only whether it takes place.
  const isTurn = kind === "repeat" && typeof output === "boolean";
  if (output != null && !isTurn) printValue(terminal, `${indent}output`, output);
  for (const { attempt, error } of failures) printError(terminal, `${indent}#${attempt}`, error);
  // The reason of a cancellation is shown next to its name.
  if (error !== undefined && state !== "cancelled") printError(terminal, `${indent}error`, error);
}

const WORDS: Record<Progress, string> = {
  open: "not ended",
  failed: "failed",
  cancelled: "cancelled",
  done: "done",
};

function printFolded(terminal: Terminal, nodes: StepNode[], indent: string): void {
  const counts = Map.groupBy(nodes, progressOf);
  const said = [...counts].map(([progress, { length }]) => `${length.toLocaleString("en")} ${WORDS[progress]}`);
  const names = `${nodes[0].name} to ${nodes.at(-1)!.name}`;
  terminal.write(paint(terminal, "dim", `${indent}… ${oneLine(names)}: ${said.join(", ")} (--json shows all)`) + "\n");
}
