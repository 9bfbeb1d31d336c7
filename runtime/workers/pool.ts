import type { Json } from "../model/json.ts";
import { formatDuration } from "../model/duration.ts";
import { type BundledModule, InterruptedError } from "./workers.ts";
import type { LogLevel, WorkOrder } from "./thread_messages.ts";
import { RuleWorker } from "./watched_worker.ts";

/**
 * Groups of workers, each with slots of its own. A rule that waits for a function holds a slot of another group than the
 * function, so that circular waiting cannot happen.
 */
export type WorkerGroup = "rules" | "functions" | "listeners" | "alone" | "describe";

interface PoolOptions {
  /** How many workers a group has at most. */
  slots: Record<WorkerGroup, number>;
  idleAfter: number;
  blockedAfter: number;
  heapLimit: number;
  secrets(): Record<string, string>;
  env(): Record<string, string>;
  /** Why code must reach nothing outside; absent if it may. */
  sealed?: string;
  /** The time of a simulated clock. */
  now(): number | undefined;
  onSecret(name: string): void;
  /** Resolves when the destination of a `fetch` has room. */
  admit(url: string, signal: AbortSignal): Promise<void>;
  onLog(line: { level: LogLevel; message: string; file: string; run?: string }): void;
}

/** A worker in use. */
interface PooledWorker {
  group: WorkerGroup;
  version: string;
  worker: RuleWorker;
  idleTimer?: ReturnType<typeof setTimeout>;
}

/** All workers that listen are busy, and none of them becomes free by itself. */
class NoListenerError extends Error {
  override name = "NoListenerError";

  constructor(file: string, most: number) {
    super(
      `Cannot start a worker for ${file}: ${most} modules listen already, which is the most; rules that listen by one file or ` +
        `package share a worker`,
    );
  }
}

/**
 * How many workers may be ending while others start. Each is a thread that uses a core until its native call returns: if
 * they were replaced without a bound, they would use up the machine.
 */
const MOST_ENDING = 8;
/** Milliseconds after which a worker that has not ended is reported in the log. */
const LONG_END = 10_000;
/** Milliseconds that callers wait for a worker to end. */
const END_TIMEOUT = 1_000;

const NONE: ReadonlyMap<string, string> = new Map();

/**
 * The workers in use: one for each version and group, started on demand. If a group is full, the longest idle worker is
 * evicted.
 */
export class Pool {
  /** By version and group, in order of last use. */
  #workers = new Map<string, PooledWorker>();
  #waiting = new Set<() => void>();
  /** The workers that are ending. */
  #ending = new Set<Promise<void>>();
  /** The secrets that each version was given: names by value. */
  #handed = new Map<string, Map<string, string>>();
  closed = false;
  #alone = 0;

  constructor(readonly options: PoolOptions) {}

  get size(): number {
    return this.#workers.size;
  }

  /** All workers of a group, or of all. */
  workers(group?: WorkerGroup): RuleWorker[] {
    return [...this.#workers.values()].filter((pooled) => group === undefined || pooled.group === group).map((pooled) =>
      pooled.worker
    );
  }

  /** Does one job in the version's worker. Waits for a free slot if all workers are busy. */
  async do(group: WorkerGroup, module: BundledModule, order: WorkOrder): Promise<Json> {
    const key = group === "alone" ? `alone/${this.#alone++}` : `${group}/${module.version}`;
    for (;;) {
      if (this.closed) throw new InterruptedError(`${module.file} was not started: the program stops`);
      order.signal?.throwIfAborted();
      const pooled = this.#take(key, group, module);
      if (pooled) return await pooled.worker.do(order);
      await this.#freeSlot(order.signal);
    }
  }

  /** See {@link Isolates.handedSecrets}. */
  handedSecrets(version: string): ReadonlyMap<string, string> {
    return this.#handed.get(version) ?? NONE;
  }

