import { readExactJson, writeExactJson } from "../../formats/exact_json.ts";
import { type Event, typePatterns } from "../../model/event.ts";
import type { RecordedError } from "../../model/errors.ts";
import { type FormAnswer, formOutput, type FormState } from "../../model/form.ts";
import { asJson, type Json } from "../../model/json.ts";
import type { StepRecord } from "../../model/run.ts";
import { endOf, join, ordered } from "../ledger/keys.ts";
import type { Rows } from "../ledger/rows.ts";
import type { WaitRow } from "../ledger/tables.ts";
import { describeWait, refused } from "../run_changes.ts";
import type { AnsweredForm, Decision, Operated, Wait } from "../store.ts";
import { addToEvent } from "./event_rows.ts";
import { closeForm, putForm, readForm } from "./form_rows.ts";
import { refreshLane } from "./lanes.ts";
import { endPatches } from "./progress.ts";
import { addNote, putStep, readStep, readWaits, stepKey, withoutPlans } from "./run_rows.ts";
import type { TransitionContext } from "./transition.ts";

/** A step of a run. */
export interface Place {
  run: string;
  path: string;
}

/**
 * Registers the wait of a step, or replaces it. An event wait is `searching` until the events since its run began have been
 * searched (see {@link resolveSearch}); the first match that arrives meanwhile is noted.
 */
export function putWait(
  rows: Rows,
  run: string,
  record: StepRecord,
  wait: Wait,
  { now, ids }: TransitionContext,
): void {
  const key = stepKey(run, record.path);
  const before = rows.get("wait", key);
  const form = wait.kind === "form" ? wait.form.id : undefined;
  if (before?.form !== undefined && before.form !== form) closeForm(rows, before.form, "cancelled");
  const until = wait.kind === "form" ? wait.form.due : record.due;
  rows.put("wait", key, {
    run,
    path: record.path,
    position: before?.position ?? ids.key(now),
    kind: wait.kind,
    what: describeWait(wait),
    since: record.startedAt,
    ...(form !== undefined && { form }),
    ...(until !== undefined && { until: Math.ceil(until) }),
    ...(wait.kind === "event" && { ...targetOf(wait), searching: true as const }),
  });
  if (wait.kind === "form") putForm(rows, { run, path: record.path }, wait.form, now);
}

/** The result of a search of the events since a run began: the oldest match, or how far it searched in vain. */
export interface Search extends Place {
  found?: { key: number; event: Event };
  /** The event that arrived meanwhile, if it is no longer in history. */
  gone?: number;
}

/** The outcome of a search: the step's record, or an event that arrived meanwhile and must be fetched. */
export type Resolved =
  | { kind: "record"; record: StepRecord; ended: boolean }
  | { kind: "fetch"; key: number }
  | { kind: "again"; after: number };

/**
 * Ends the search of a wait. The wait succeeds with the found event, else with the one that arrived meanwhile; else it continues
 * to wait. Skips an event that has ended another wait of the run since.
 */
export function resolveSearch(rows: Rows, { run, path, found, gone }: Search, { now }: TransitionContext): Resolved {
  const key = stepKey(run, path);
  const wait = rows.get("wait", key);
  if (wait?.searching === undefined) return { kind: "record", record: readStep(rows, run, path)!, ended: false };
  if (found && isTaken(rows, run, found.key)) return { kind: "again", after: found.key };
  if (gone !== undefined && wait.seen === gone) {
    const { seen: _seen, ...rest } = wait;
    rows.put("wait", key, rest);
    return { kind: "again", after: gone };
  }
  if (found === undefined) {
    const { searching: _searching, seen, ...rest } = wait;
    if (seen !== undefined && !isTaken(rows, run, seen)) return { kind: "fetch", key: seen };
    if (seen !== undefined) {
      // Another event may have come after it, and only the first one was noted.
      rows.put("wait", key, { ...rest, searching: true });
      return { kind: "again", after: seen };
    }
    rows.put("wait", key, rest);
    return { kind: "record", record: readStep(rows, run, path)!, ended: false };
  }
  takeEvent(rows, wait, found.key);
  const output = asJson(found.event);
  const record = settle(rows, { run, path }, { state: "succeeded", output }, now);
  wakeRuns(rows, [run], now);
  return { kind: "record", record, ended: true };
}

/** How a wait ends. */
interface Ending {
  state: "succeeded" | "skipped";
  output: Json;
}

/** Ends a step's wait from outside the run: its record is final, and the run resumes at once. */
function endWait(rows: Rows, place: Place, ending: Ending, now: number): void {
  settle(rows, place, ending, now);
  wakeRuns(rows, [place.run], now);
}

