import { setImmediate } from "node:timers";
import { type CodeWorker, startCodeWorker } from "../host/code_worker.ts";
import { messageOf } from "../model/errors.ts";
import { formatDuration } from "../model/duration.ts";
import type { Json } from "../model/json.ts";
import { type BundledModule, InterruptedError, RuleCodeError, type StepAnswer } from "./workers.ts";
import {
  type EndCause,
  type FromWorker,
  isComputing,
  type ListFromWorker,
  type LogLevel,
  type OpenJob,
  reviveThrown,
  suspectsOf,
  type ToWorker,
  type WorkerSetup,
  type WorkOrder,
} from "./thread_messages.ts";

/** What a worker needs from its pool. */
interface WorkerOptions {
  module: BundledModule;
  secrets: Record<string, string>;
  env: Record<string, string>;
  /** See {@link WorkerSetup}. */
  sealed?: string;
  /** The limit of the worker's own heap in bytes, if the host can enforce it. */
  heapLimit: number;
  blockedAfter: number;
  /** The time of a simulated clock. */
  now(): number | undefined;
  onSecret(name: string): void;
  onLog(level: LogLevel, message: string, run?: string): void;
  /** Resolves when a request's destination has room; rejects if it must not be sent. */
  admit(url: string, signal: AbortSignal): Promise<void>;
  /** The last job has ended. */
  onIdle(): void;
  /** It takes no more jobs. @param gone resolves when its thread and memory are released */
  onEnd(gone: Promise<void>): void;
}

/** Pings in one `blockedAfter`. Counted, not timed: a machine that slept must not look like a worker in a loop. */
const PINGS = 4;
/** Milliseconds that a called function has to react to its signal before its worker is ended. */
const GRACE = 500;

/** The main thread's side of one worker: one bundle, many jobs at once. The constructor starts the worker. */
export class RuleWorker {
  /** Bytes, from the last answer to a ping. */
  heap = 0;
  /** Pings without an answer since the last answer. */
  missed = 0;
  /** True after its version was discarded: it is ended as soon as it is idle. */
  retired = false;
  #worker: CodeWorker;
  #jobs = new Map<number, OpenJob>();
  /** Aborted functions that have not returned yet. */
  #dropped = new Set<number>();
  /** A function that listens did not return in time, and continues beside others that still listen. */
  #hasStray = false;
  #nextJob = 0;
  /** How many jobs and answers were sent to the worker, and how many of them its code had been given when it last sent something. */
  #sent = 0;
  #given = 0;
  /** Messages that are sent together: each sending has a high fixed cost. */
  #unsent: ToWorker[] = [];
  #ready = false;
  #loaded = false;
  #ticks?: ReturnType<typeof setInterval>;
  #loadTimer?: ReturnType<typeof setTimeout>;
  #ended?: Promise<void>;
  readonly #gone = new AbortController();

