import type { Form } from "../../../runtime/model/form.ts";
import { printTable } from "./table.ts";
import type { Terminal } from "./terminal.ts";
import { relativeTime } from "./time.ts";

/** Prints forms as a table, oldest first. */
export function printForms(terminal: Terminal, forms: Form[]): void {
  if (forms.length === 0) return terminal.write("No forms\n");
  const rows = forms.map((form) => [
    form.id,
    form.rule,
    form.to.join(", "),
    relativeTime(form.createdAt, terminal.now),
    form.due === undefined ? "" : relativeTime(form.due, terminal.now),
    noteOf(form, terminal.now),
  ]);
  printTable(terminal, ["FORM", "RULE", "FOR", "SINCE", "UNTIL", "TITLE"], rows);
}

function noteOf({ title, state, answer }: Form, now: number): string {
  if (answer !== undefined) return `${title}; answered by ${answer.by} ${relativeTime(answer.at, now)} (${answer.via})`;
  return state === "open" ? title : `${title}; ${state}`;
}
