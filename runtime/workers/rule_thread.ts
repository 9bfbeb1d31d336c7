import { AsyncLocalStorage } from "node:async_hooks";
import process from "node:process";
import { setImmediate } from "node:timers";
import { offerDeno, openCodeWorkerPort } from "../host/code_worker_port.ts";
import { sealWorker } from "../host/sealed_worker.ts";
import { readExactJson } from "../formats/exact_json.ts";
import { findMismatches } from "../language/expectation.ts";
import type { Event } from "../model/event.ts";
import { asJson, isObject, type Json } from "../model/json.ts";
import type { Mismatch, Seen } from "../model/test.ts";
import { RuleDefinition, rules } from "../sdk/rule.ts";
import { definedTests, type RuleTester } from "../sdk/test.ts";
import {
  callDefinition,
  declarationOf,
  describeDefinitions,
  exportsOf,
  httpOf,
  nameDefinitions,
  ruleOf,
  triggersOf,
  validatedEvent,
} from "./module_exports.ts";
import { plainJson, plainObject } from "./plain_json.ts";
import { type Ask, failureAt } from "./step_caller.ts";
import { stepCalls } from "./step_calls.ts";
import {
  describeThrown,
  type FromWorker,
  type Job,
  type ListFromWorker,
  type SentScope,
  type ToWorker,
  type WorkerSetup,
} from "./thread_messages.ts";
import { UserCode } from "./user_code.ts";
import { installGlobals, limitFetch, secretsView, simulateDate, watchForCrashes } from "./worker_globals.ts";
import { type CodePlace, type DefinedTest, InvalidEventError, type StepAnswer, type StepCall } from "./workers.ts";

/** A job of this worker, which evaluates one bundle and does many jobs with it at once. */
interface OpenJob {
  /** The continuation of each call that waits for its answer. */
  calls: Map<number, (answer: StepAnswer) => void>;
  /** How many answers were passed on. */
  answers: number;
  controller: AbortController;
}

const port = await openCodeWorkerPort();
const setup = port.data as WorkerSetup;
/** Messages that are sent together at the end of this turn of the event loop: each sending has a high fixed cost. */
let unsent: FromWorker[] = [];
const code = new UserCode(setup.code);
const jobs = new Map<number, OpenJob>();
const turns: (() => void)[] = [];
/** How many jobs and answers the code was given, and the last of the jobs. */
let given = 0;
let lastJob = -1;
/** Jobs that the main thread has given up before their code began. */
const dropped = new Set<number>();
/** The continuation of each request that waits until its destination has room. */
const admitted = new Map<number, { resolve: () => void; reject: (error: Error) => void }>();
let requests = 0;
const current = new AsyncLocalStorage<{ run?: string }>();
const env = Object.freeze({ ...process.env });
const secrets = secretsView(setup.secrets, (name) => sendNow({ type: "secret", name }));

// The module's namespace is wrapped in an object: one that exports `then` would be thenable.
let loading: Promise<{ exports: Record<string, unknown> }> | undefined;

installGlobals((level, message) => {
  const run = current.getStore()?.run;
  sendNow({ type: "log", level, message: code.translate(message), ...(run && { run }) });
});
limitFetch((url) =>
  new Promise((resolve, reject) => {
    const request = requests++;
    admitted.set(request, { resolve, reject });
    sendNow({ type: "admit", request, url });
  })
);
nameDefinitions(code);
watchForCrashes((thrown) => sendNow({ type: "crashed", ...describeThrown(thrown, code) }));
port.onMessage((messages) => (messages as ToWorker[]).forEach(receive));
sendNow({ type: "ready" });

function send(message: FromWorker): void {
  if (unsent.push(message) === 1) setImmediate(flush);
}

/** Sends at once, so that the message arrives even if the code blocks from now on. */
function sendNow(message: FromWorker): void {
  unsent.push(message);
  flush();
}

function flush(): void {
  if (unsent.length === 0) return;
  const messages = unsent;
  unsent = [];
  const list: ListFromWorker = { given, messages };
  port.post(list);
}

function receive(message: ToWorker): void {
  if ("now" in message) simulateDate(message.now);
  switch (message.type) {
    case "job": {
      const run = "scope" in message.work ? message.work.scope.run.id : undefined;
      inTurn(() => {
        port.mark(++given);
        lastJob = message.job;
        if (!dropped.delete(message.job)) current.run({ run }, () => doJob(message.job, message.work));
      });
      return;
    }
    case "answer": {
      inTurn(() => {
        const open = jobs.get(message.job);
        const resume = open?.calls.get(message.call);
        open?.calls.delete(message.call);
        if (message.answer.kind === "abandon") return;
        port.mark(++given);
        if (!open || !resume) return;
        open.answers++;
        resume(message.answer);
        inTurn(() => reportQuiet(message.job, open));
      });
      return;
    }
    case "drop":
      jobs.get(message.job)?.controller.abort();
      jobs.delete(message.job);
      if (message.job > lastJob) dropped.add(message.job);
      return;
    case "admitted": {
      const waiting = admitted.get(message.request);
      admitted.delete(message.request);
      if (message.refused === undefined) waiting?.resolve();
      else waiting?.reject(new Error(message.refused));
      return;
    }
    case "ping":
      sendNow({ type: "pong", heap: process.memoryUsage().heapUsed });
  }
}

