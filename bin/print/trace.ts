import { formatDuration } from "../../runtime/model/duration.ts";
import type { HttpRequestFacts } from "../../runtime/model/event.ts";
import type { RecordedError } from "../../runtime/model/errors.ts";
import type { Json } from "../../runtime/model/json.ts";
import { CONDITION_STEP, type StepRecord, type StepState } from "../../runtime/model/run.ts";
import type { Trace } from "../../runtime/store/store.ts";
import { layOut } from "./lay_out.ts";
import { STATE_COLOURS } from "./runs.ts";
import { type Colour, oneLine, paint, type Terminal, visible } from "./terminal.ts";
import { absoluteTime, relativeTime } from "./time.ts";

/** Lines of one input, output or event that are shown; `--json` shows all. */
const MOST_LINES = 30;
/** Columns that a label takes. */
const LABEL = 9;

const STEP_COLOURS: Record<StepState, Colour> = {
  retrying: "yellow",
  waiting: "yellow",
  succeeded: "green",
  failed: "red",
  skipped: "dim",
  cancelled: "dim",
};

/** Prints one run as a person reads it: what happened, what was decided, each step, how it ended. */
export function printTrace(terminal: Terminal, { run, steps, notes }: Trace): void {
  const say = (text = "") => terminal.write(text + "\n");
  const fact = (label: string, text: string) =>
    say(`${paint(terminal, "dim", label.padEnd(column(label)))}${oneLine(text)}`);
  const at = (time: number) => `${absoluteTime(time)} (${relativeTime(time, terminal.now)})`;

  say(`${paint(terminal, "bold", `run ${run.id}`)}  ${paint(terminal, STATE_COLOURS[run.state], run.state)}`);
  fact("rule", `${run.rule}, version ${run.version.slice(0, 12)}`);
  fact("created", at(run.createdAt));
  if (run.endedAt !== undefined) fact("ended", `${at(run.endedAt)} after ${formatDuration(run.spent)} of work`);
  if (run.key !== undefined) fact("key", run.key);
  if (run.replayOf !== undefined) fact("replays", `run ${run.replayOf}`);
  fact("verdict", verdictOf({ run, steps, notes }));
  if (run.waitingFor !== undefined) fact("waits for", run.waitingFor);
  if (run.due !== undefined) fact("goes on", at(run.due));

  say(`\n${paint(terminal, "bold", "event")}`);
  fact("  type", run.event.type);
  if (run.event.subject !== undefined) fact("  subject", run.event.subject);
  fact("  id", `${run.event.id} from ${run.event.source}`);
  fact("  time", run.event.time);
  if (run.event.cause) fact("  cause", `run ${run.event.cause.run}, ${run.event.cause.depth} deep`);
  if (run.event.http) fact("  http", requestOf(run.event.http));
  value(terminal, "  data", run.event.data);

  say(`\n${paint(terminal, "bold", "steps")}${steps.length === 0 ? "\n  none yet" : ""}`);
  for (const step of steps) printStep(terminal, step);
  if (notes.length > 0) say(`\n${paint(terminal, "bold", "notes")}`);
  for (const note of notes) say(`  ${absoluteTime(note.at)}  ${oneLine(note.text)}`);
  if (run.output != null) value(terminal, "output", run.output);
  if (run.error === undefined) return;
  // A step's error that ended the run has been shown at the step.
  const shown = steps.some((step) => step.error?.message === run.error?.message);
  if (shown) fact("error", run.error.message);
  else error(terminal, "error", run.error);
}

function requestOf({ method, path, query }: HttpRequestFacts): string {
  const search = new URLSearchParams(query).toString();
  return `${method} /hooks${path}${search && `?${search}`}`;
}

function verdictOf({ run, steps, notes }: Trace): string {
  const asked = steps.find(({ path }) => path === CONDITION_STEP);
  if (asked?.state === "failed") return `error: the function if failed: ${asked.error?.message ?? "no message"}`;
  if (asked?.output === false) return "condition: the function if said no";
  const held = notes.find(({ text }) => text.startsWith("held"));
  return held === undefined ? `started by the trigger ${run.trigger}` : held.text;
}

function printStep(terminal: Terminal, step: StepRecord): void {
  const attempts = step.attempts > 1 ? `${step.attempts} attempts` : undefined;
  const took = step.endedAt === undefined ? undefined : formatDuration(step.endedAt - step.startedAt);
  const again = step.due === undefined ? undefined : `goes on ${relativeTime(step.due, terminal.now)}`;
  const state = paint(terminal, STEP_COLOURS[step.state], step.state);
  const kind = step.kind === step.path ? undefined : step.kind;
  const facts = [kind, state, took, attempts, again].filter((fact) => fact !== undefined);
  terminal.write(`  ${paint(terminal, "bold", oneLine(step.path))}  ${facts.join("  ")}\n`);
  if (step.input !== undefined) value(terminal, "    input", step.input);
  if (step.output != null) value(terminal, "    output", step.output);
  if (step.error !== undefined) error(terminal, "    error", step.error);
}

function error(terminal: Terminal, label: string, { name, message, stack, detail }: RecordedError): void {
  const frames = (stack ?? "").split("\n").filter((line) => /^\s+at /.test(line));
  const says = name === "Error" || name === "TerminalError" ? message : `${name}: ${message}`;
  block(terminal, label, [says, ...frames].join("\n"), "red");
  if (detail !== undefined) value(terminal, label.replace("error", "detail"), detail);
}

function value(terminal: Terminal, label: string, json: Json): void {
  block(terminal, label, typeof json === "string" ? json : layOut(json));
}

function block(terminal: Terminal, label: string, text: string, colour?: Colour): void {
  const lines = visible(text).trimEnd().split("\n");
  const shown = lines.slice(0, MOST_LINES);
  if (lines.length > MOST_LINES) shown.push(`… ${lines.length - MOST_LINES} more lines (--json shows all)`);
  const indent = " ".repeat(column(label));
  const head = paint(terminal, "dim", label.padEnd(indent.length));
  terminal.write(
    shown.map((line, index) => (index === 0 ? head : indent) + paint(terminal, colour, line)).join("\n") + "\n",
  );
}

/** Where the text beside a label begins: labels of one depth are aligned. */
function column(label: string): number {
  return label.search(/\S/) + LABEL;
}
