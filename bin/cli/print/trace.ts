import { formatDuration } from "../../../runtime/model/duration.ts";
import type { HttpRequestFacts } from "../../../runtime/model/event.ts";
import { toParameters } from "../../../runtime/model/repeatable.ts";
import { CONDITION_STEP } from "../../../runtime/model/run.ts";
import type { Trace } from "../../../runtime/store/store.ts";
import { STATE_COLOURS } from "./runs.ts";
import { printSteps, waitSentence } from "./steps.ts";
import { oneLine, paint, type Terminal } from "./terminal.ts";
import { absoluteTime, relativeTime } from "./time.ts";
import { column, printError, printValue } from "./value.ts";

/** Prints one run for people: what happened, what was decided, what it waits for, each step, how it ended. */
export function printTrace(terminal: Terminal, { run, steps, notes }: Trace): void {
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
  if (run.replayOf !== undefined) fact("replays", `run ${run.replayOf}`);
  fact("verdict", verdictOf({ run, steps, notes }));
  if (run.waitingFor !== undefined && waits.length === 0) fact("waits for", run.waitingFor);
  if (run.due !== undefined && waits.length === 0) fact("goes on", at(run.due));

  if (waits.length > 0) say(`\n${paint(terminal, "bold", "waits")}`);
  for (const wait of waits) {
    const since = `since ${at(wait.since)}`;
    say(`  ${paint(terminal, "bold", oneLine(wait.step))}  ${oneLine(waitSentence(wait, terminal.now))}, ${since}`);
  }

  say(`\n${paint(terminal, "bold", "event")}`);
  fact("  type", run.event.type);
  if (run.event.subject !== undefined) fact("  subject", run.event.subject);
  fact("  id", `${run.event.id} from ${run.event.source}`);
  fact("  time", run.event.time);
  if (run.event.cause) fact("  cause", `run ${run.event.cause.run}, ${run.event.cause.depth} deep`);
  if (run.event.http) fact("  http", requestOf(run.event.http));
  printValue(terminal, "  data", run.event.data);

  say(`\n${paint(terminal, "bold", "steps")}${steps.length === 0 ? "\n  none yet" : ""}`);
  printSteps(terminal, steps, waits);
  if (notes.length > 0) say(`\n${paint(terminal, "bold", "notes")}`);
  for (const note of notes) say(`  ${absoluteTime(note.at)}  ${oneLine(note.text)}`);
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
  if (asked?.output === false) return "condition: the function if said no";
  const held = notes.find(({ text }) => text.startsWith("held"));
  return held === undefined ? `started by the trigger ${run.trigger}` : held.text;
}
