import { writeExactJson } from "../formats/exact_json.ts";
import type { RecordedError } from "../model/errors.ts";
import { type Event, typePatterns, type Verdict } from "../model/event.ts";
import { asJson, isObject, type Json } from "../model/json.ts";
import type { Rule, Trigger } from "../model/rule.ts";
import { CONDITION_STEP, isFinal, type RunState, type StepRecord } from "../model/run.ts";
import type { EventIdentity, EventRecord, Trace } from "../store/store.ts";
import { proceed, whatIsOpen } from "./proceed.ts";
import { identityOf, type Known, type Past, RecordedAnswers, sameInput } from "./recorded.ts";
import { type NotOpen, openFolder, SEALED, type TestFolder } from "./test_folder.ts";
import type { World } from "./world.ts";

/** Which recorded events to try. */
export interface Tries {
  /** The most events, the last ones. */
  last: number;
  /** Only events that were received since then; milliseconds since the epoch. */
  since?: number;
  /** Only events with this id. */
  event?: string;
}

/** What a rule would do with events that have happened. */
export interface TryReport {
  rule: string;
  file: string;
  version: string;
  /** In the order in which they came. */
  events: Tried[];
  /** How many events were looked at, whether there are older ones that were not, and which ones were asked for. */
  searched: { events: number; complete: boolean } & Omit<Tries, "last">;
  /** What the reader must know of the dry run as a whole. */
  notes: string[];
}

/** One event, and what became of it. */
export interface Tried {
  event: Pick<Event, "id" | "source" | "type" | "subject" | "time">;
  receivedAt: number;
  trigger: string;
  /** What the rule in the file would do. */
  now: { verdict: Verdict; run?: TriedRun };
  /** What the version of the rule that was in force did; absent if the event did not concern it. */
  before?: { verdict: Verdict; run?: { id: string; version: string; state: RunState; error?: string } };
  /** What is not as before: `verdict`, `run`, and paths of steps. Empty if there is nothing to compare with. */
  differs: string[];
}

export interface TriedRun {
  state: RunState;
  /** True if a step failed because it needs a result that is not known. */
  uncertain?: true;
  waitingFor?: string;
  error?: string;
  output?: Json;
  steps: TriedStep[];
}

export interface TriedStep extends Pick<StepRecord, "path" | "kind" | "state" | "input" | "output"> {
  error?: string;
  /** Where its result comes from; absent if the dry run computes it. */
  known?: Known;
  /** What is not known about it. */
  note?: string;
}

/** Events that are read at once, and at most. */
const PAGE = 500;
const MOST_EVENTS = 10_000;

/**
 * Says what the rule in the file would do with events that have happened. It runs on a simulated clock in memory: nothing is sent,
 * started or stored, and its steps get the results of the recorded runs.
 * @param now the time up to which the past is known
 */
export async function tryRule(
  folder: TestFolder,
  past: Past,
  { rule: id, now, ...tries }: Tries & { rule: string; now: number },
): Promise<{ kind: "tried"; report: TryReport } | NotOpen> {
  const opened = await openFolder({ ...folder, upper: await past.config(id) }, id);
  if (opened.kind !== "open") return opened;
  const { loaded, stage, world: surroundings, canMail, mask } = opened;
  try {
    const { rule } = loaded;
    const { taken, between, searched } = await findEvents(rule, past, tries);
    const traces = await tracesOf(rule, taken, past);
    const traceOf = (event: EventIdentity) => traces.get(identityOf(event));
    const answers = new RecordedAnswers(traceOf, canMail);
    const begin = taken[0]?.record.receivedAt ?? now;
    const test = { now: begin, config: rule.config, ...surroundings, stub: {} };
    const events = await stage.inWorld(loaded, test, async (world) => {
      await deliverAll(world, [...taken, ...between], traceOf);
      const tried: Tried[] = [];
      for (const each of taken) {
        tried.push(await seenOf(world, each, { answers, now, before: traceOf(each.record.event) }));
      }
      return world.maskJson(withNames(tried));
    }, answers);
    const { file, version } = rule;
    const notes = [...notesOnSecrets(opened.missing, past), ...notesOf(rule)];
    return { kind: "tried", report: mask({ rule: id, file, version, events, searched, notes }) };
  } finally {
    await opened.close();
  }
}

