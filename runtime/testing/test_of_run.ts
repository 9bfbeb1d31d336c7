import { env as environment } from "node:process";
import { fieldsOf } from "../folder/checks.ts";
import { writeExactJson } from "../formats/exact_json.ts";
import { parseArgs } from "../language/checker/check_rule.ts";
import { Checking } from "../language/checker/checking.ts";
import { checkTests, testedOf } from "../language/checker/check_tests.ts";
import { isEntryKind, testKinds } from "../language/checker/test_kinds.ts";
import { findMismatches, matches } from "../language/expectation.ts";
import { isAmong, type Person } from "../model/form.ts";
import { isObject, type Json, type JsonObject } from "../model/json.ts";
import type { Trigger } from "../model/rule.ts";
import { CONDITION_STEP, describeState, isFinal, type Run, type StepRecord } from "../model/run.ts";
import type { Seen, TestWorld } from "../model/test.ts";
import { OPERATORS } from "../ingest/start_rule.ts";
import type { Trace } from "../store/store.ts";
import type { RunAnswer } from "../web/config_api.ts";
import { TestFailed } from "./activity.ts";
import { beginningOf, sentEvent } from "./recorded_event.ts";
import { stubsOf } from "./recorded_stubs.ts";
import type { Past } from "./recorded.ts";
import { runEntry } from "./run_entry.ts";
import { look } from "./seen.ts";
import { checkFor, type LoadedRule } from "./stage.ts";
import { kinds, type NotOpen, openFolder, type TestFolder } from "./test_folder.ts";
import type { World } from "./world.ts";

/** A test as it is written under `tests:`. */
export interface WrittenTest {
  name: string;
  now: string;
  people?: Record<string, string[]>;
  config?: JsonObject;
  env?: Record<string, string>;
  stub?: JsonObject;
  do: JsonObject[];
}

/** A test that repeats a run. */
export interface TestOfRun {
  rule: string;
  /** The rule's file, relative to the folder. */
  file: string;
  test: WrittenTest;
  /** What of the run is not in the test, and why. */
  left: string[];
}

const CHANGED = "the rule or its config has changed since the run";

/** The most steps of a run that a test expects one by one. */
const MOST_STEPS = 100;
/** The most entries: a rule may wait again and again. */
const MOST_ENTRIES = 200;

/**
 * Makes a test of a recorded run: its event, the results of its steps as stubs, what people did and what it waited for, and what is
 * recorded as expectations. The test is executed while it is made, so that it passes.
 * @returns the reason if the run cannot be made a test
 */
export async function testOfRun(
  folder: TestFolder,
  past: Past,
  { run: id, now }: { run: string; now: number },
): Promise<{ kind: "made"; made: TestOfRun } | { kind: "impossible"; reason: string } | NotOpen> {
  const trace: RunAnswer | undefined = await past.run(id);
  if (trace === undefined) return impossible(`There is no run "${id}"`);
  const { rule: ruleId, state } = trace.run;
  if (state === "cancelled" || state === "queued" || state === "running") {
    return impossible(`Cannot make a test of run ${id}: ${describeState(state)}, and a test cannot bring that about`);
  }
  const opened = await openFolder({ ...folder, upper: await past.config(ruleId) }, ruleId);
  if (opened.kind !== "open") return opened;
  try {
    const { loaded, stage, world, mask, people, missing } = opened;
    if (missing.length > 0 && !past.isMasked) {
      return impossible(
        `Cannot make a test of run ${id}: ${
          missing.join(", ")
        } not set here, so a value in the recorded data would be ` +
          "written in clear; set it in the environment, in .env or in a mounted folder, or start the program",
      );
    }
    const trigger = loaded.rule.triggers.find((each) => each.id === trace.run.trigger);
    if (trigger === undefined) {
      return impossible(`Cannot make a test of run ${id}: the rule has no trigger "${trace.run.trigger}" any more`);
    }
    const drafted = async () => {
      const draft = new Draft(mask(trace), trigger, loaded, { people, env: world.env }, now);
      const failure = await stage.inWorld(loaded, draft.world, (simulated) => draft.execute(simulated));
      return { draft, failure };
    };
    // Secrets must not get into a file. Which ones code reads may only be known after it was executed.
    const masked = writeExactJson(mask(trace));
    let { draft, failure } = await drafted();
    if (writeExactJson(mask(trace)) !== masked) ({ draft, failure } = await drafted());
    if (failure !== undefined) return impossible(mask(`Cannot make a test of run ${id}: ${failure}`));
    const { test, left } = mask({ test: draft.test, left: draft.left });
    const [problem] = problemsOf(test, loaded);
    if (problem !== undefined) return impossible(`Cannot make a test of run ${id}: ${problem}`);
    return { kind: "made", made: { rule: ruleId, file: loaded.rule.file, test, left: [...new Set(left)] } };
  } finally {
    await opened.close();
  }
}

