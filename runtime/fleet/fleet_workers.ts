import { clearInterval, clearTimeout, setInterval, setTimeout } from "node:timers";
import { type CodeWorker, startCodeWorker } from "../host/code_worker.ts";
import { formatDuration } from "../model/duration.ts";
import type { Fleet } from "../model/fleet.ts";
import type { LogLevel } from "../workers/thread_messages.ts";
import type {
  Edge,
  FleetSetup,
  FromFleetThread,
  GivenDevice,
  GivenTask,
  PingTarget,
  SessionFacts,
  SessionSettings,
  TaskEnd,
  ToFleetThread,
} from "./messages.ts";

/** Options of `Workers`. */
export interface WorkersOptions {
  fleet: Fleet;
  /** All secrets that a platform may ask for, by name. */
  secrets: () => Record<string, string>;
  env: () => Record<string, string>;
  /** Runs a program that pings; resolves to the reason of its failure, or null. */
  run: (fleet: Fleet, command: PingTarget, timeout: number) => Promise<string | null>;
  onSecret: (name: string) => void;
  onLog: (fleet: string, level: LogLevel, message: string) => void;
  /** Milliseconds without an answer after which platform code counts as blocked. @default 10_000 */
  blockedAfter?: number;
  /** Milliseconds that the end of a session may take. @default 60_000 */
  stopTimeout?: number;
  /** The most sessions of one worker. @default 5_000; more if devices have no sessions */
  mostSessions?: number;
}

/** The callbacks of {@link FleetWorker} to the fleet. */
type Callbacks<Device> = Pick<FleetWorkerOptions<Device>, "onEdges" | "onGone" | "onUnusable">;

const MOST_SESSIONS = 5_000;
/** For devices without `init`, which need only a place on the timer wheel. */
const MOST_PINGED = 200_000;
/** Milliseconds within which all sessions end when the program stops. */
const CLOSE_TIMEOUT = 6_000;

/** The workers of one fleet: one for each 5,000 sessions. */
export class Workers<Device> {
  #workers: FleetWorker<Device>[] = [];
  /** Workers with an older platform, until their last session has ended. */
  readonly #old = new Set<FleetWorker<Device>>();
  #fleet: Fleet;

  constructor(private readonly options: WorkersOptions & Callbacks<Device>) {
    this.#fleet = options.fleet;
  }

  get count(): number {
    return this.#workers.length + this.#old.size;
  }

