import { formatDuration } from "../../../runtime/model/duration.ts";
import type { Run, RunState } from "../../../runtime/model/run.ts";
import { printTable } from "./table.ts";
import type { Colour, Terminal } from "./terminal.ts";
import { relativeTime } from "./time.ts";

/** The colour of each state. */
export const STATE_COLOURS: Record<RunState, Colour | undefined> = {
  queued: "yellow",
  running: "cyan",
  waiting: "yellow",
  succeeded: "green",
  failed: "red",
  cancelled: "dim",
};

/** Prints runs as a table, newest first. */
export function printRuns(terminal: Terminal, runs: Run[]): void {
  if (runs.length === 0) return terminal.write("No runs yet\n");
  const rows = runs.map((run) => [
    run.id,
    run.rule,
    { text: run.state, colour: STATE_COLOURS[run.state] },
    relativeTime(run.createdAt, terminal.now),
    run.startedAt === undefined ? "" : formatDuration(run.spent),
    noteOf(run, terminal.now),
  ]);
  printTable(terminal, ["RUN", "RULE", "STATE", "CREATED", "TOOK", "EVENT"], rows);
}

function noteOf(run: Run, now: number): string {
  const event = [run.event.type, run.event.subject].filter((part) => part !== undefined).join(" ");
  const waiting = run.waitingFor && `waits for ${run.waitingFor}`;
  const due = run.due === undefined ? undefined : `goes on ${relativeTime(run.due, now)}`;
  return [event, run.error?.message, waiting, due].filter((part) => part).join("; ");
}
