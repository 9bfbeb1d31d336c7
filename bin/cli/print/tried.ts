import { writeExactJson } from "../../../runtime/formats/exact_json.ts";
import type { Verdict } from "../../../runtime/model/event.ts";
import { isObject, type Json } from "../../../runtime/model/json.ts";
import type { Tried, TriedRun, TriedStep, TryReport } from "../../../runtime/testing/try_rule.ts";
import { count } from "./checks.ts";
import { RUN_COLOURS, verdictColour, verdictSentence } from "./listings.ts";
import { type Colour, fit, oneLine, paint, relativeTime, type Terminal } from "./terminal.ts";

/** Prints what a rule would do with recorded events, with what is not as before, and a count. */
export function printTried(terminal: Terminal, report: TryReport): void {
  const { rule, file, events, searched, notes } = report;
  const say = (text = "", colour?: Colour) => terminal.write(paint(terminal, colour, text) + "\n");
  if (events.length === 0) {
    say(oneLine(nothingTried(rule, searched)));
    return;
  }
  const begin = `${oneLine(rule)} as it is in ${oneLine(file)}, on ${count(events.length, "event")}`;
  say(`${begin}; nothing is sent or stored`, "dim");
  // The events of a batch share one run.
  const shown = new Set<string>();
  for (const tried of events) printEvent(terminal, tried, shown);
  say();
  for (const note of notes) say(oneLine(note), "yellow");
  if (!searched.complete) say(`Only the last ${count(searched.events, "event")} were looked at`, "yellow");
  say(summaryOf(events));
}

/** Why there is nothing to show: which events were looked at, and for which one. */
function nothingTried(rule: string, { events, complete, since, event }: TryReport["searched"]): string {
  const from = since === undefined ? "" : ` since ${new Date(since).toISOString()}`;
  const looked = complete ? "" : `; only the last ${count(events, "event")} were looked at`;
  if (event !== undefined) return `${rule} takes no event with the id ${JSON.stringify(event)}${from}${looked}`;
  if (events === 0) return `No event has come${from}`;
  return `${rule} takes none of the ${count(events, "event")}${from}${looked}`;
}

function printEvent(terminal: Terminal, tried: Tried, shown: Set<string>): void {
  const { event, receivedAt, now, before, differs } = tried;
  const line = (text: string, colour?: Colour) =>
    terminal.write(paint(terminal, colour, fit(text, terminal.width)) + "\n");
  const facts = [event.type, event.subject, `id ${event.id}`, relativeTime(receivedAt, terminal.now)];
  terminal.write("\n");
  line(facts.filter((fact) => fact !== undefined).map(oneLine).join("  "), "bold");
  line(`  now     ${oneLine(nowSentence(now.verdict, now.run, terminal.now))}`, colourOf(now));
  if (before !== undefined) {
    const { verdict, run } = before;
    const ended = run &&
      `, which ${run.state === "succeeded" || run.state === "failed" ? run.state : `is ${run.state}`}`;
    const text = `  before  ${oneLine(verdictSentence(verdict, terminal.now))}${ended || ""}`;
    line(text, differs.includes("verdict") || differs.includes("run") ? "yellow" : "dim");
  }
  const key = now.run && idOfRun(now.verdict);
  if (now.run === undefined || key !== undefined && shown.has(key)) return;
  if (key !== undefined) shown.add(key);
  for (const step of now.run.steps) printStep(terminal, step, before?.run !== undefined && differs.includes(step.path));
  const gone = before?.run ? differs.filter((path) => isGone(path, now.run!)) : [];
  if (gone.length > 0) line(`    not any more: ${gone.map(oneLine).join(", ")}`, "yellow");
}

function idOfRun(verdict: Verdict): string | undefined {
  return "run" in verdict ? verdict.run : undefined;
}

function isGone(path: string, { steps }: TriedRun): boolean {
  return path !== "verdict" && path !== "run" && !steps.some((step) => step.path === path);
}

function colourOf({ verdict, run }: Tried["now"]): Colour | undefined {
  return run === undefined ? verdictColour(verdict) : run.uncertain ? "yellow" : RUN_COLOURS[run.state];
}