  constructor(readonly options: WorkerOptions) {
    const { module, secrets, env, heapLimit, sealed } = options;
    const data: WorkerSetup = { file: module.file, code: module.code, secrets, ...sealed !== undefined && { sealed } };
    this.#worker = startCodeWorker(new URL("./rule_thread.ts", import.meta.url), {
      data,
      env,
      heapLimit,
      onMessage: (list) => {
        const { given, messages } = list as ListFromWorker;
        this.#given = given;
        for (const message of messages) this.#receive(message);
      },
      onEnd: (end) => {
        this.end(
          end.kind === "memory" ? { kind: "memory", used: "its heap exceeded its limit" } : {
            kind: "crashed",
            error: end.error,
          },
        );
      },
    });
  }

  /** Bytes that it uses in addition to the program's own memory. */
  get memory(): number {
    return this.#worker.memory();
  }

  get busy(): boolean {
    return this.#jobs.size > 0;
  }

  /** Does one job. Rejects as {@link Isolates} documents; with the signal's reason as soon as it is aborted. */
  do(order: WorkOrder): Promise<Json> {
    return new Promise((resolve, reject) => {
      const id = this.#nextJob++;
      const abort = () => this.#abort(id, order.signal!.reason);
      const settle: OpenJob["settle"] = (outcome) => {
        this.#jobs.delete(id);
        order.signal?.removeEventListener("abort", abort);
        if ("error" in outcome) reject(outcome.error);
        else resolve(outcome.output);
      };
      if (order.signal?.aborted) return reject(order.signal.reason);
      order.signal?.addEventListener("abort", abort);
      this.#jobs.set(id, {
        ...order,
        sent: ++this.#sent,
        steps: new Map(),
        waiting: new Set(),
        answered: 0,
        answers: 0,
        settle,
      });
      this.#post({ type: "job", job: id, work: order.work, now: this.options.now() });
      this.#watch();
    });
  }

  /** Ends the worker; the cause decides which error each job gets. */
  end(cause: EndCause): Promise<void> {
    this.#ended ??= this.#end(cause);
    return this.#ended;
  }

  async #end(cause: EndCause): Promise<void> {
    clearInterval(this.#ticks);
    clearTimeout(this.#loadTimer);
    this.#gone.abort();
    const jobs = [...this.#jobs.values()];
    const suspects = suspectsOf(jobs, cause, this.#worker.mark());
    for (const job of jobs) {
      job.settle({ error: suspects.has(job) ? this.#blame(cause, suspects) : this.#interruption(cause) });
    }
    const gone = this.#worker.terminate();
    this.options.onEnd(gone);
    await gone;
  }

  #receive(message: FromWorker): void {
    if (this.#ended) return;
    switch (message.type) {
      case "ready":
        this.#ready = true;
        this.#loadTimer = setTimeout(() => this.#failAll(this.#notLoaded()), this.options.blockedAfter);
        return;
      case "loaded":
        this.#loaded = true;
        return clearTimeout(this.#loadTimer);
      case "call":
      case "computed":
        return void this.#call(message);
      case "quiet":
        return this.#quiet(message.job, message.answers);
      case "done":
        return this.#finish(message.job, { output: message.output });
      case "failed": {
        const error = reviveThrown(message.error, message.at, message.invalidEvent);
        return this.#loaded ? this.#finish(message.job, { error }) : this.#failAll(error);
      }
      case "secret":
        return this.options.onSecret(message.name);
      case "log":
        return this.options.onLog(message.level, message.message, message.run);
      case "admit":
        return void this.#admit(message.request, message.url);
      case "pong":
        this.#pong(message.heap);
        return;
      case "crashed":
        return this.#crashed(message);
    }
  }

  /** The answer to an ended worker is left out: its code is gone. */
  async #admit(request: number, url: string): Promise<void> {
    let refused: string | undefined;
    try {
      await this.options.admit(url, this.#gone.signal);
    } catch (error) {
      refused = messageOf(error);
    }
    if (!this.#ended) this.#post({ type: "admitted", request, ...refused !== undefined && { refused } });
  }

  /** The code is quiet, unless another answer is on its way. */
  #quiet(id: number, answers: number): void {
    const job = this.#jobs.get(id);
    if (job?.answers === answers) job.onQuiet?.();
  }

  async #call(message: Extract<FromWorker, { type: "call" | "computed" }>): Promise<void> {
    const { job: id, call } = message;
    const job = this.#jobs.get(id);
    const step = message.type === "call" ? message.step : job?.steps.get(call);
    if (!job?.execute || !step) return;
    job.steps.set(call, step);
    // Code that computes a step already waits for an answer only after it has sent the result.
    if (message.type === "computed" || step.begunAt === undefined) job.waiting.add(call);
    let answer: StepAnswer | undefined;
    try {
      answer = await job.execute(step, message.type === "computed" ? message.computed : undefined);
    } catch (error) {
      return this.#drop(id, error);
    }
    if (answer === undefined) return;
    if (answer.kind !== "compute") job.steps.delete(call);
    if (this.#jobs.get(id) !== job) return;
    if (answer.kind !== "abandon") {
      job.answers++;
      job.answered = ++this.#sent;
    }
    if (answer.kind !== "abandon" || answer.lost) job.waiting.delete(call);
    this.#post({ type: "answer", job: id, call, answer, now: this.options.now() });
  }

  #finish(id: number, outcome: { output: Json } | { error: unknown }): void {
    this.#dropped.delete(id);
    this.#jobs.get(id)?.settle(outcome);
    this.#checkIdle();
  }

  /** Gives up a job: messages from its code are ignored from now on. */
  #drop(id: number, error: unknown): void {
    if (this.#ended || !this.#jobs.has(id)) return;
    this.#post({ type: "drop", job: id });
    this.#jobs.get(id)?.settle({ error });
    this.#checkIdle();
  }

  #abort(id: number, reason: unknown): void {
    const job = this.#jobs.get(id)!;
    const isFunction = job.work.kind === "function" || job.work.kind === "source";
    if (!isFunction && isComputing(job, this.#given)) {
      job.settle({ error: reason });
      this.end({ kind: "aborted" });
      return;
    }
    if (isComputing(job, this.#worker.mark())) {
      if (isFunction) {
        this.#dropped.add(id);
        setTimeout(() => this.#dropped.has(id) && this.#giveUp(id, job), GRACE);
      } else this.#endIfSilent(job);
    }
    this.#drop(id, reason);
  }

  /** Ends the worker if it sends nothing after its code was given the job or its last answer: then the code blocks. */
  #endIfSilent({ sent, answered }: OpenJob): void {
    this.#post({ type: "ping" });
    this.#flush();
    setTimeout(() => this.#given < Math.max(sent, answered) && this.end({ kind: "aborted" }), GRACE);
  }

  /** An aborted function has not returned. Other rules may listen in its worker, which is ended after them then. */
  #giveUp(id: number, job: OpenJob): void {
    if (!isListening(job) || !this.busy) return void this.end({ kind: "aborted" });
    this.#dropped.delete(id);
    this.#hasStray = true;
    const { module, onLog } = this.options;
    onLog(
      "warn",
      `${module.file}: listen did not return ${formatDuration(GRACE)} after its signal was aborted; ` +
        "it continues until no other rule listens by this file",
    );
  }

  /**
   * An error that no job awaits. Hosts do not reliably tell which job caused it: only if the worker never had another job
   * is it certain; otherwise each job is tried alone.
   */
  #crashed({ error, at }: Extract<FromWorker, { type: "crashed" }>): void {
    if (this.#nextJob === 1 && this.busy) return this.#failAll(reviveThrown(error, at));
    this.options.onLog("error", `${this.options.module.file}: an error that nothing awaits: ${error.stack}`);
    this.end({ kind: "crashed", error });
  }

  #failAll(error: Error): void {
    for (const job of [...this.#jobs.values()]) job.settle({ error });
    this.end({ kind: "discarded" });
  }

  #checkIdle(): void {
    if (this.#ended || this.busy || this.#dropped.size > 0) return;
    if (this.#hasStray) this.end({ kind: "aborted" });
    else this.options.onIdle();
  }

  /** Pings as long as there is work, and until the last ping is answered: code that was given up may block, too. */
  #watch(): void {
    this.#ticks ??= setInterval(() => {
      if (!this.#ready) return;
      if (this.missed >= PINGS) return void this.end({ kind: "blocked" });
      this.missed++;
      this.#post({ type: "ping" });
      this.#flush();
    }, this.options.blockedAfter / PINGS);
  }

  #pong(heap: number): void {
    this.heap = heap;
    this.missed = 0;
    if (this.busy || this.#dropped.size > 0) return;
    clearInterval(this.#ticks);
    this.#ticks = undefined;
  }

  #post(message: ToWorker): void {
    if (this.#unsent.push(message) === 1) setImmediate(() => this.#flush());
  }

  #flush(): void {
    if (this.#unsent.length === 0 || this.#ended) return;
    const messages = this.#unsent;
    this.#unsent = [];
    this.#worker.post(messages);
  }

  #notLoaded(): Error {
    const { module, blockedAfter } = this.options;
    const message = `${module.file} was not loaded after ${formatDuration(blockedAfter)}: ` +
      "a loop or an await at its top level does not end";
    return new RuleCodeError(message, false, `RuleCodeError: ${message}`);
  }

  #blame(cause: EndCause, suspects: Set<OpenJob>): Error {
    const message = this.#accusation(cause, suspects);
    return new RuleCodeError(message, true, `RuleCodeError: ${message}`);
  }

  #accusation(cause: EndCause, suspects: Set<OpenJob>): string {
    const { module, blockedAfter } = this.options;
    const listening = [...suspects].filter(isListening).length;
    const where = listening > 1 ? `a loop in one of the ${listening} that listen by it` : "a loop";
    switch (cause.kind) {
      case "memory":
        return `${module.file} was ended because of memory: ${cause.used}`;
      case "crashed":
        return `${module.file} was ended by an error that nothing awaits: ${cause.error.message}`;
      default:
        return `${module.file} did not answer for ${formatDuration(blockedAfter)} and was ended: ${where} does not end`;
    }
  }

  #interruption(cause: EndCause): Error {
    const why = cause.kind === "closed" ? "the program stops" : "other work in the same worker was ended";
    return new InterruptedError(`${this.options.module.file} was interrupted: ${why}`);
  }
}

function isListening({ work }: OpenJob): boolean {
  return work.kind === "source" && work.call.method === "listen";
}