/** A recorded event, and the trigger of the rule that takes it; none if it can only end waits. */
interface Delivered {
  record: EventRecord;
  trigger?: Trigger;
}

type Taken = Required<Delivered>;

/** The last events that the rule takes, oldest first, and those since then that its runs may wait for. */
async function findEvents(rule: Rule, past: Past, { last, since, event: id }: Tries) {
  const taken: Taken[] = [];
  const between: Delivered[] = [];
  const waits = mayWait(rule);
  let events = 0;
  let before: string | undefined;
  while (taken.length < last && events < MOST_EVENTS) {
    // Runs may wait for events with other ids.
    const page = await past.events({ limit: PAGE, before, from: since, id: waits ? undefined : id });
    for (const record of page) {
      if (taken.length === last) break;
      events++;
      const isWanted = id === undefined || record.event.id === id;
      const trigger = isWanted ? triggerFor(rule, record) : undefined;
      if (trigger !== undefined) taken.push({ record, trigger });
      else if (waits) between.push({ record });
    }
    if (page.length < PAGE) before = undefined;
    else before = page.at(-1)!.key;
    if (before === undefined) break;
  }
  const complete = taken.length === last || before === undefined;
  taken.reverse();
  const first = Number(taken[0]?.record.key ?? Infinity);
  const awaited = between.filter(({ record }) => Number(record.key) > first);
  const asked = { ...since !== undefined && { since }, ...id !== undefined && { event: id } };
  return { taken, between: awaited, searched: { events, complete, ...asked } };
}

/** Whether runs of a rule may wait for events. */
function mayWait({ then, onError, actions, modules }: Rule): boolean {
  return writeExactJson(asJson([{ then, onError, actions }])).includes('"waitFor"') ||
    Object.values(modules).some((code) => code.includes("waitFor"));
}

/** The trigger of the rule that takes an event; a batch is collected from its events again. */
function triggerFor(rule: Rule, { event, verdicts }: EventRecord): Trigger | undefined {
  const own = verdicts.find((each) => each.rule === rule.id);
  const same = rule.triggers.find(({ id }) => id === own?.trigger);
  if (same !== undefined) return same.batch !== undefined && event.type === "batch" ? undefined : same;
  if (event.http !== undefined) return rule.triggers.find((trigger) => isHookOf(trigger, event.http!));
  const isOfTrigger = verdicts.some((each) => event.source === `/rules/${each.rule}/${each.trigger}`);
  if (isOfTrigger) return undefined;
  const patterns = typePatterns(event.type);
  return rule.triggers.find(({ kind, args }) =>
    kind === "event" && [args.event].flat().some((type) => patterns.includes(String(type)))
  );
}

function isHookOf({ kind, args }: Trigger, { method, path }: NonNullable<Event["http"]>): boolean {
  if (kind !== "webhook") return false;
  const methods = [args.method ?? "POST"].flat();
  const [wanted, sent] = [String(args.webhook).split("/"), path.split("/")];
  return methods.includes(method) && wanted.length === sent.length &&
    wanted.every((part, index) => part.startsWith(":") || part === sent[index]);
}

/** The recorded runs of the rule, by the identity of their event. */
async function tracesOf({ id }: Rule, taken: Taken[], past: Past): Promise<Map<string, Trace>> {
  const traces = new Map<string, Trace>();
  for (const { record: { event, verdicts } } of taken) {
    const verdict = verdicts.find(({ rule }) => rule === id)?.verdict;
    const run = verdict && "run" in verdict ? verdict.run : undefined;
    const trace = run === undefined ? undefined : await past.run(run);
    if (trace !== undefined) traces.set(identityOf(event), trace);
  }
  return traces;
}