/** The verdict on an event and the end of its run, as of something that does not happen. */
function nowSentence(verdict: Verdict, run: TriedRun | undefined, now: number): string {
  // A verdict on what does not happen is the sentence on what has happened, in the conditional.
  if (run === undefined) return verdictSentence(verdict, now).replace(/^did not start/, "would not start");
  const starts = verdict.kind === "held"
    ? `would start later: ${verdict.reason}`
    : verdict.kind === "batched"
    ? "would join a batch"
    : "would start";
  return `${starts}; the run ${endOf(run)}`;
}

function endOf({ state, uncertain, error, waitingFor }: TriedRun): string {
  if (uncertain) return `may do more, not known: it needs a result that is not known (${error})`;
  if (state === "succeeded") return "would succeed";
  if (state === "failed") return `would fail: ${error}`;
  return state === "cancelled" ? "would be cancelled" : `would wait for ${waitingFor}`;
}

const MARKS: Partial<Record<TriedStep["state"], Colour>> = { succeeded: "green", failed: "red", skipped: "dim" };

/** A step on one line: what it would do, with its arguments as one line of JSON. */
function printStep(terminal: Terminal, step: TriedStep, differs: boolean): void {
  const { path, kind, state, input, error, known, note } = step;
  const says = [
    paint(terminal, differs ? "yellow" : "bold", oneLine(path)),
    ...path.endsWith(kind) ? [] : [kind],
    ...state === "succeeded" ? [] : [paint(terminal, MARKS[state] ?? "yellow", state)],
    ...input === undefined ? [] : [argumentsOf(input, kind)],
    ...known === undefined || known === "assumed" ? [] : [paint(terminal, "dim", `(${known})`)],
    ...differs ? [paint(terminal, "yellow", "(not as before)")] : [],
  ];
  terminal.write(`    ${says.filter((part) => part !== "").join("  ")}\n`);
  if (error !== undefined && state === "failed") terminal.write(`      ${paint(terminal, "red", oneLine(error))}\n`);
  if (note !== undefined) terminal.write(`      ${paint(terminal, "yellow", oneLine(note))}\n`);
}

/** The arguments of a step: the main one as text, the others as JSON. */
function argumentsOf(input: Json, kind: string): string {
  if (!isObject(input)) return oneLine(typeof input === "string" ? input : writeExactJson(input));
  // The id of a form is another one in each run.
  const { [kind]: main, id, ...rest } = input;
  const others = kind === "form" ? rest : { ...rest, ...id !== undefined && { id } };
  const first = main === undefined ? [] : [typeof main === "string" ? main : writeExactJson(main)];
  const options = Object.entries(others).filter(([, value]) => value !== undefined).map(([name, value]) =>
    `${name} ${typeof value === "string" ? value : writeExactJson(value)}`
  );
  return oneLine([...first, ...options].join("  "));
}

function summaryOf(events: Tried[]): string {
  const kinds = Map.groupBy(
    events,
    ({ now: { verdict, run } }) => run === undefined ? WORDS[verdict.kind] : wordOf(run),
  );
  const counts = [...kinds].map(([words, { length }]) => `${length} ${words}`);
  const differing = events.filter(({ differs }) => differs.length > 0).length;
  return `${count(events.length, "event")}: ${counts.join(", ")}; ${
    differing === 0 ? "none" : differing
  } not as before`;
}

function wordOf({ state, uncertain }: TriedRun): string {
  if (uncertain) return "would start, with an end that is not known";
  if (state === "succeeded") return "would start and succeed";
  return state === "failed" ? "would start and fail" : "would start and wait";
}

/** A test that was written. */
interface WrittenFile {
  /** Absolute. */
  file: string;
  line: number;
  name: string;
  /** What of the run is not in it. */
  left: string[];
}

/** Prints where a test was written, and what is not in it. */
export function printWritten(terminal: Terminal, { file, line, name, left }: WrittenFile): void {
  terminal.write(`${file}:${line}: wrote the test "${oneLine(name)}"\n`);
  for (const what of left) terminal.write(paint(terminal, "yellow", `  not in it: ${oneLine(what)}`) + "\n");
}

const WORDS: Record<Verdict["kind"], string> = {
  started: "would start",
  held: "would be delayed by the limit",
  batched: "would join a batch",
  condition: "would not start, by the condition",
  busy: "would not start, as the rule is busy",
  disabled: "would not start, as the rule is off",
  looped: "would not start, as it would loop",
  invalid: "would not start, as inputs are not valid",
  error: "would not start because of an error",
};