/** What is wrong with a test, which would keep the file of its rule from loading. */
function problemsOf(test: WrittenTest, { rule, source }: LoadedRule): string[] {
  const at = () => ({ line: 1, column: 1 });
  const checking = new Checking({ file: rule.file, language: "yaml", at, within: at }, kinds, { env: {}, now: 0 });
  checkTests(checking, [test], testedOf(rule, fieldsOf(source.raw.config)));
  return checking.problems.map(({ message, hint }) => hint === undefined ? message : `${message}; ${hint}`);
}

function impossible(reason: string): { kind: "impossible"; reason: string } {
  return { kind: "impossible", reason };
}

/** A test that grows while it is executed. */
class Draft {
  readonly test: WrittenTest;
  readonly left: string[] = [];
  readonly #steps: StepRecord[];
  readonly #done = new Set<string>();
  readonly #beginning: JsonObject[];
  /** Whether the rule or its config has changed since the run. */
  readonly #isChanged: boolean;

  constructor(
    private readonly trace: RunAnswer,
    trigger: Trigger,
    loaded: LoadedRule,
    { people, env }: { people: Person[]; env: Record<string, string> },
    private readonly present: number,
  ) {
    const { run, steps } = trace;
    const text = textOf(loaded);
    this.#steps = steps.filter(({ path }) => path !== CONDITION_STEP || loaded.rule.if !== "function");
    const { now, entries, left } = beginningOf(run, trigger, text);
    this.#beginning = entries;
    this.left.push(...left);
    this.#isChanged = run.version !== loaded.rule.version;
    if (writeExactJson(entries).includes("***")) this.left.push("secrets in the event: they are *** in the test");
    const groups = groupsFor(trace, entries, people);
    const config = differingConfig(loaded, trace, now);
    const used = usedEnvironment(text, env);
    const stub = stubsOf(this.#steps, text);
    this.test = {
      name: nameOf(run),
      now: new Date(now).toISOString(),
      ...groups && { people: groups },
      ...Object.keys(config).length > 0 && { config },
      ...Object.keys(used).length > 0 && { env: used },
      ...Object.keys(stub).length > 0 && { stub },
      do: [],
    };
  }

  get world(): TestWorld {
    const { now, people, config = {}, env = {}, stub = {} } = this.test;
    return { now: Date.parse(now), ...people && { people }, config, env, secrets: {}, stub };
  }

  /** @returns why the run does not come about; undefined if it did */
  async execute(world: World): Promise<string | undefined> {
    try {
      for (const entry of this.#beginning) await this.#enter(world, entry);
      await this.#proceed(world);
    } catch (error) {
      if (!(error instanceof TestFailed)) throw error;
      return this.#isChanged ? `${error.message}; ${CHANGED}` : error.message;
    }
    const seen = await look(world);
    const before = this.left.length;
    const failure = this.#expect(seen);
    if (this.#isChanged && this.left.length > before) this.left.push(CHANGED);
    return failure;
  }

  /** Executes an entry and adds it. Advances that follow each other are one. */
  async #enter(world: World, entry: JsonObject): Promise<void> {
    const [kind] = Object.keys(entry);
    if (!isEntryKind(kind)) throw new TypeError(`no entry is ${kind}`);
    const parsed = parseArgs(testKinds[kind], entry);
    if ("problems" in parsed) throw new TestFailed(parsed.problems.join("; "));
    const entries = this.test.do;
    if (kind === "advance" && entries.at(-1)?.advance !== undefined) entries.pop();
    entries.push(entry);
    await runEntry(world, { kind, args: parsed.args });
  }

  /** Does what happened to the run, in order, and moves the clock to what is due. */
  async #proceed(world: World): Promise<void> {
    const { store, clock, rule } = world;
    for (let count = 0; count < MOST_ENTRIES; count++) {
      const [run] = await store.listRuns({ limit: 1 });
      if (run !== undefined && isFinal(run.state)) return;
      const [act] = run === undefined ? [] : this.#actsIn(run).sort((a, b) => a.at - b.at);
      const due = run === undefined ? await store.nextBatchDue([rule.id]) : await store.nextDue();
      const at = Math.min(act?.at ?? Infinity, due ?? Infinity);
      // A run that still waits in reality waits in the test, too.
      if (at === Infinity || !isFinal(this.trace.run.state) && at > this.present) return;
      if (at > clock.now()) await this.#enter(world, { advance: new Date(at).toISOString() });
      if (act === undefined || act.at > at) continue;
      this.#done.add(act.step);
      await this.#enter(world, act.entry);
    }
  }

  /** What people and events did to what the run waits for now. */
  #actsIn(run: Run): { step: string; at: number; entry: JsonObject }[] {
    return (run.waits ?? []).flatMap(({ step }) => {
      const record = this.#steps.find(({ path }) => path === step);
      const entry = record?.endedAt === undefined || this.#done.has(step) ? undefined : this.#entryFor(record);
      return entry === undefined ? [] : [{ step, at: record!.endedAt!, entry }];
    });
  }

