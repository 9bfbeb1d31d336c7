import { mkdtemp, realpath, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import type { ActionServices, TaskFleets } from "../../runtime/actions/action.ts";
import { Runner } from "../../runtime/engine/runner.ts";
import type { RunnerOptions } from "../../runtime/engine/runner_options.ts";
import { type Clock, ManualClock } from "../../runtime/host/clock.ts";
import type { Disk } from "../../runtime/host/disk.ts";
import { noDisk } from "../../runtime/host/disk.ts";
import { RunFiles } from "../../runtime/host/run_files.ts";
import type { Event } from "../../runtime/model/event.ts";
import type { Person } from "../../runtime/model/form.ts";
import type { Json, JsonObject } from "../../runtime/model/json.ts";
import type { Rule, Step } from "../../runtime/model/rule.ts";
import { isFinal, type Run, type StepState } from "../../runtime/model/run.ts";
import { openStore } from "../../runtime/store/open_store.ts";
import type { Reply, Store, Trace } from "../../runtime/store/store.ts";
import { openIsolates } from "../../runtime/workers/open_workers.ts";
import type { Isolates } from "../../runtime/workers/workers.ts";
import { FaultyDisk } from "../faults/faulty_disk.ts";
import { plainRule } from "../model/plain_rule.ts";

/** For answers without files. */
export const NO_FILES = new RunFiles("/files", noDisk);

export const START = Date.parse("2026-11-21T08:00:00Z");
const at = { line: 1, column: 1 };

/** A function that rules call, with its arguments and the number of the call, from 1. */
export type Called = (args: JsonObject, signal: AbortSignal, count: number) => Json | Promise<Json>;

interface BenchOptions extends Partial<RunnerOptions> {
  secrets?: JsonObject;
  /** Wraps the store for the runner. */
  between?: (store: Store) => Store;
  traceHeaders?: ActionServices["traceHeaders"];
  /** A clock that others use too. */
  manualClock?: ManualClock;
  /** Opens another store than one in a folder of the bench. */
  openStore?: () => Promise<Store>;
}

/** A program's store and runner, without rules folder and triggers. */
export class Bench {
  readonly clock: ManualClock;
  store!: Store;
  runner!: Runner;
  /** The implementations of `call: ./lib.ts#<name>`. */
  functions: Record<string, Called> = {};
  /** Names of the functions called, with `with.n` if given. */
  calls: string[] = [];
  /** The fleets that tasks are sent to. */
  fleets: TaskFleets | undefined;
  lines: string[] = [];
  finished: Run[] = [];
  replies: Reply[] = [];
  errors: unknown[] = [];
  /** Who answers forms. */
  people: Person[] = [];
  /** Mails sent: to whom, and the subject. */
  mails: string[] = [];
  /** Their messages. */
  texts: string[] = [];
  /** The random number for the jitter. */
  random = 1;
  #starts = 0;
  #start: Start | undefined;
  /** In memory: it is fast, and a crash leaves only synced data. */
  readonly #disk = new FaultyDisk();
  #events = 0;

  constructor(
    readonly folder: string,
    private readonly options: BenchOptions,
    private readonly workers?: Isolates,
  ) {
    this.clock = options.manualClock ?? new ManualClock(START);
  }

  /** Opens the store and a runner that is not started. */
  async open(): Promise<void> {
    this.#start = new Start(this.clock, this.#disk);
    const { openStore: openAnother } = this.options;
    this.store = await openAnother?.() ?? await openStore({
      folder: join(this.folder, "data"),
      onWarning: (message) => this.errors.push(message),
      now: this.clock.now(),
      disk: this.#start.disk,
    });
    const files = new RunFiles(join(this.folder, "data", "files"), this.#start.disk);
    const services: Omit<ActionServices, "getState" | "callModule" | "patched"> = {
      emit: (event) =>
        Promise.resolve({
          event: { source: "/test", id: event.id },
          delivery: "accepted",
          verdicts: [],
          runs: [],
          replaces: [],
          wakes: [],
        }),
      log: (_level, message) => void this.lines.push(message),
      causeHeader: () => "cause",
      childEnv: () => ({ PATH: process.env.PATH ?? "" }),
      sendMail: (mail) => {
        this.mails.push(`${mail.to.map(({ address }) => address).join(", ")}: ${mail.subject}`);
        this.texts.push(mail.text ?? "");
        const accepted = mail.to.map(({ address }) => address);
        return Promise.resolve({ messageId: mail.id, accepted, rejected: [] });
      },
      awaitsReply: () => true,
      admitRequest: () => Promise.resolve(),
      createFile: (file) => files.create(file),
      readFile: (file) => files.read(file),
      runFolder: (run) => files.folderOf(run),
      keepFiles: (left) => files.keepLeft(left),
      privateFolder: () => files.privateFolder(),
      secretOf: () => undefined,
      fleets: () => this.fleets!,
      connections: { token: (name) => Promise.resolve(`token of ${name}`) },
      traceHeaders: this.options.traceHeaders,
    };
    const { secrets = {}, between = (store: Store) => store, traceHeaders: _traceHeaders, ...rest } = this.options;
    this.runner = new Runner({
      store: between(this.store),
      isolates: this.#isolates(this.#start),
      clock: this.#start.clock,
      owner: `owner${++this.#starts}`,
      folder: this.folder,
      surroundings: () => ({ env: { NAME: "test" }, secrets }),
      services,
      people: this.#people(),
      onFinished: (run) => this.finished.push(run),
      onReply: (_event, reply) => this.replies.push(reply),
      onError: (_message, error) => this.errors.push(error),
      random: () => this.random,
      ...rest,
    });
  }

  /** A crash: the old runner is cut off from the store; a new one finds what was on disk. */
  async crash(): Promise<void> {
    this.#start?.die();
    this.#disk.cut(() => 0);
    await this.open();
    await this.runner.start();
  }

  /** One event for a rule. */
  async send(rule: Rule, data: Json = {}, more: Partial<Event> & { key?: string } = {}): Promise<string> {
    const { key = null, ...rest } = more;
    const time = new Date(this.clock.now()).toISOString();
    const event: Event = {
      id: `${this.options.owner ?? ""}e${++this.#events}`,
      source: "/test",
      type: "test",
      time,
      data,
      ...rest,
    };
    await this.store.putVersions([rule]);
    const outcome = {
      kind: "admit" as const,
      mode: rule.mode,
      key,
      max: rule.max,
      limit: rule.limit,
      asksFirst: rule.if === "function",
    };
    const candidate = { rule: rule.id, version: rule.version, trigger: "manual", outcome };
    const [receipt] = await this.store.accept([{ event, candidates: [candidate] }], [], this.clock.now());
    this.runner.replace(receipt);
    this.runner.wake();
    return receipt.runs[0];
  }

  /** An event that no rule listens to. @returns the runs that it wakes */
  async emit(type: string, data: Json = {}): Promise<string[]> {
    const now = this.clock.now();
    const event: Event = {
      id: `${this.options.owner ?? ""}e${++this.#events}`,
      source: "/test",
      type,
      time: new Date(now).toISOString(),
      data,
    };
    const [{ wakes }] = await this.store.accept([{ event, candidates: [] }], [], now);
    this.runner.woken(wakes);
    return wakes;
  }

  /** Sends an event and waits until its run, retries included, has ended. */
  async run(rule: Rule, data: Json = {}): Promise<Trace> {
    const run = await this.send(rule, data);
    await this.finish();
    return await this.trace(run);
  }

  /** Advances the clock until nothing is due. */
  async finish(): Promise<void> {
    for (;;) {
      await this.runner.settled(0);
      const due = await this.store.nextDue();
      if (due === undefined) return;
      await this.clock.advanceTo(due);
    }
  }

  /** Polls until the condition holds: the store writes in real time. */
  async until(isSo: () => boolean | Promise<boolean>): Promise<void> {
    while (!await isSo()) await new Promise((resolve) => setTimeout(resolve, 1));
  }

  /** Waits until a step is recorded in that state. */
  async reached(run: string, path: string, state: StepState): Promise<void> {
    await this.until(async () => states(await this.trace(run)).includes(`${path} ${state}`));
  }

  async trace(run: string): Promise<Trace> {
    const trace = await this.store.getRun(run);
    if (trace === undefined) throw new Error(`There is no run ${run}`);
    return trace;
  }

  #people(): RunnerOptions["people"] {
    const found = (name: string): Person[] => {
      const meant = this.people.filter(({ id, email, groups }) => [id, email, ...groups].includes(name));
      return meant.length > 0 || !name.includes("@") ? meant : [{ id: name, name, email: name, groups: [] }];
    };
    return {
      find: (to) => [...new Map(to.flatMap(found).map((person) => [person.id, person])).values()],
      url: (form) => `https://example.org/forms/${form}`,
      link: (form, { id }, expires) => `https://example.org/forms/${form}?as=${id}&until=${expires ?? ""}`,
      canMail: () => true,
    };
  }

  #isolates(start: Start): Isolates {
    const { workers } = this;
    const callFunction: Isolates["callFunction"] = async (_module, name, args, signal) => {
      // Objects left in memory by a crash do nothing.
      if (start.crashed.aborted) return await new Promise(() => {});
      const n = (args as JsonObject).n;
      this.calls.push(n === undefined ? name : `${name} ${n}`);
      return await this.functions[name](args as JsonObject, signal, this.calls.length);
    };
    // Workers are shared by all starts: work of a crashed one releases them.
    const untilCrash = (signal: AbortSignal) => AbortSignal.any([signal, start.crashed]);
    return {
      ...workers!,
      callFunction,
      runRule: (module, scope, execute, signal, ...more) =>
        workers!.runRule(module, scope, execute, untilCrash(signal), ...more),
      askCondition: (module, scope, signal) => workers!.askCondition(module, scope, untilCrash(signal)),
    };
  }
}

