import type { Run } from "../../../runtime/model/run.ts";
import { printTable } from "./table.ts";
import type { Terminal } from "./terminal.ts";
import { deadline, relativeTime } from "./time.ts";

/** Prints what runs wait for: one line for each waiting step. */
export function printWaits(terminal: Terminal, runs: Run[]): void {
  if (runs.length === 0) return terminal.write("No run waits\n");
  const { now } = terminal;
  const rows = runs.flatMap(({ id, rule, waits = [] }) =>
    waits.map(({ step, what, since, until }) => [
      id,
      rule,
      step,
      relativeTime(since, now),
      until === undefined ? "" : deadline(until, now),
      what,
    ])
  );
  printTable(terminal, ["RUN", "RULE", "STEP", "SINCE", "UNTIL", "WAITS FOR"], rows);
}