  #entryFor({ kind, path, state, attempts, output }: StepRecord): JsonObject | undefined {
    if (state === "skipped" && attempts > 0) return { skip: path };
    if (state !== "succeeded" || !isObject(output)) return undefined;
    if (kind === "waitFor") return { send: sentEvent(output) };
    if (kind !== "form") return undefined;
    const { by, at: _at, ...values } = output;
    return {
      answer: path,
      as: by,
      with: Object.fromEntries(Object.entries(values).map(([name, value]) => [name, this.#given(name, value)])),
    };
  }

  /** An answer as a person gives it: a file as its text, which is not recorded. */
  #given(field: string, value: Json): Json {
    if (!isObject(value) || !("sha256" in value)) return value;
    this.left.push(`the contents of the file in the field ${field}`);
    return { name: value.name, type: value.type, text: "" };
  }

  /** Adds what is expected, as far as the execution of the test shows it, too. @returns why the end is another one */
  #expect(seen: Seen): string | undefined {
    const { run } = this.trace;
    const state = seen.runs.at(-1) ?? "none";
    if (state !== run.state) {
      const why = seen.error === null ? seen.verdict === null ? "" : `, verdict ${seen.verdict}` : `: ${seen.error}`;
      return `in a test of the rule as it is now, the run is ${state}${why}; it was ${run.state}. whenthen try ${run.rule} --event ${run.event.id} shows more`;
    }
    const expected: JsonObject = { run: run.state };
    const steps = this.#expectedSteps(seen);
    if (Object.keys(steps).length > 0) expected.steps = steps;
    if (run.error !== undefined) this.#add(expected, "error", run.error.message, seen);
    if (run.output != null) this.#add(expected, "output", run.output, seen);
    this.test.do.push({ expect: expected });
    return undefined;
  }