/**
 * Passes answers on one at a time, each with all that follows from it synchronously, even if they arrive together. From the
 * number of answers at each call, the main thread tells branches side by side from a sequence.
 */
function inTurn(passOn: () => void): void {
  if (turns.push(passOn) === 1) setImmediate(nextTurn);
}

function nextTurn(): void {
  // What the last turn has done is sent first, as the next one may block.
  flush();
  turns[0]();
  turns.shift();
  if (turns.length > 0) setImmediate(nextTurn);
}

/** At this point the code has done all that it could at once, and its calls are sent. */
function reportQuiet(job: number, { answers }: OpenJob): void {
  sendNow({ type: "quiet", job, answers });
}

async function doJob(job: number, work: Job): Promise<void> {
  const open: OpenJob = { calls: new Map(), answers: 0, controller: new AbortController() };
  jobs.set(job, open);
  try {
    loading ??= load();
    const { exports } = await loading;
    send({ type: "done", job, output: await execute(job, open, work, exports) });
  } catch (thrown) {
    send({ type: "failed", job, ...describeThrown(thrown, code), invalidEvent: thrown instanceof InvalidEventError });
  } finally {
    jobs.delete(job);
  }
}

async function load(): Promise<{ exports: Record<string, unknown> }> {
  if (setup.code.includes("Deno")) await offerDeno();
  if (setup.sealed !== undefined) await sealWorker(setup.sealed);
  const exports = await import(code.url);
  sendNow({ type: "loaded" });
  return { exports: exportsOf(exports) };
}

async function execute(job: number, open: OpenJob, work: Job, exports: Record<string, unknown>): Promise<Json> {
  switch (work.kind) {
    case "describe":
      return describe(exports);
    case "condition":
      return await askCondition(theRule(exports), work.scope);
    case "rule":
      inTurn(() => reportQuiet(job, open));
      return await runRule(theRule(exports), work.scope, asker(job, open));
    case "function":
      return await callFunction(exports, work.name, work.args, open.controller.signal, asker(job, open));
    case "source":
      return await callDefinition(exports, work.call, open.controller.signal, asker(job, open));
    case "tests":
      return asJson(describeTests(code, setup.file));
    case "test":
      await runDefinedTest(work.index, work.seen, asker(job, open));
      return null;
  }
}

function describe(exports: Record<string, unknown>): Json {
  const rule = ruleOf(exports.default);
  const described = asJson(describeDefinitions(exports));
  const definitions = Object.keys(described).length > 0 && { definitions: described };
  const placesOf = ({ stack }: RuleDefinition) => code.frames(stack ?? "").map((frame) => frame.place);
  const isHere = (place: CodePlace) => place.file === setup.file;
  if (!rule) {
    const unexported = rules.flatMap(placesOf).find(isHere);
    return { exports: Object.keys(exports), ...unexported && { unexported: { ...unexported } }, ...definitions };
  }
  const places = placesOf(rule);
  const at = places.find(isHere) ?? places[0];
  const description = { declaration: declarationOf(rule), ...(at && { at: { ...at } }) };
  return { exports: Object.keys(exports), rule: description, ...definitions };
}

async function askCondition(rule: RuleDefinition, scope: SentScope): Promise<boolean> {
  const condition = rule.spec.if;
  const seen = await scopeOf(rule, scope);
  return typeof condition === "function" ? Boolean(await condition(seen as never)) : true;
}

async function runRule(rule: RuleDefinition, scope: SentScope, ask: Ask): Promise<Json> {
  const seen = await scopeOf(rule, scope);
  const output = await rule.spec.then({ ...seen, step: stepCalls(ask, code, scope.ahead) } as never);
  return plainJson(output, "what `then` returned");
}

async function callFunction(
  exports: Record<string, unknown>,
  name: string,
  args: Json,
  signal: AbortSignal,
  ask: Ask,
): Promise<Json> {
  const fn = exports[name];
  if (typeof fn !== "function") {
    throw new TypeError(`${setup.file} exports no function ${name}; it exports ${Object.keys(exports).join(", ")}`);
  }
  const http = httpOf(ask);
  const given = isObject(args) || args === null ? [{ http, ...args, signal }] : [args, { http, signal }];
  const output = await fn(...given);
  return plainJson(output, `the result of ${name}`);
}