/** Delivers the events at the times at which they came, and executes all runs to their end. */
async function deliverAll(
  world: World,
  events: Delivered[],
  traceOf: (event: EventIdentity) => Trace | undefined,
): Promise<void> {
  events.sort((a, b) => Number(a.record.key) - Number(b.record.key));
  for (const { record: { event, receivedAt }, trigger } of events) {
    const at = Math.max(receivedAt, world.clock.now());
    await proceed(world, traceOf, at);
    await world.advanceTo(at);
    // Without a trigger it starts nothing, but a run that has not ended may wait for it.
    if (trigger === undefined && !await isBusy(world)) continue;
    const [rule, to] = trigger === undefined ? ["", ""] : [world.rule.id, trigger.id];
    await world.ingest.deliver([{ rule, trigger: to, event }]);
    await world.settled();
  }
  await proceed(world, traceOf, Infinity);
}

/** Whether a run has not ended. */
async function isBusy({ store }: World): Promise<boolean> {
  const [waiting] = await store.listRuns({ waiting: true, limit: 1 });
  return waiting !== undefined || await store.nextDue() !== undefined;
}

async function seenOf(
  world: World,
  { record, trigger }: Taken,
  { answers, now, before: trace }: { answers: RecordedAnswers; now: number; before: Trace | undefined },
): Promise<Tried> {
  const { event: { id, source, type, subject, time }, receivedAt, verdicts } = record;
  const verdict = await verdictOf(world, record.event);
  const run = "run" in verdict && verdict.run !== undefined && verdict.kind !== "condition"
    ? await runOf(world, verdict.run, answers, now)
    : undefined;
  const earlier = verdicts.find(({ rule }) => rule === world.rule.id)?.verdict;
  const before = earlier && { verdict: earlier, ...trace && { run: briefOf(trace) } };
  return {
    event: { id, source, type, ...subject !== undefined && { subject }, time },
    receivedAt,
    trigger: trigger.id,
    now: { verdict, ...run && { run } },
    ...before && { before },
    differs: before === undefined ? [] : differences({ verdict, run }, { verdict: earlier!, trace }),
  };
}

function briefOf({ run: { id, version, state, error } }: Trace) {
  return { id, version, state, ...error && { error: error.message } };
}

async function verdictOf({ store, rule }: World, event: EventIdentity): Promise<Verdict> {
  const key = await store.findEventKey(event);
  const record = key === undefined ? undefined : await store.getEvent(key);
  const verdict = record?.verdicts.find((each) => each.rule === rule.id)?.verdict;
  return verdict ?? { kind: "error", reason: "the event has no verdict" };
}

async function runOf(world: World, id: string, answers: RecordedAnswers, now: number): Promise<TriedRun | undefined> {
  const trace = await world.store.getRun(id);
  if (trace === undefined) return undefined;
  const { run, steps: records } = trace;
  const steps = records.filter(({ path }) => path !== CONDITION_STEP || world.rule.if !== "function")
    .map((record): TriedStep => {
      const { path, kind, state, input, output, error } = record;
      const known = answers.knownOf(id, path);
      const note = noteOn(record, known, now);
      return {
        path,
        kind,
        state,
        ...input !== undefined && { input },
        ...output !== undefined && { output },
        ...error !== undefined && { error: error.message },
        ...known !== undefined && { known },
        ...note !== undefined && { note },
      };
    });
  const uncertain = run.error !== undefined && needsUnknown(run.error, steps);
  return {
    state: run.state,
    ...uncertain && { uncertain },
    ...!isFinal(run.state) && { waitingFor: await whatIsOpen(run) },
    ...run.error !== undefined && { error: run.error.message },
    ...run.output !== undefined && { output: run.output },
    steps,
  };
}

/** Whether a run may have failed only because a result is assumed, or something that its code would do was refused. */
function needsUnknown({ name, message }: RecordedError, steps: TriedStep[]): boolean {
  if (isRefused({ name, message })) return true;
  const assumed = steps.some(({ known }) => known === "assumed");
  return assumed && !steps.some(({ known, state }) => known?.startsWith("recorded") && state === "failed") &&
    name !== "Stopped";
}

/** Whether code would have sent, started or written something; the name is that of Deno's own error. */
function isRefused({ name, message }: { name?: string; message: string }): boolean {
  return name === "NotCapable" || message.includes(SEALED);
}