  #add(expected: JsonObject, part: "error" | "output", value: Json, seen: Seen): void {
    if (findMismatches({ [part]: value }, seen, false).length === 0) expected[part] = value;
    else this.left.push(`the ${part} of the run: in a test it is another one`);
  }

  #expectedSteps(seen: Seen): JsonObject {
    const expected: JsonObject = {};
    const records = this.#steps.filter(({ kind, path }) => kind !== "onError" && !/\[results\d+\]$/.test(path));
    for (const record of records.slice(0, MOST_STEPS)) {
      const step = seen.steps.find((each) => each.step === record.path);
      if (step === undefined || step.state !== record.state) {
        this.left.push(
          `step "${record.path}": in a test it is ${step?.state ?? "not reached"}, it was ${record.state}`,
        );
        continue;
      }
      const { kind, input, attempts } = record;
      const isKnown = kind !== "form" && kind !== "wait" && kind !== "waitFor" && isObject(input);
      const isSame = isKnown && matches(input, step.input);
      if (isKnown && !isSame) this.left.push(`the arguments of step "${record.path}": in a test they are others`);
      const more = {
        ...attempts > 1 && step.attempts === attempts && { attempts },
        ...isSame && Object.keys(input).length > 0 && { input },
      };
      expected[record.path] = Object.keys(more).length === 0 ? record.state : { state: record.state, ...more };
    }
    if (records.length > MOST_STEPS) this.left.push(`${records.length - MOST_STEPS} of the ${records.length} steps`);
    return expected;
  }
}

function nameOf({ id, event, state, error }: Run): string {
  const about = [event.type, event.subject].filter((part) => part !== undefined).join(" ");
  const end = error === undefined ? state === "succeeded" ? "succeeds" : "waits" : "fails";
  return `${about} ${end}, as in run ${id}`;
}

/** The texts of a rule and of what it calls. */
function textOf({ rule: { actions, modules }, source }: LoadedRule): string {
  return [source.text, writeExactJson(source.raw), writeExactJson(actions), ...Object.values(modules)].join("\n");
}

/** The values that the rule had and a test would not have. */
function differingConfig(loaded: LoadedRule, { configured = [] }: RunAnswer, now: number): JsonObject {
  const { config = {} } = checkFor(loaded, { config: {}, env: environment, now }, kinds).rule ?? {};
  const had = { ...loaded.rule.config, ...Object.fromEntries(configured.map(({ key, value }) => [key, value])) };
  const differing = Object.entries(had).filter(([key, value]) => writeExactJson(value) !== writeExactJson(config[key]));
  return Object.fromEntries(differing.filter(([, value]) => value !== null));
}

/** The variables that the rule names. */
function usedEnvironment(text: string, environment: Record<string, string>): Record<string, string> {
  const names = [...text.matchAll(/\benv\.([A-Za-z_]\w*)/g)].map(([, name]) => name);
  return Object.fromEntries([...new Set(names)].flatMap((name) => {
    const value = environment[name];
    return value === undefined ? [] : [[name, value]];
  }));
}

/** Groups with the people who did something in the run, if those of the settings do not have them. */
function groupsFor(
  { run, steps }: Trace,
  entries: JsonObject[],
  people: Person[],
): Record<string, string[]> | undefined {
  const groups: Record<string, string[]> = {};
  const add = (group: string, person: string) => groups[group] = [...new Set([...groups[group] ?? [], person])];
  let isMissing = false;
  for (const { kind, input, output } of steps) {
    if (kind !== "form" || !isObject(input)) continue;
    const escalated = isObject(input.escalate) ? [input.escalate.to].flat() : [];
    const to = [...[input.to].flat(), ...escalated].map(String).filter((name) => !name.includes("@"));
    const by = isObject(output) ? String(output.by) : undefined;
    const known = people.find(({ id }) => id === by);
    const isOf = (name: string) => people.filter(({ id, groups }) => id === name || groups.includes(name));
    isMissing ||= to.some((name) => isOf(name).length === 0) ||
      by !== undefined && !by.includes("@") && !(known && isAmong(to, known));
    for (const name of to) for (const each of isOf(name)) add(name, each.id);
    for (const name of to) if (isOf(name).length === 0) add(name, by ?? "somebody");
    if (by !== undefined && !by.includes("@") && to.length > 0 && !to.some((name) => groups[name]?.includes(by))) {
      add(to[0], by);
    }
  }
  if (entries.some(({ start }) => isObject(start) && start.as !== undefined)) {
    const known = people.find(({ id }) => id === run.event.by);
    isMissing ||= known === undefined;
    add(OPERATORS, run.event.by!);
  }
  return isMissing ? groups : undefined;
}
