import { writeExactJson } from "../../../runtime/formats/exact_json.ts";
import { textOfValue } from "../../../runtime/language/fields/field_value.ts";
import type { ConfigValue } from "../../../runtime/model/config.ts";
import { formatDuration } from "../../../runtime/model/duration.ts";
import type { Verdict } from "../../../runtime/model/event.ts";
import type { Form, Person } from "../../../runtime/model/form.ts";
import type { Json } from "../../../runtime/model/json.ts";
import { type Run, RUN_STATES, type RunState } from "../../../runtime/model/run.ts";
import type { EventRecord } from "../../../runtime/store/store.ts";
import type { ConfigListing } from "../../../runtime/web/config_api.ts";
import type { RuleListing } from "../../../runtime/web/rules_api.ts";
import { withWords } from "./cron.ts";
import {
  absoluteTime,
  type Cell,
  type Colour,
  deadline,
  fit,
  oneLine,
  paint,
  printTable,
  relativeTime,
  type Terminal,
} from "./terminal.ts";

const RULE_COLOURS: Record<RuleListing["state"], Colour> = {
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
    { text: rule.state, colour: RULE_COLOURS[rule.state] },
    String(rule.verdicts.started ?? 0),
    noteOfRule(rule),
  ]);
  printTable(terminal, ["RULE", "STATE", "RUNS", "WHEN"], rows);
}

function noteOfRule({ triggers, reason, longest, connections = [] }: RuleListing): string {
  const when = triggers.map(({ id, failure }) =>
    `${withWords(id)}${failure === undefined ? "" : ` (failed: ${failure})`}`
  )
    .join(", ");
  const slow = longest && `slow: ${longest.ms} ms for ${shortened(longest.expression)}`;
  const unusable = connections.map(({ name, reason }) => `connection ${name}: ${reason}`);
  return [when, reason, ...unusable, slow].filter((part) => part).join("; ");
}

function shortened(expression: string): string {
  const line = expression.replaceAll(/\s+/g, " ").trim();
  return line.length > LONGEST_EXPRESSION ? `${line.slice(0, LONGEST_EXPRESSION)}…` : line;
}

/** The colours of the states of runs. */
export const RUN_COLOURS: Record<RunState, Colour | undefined> = {
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
    { text: run.state, colour: RUN_COLOURS[run.state] },
    relativeTime(run.createdAt, terminal.now),
    run.startedAt === undefined ? "" : formatDuration(run.spent),
    noteOfRun(run, terminal.now),
  ]);
  printTable(terminal, ["RUN", "RULE", "STATE", "CREATED", "TOOK", "EVENT"], rows);
}

/** Prints runs one below the other, without a head: each with the time of its last change. */
export function printRunLines(terminal: Terminal, runs: Run[]): void {
  for (const run of runs) {
    const { id, rule, state, endedAt, startedAt, createdAt } = run;
    const time = paint(terminal, "dim", absoluteTime(endedAt ?? startedAt ?? createdAt));
    const shown = paint(terminal, RUN_COLOURS[state], state.padEnd(LONGEST_STATE));
    const note = [rule, noteOfRun(run, terminal.now)].map(oneLine).join("  ");
    const left = terminal.width - [absoluteTime(createdAt), id, " ".repeat(LONGEST_STATE), ""].join("  ").length;
    terminal.write([time, id, shown, fit(note, left)].join("  ") + "\n");
  }
}

const LONGEST_STATE = Math.max(...RUN_STATES.map(({ length }) => length));

function noteOfRun(run: Run, now: number): string {
  const event = [run.event.type, run.event.subject].filter((part) => part !== undefined).join(" ");
  const waiting = run.waitingFor && `waits for ${run.waitingFor}`;
  const due = run.due === undefined ? undefined : `resumes ${relativeTime(run.due, now)}`;
  return [event, run.error?.message, waiting, due].filter((part) => part).join("; ");
}

/** Prints events, each with the verdicts of the rules that it concerned. */
export function printEvents(terminal: Terminal, events: EventRecord[]): void {
  if (events.length === 0) terminal.write("No events yet\n");
  for (const { event, receivedAt, deliveries, delivery, verdicts, ended } of events) {
    const times = deliveries > 1 ? `, delivered ${deliveries} times and accepted once` : "";
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
      const line = fit(`  ${oneLine(`${rule} was waiting for it: step "${step}" of run ${run}`)}`, terminal.width);
      terminal.write(paint(terminal, "green", line) + "\n");
    }
  }
}

