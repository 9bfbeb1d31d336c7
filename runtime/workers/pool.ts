import type { Json } from "../model/json.ts";
import { formatDuration } from "../model/duration.ts";
import { type BundledModule, InterruptedError } from "./workers.ts";
import type { LogLevel, WorkOrder } from "./thread_messages.ts";
import { RuleWorker } from "./watched_worker.ts";

/**
 * Workers of one lane never take a slot from another. A rule that waits for a function holds a worker of its own lane, so
 * that circular waiting cannot happen.
 */
export type Lane = "rules" | "functions" | "listeners" | "alone" | "describe";

export interface PoolOptions {
  room: Record<Lane, number>;
  idleAfter: number;
  blockedAfter: number;
  heapLimit: number;
  secrets(): Record<string, string>;
  env(): Record<string, string>;
  /** The time of a simulated clock. */
  now(): number | undefined;
  onSecret(name: string): void;
  /** Resolves when the destination of a `fetch` has room. */
  admit(url: string, signal: AbortSignal): Promise<void>;
  onLog(line: { level: LogLevel; message: string; file: string; run?: string }): void;
}

interface Seat {
  lane: Lane;
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
const END_PATIENCE = 1_000;

const NONE: ReadonlyMap<string, string> = new Map();

/**
 * The workers in use: one for each version and lane, started on demand. If a lane is full, the longest idle worker is
 * evicted.
 */
export class Pool {
  /** In order of last use. */
  #seats = new Map<string, Seat>();
  #waiting = new Set<() => void>();
  /** Those that are ending. */
  #ending = new Set<Promise<void>>();
  /** By version: maps value to name. */
  #handed = new Map<string, Map<string, string>>();
  closed = false;
  #alone = 0;

  constructor(readonly options: PoolOptions) {}

  get size(): number {
    return this.#seats.size;
  }

  /** All workers of a lane, or of all. */
  workers(lane?: Lane): RuleWorker[] {
    return [...this.#seats.values()].filter((seat) => lane === undefined || seat.lane === lane).map((seat) =>
      seat.worker
    );
  }

  /** Does one job in the version's worker. Waits for a free slot if all workers are busy. */
  async do(lane: Lane, module: BundledModule, order: WorkOrder): Promise<Json> {
    const key = lane === "alone" ? `alone/${this.#alone++}` : `${lane}/${module.version}`;
    for (;;) {
      if (this.closed) throw new InterruptedError(`${module.file} was not started: the program stops`);
      order.signal?.throwIfAborted();
      const seat = this.#take(key, lane, module);
      if (seat) return await seat.worker.do(order);
      await this.#room(order.signal);
    }
  }

  /** See {@link Isolates.handedSecrets}. */
  handedSecrets(version: string): ReadonlyMap<string, string> {
    return this.#handed.get(version) ?? NONE;
  }

  /** Ends the workers of a version: at once if idle, else when their work is done. */
  async discard(version: string): Promise<void> {
    for (const seat of [...this.#seats.values()].filter((seat) => seat.version === version)) {
      seat.worker.retired = true;
      if (!seat.worker.busy) await atMost(END_PATIENCE, seat.worker.end({ kind: "discarded" }));
    }
  }

  async close(): Promise<void> {
    this.closed = true;
    for (const seat of [...this.#seats.values()]) seat.worker.end({ kind: "closed" });
    this.#wake();
    await atMost(END_PATIENCE, Promise.all(this.#ending));
  }

  #take(key: string, lane: Lane, module: BundledModule): Seat | undefined {
    const seat = this.#seats.get(key) ?? this.#start(key, lane, module);
    if (!seat) return undefined;
    clearTimeout(seat.idleTimer);
    this.#seats.delete(key);
    this.#seats.set(key, seat);
    return seat;
  }

  #start(key: string, lane: Lane, module: BundledModule): Seat | undefined {
    if (this.#ending.size >= MOST_ENDING) return undefined;
    const residents = [...this.#seats.values()].filter((seat) => seat.lane === lane);
    if (residents.length >= this.options.room[lane]) {
      const idle = residents.find((seat) => !seat.worker.busy);
      if (!idle && lane === "listeners") throw new NoListenerError(module.file, this.options.room[lane]);
      if (!idle) return undefined;
      idle.worker.end({ kind: "discarded" });
    }
    const { heapLimit, blockedAfter, env, now, onLog, admit } = this.options;
    const secrets = this.options.secrets();
    const worker = new RuleWorker({
      module,
      secrets,
      env: env(),
      heapLimit,
      blockedAfter,
      now,
      admit,
      onSecret: (name) => this.#hand(module.version, name, secrets[name]),
      onLog: (level, message, run) => onLog({ level, message, file: module.file, ...(run && { run }) }),
      onIdle: () => this.#idle(seat),
      onEnd: (gone) => {
        this.#end(gone, module.file);
        clearTimeout(seat.idleTimer);
        if (this.#seats.get(key) === seat) this.#seats.delete(key);
        const isUsed = [...this.#seats.values()].some(({ version }) => version === module.version);
        if (!isUsed) this.#handed.delete(module.version);
        this.#wake();
      },
    });
    const seat: Seat = { lane, version: module.version, worker };
    return seat;
  }

  #hand(version: string, name: string, value: string): void {
    const handed = this.#handed.get(version) ?? new Map<string, string>();
    this.#handed.set(version, handed.set(value, name));
    this.options.onSecret(name);
  }

  #idle(seat: Seat): void {
    if (seat.lane === "alone" || seat.lane === "describe" || seat.worker.retired) {
      seat.worker.end({ kind: "discarded" });
      return;
    }
    clearTimeout(seat.idleTimer);
    seat.idleTimer = setTimeout(() => seat.worker.end({ kind: "discarded" }), this.options.idleAfter);
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

  /** Resolves when a worker became idle or ended. */
  #room(signal: AbortSignal | undefined): Promise<void> {
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
