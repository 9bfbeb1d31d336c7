import { formatDuration } from "../../../runtime/model/duration.ts";
import type { Json, JsonObject } from "../../../runtime/model/json.ts";
import type { StepRecord, StepState, StepWait } from "../../../runtime/model/run.ts";
import { fold, type Progress, progressOf, type StepNode, stepTree } from "./step_tree.ts";
import { type Colour, oneLine, paint, type Terminal } from "./terminal.ts";
import { deadline, relativeTime } from "./time.ts";
import { printError, printValue } from "./value.ts";

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
  if (kind === "onError") return [`answers what failed in "${oneLine(String((record.input as JsonObject).step))}"`];
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
  return due === undefined ? undefined : `goes on ${relativeTime(due, now)}`;
}

/** A wait in a few words: for what, and until when. */
export function waitSentence({ kind, what, until }: StepWait, now: number): string {
  const latest = until === undefined ? [] : [`until ${deadline(until, now)}`];
  return ["waits", ...kind === "time" ? [] : [`for ${what}`], ...latest].join(" ");
}

/** Why a step was not performed, or who answered it. */
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
  const { kind, input, output, error, state } = record;
  // The failure that these steps handle is shown where it happened.
  if (kind === "onError") return;
  if (input !== undefined) printValue(terminal, `${indent}input`, input);
  // The record of a turn says only whether it takes place.
  const isTurn = kind === "repeat" && typeof output === "boolean";
  if (output != null && !isTurn) printValue(terminal, `${indent}output`, output);
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
