import type { EventRecord } from "../../../runtime/store/store.ts";
import { fit, oneLine, paint, type Terminal } from "./terminal.ts";
import { relativeTime } from "./time.ts";
import { verdictColour, verdictSentence } from "./verdict.ts";

/** Prints events, each with the verdicts of the rules that it concerned. */
export function printEvents(terminal: Terminal, events: EventRecord[]): void {
  if (events.length === 0) terminal.write("No events yet\n");
  for (const { event, receivedAt, deliveries, delivery, verdicts, ended } of events) {
    const times = deliveries > 1 ? `, delivered ${deliveries} times and taken once` : "";
    const received = relativeTime(receivedAt, terminal.now) + times;
    const facts = [event.type, event.subject, `id ${event.id}`, `from ${event.source}`, received];
    const head = fit(facts.filter((fact) => fact !== undefined).map(oneLine).join("  "), terminal.width);
    terminal.write(paint(terminal, "bold", head) + "\n");
    if (delivery === "unmatched") {
      terminal.write(paint(terminal, "yellow", "  no rule listens to it, and no run waited for it") + "\n");
    }
    for (const { rule, verdict } of verdicts) {
      const line = fit(`  ${oneLine(`${rule} ${verdictSentence(verdict, terminal.now)}`)}`, terminal.width);
      terminal.write(paint(terminal, verdictColour(verdict), line) + "\n");
    }
    for (const { rule, run, step } of ended) {
      const line = fit(`  ${oneLine(`${rule} had waited for it: step "${step}" of run ${run}`)}`, terminal.width);
      terminal.write(paint(terminal, "green", line) + "\n");
    }
  }
}