/** A bench on a temporary folder, removed after the test. */
export async function withBench(
  use: (bench: Bench) => Promise<void>,
  options: BenchOptions = {},
  workers?: Isolates,
): Promise<void> {
  const folder = await realpath(await mkdtemp(join(tmpdir(), "whenthen-run-")));
  const bench = new Bench(folder, options, workers);
  try {
    await bench.open();
    await bench.runner.start();
    await use(bench);
  } finally {
    await bench.runner.drain(0);
    await bench.store.close();
    await rm(folder, { recursive: true, force: true });
  }
}

let versions = 0;

/** A rule as the loader makes it. */
export function makeRule(then: Rule["then"], more: Partial<Rule> = {}): Rule {
  return plainRule({
    id: "ops/test",
    language: then === "function" ? "typescript" : "yaml",
    version: `v${++versions}`,
    triggers: [{ id: "manual", kind: "manual", at, args: {} }],
    then,
    config: { threshold: 85 },
    modules: { "ops/lib.ts": "" },
    ...more,
  });
}

/** A step as the checker makes it. */
export function makeStep(id: string, kind: string, args: JsonObject, more: Partial<Step> = {}): Step {
  return { id, kind, at, args, children: {}, ...more };
}

/** A step that calls a function of the bench. */
export function callStep(id: string, name: string, more: Partial<Step> = {}, args?: JsonObject): Step {
  return makeStep(id, "call", { call: `./lib.ts#${name}`, ...(args && { with: args }) }, more);
}

