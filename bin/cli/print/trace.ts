import { layOutJson } from "../../../runtime/formats/exact_json.ts";
import { formatDuration } from "../../../runtime/model/duration.ts";
import type { RecordedError } from "../../../runtime/model/errors.ts";
import { type HttpRequestFacts, toParameters } from "../../../runtime/model/event.ts";
import { isObject, type Json } from "../../../runtime/model/json.ts";
import {
  CONDITION_STEP,
  type RecordedNode,
  recordedTree,
  type Run,
  type StepRecord,
  type StepState,
  type StepWait,
} from "../../../runtime/model/run.ts";
import type { Trace } from "../../../runtime/store/store.ts";
import type { RunAnswer } from "../../../runtime/web/config_api.ts";
import { RUN_COLOURS, sayFrom, textOf } from "./listings.ts";
import {
  absoluteTime,
  type Colour,
  deadline,
  firstLines,
  oneLine,
  paint,
  relativeTime,
  type Terminal,
  visible,
} from "./terminal.ts";

/** Prints one run for people: its verdict, waits, event, steps, notes and result. */
export function printTrace(terminal: Terminal, { run, steps, notes, configured = [] }: RunAnswer): void {
  const say = (text = "") => terminal.write(text + "\n");
  const title = (text: string) => say(`\n${paint(terminal, "bold", text)}`);
  const { waits = [] } = run;

  printFacts(terminal, { run, steps, notes, configured });
  if (waits.length > 0) title("waits");
  for (const wait of waits) {
    const since = `since ${moment(wait.since, terminal.now)}`;
    say(`  ${paint(terminal, "bold", oneLine(wait.step))}  ${oneLine(waitSentence(wait, terminal.now))}, ${since}`);
  }

  title("event");
  printEvent(terminal, run);
  if (run.inputs !== undefined) printValue(terminal, "inputs", run.inputs);

  title("steps");
  if (steps.length === 0) say("  none yet");
  printSteps(terminal, steps, waits);
  if (notes.length > 0) title("notes");
  for (const { at, text, reason } of notes) {
    say(`  ${absoluteTime(at)}  ${oneLine(reason === undefined ? text : `${text}: ${reason}`)}`);
  }
  if (run.output != null) printValue(terminal, "output", run.output);
  if (run.error !== undefined) printRunError(terminal, run.error, steps);
}

function printFacts(terminal: Terminal, { run, steps, notes, configured = [] }: RunAnswer): void {
  const { now } = terminal;
  const fact = (label: string, text: string) => printFact(terminal, label, text);
  const state = paint(terminal, RUN_COLOURS[run.state], run.state);
  terminal.write(`${paint(terminal, "bold", `run ${run.id}`)}  ${state}\n`);
  fact("rule", `${run.rule}, version ${run.version.slice(0, 12)}`);
  fact("created", moment(run.createdAt, now));
  if (run.endedAt !== undefined) {
    fact("ended", `${moment(run.endedAt, now)} after ${formatDuration(run.spent)} of work`);
  }
  if (run.key !== undefined) fact("key", run.key);
  for (const { key, value, ...set } of configured) fact("config", `${key} ${textOf(value)} (${sayFrom(set, now)})`);
  if (run.replayOf !== undefined) fact("replays", `run ${run.replayOf}`);
  fact("verdict", verdictOf({ run, steps, notes }));
  if (run.waits !== undefined && run.waits.length > 0) return;
  if (run.waitingFor !== undefined) fact("waits for", run.waitingFor);
  if (run.due !== undefined) fact("resumes", moment(run.due, now));
}

function printEvent(terminal: Terminal, { event }: Run): void {
  const fact = (label: string, text: string) => printFact(terminal, `  ${label}`, text);
  fact("type", event.type);
  if (event.subject !== undefined) fact("subject", event.subject);
  if (event.by !== undefined) fact("by", event.by);
  fact("id", `${event.id} from ${event.source}`);
  fact("time", event.time);
  if (event.cause) fact("cause", `run ${event.cause.run}, ${event.cause.depth} deep`);
  if (event.http) fact("http", requestOf(event.http));
  printValue(terminal, "  data", event.data);
}

/** The error of the step that ended the run is shown at the step already, but without the stack in rule code. */
function printRunError(terminal: Terminal, error: RecordedError, steps: StepRecord[]): void {
  const shown = steps.find((step) => step.error?.message === error.message)?.error;
  if (shown === undefined) return printError(terminal, "error", error);
  if (shown.stack !== undefined) return printFact(terminal, "error", error.message);
  const { message, stack } = error;
  printError(terminal, "error", { name: "Error", message, ...stack !== undefined && { stack } });
}

export function printFact(terminal: Terminal, label: string, text: string): void {
  terminal.write(`${paint(terminal, "dim", `${label} `.padEnd(column(label)))}${oneLine(text)}
`);
}

function moment(time: number, now: number): string {
  return `${absoluteTime(time)} (${relativeTime(time, now)})`;
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

/** Prints the recorded steps of a run, nested ones below their parents. Of thousands of siblings it prints only the informative ones. */
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
  const { path, kind, state, attempts, startedAt, endedAt, input } = record;
  if (kind === "onError" && isObject(input)) return [`handles the failure of "${oneLine(String(input.step))}"`];
  const facts = [
    kind === name ? undefined : kind,
    paint(terminal, STEP_COLOURS[state], state),
    endedAt === undefined ? undefined : formatDuration(endedAt - startedAt),
    attempts > 1 ? `${attempts} attempts` : undefined,
    nextOf(record, waits.find(({ step }) => step === path), terminal.now),
    reasonOf(record),
  ];
  return facts.filter((fact) => fact !== undefined);
}