  /** Applies a changed fleet. @param isOther whether sessions begin anew, in other workers */
  use(fleet: Fleet, isOther: boolean): void {
    this.#fleet = fleet;
    if (isOther) {
      for (const worker of this.#workers) {
        worker.isOld = true;
        this.#old.add(worker);
      }
      this.#workers = [];
      for (const worker of this.#old) this.retire(worker);
    } else for (const worker of this.#workers) worker.set(this.#settings());
  }

  /** A worker that takes one more session. */
  withRoom(): FleetWorker<Device> {
    const { mostSessions = this.#fleet.platform?.methods.includes("init") ? MOST_SESSIONS : MOST_PINGED } =
      this.options;
    const found = this.#workers.find(({ size }) => size < mostSessions);
    if (found !== undefined) return found;
    const worker = this.#start();
    this.#workers.push(worker);
    return worker;
  }

  /** Ends a worker with an older platform whose last session has ended. */
  retire(worker: FleetWorker<Device>): void {
    if (worker.size > 0 || !this.#old.delete(worker)) return;
    void worker.end();
  }

  /** Ends all sessions, then the workers. */
  async close(): Promise<void> {
    await Promise.all([...this.#workers, ...this.#old].map((worker) => worker.close(CLOSE_TIMEOUT)));
  }

  #start(): FleetWorker<Device> {
    const { secrets, env, run, onSecret, onLog, onEdges, onGone, onUnusable, blockedAfter = 10_000 } = this.options;
    const fleet = this.#fleet;
    const { id, platform } = fleet;
    return new FleetWorker<Device>({
      setup: {
        fleet: id,
        ...platform && { platform: { file: platform.file, code: platform.code, name: platform.name } },
        secrets: platform ? secrets() : {},
        settings: this.#settings(),
      },
      env: env(),
      blockedAfter,
      run: (command, timeout) => run(fleet, command, timeout),
      onSecret,
      onLog: (level, message) => onLog(id, level, message),
      onEdges,
      onGone: (worker, reason, culprit) => {
        this.#forget(worker);
        onGone(worker, reason, culprit);
      },
      onUnusable: (worker, error) => {
        this.#forget(worker);
        onUnusable(worker, error);
      },
    });
  }

  #forget(worker: FleetWorker<Device>): void {
    this.#workers = this.#workers.filter((each) => each !== worker);
    this.#old.delete(worker);
  }

  #settings(): SessionSettings {
    const { ping, init } = this.#fleet;
    return {
      ...ping && {
        ping: { every: ping.every, timeout: ping.timeout, down: ping.down, ...ping.by && { by: ping.by.kind } },
      },
      initTimeout: init.timeout,
      stopTimeout: this.options.stopTimeout ?? 60_000,
    };
  }
}

/** Options of `FleetWorker`. */
interface FleetWorkerOptions<Device> {
  setup: FleetSetup;
  env: Record<string, string>;
  /** Milliseconds without an answer after which its code counts as blocked. */
  blockedAfter: number;
  onEdges(worker: FleetWorker<Device>, edges: Edge[]): void;
  /** It ended by itself, or was ended because it did not answer. `culprit`: the device whose function never returned, if known. */
  onGone(worker: FleetWorker<Device>, reason: string, culprit: Device | undefined): void;
  /** The platform does not load. */
  onUnusable(worker: FleetWorker<Device>, error: string): void;
  /** Runs a program that pings; resolves to the reason of its failure, or null. */
  run(command: PingTarget, timeout: number): Promise<string | null>;
  onSecret(name: string): void;
  onLog(level: LogLevel, message: string): void;
}

/** Unanswered messages after which a worker counts as blocked. Counted, not timed, as the machine may have slept. */
const PROBES = 4;
/** Factor by which a start may take longer: the worker loads the platform. */
const START_FACTOR = 5;
/** Bytes of its heap, if the host can limit that. */
const HEAP = 1.5e9;

/** The main thread's side of a worker that holds sessions. */
export class FleetWorker<Device> {
  /** Its devices by index. */
  readonly devices: (Device | undefined)[] = [];
  /** It has an older platform. */
  isOld = false;
  readonly #free: number[] = [];
  readonly #worker: CodeWorker;
  readonly #tasks = new Map<number, (end: Omit<TaskEnd, "id">) => void>();
  readonly #asked = new Map<number, (facts: SessionFacts[]) => void>();
  readonly #closed = Promise.withResolvers<void>();
  #ids = 0;
  #missed = 0;
  #isReady = false;
  #isGone = false;
  #ticks: ReturnType<typeof setInterval>;
  #tasksToSend: GivenTask[] = [];

  constructor(private readonly options: FleetWorkerOptions<Device>) {
    const { setup, env, blockedAfter } = options;
    this.#worker = startCodeWorker(new URL("./fleet_thread.ts", import.meta.url), {
      data: setup,
      env,
      heapLimit: HEAP,
      isSmall: true,
      onMessage: (message) => this.#receive(message as FromFleetThread),
      onEnd: (end) => this.#gone(end.kind === "memory" ? "its heap is full" : end.error.message, undefined),
    });
    this.#ticks = setInterval(() => this.#check(), blockedAfter / PROBES);
  }

  /** How many sessions it has, including those that are being stopped. */
  get size(): number {
    return this.devices.length - this.#free.length;
  }

  /** Takes a device in. @returns its index */
  add(device: Device): number {
    const index = this.#free.pop() ?? this.devices.length;
    this.devices[index] = device;
    return index;
  }

  /** Its session has ended: the index is free. */
  remove(index: number): void {
    this.devices[index] = undefined;
    this.#free.push(index);
  }

  init(devices: GivenDevice[]): void {
    this.#post({ type: "init", devices });
  }

  update(devices: GivenDevice[]): void {
    this.#post({ type: "update", devices });
  }

  stop(indexes: number[]): void {
    this.#post({ type: "stop", indexes });
  }

  set(settings: FleetSetup["settings"]): void {
    this.#post({ type: "settings", settings });
  }

  /** Runs a task. @returns how it ended; never rejects */
  run(task: Omit<GivenTask, "id">, signal?: AbortSignal): Promise<Omit<TaskEnd, "id">> {
    const id = ++this.#ids;
    return new Promise((resolve) => {
      const abort = () => this.#post({ type: "abort", tasks: [id] });
      this.#tasks.set(id, (end) => {
        signal?.removeEventListener("abort", abort);
        resolve(end);
      });
      if (this.#isGone) return this.#endTasks("its worker has ended");
      signal?.addEventListener("abort", abort);
      // All tasks of one turn are one message.
      if (this.#tasksToSend.push({ id, ...task }) === 1) queueMicrotask(() => this.#sendTasks());
    });
  }

  /** Details of devices beside their states; empty if the worker does not answer. */
  ask(indexes: number[], info: boolean, timeout: number): Promise<SessionFacts[]> {
    const request = ++this.#ids;
    return new Promise((resolve) => {
      const answer = (facts: SessionFacts[]) => {
        clearTimeout(timer);
        this.#asked.delete(request);
        resolve(facts);
      };
      const timer = setTimeout(() => answer([]), timeout);
      this.#asked.set(request, answer);
      this.#post({ type: "ask", request, indexes, info });
    });
  }

  /** Ends all sessions, for at most `timeout` milliseconds, then the worker. */
  async close(timeout: number): Promise<void> {
    const late = setTimeout(() => this.#closed.resolve(), timeout);
    if (this.#isReady && !this.#isGone) {
      this.#post({ type: "close" });
      await this.#closed.promise;
    }
    clearTimeout(late);
    await this.end();
  }

  /** Ends it at once. */
  async end(): Promise<void> {
    this.#isGone = true;
    clearInterval(this.#ticks);
    this.#endTasks("its worker has ended");
    for (const answer of [...this.#asked.values()]) answer([]);
    this.#closed.resolve();
    await this.#worker.terminate();
  }

  #receive(message: FromFleetThread): void {
    if (this.#isGone) return;
    const { onEdges, onUnusable, onSecret, onLog } = this.options;
    switch (message.type) {
      case "ready":
        this.#isReady = true;
        this.#missed = 0;
        return;
      case "unusable":
        void this.end();
        return onUnusable(this, message.error);
      case "edges":
        return onEdges(this, message.edges);
      case "ended":
        for (const { id, ...end } of message.tasks) {
          const resolve = this.#tasks.get(id);
          this.#tasks.delete(id);
          resolve?.(end);
        }
        return;
      case "run":
        return void this.#run(message);
      case "facts":
        return this.#asked.get(message.request)?.(message.devices);
      case "alive":
        this.#missed = 0;
        return;
      case "closed":
        return this.#closed.resolve();
      case "secret":
        return onSecret(message.name);
      case "log":
        return onLog(message.level, message.message);
    }
  }

  async #run({ run, command, timeout }: Extract<FromFleetThread, { type: "run" }>): Promise<void> {
    const error = await this.options.run(command, timeout);
    this.#post({ type: "ran", run, error });
  }

  #check(): void {
    const factor = this.#isReady ? 1 : START_FACTOR;
    if (this.#missed >= PROBES * factor) {
      const { blockedAfter, setup } = this.options;
      const culprit = this.devices[this.#worker.mark() - 1];
      const where = setup.platform?.file ?? "its worker";
      const does = this.#isReady ? "did not answer" : "was not loaded";
      const reason = `${where} ${does} for ${formatDuration(factor * blockedAfter)}: a loop does not end`;
      return this.#gone(reason, culprit);
    }
    this.#missed++;
    if (this.#isReady) this.#post({ type: "alive" });
  }

  #gone(reason: string, culprit: Device | undefined): void {
    if (this.#isGone) return;
    void this.end();
    this.options.onGone(this, reason, culprit);
  }

  #endTasks(error: string): void {
    const tasks = [...this.#tasks.values()];
    this.#tasks.clear();
    for (const end of tasks) end({ error, return: null, at: Date.now(), executionTime: 0 });
  }

  #sendTasks(): void {
    const tasks = this.#tasksToSend;
    this.#tasksToSend = [];
    this.#post({ type: "tasks", tasks });
  }

  #post(message: ToFleetThread): void {
    if (!this.#isGone) this.#worker.post(message);
  }
}