  /** Ends the workers of a version: at once if idle, else when their work is done. */
  async discard(version: string): Promise<void> {
    for (const pooled of [...this.#workers.values()].filter((pooled) => pooled.version === version)) {
      pooled.worker.retired = true;
      if (!pooled.worker.busy) await atMost(END_TIMEOUT, pooled.worker.end({ kind: "discarded" }));
    }
  }

  async close(): Promise<void> {
    this.closed = true;
    for (const pooled of [...this.#workers.values()]) pooled.worker.end({ kind: "closed" });
    this.#wake();
    await atMost(END_TIMEOUT, Promise.all(this.#ending));
  }

  #take(key: string, group: WorkerGroup, module: BundledModule): PooledWorker | undefined {
    const pooled = this.#workers.get(key) ?? this.#start(key, group, module);
    if (!pooled) return undefined;
    clearTimeout(pooled.idleTimer);
    this.#workers.delete(key);
    this.#workers.set(key, pooled);
    return pooled;
  }

  #start(key: string, group: WorkerGroup, module: BundledModule): PooledWorker | undefined {
    if (this.#ending.size >= MOST_ENDING) return undefined;
    const residents = [...this.#workers.values()].filter((pooled) => pooled.group === group);
    if (residents.length >= this.options.slots[group]) {
      const idle = residents.find((pooled) => !pooled.worker.busy);
      if (!idle && group === "listeners") throw new NoListenerError(module.file, this.options.slots[group]);
      if (!idle) return undefined;
      idle.worker.end({ kind: "discarded" });
    }
    const { heapLimit, blockedAfter, env, sealed, now, onLog, admit } = this.options;
    const secrets = this.options.secrets();
    const worker = new RuleWorker({
      module,
      secrets,
      env: env(),
      sealed,
      heapLimit,
      blockedAfter,
      now,
      admit,
      onSecret: (name) => this.#hand(module.version, name, secrets[name]),
      onLog: (level, message, run) => onLog({ level, message, file: module.file, ...(run && { run }) }),
      onIdle: () => this.#idle(pooled),
      onEnd: (gone) => {
        this.#end(gone, module.file);
        clearTimeout(pooled.idleTimer);
        if (this.#workers.get(key) === pooled) this.#workers.delete(key);
        const isUsed = [...this.#workers.values()].some(({ version }) => version === module.version);
        if (!isUsed) this.#handed.delete(module.version);
        this.#wake();
      },
    });
    const pooled: PooledWorker = { group, version: module.version, worker };
    return pooled;
  }

  #hand(version: string, name: string, value: string): void {
    const handed = this.#handed.get(version) ?? new Map<string, string>();
    this.#handed.set(version, handed.set(value, name));
    this.options.onSecret(name);
  }

  #idle(pooled: PooledWorker): void {
    if (pooled.group === "alone" || pooled.group === "describe" || pooled.worker.retired) {
      pooled.worker.end({ kind: "discarded" });
      return;
    }
    clearTimeout(pooled.idleTimer);
    pooled.idleTimer = setTimeout(() => pooled.worker.end({ kind: "discarded" }), this.options.idleAfter);
    this.#wake();
  }

  #end(gone: Promise<void>, file: string): void {
    this.#ending.add(gone);
    const message = `a worker of ${file} was ended ${formatDuration(LONG_END)} ago and still runs: a call such as ` +
      `pbkdf2Sync cannot be interrupted. While there are ${MOST_ENDING} of these, no other worker starts`;
    const timer = setTimeout(() => this.options.onLog({ level: "warn", message, file }), LONG_END);
    gone.finally(() => {
      clearTimeout(timer);
      this.#ending.delete(gone);
      this.#wake();
    });
  }

  #wake(): void {
    for (const wake of this.#waiting) wake();
    this.#waiting.clear();
  }

  /** Resolves when a worker has become idle or has ended, or the signal is aborted. */
  #freeSlot(signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve) => {
      const wake = () => {
        signal?.removeEventListener("abort", wake);
        this.#waiting.delete(wake);
        resolve();
      };
      this.#waiting.add(wake);
      signal?.addEventListener("abort", wake);
    });
  }
}

/** Resolves with the promise, or after the given time. */
async function atMost(milliseconds: number, ended: Promise<unknown>): Promise<void> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  await Promise.race([ended, new Promise((resolve) => timer = setTimeout(resolve, milliseconds))]);
  clearTimeout(timer);
}