/** The wait of a step, or the time of its next attempt. */
function nextOf({ due }: StepRecord, wait: StepWait | undefined, now: number): string | undefined {
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
  return isObject(output) && typeof output.by === "string" ? output.by : undefined;
}

function printRecord(terminal: Terminal, record: StepRecord, indent: string): void {
  const { kind, input, output, error, state, failures = [] } = record;
  // The failure is shown at the step that failed.
  if (kind === "onError") return;
  if (input !== undefined) printValue(terminal, `${indent}input`, input);
  // The output of a turn only says whether it takes place.
  const isTurn = kind === "repeat" && typeof output === "boolean";
  if (output != null && !isTurn) printValue(terminal, `${indent}output`, output);
  for (const { attempt, error } of failures) printError(terminal, `${indent}#${attempt}`, error);
  // The reason of a cancellation is shown beside the name.
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

/** A step, a branch or an iteration, with its children. A branch with only one step is one node: `[3]/save`. */
interface StepNode extends Omit<RecordedNode, "path" | "children"> {
  children: StepNode[];
}

/** The progress of a step and its children: the worst of them. */
type Progress = "open" | "failed" | "cancelled" | "done";

/** Builds a tree of records by their paths: `lines[3]/save` is below `[3]`, which is below `lines`. */
function stepTree(steps: StepRecord[]): StepNode[] {
  return recordedTree(steps).roots.map(compact);
}

/** A branch with one step becomes one line; iterations are sorted by number, whichever ended first. */
function compact(node: RecordedNode): StepNode {
  const children = node.children.map(compact).sort((a, b) => indexOf(a) - indexOf(b));
  const [only] = children;
  if (node.record === undefined && children.length === 1) return { ...only, name: joined(node.name, only.name) };
  return { ...node, children };
}

function joined(name: string, below: string): string {
  return below.startsWith("[") ? name + below : `${name}/${below}`;
}

function indexOf({ name }: StepNode): number {
  return Number(/^\[(\d+)\]/.exec(name)?.[1] ?? -1);
}

function progressOf({ record, children }: StepNode): Progress {
  const all: Progress[] = children.map(progressOf);
  if (record !== undefined) all.push(ofRecord(record));
  return (["open", "failed", "cancelled"] as const).find((progress) => all.includes(progress)) ?? "done";
}

function ofRecord({ state }: StepRecord): Progress {
  if (state === "failed" || state === "cancelled") return state;
  return state === "waiting" || state === "retrying" ? "open" : "done";
}

/** Up to this many siblings are all shown. */
const FEW = 20;
/** Of more siblings, these are shown: the first and last few, and the first of those that did not simply succeed. */
const EDGES = { first: 2, last: 5 };
const SHOWN: Record<Progress, number> = { open: 10, failed: 5, cancelled: 2, done: 0 };

/** Siblings for display: shown ones singly, and each gap of hidden ones as a list. */
function fold(nodes: StepNode[]): (StepNode | StepNode[])[] {
  if (nodes.length <= FEW) return nodes;
  const left = { ...SHOWN };
  const folded: (StepNode | StepNode[])[] = [];
  for (const [index, node] of nodes.entries()) {
    const atEdge = index < EDGES.first || index >= nodes.length - EDGES.last;
    const hidden = folded.at(-1);
    if (atEdge || left[progressOf(node)]-- > 0) folded.push(node);
    else if (Array.isArray(hidden)) hidden.push(node);
    else folded.push([node]);
  }
  // A single hidden node is as short as the line that would replace it.
  return folded.map((part) => Array.isArray(part) && part.length === 1 ? part[0] : part);
}

/** How many lines of one input, output or event are shown. */
const MOST_LINES = 30;
/** Width of a label in columns. */
const LABEL = 9;

/** Prints a value next to a label; text as it is, anything else as JSON. */
function printValue(terminal: Terminal, label: string, json: Json): void {
  printBlock(terminal, label, typeof json === "string" ? json : layOutJson(json));
}

/** Prints an error, and where in rule code it was thrown. */
function printError(terminal: Terminal, label: string, { name, message, stack, detail }: RecordedError): void {
  const frames = (stack ?? "").split("\n").filter((line) => /^\s+at /.test(line));
  const says = name === "Error" || name === "TerminalError" ? message : `${name}: ${message}`;
  printBlock(terminal, label, [says, ...frames].join("\n"), "red");
  if (detail !== undefined) printValue(terminal, label.replace("error", "detail"), detail);
}

/** The column at which the text after a label begins: labels of one depth are aligned. */
function column(label: string): number {
  return label.search(/\S/) + LABEL;
}

function printBlock(terminal: Terminal, label: string, text: string, colour?: Colour): void {
  const lines = visible(text).trimEnd().split("\n");
  const shown = firstLines(lines, MOST_LINES);
  const indent = " ".repeat(column(label));
  const head = paint(terminal, "dim", label.padEnd(indent.length));
  terminal.write(
    shown.map((line, index) => (index === 0 ? head : indent) + paint(terminal, colour, line)).join("\n") + "\n",
  );
}