function settle(rows: Rows, place: Place, ending: Ending, now: number): StepRecord {
  const { due: _due, ...waiting } = readStep(rows, place.run, place.path)!;
  const record: StepRecord = { ...waiting, ...ending, endedAt: now };
  putStep(rows, place.run, record, true);
  dropWait(rows, place, "cancelled");
  return record;
}

/** Removes a step's wait; the state of its form, if any, becomes `form`. */
export function dropWait(rows: Rows, { run, path }: Place, form: FormState): void {
  const key = stepKey(run, path);
  const wait = rows.get("wait", key);
  if (wait === undefined) return;
  rows.drop("wait", key);
  if (wait.form !== undefined) closeForm(rows, wait.form, form);
}

/** Cancels the waiting steps and open forms of a run that ends. */
export function cancelWaits(rows: Rows, run: string, now: number): void {
  for (const { path } of rows.ofRun("wait", run)) {
    cancelStep(rows, run, readStep(rows, run, path)!, "The run ended before", now);
  }
}

/** The error of a step or run that was cancelled. */
export function cancellation(message: string): RecordedError {
  return { name: "Cancelled", message };
}

/** Cancels a step that has not ended; a later result of it is dropped. */
export function cancelStep(rows: Rows, run: string, record: StepRecord, message: string, now: number): void {
  const { due: _due, ...rest } = record;
  putStep(rows, run, { ...rest, state: "cancelled", endedAt: now, error: cancellation(message) }, true);
  endPatches(rows, run, record.path);
  dropWait(rows, { run, path: record.path }, "cancelled");
}

/**
 * Ends the waits for a new event: of each run the oldest one that does not search any more. Those that do note it.
 * @returns the ids of the runs
 */
export function endEventWaits(rows: Rows, key: number, event: Event, now: number): string[] {
  const ended = new Set<string>();
  for (const wait of findWaits(rows, event)) {
    if (wait.searching) {
      if (wait.seen === undefined) rows.put("wait", stepKey(wait.run, wait.path), { ...wait, seen: key });
    } else if (!ended.has(wait.run)) {
      takeEvent(rows, wait, key);
      settle(rows, wait, { state: "succeeded", output: asJson(event) }, now);
      ended.add(wait.run);
    }
  }
  wakeRuns(rows, [...ended], now);
  return [...ended];
}

/** Records that an event ended a wait, so that it ends no other wait of the same run. */
function takeEvent(rows: Rows, { run, path }: WaitRow, event: number): void {
  rows.put("taken", takenKey(run, event), { run, event, path });
  addToEvent(rows, event, { ended: { rule: rows.get("run", run)!.rule, run, step: path } });
}

/**
 * Lets waiting runs be claimed at once. A running one may have missed the event: it is claimed again after it is suspended. Its
 * row is put each time, as that is how another replica that executes it learns of it.
 */
function wakeRuns(rows: Rows, runs: string[], now: number): void {
  for (const id of runs) {
    const run = rows.get("run", id)!;
    if (run.state === "waiting") {
      rows.put("run", id, { ...withoutPlans(run), state: "queued", readyAt: now });
      refreshLane(rows, run.rule, run.lane);
    } else if (run.state === "running") rows.put("run", id, { ...run, woken: true });
  }
}

/** A request of an operator to skip a wait. */
export interface Skipping {
  run: string;
  step: string | undefined;
  decision: Decision;
  /** Only a wait that began then. */
  since?: number;
}

/** Skips a wait of a run: the wait of `step`, or its only one. */
export function skipWait(rows: Rows, { run, step, decision, since }: Skipping, { now }: TransitionContext): Operated {
  const waits = readWaits(rows, run).filter((wait) => since === undefined || wait.since === since);
  const waiting = waits.map((wait) => wait.step);
  const asked = step ?? waiting[0];
  if (asked === undefined) return refused(`Cannot skip a wait of run ${run}: none of its steps waits`);
  if (!waiting.includes(asked)) {
    return refused(`Cannot skip step "${asked}" of run ${run}: it does not wait; ${describeWaiting(waiting)}`);
  }
  if (step === undefined && waiting.length > 1) {
    return refused(`Cannot skip a wait of run ${run} without a step: several wait; ${describeWaiting(waiting)}`);
  }
  endWait(rows, { run, path: asked }, { state: "skipped", output: null }, now);
  addNote(rows, run, `Wait "${asked}" skipped by ${decision.by}`, now, decision);
  return { kind: "done", step: asked };
}

function describeWaiting(waiting: string[]): string {
  return waiting.length === 0 ? "none does" : `those that do: ${waiting.join(", ")}`;
}

