import type { RuleListing } from "../../../runtime/web/rule_listing.ts";
import { printTable } from "./table.ts";
import type { Colour, Terminal } from "./terminal.ts";

const COLOURS: Record<RuleListing["state"], Colour> = {
  on: "green",
  disabled: "dim",
  paused: "yellow",
  kept: "yellow",
  broken: "red",
};

/** The most characters of an expression that are shown. */
const LONGEST_EXPRESSION = 80;

/** Prints rules as a table, with the reason of each state other than `on`, and with the failures of triggers. */
export function printRules(terminal: Terminal, rules: RuleListing[]): void {
  if (rules.length === 0) return terminal.write("No rules yet\n");
  const rows = rules.map((rule) => [
    rule.id,
    { text: rule.state, colour: COLOURS[rule.state] },
    String(rule.verdicts.started ?? 0),
    noteOf(rule),
  ]);
  printTable(terminal, ["RULE", "STATE", "RUNS", "WHEN"], rows);
}

function noteOf({ triggers, reason, longest }: RuleListing): string {
  const when = triggers.map(({ id, failure }) => failure === undefined ? id : `${id} (failed: ${failure})`).join(", ");
  const slow = longest && `slow: ${longest.ms} ms for ${oneLine(longest.expression)}`;
  return [when, reason, slow].filter((part) => part).join("; ");
}

function oneLine(expression: string): string {
  const line = expression.replaceAll(/\s+/g, " ").trim();
  return line.length > LONGEST_EXPRESSION ? `${line.slice(0, LONGEST_EXPRESSION)}…` : line;
}