function theRule(exports: Record<string, unknown>): RuleDefinition {
  const rule = ruleOf(exports.default);
  if (!rule) throw new Error(`${setup.file} has no default-exported rule`);
  return rule;
}

/** What a rule's functions see, apart from `step`; the event's data is the output of the trigger's validator. */
async function scopeOf(rule: RuleDefinition, scope: SentScope) {
  const { run, config, inputs = {} } = scope;
  const event = await validatedEvent(readExactJson(scope.event) as Event, triggersOf(rule)[scope.trigger]?.schema);
  return { event, run, rule: scope.rule, config, inputs, env, secrets };
}

function asker(job: number, open: OpenJob): Ask {
  const numbers = new WeakMap<StepCall, number>();
  let count = 0;
  return (step, computed) =>
    new Promise((resolve) => {
      // The main thread gave up jobs that are no longer open; their code may still run.
      if (jobs.get(job) !== open) return warnOfLate(step);
      const call = numbers.get(step) ?? count++;
      numbers.set(step, call);
      if (computed === undefined) send({ type: "call", job, call, step });
      else send({ type: "computed", job, call, computed });
      // The code computes this step without being asked: the main thread answers only the result.
      if (computed === undefined && step.begunAt !== undefined) resolve({ kind: "compute", path: "", attempt: 1 });
      else open.calls.set(call, resolve);
    });
}

/** The run would have stayed in memory if the main thread had known that this call was coming. */
function warnOfLate({ kind, name }: StepCall): void {
  const remedy = "put other things that a function waits for into step.do";
  console.warn(`step.${kind}(${JSON.stringify(name)}, …) came after its run was suspended or had ended: ${remedy}`);
}

const FORGOTTEN = "is an await missing?";

/** A test's expectation failed; `detail` says which. */
class ExpectationError extends Error {
  override name = "ExpectationError";
  readonly detail: Json;

  constructor(mismatches: Mismatch[]) {
    super("not as expected");
    this.detail = asJson(mismatches);
  }
}

/** The tests that the module defines with `testRule`. */
function describeTests(code: UserCode, file: string): DefinedTest[] {
  return definedTests.map(({ rule, name, options, stack }) => ({
    name: String(name),
    options: plainObject(options, `the options of the test ${JSON.stringify(name)}`),
    at: placeIn(code, stack, file),
    rule: rule instanceof RuleDefinition ? { file: placeIn(code, rule.stack).file } : { id: String(rule) },
  }));
}

/** Runs one of these tests. Each of its calls becomes a message; `expect` checks the result of the last call. */
async function runDefinedTest(index: number, begin: Seen, ask: Ask): Promise<void> {
  let seen = begin;
  const open = new Set<string>();
  const settled = (kind: string) => {
    if (open.size > 0) throw new TypeError(`t.${kind} was called before t.${[...open][0]} had settled: ${FORGOTTEN}`);
  };
  const execute = async (kind: string, args: object): Promise<void> => {
    // Made before the first await: later the caller is no longer on the stack.
    const callSite = new Error();
    const given = plainObject(args, `the argument of t.${kind}`);
    settled(kind);
    open.add(kind);
    const answer = await ask({ name: kind, scope: "", kind, args: given, answered: 0 });
    open.delete(kind);
    if (answer.kind === "failed") throw failureAt(callSite, answer.error);
    if (answer.kind === "result") seen = answer.output as unknown as Seen;
  };
  const t: RuleTester = {
    send: (sent) => execute("send", { send: sent }),
    advance: (by) => execute("advance", { advance: by }),
    answer: (step, answering) => execute("answer", { answer: step, ...answering }),
    start: ({ refused, ...starting } = {}) => execute("start", { start: starting, ...refused && { refused } }),
    config: ({ refused, ...config }) => execute("config", { config, ...refused && { refused } }),
    look: (trigger) => execute("look", { look: trigger }),
    device: (happening) => execute("device", { device: happening }),
    skip: (step) => execute("skip", { skip: step }),
    expect(expected, { exact = false } = {}) {
      settled("expect");
      const mismatches = findMismatches(plainObject(expected, "what is expected"), seen, exact);
      if (mismatches.length > 0) throw new ExpectationError(mismatches);
    },
    get seen() {
      return seen;
    },
  };
  await definedTests[index].run(t);
  const [kind] = open;
  if (kind !== undefined) throw new TypeError(`t.${kind} had not settled when the test ended: ${FORGOTTEN}`);
}

/** The innermost place of a stack, or the innermost one in a given file. */
function placeIn(code: UserCode, stack: string | undefined, file?: string): CodePlace {
  const places = code.frames(stack ?? "").map(({ place }) => place);
  return places.find((place) => place.file === file) ?? places[0] ?? { file: file ?? "", line: 1, column: 1 };
}