function noteOn(
  { kind, state, output, endedAt }: StepRecord,
  known: Known | undefined,
  now: number,
): string | undefined {
  if (known === "assumed") return `not known: its result; assumed is ${writeExactJson(output ?? null)}`;
  const isOver = endedAt !== undefined && endedAt > now && (state === "succeeded" || state === "failed");
  if (kind === "waitFor" && isOver) return "not known: whether the event still comes; here it does not";
  if (kind === "form" && isOver) return "not known: the answer; here nobody answers";
  return undefined;
}

/** What a dry run does otherwise than the recorded run. */
function differences(
  now: { verdict: Verdict; run?: TriedRun },
  before: { verdict: Verdict; trace: Trace | undefined },
): string[] {
  const found: string[] = [];
  if (outcomeOf(now.verdict) !== outcomeOf(before.verdict)) found.push("verdict");
  const { run } = now;
  const { trace } = before;
  if (run === undefined || trace === undefined) return found;
  // A run that has not ended may still do the same.
  const ended = isFinal(trace.run.state);
  if (ended && run.state !== trace.run.state) found.push("run");
  const recorded = new Map(trace.steps.map((step) => [step.path, step]));
  for (const step of run.steps) {
    const record = recorded.get(step.path);
    if (record === undefined ? ended : !isSameStep(step, record)) found.push(step.path);
  }
  const paths = new Set(run.steps.map(({ path }) => path));
  for (const { path } of trace.steps) {
    if (!paths.has(path) && path !== CONDITION_STEP && !isPart(path)) found.push(path);
  }
  return found;
}

/** Whether a record is a part of the result of a step, such as the results of devices. */
function isPart(path: string): boolean {
  return /\[results\d+\]$/.test(path);
}

/** A run that is held starts later. */
function outcomeOf({ kind }: Verdict): string {
  return kind === "held" ? "started" : kind;
}

function isSameStep(step: TriedStep, record: StepRecord): boolean {
  const open = record.state === "waiting" || record.state === "retrying";
  if (step.kind !== record.kind || !open && step.state !== record.state) return false;
  return sameInput(plainInput(step.input), plainInput(record.input));
}

/** The arguments without what differs in each run: the id of a form. */
function plainInput(input: Json | undefined): Json {
  if (!isObject(input) || !("form" in input)) return input ?? null;
  const { id: _id, ...rest } = input;
  return rest;
}

function notesOnSecrets(missing: string[], { isMasked }: Past): string[] {
  if (missing.length === 0) return [];
  const names = missing.join(", ");
  const unmasked = `${names} not set here: a value in the recorded data is not masked above`;
  return [`not known: ${names}, not set here; here made-up values`, ...isMasked ? [] : [unmasked]];
}

function notesOf(
  { if: condition, key, triggers, then, onError, actions, modules }: Rule,
): string[] {
  const parts = writeExactJson(asJson([{ condition, key, triggers, then, onError, actions }]));
  const usesState = /"kind":"state"|\bstate\[/.test(parts) ||
    Object.values(modules).some((code) => /\bstep\.state\b/.test(code));
  return [
    ...usesState ? ["not known: memory across runs (state) as it was then; here it is empty at the beginning"] : [],
    ...Object.keys(modules).length > 0
      ? ["code outside of steps runs; what it would send, start or write is refused"]
      : [],
  ];
}

/** The events with names instead of the ids of runs, which nobody can look up. */
function withNames(events: Tried[]): Tried[] {
  const names = new Map<string, string>();
  return events.map((tried) => {
    const { verdict } = tried.now;
    if (!("run" in verdict) || verdict.run === undefined) return tried;
    const name = names.get(verdict.run) ?? `dry-run-${names.size + 1}`;
    names.set(verdict.run, name);
    const reason = "reason" in verdict && { reason: verdict.reason.replaceAll(verdict.run, name) };
    return { ...tried, now: { ...tried.now, verdict: { ...verdict, ...reason, run: name } as Verdict } };
  });
}

/** Whether something of a dry run would fail. */
export function wouldFail({ events }: TryReport): boolean {
  return events.some(({ now: { verdict, run } }) =>
    verdict.kind === "error" && !isRefused({ message: verdict.reason }) || verdict.kind === "invalid" ||
    run?.state === "failed" && !run.uncertain
  );
}
