import type { OnceReport } from "../../../runtime/app/app.ts";
import { oneLine, paint, type Terminal } from "./terminal.ts";

/** Prints the result of a pass: the failures, or that there were none. */
export function printOnce(terminal: Terminal, { broken, failedRuns, failures }: OnceReport): void {
  const complain = (text: string) => terminal.write(paint(terminal, "red", oneLine(text)) + "\n");
  for (const file of broken) complain(`${file} does not load`);
  for (const { rule, trigger, message } of failures) complain(`${rule}: ${trigger} failed: ${message}`);
  for (const { id, rule, error } of failedRuns) {
    complain(`${rule}: run ${id} failed: ${error?.message ?? "no message"}`);
  }
  if (broken.length + failures.length + failedRuns.length === 0) terminal.write("The pass went well\n");
}