/** A verdict as a sentence. */
export function verdictSentence(verdict: Verdict, now: number): string {
  switch (verdict.kind) {
    case "started":
      return `started run ${verdict.run}`;
    case "held": {
      const release = verdict.until > now ? `, starts in ${formatDuration(verdict.until - now)}` : "";
      return `delayed as run ${verdict.run}: ${verdict.reason}${release}`;
    }
    case "condition":
      return `did not start, the condition does not hold: ${verdict.reason}${valuesIn(verdict.values)}`;
    case "busy":
      return `did not start, the rule is busy: ${verdict.reason}`;
    case "batched": {
      const closes = verdict.until > now ? `, closes in ${formatDuration(verdict.until - now)}` : "";
      return `joined a batch: ${verdict.reason}${closes}`;
    }
    case "disabled":
      return `did not start: ${verdict.reason}`;
    case "looped":
      return `did not start, this would loop for ever: ${verdict.reason}`;
    case "invalid":
      return `did not start: ${verdict.reason}`;
    case "error":
      return `did not start because of an error: ${verdict.reason}`;
  }
}

/** The values in a clause, if they are short enough for a sentence. */
function valuesIn(values: Record<string, Json> = {}): string {
  const shown = Object.entries(values).map(([name, value]) => `${name} is ${writeExactJson(value)}`);
  const short = shown.filter((text) => text.length <= LONGEST_VALUE);
  return short.length === 0 ? "" : ` (${short.join(", ")})`;
}

const LONGEST_VALUE = 120;

/** The colour of a verdict. */
export function verdictColour(verdict: Verdict): Colour {
  if (verdict.kind === "started") return "green";
  return ["error", "looped", "invalid"].includes(verdict.kind) ? "red" : "yellow";
}

/** Prints the waits of runs: one line for each waiting step. */
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

/** Prints forms as a table, oldest first. */
export function printForms(terminal: Terminal, forms: Form[]): void {
  if (forms.length === 0) return terminal.write("No forms\n");
  const rows = forms.map((form) => [
    form.id,
    form.rule,
    form.to.join(", "),
    relativeTime(form.createdAt, terminal.now),
    form.due === undefined ? "" : relativeTime(form.due, terminal.now),
    noteOfForm(form, terminal.now),
  ]);
  printTable(terminal, ["FORM", "RULE", "FOR", "SINCE", "UNTIL", "TITLE"], rows);
}

function noteOfForm({ title, state, answer }: Form, now: number): string {
  if (answer !== undefined) return `${title}; answered by ${answer.by} ${relativeTime(answer.at, now)} (${answer.via})`;
  return state === "open" ? title : `${title}; ${state}`;
}

/** A person in listings, without the hashes of password and token. */
type ListedPerson = Omit<Person, "password" | "token"> & { password: boolean; token: boolean };

/** Prints people as a table. */
export function printPeople(terminal: Terminal, people: ListedPerson[]): void {
  if (people.length === 0) return terminal.write("Nobody yet; add somebody with: whenthen people add ID\n");
  const rows = people.map(({ id, name, email = "", groups, password, token }) => {
    const by = [...password ? ["password"] : [], ...token ? ["token"] : []].join(", ") || "links";
    return [id, name, email, by, groups.join(", ")];
  });
  printTable(terminal, ["ID", "NAME", "E-MAIL", "COMES BY", "GROUPS"], rows);
}

/** Prints config as a table: each value, its origin, the values that it overrides, and a refused value. */
export function printConfig(terminal: Terminal, listing: ConfigListing[]): void {
  const rows = listing.flatMap(({ refused, ...entry }): Cell[][] => {
    const row = [entry.key, textOf(entry.value), sayLayers(entry, terminal.now)];
    if (refused === undefined) return [row];
    const why = `not used: ${refused.reason} (${sayFrom(refused, terminal.now)})`;
    return [row, ["", { text: textOf(refused.value ?? null), colour: "red" }, { text: why, colour: "red" }]];
  });
  printTable(terminal, ["KEY", "VALUE", "FROM"], rows);
}

function sayLayers({ below, ...value }: ConfigValue, now: number): string {
  const from = sayFrom(value, now);
  return below === undefined ? from : `${from}, over ${textOf(below.value)} (${sayLayers(below, now)})`;
}

/** The origin of a value: `page, anna, 2 minutes ago`. */
export function sayFrom({ from, by, at }: Omit<ConfigValue, "value">, now: number): string {
  const who = by === undefined ? from : `${from}, ${by}`;
  return at === undefined ? who : `${who}, ${relativeTime(at, now)}`;
}

/** A config value as text on one line. */
export function textOf(value: Json): string {
  return value === null ? "-" : textOfValue(value).replaceAll("\n", ", ");
}