/** The index fields of an event wait. Values are compared as JSON, regardless of key order. */
function targetOf(
  { types, match }: Extract<Wait, { kind: "event" }>,
): Required<Pick<WaitRow, "types" | "paths" | "values">> {
  const paths = Object.keys(match).sort();
  return {
    types: [...new Set(types)],
    paths: JSON.stringify(paths),
    values: writeExactJson(paths.map((path) => sorted(match[path]))),
  };
}

/**
 * The waits that an event matches, oldest first. Costs one look-up per pattern that matches its type and per list of paths used
 * with that pattern, however many runs wait.
 */
function findWaits(rows: Rows, event: Event): WaitRow[] {
  if (rows.size("wait") === 0) return [];
  const found = new Set<WaitRow>();
  for (const pattern of typePatterns(event.type)) {
    for (const paths of listsOfPaths(rows, pattern)) {
      const values = valuesAt(event, JSON.parse(paths));
      if (values === undefined) continue;
      for (const wait of rows.range("wait", "event", join(pattern, paths, writeExactJson(values), ""))) found.add(wait);
    }
  }
  return [...found].sort((a, b) => a.position - b.position);
}

/** Whether an event matches the wait; its type is already checked. */
export function matches(event: Event, { paths, values }: WaitRow): boolean {
  const found = valuesAt(event, JSON.parse(paths!));
  return found !== undefined && writeExactJson(found) === values;
}

/** The longest text that is in the JSON of each event with these values. It lets a search skip most other events unparsed. */
export function needleOf({ paths, values }: WaitRow): string {
  const [names, wanted]: [string[], Json[]] = [JSON.parse(paths!), readExactJson(values!) as Json[]];
  const texts = wanted.flatMap((value, at) =>
    /^(data|http)\b/.test(names[at]) && typeof value !== "object" ? writeExactJson(value) : []
  );
  return texts.reduce((longest, text) => text.length > longest.length ? text : longest, "");
}

/** Whether an event has ended a wait of a run. */
export function isTaken(rows: Rows, run: string, event: number): boolean {
  return rows.get("taken", takenKey(run, event)) !== undefined;
}

function takenKey(run: string, event: number): string {
  return join(run, ordered(event));
}

/** The lists of paths used with a type. Jumps from one to the next in the index, past all rows between them. */
function* listsOfPaths(rows: Rows, type: string): Generator<string> {
  const prefix = join(type, "");
  const index = rows.index("wait", "event");
  for (let entry = index.first(prefix); entry !== undefined;) {
    const paths = rows.get("wait", entry[1])!.paths!;
    yield paths;
    entry = index.first(prefix, endOf(join(type, paths, "")));
  }
}

/** The values at the paths of an event, keys sorted; undefined if one is missing. */
function valuesAt(event: Event, paths: string[]): Json[] | undefined {
  const values: Json[] = [];
  for (const path of paths) {
    const value = valueAt(asJson(event), path);
    if (value === undefined) return undefined;
    values.push(sorted(value));
  }
  return values;
}

/** Follows a path such as `data.lines.0.id` through own properties only. */
function valueAt(value: Json | undefined, path: string): Json | undefined {
  for (const name of path.split(".")) {
    if (value === null || typeof value !== "object") return undefined;
    if (Array.isArray(value) ? !/^\d+$/.test(name) : !Object.hasOwn(value, name)) return undefined;
    value = Array.isArray(value) ? value[Number(name)] : value[name];
  }
  return value;
}

/** The same value with the keys of all objects sorted. */
function sorted(value: Json): Json {
  if (value === null || typeof value !== "object") return value;
  if (Array.isArray(value)) return value.map(sorted);
  return Object.fromEntries(Object.keys(value).sort().map((key) => [key, sorted(value[key])]));
}

/** The first answer to an open form ends its step. An answer after the form's time finds it expired. */
export function answerForm(
  rows: Rows,
  { form: id, answer }: { form: string; answer: FormAnswer },
): AnsweredForm | undefined {
  const form = readForm(rows, id);
  if (form?.state !== "open") return form && { form, accepted: false };
  const isExpired = form.due !== undefined && answer.at >= form.due;
  if (isExpired) closeForm(rows, id, "expired");
  else {
    closeForm(rows, id, "answered", answer);
    endWait(rows, { run: form.run, path: form.step }, { state: "succeeded", output: formOutput(answer) }, answer.at);
    addNote(rows, form.run, `Form "${form.title}" answered by ${answer.by} (${answer.via})`, answer.at, {
      by: answer.by,
    });
  }
  return { form: readForm(rows, id)!, accepted: !isExpired };
}