/** `path state` of each step of a trace, in order. */
export function states(trace: Trace): string[] {
  return trace.steps.map(({ path, state }) => `${path} ${state}`);
}

/** Clock and disk of one start of the program: after its crash no timer fires, and it reads and changes nothing. */
class Start {
  readonly clock: Clock;
  readonly disk: Disk;
  readonly #crash = new AbortController();

  constructor(clock: Clock, disk: Disk) {
    this.clock = {
      now: () => clock.now(),
      ticks: () => clock.ticks(),
      after: (ms, wake) => this.crashed.aborted ? () => {} : clock.after(ms, () => this.crashed.aborted || wake()),
      at: (at, wake) => this.crashed.aborted ? () => {} : clock.at(at, () => this.crashed.aborted || wake()),
      onRollback: (wake) => clock.onRollback(wake),
    };
    const files = this.#mortal(disk);
    this.disk = new Proxy(files, {
      get: (target, name) => {
        if (name !== "create" && name !== "append" && name !== "open") return Reflect.get(target, name);
        return async (path: string) => this.#mortal(await target[name](path));
      },
    });
  }

  /** A wrapper of the same object that never answers after the crash. */
  #mortal<T extends object>(thing: T): T {
    return new Proxy(thing, {
      get: (target, name) => {
        const value = Reflect.get(target, name);
        if (typeof value !== "function") return value;
        return (...args: unknown[]) => this.crashed.aborted ? new Promise(() => {}) : value.apply(target, args);
      },
    });
  }

  get crashed(): AbortSignal {
    return this.#crash.signal;
  }

  die(): void {
    this.#crash.abort();
  }
}

/** A bench whose rules are TypeScript, in real workers; functions of the bench are called as before. */
export async function withCode(
  use: (bench: Bench) => Promise<void>,
  { secrets = {}, ...options }: Partial<RunnerOptions> & { secrets?: Record<string, string> } = {},
): Promise<void> {
  const isolates = openIsolates({
    secrets: () => secrets,
    onSecret: () => {},
    env: () => ({}),
    onLog: () => {},
    blockedAfter: 3_000,
  });
  try {
    await withBench(use, options, isolates);
  } finally {
    await isolates.close();
  }
}

/** A rule whose function has this body; `call(name, fn, with)` in it is a step that calls a function of the bench. */
export function codeRule(then: string, more: Partial<Rule> & { condition?: string } = {}): Rule {
  const { condition, ...rest } = more;
  const code = `import { event as on, manual, rule, TerminalError, RetryAfterError } from "whenthen";
    export default rule({ when: manual(), ${
    condition ? `if: ${condition},` : ""
  } then: async ({ event, step, config, secrets }) => {
      const call = (name, fn, values, options) => step.call(name, "./lib.ts#" + fn, { with: values, ...options });
      { ${then} }
    } });`;
  const modules = { "": code, "ops/lib.ts": "" };
  return makeRule("function", { file: "ops/test.ts", modules, ...(condition && { if: "function" as const }), ...rest });
}

/** Resolves when every executing run waits, and there is nothing to claim. */
export function idle(bench: Bench): Promise<void> {
  return until(() => bench.runner.idle);
}

/** Resolves when a condition holds. */
export async function until(isSo: () => boolean | Promise<boolean>): Promise<void> {
  do await new Promise((resolve) => setTimeout(resolve, 1)); while (!await isSo());
}

/** Advances the clock to the next due time, until the run has ended. */
export async function endOf(bench: Bench, run: string): Promise<Trace> {
  for (;;) {
    await idle(bench);
    const trace = await bench.trace(run);
    if (isFinal(trace.run.state)) return trace;
    if (!bench.clock.wakeNext(Infinity)) {
      throw new Error(`Run ${run} waits for ${trace.run.waitingFor}, and nothing is due`);
    }
  }
}
