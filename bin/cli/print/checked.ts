import { formatProblem, type Problem } from "../../../runtime/model/problem.ts";
import { absoluteTime, type Colour, paint, type Terminal, visible } from "./terminal.ts";

/** The result of `whenthen check`. */
export interface Checked {
  rules: {
    id: string;
    file: string;
    /** `next`: when a cron fires next, RFC 3339. `batch`: when a cron closes the open batch. */
    triggers: { id: string; kind: string; next?: string[]; batch?: string[] }[];
  }[];
  /** The packages that their code consists of, with their versions. */
  packages: Record<string, string>;
  problems: Problem[];
}

/** Prints all problems with their places, then the next cron times, then a count. */
export function printChecked(terminal: Terminal, { rules, packages, problems }: Checked): void {
  printProblems(terminal, problems);
  for (const { id, triggers } of rules) {
    for (const { id: trigger, next, batch } of triggers) {
      for (const [what, times] of [["fires next at", next], ["closes its batches next at", batch]] as const) {
        if (times === undefined) continue;
        terminal.write(`${paint(terminal, "bold", id)} ${trigger} ${what}\n`);
        for (const time of times) terminal.write(`  ${absoluteTime(Date.parse(time))}\n`);
      }
    }
  }
  const list = Object.entries(packages).map(([name, version]) => visible(`${name} ${version}`.trim()));
  if (list.length > 0) terminal.write(`Packages, which have your rights as your own code has: ${list.join(", ")}\n`);
  const errors = problems.filter(({ severity }) => severity === "error").length;
  const warnings = problems.length - errors;
  const counts = [
    count(rules.length, "rule"),
    count(errors, "problem"),
    ...warnings > 0 ? [count(warnings, "warning")] : [],
  ];
  terminal.write(paint(terminal, errors > 0 ? "red" : "green", counts.join(", ")) + "\n");
}

/** Prints each problem with its place and a caret. */
export function printProblems(terminal: Terminal, problems: Problem[]): void {
  for (const problem of problems) {
    const [head, ...rest] = visible(formatProblem(problem)).split("\n");
    terminal.write([paint(terminal, COLOURS[problem.severity], head), ...rest].join("\n") + "\n\n");
  }
}

const COLOURS: Record<Problem["severity"], Colour> = { error: "red", warning: "yellow" };

/** An amount with its noun: "1 rule", "2 rules". */
export function count(amount: number, what: string): string {
  return `${amount} ${what}${amount === 1 ? "" : "s"}`;
}
