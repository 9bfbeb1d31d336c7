import type { RuleListing } from "../../runtime/web/rule_listing.ts";
import { printTable } from "./table.ts";
import type { Colour, Terminal } from "./terminal.ts";

const COLOURS: Record<RuleListing["state"], Colour> = {
  on: "green",
  disabled: "dim",
  paused: "yellow",
  kept: "yellow",
  broken: "red",
};

/** Prints rules as a table, with why one is not simply on and which of its triggers fail. */
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

function noteOf({ triggers, reason }: RuleListing): string {
  const when = triggers.map(({ id, failure }) => failure === undefined ? id : `${id} (failed: ${failure})`).join(", ");
  return [when, reason].filter((part) => part).join("; ");
}
