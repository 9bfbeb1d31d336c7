import { isDeepStrictEqual } from "node:util";
import { formatDuration } from "../model/duration.ts";
import { messageOf } from "../model/errors.ts";
import type { Json } from "../model/json.ts";
import type { DeviceSpec, SessionScope, TaskDefinition } from "../sdk/device.ts";
import { plainJson } from "../workers/plain_json.ts";
import type { Edge, GivenDevice, GivenTask, PingTarget, SessionFacts, SessionSettings, TaskEnd } from "./messages.ts";
import { type Pinged, PingJudge } from "./judge_pings.ts";
import { ABORTED } from "./messages.ts";
import { UsedFields } from "./used_fields.ts";
import { Wheel } from "./wheel.ts";

/** The functions of a platform as they are called. */
export type Platform = DeviceSpec<Json, unknown>;
type Scope = SessionScope<Json, unknown>;

/** Options of `Sessions`. */
export interface SessionsOptions {
  platform: Platform;
  settings: SessionSettings;
  /** Arguments of the platform's functions beside the device. */
  surroundings: Pick<Scope, "env" | "secrets">;
  /** A built-in ping, used instead of the platform's. */
  builtIn?: (target: PingTarget, signal: AbortSignal) => Promise<void>;
  /** Notes the device whose function is called next: its index + 1; 0 afterwards. */
  mark: (index: number) => void;
  onEdge: (edge: Edge) => void;
  onEnded: (end: TaskEnd) => void;
  /** A timer was set for this time. It may be the next one that is due. */
  onTimer?: (due: number) => void;
  /** The monotonic clock. @default performance.now */
  now?: () => number;
}

/** One operation on a session: its init, a ping, or its stop. */
interface Operation {
  what: "init" | "ping" | "stop";
  /** Milliseconds. */
  limit: number;
  controller?: AbortController;
  end: (error: Error | null, value?: unknown) => void;
}

interface Slot extends Pinged {
  index: number;
  name: string;
  data: Json;
  /** The item as the platform's functions get it. */
  device: Json;
  target: PingTarget | undefined;
  session: unknown;
  state: "initializing" | "running" | "stopping";
  operation?: Operation;
  tasks?: Map<number, RunningTask>;
}

interface RunningTask {
  controller: AbortController;
  end: (error: string | null, value?: unknown) => void;
}

/** The most pings at once. Further ones are skipped, as waiting pings would only pile up. */
const MOST_PINGS = { module: 5_000, tcp: 1_000, http: 1_000, run: 32 };
/** Milliseconds that `info` may take. */
const INFO_TIMEOUT = 5_000;

/**
 * The sessions of one worker: begins them, pings them at their intervals, runs tasks, ends them. Each has two timers on the
 * wheel: for its next ping (2 * index), and for the time limit of its operation (2 * index + 1).
 */
export class Sessions {
  readonly #slots: (Slot | undefined)[] = [];
  readonly #now: () => number;
  readonly #wheel: Wheel;
  readonly #used = new UsedFields();
  #pings = 0;
  readonly #judge = new PingJudge();
  #count = 0;
  readonly #tasks = new Map<number, Slot>();
  settings: SessionSettings;

  constructor(private readonly options: SessionsOptions) {
    this.#now = options.now ?? (() => performance.now());
    this.#wheel = new Wheel(this.#now());
    this.settings = options.settings;
  }

  /** How many there are, including those that are being stopped. */
  get size(): number {
    return this.#count;
  }

  /** When the next timer is due; undefined if none is set. */
  next(): number | undefined {
    return this.#wheel.next();
  }

  /** Fires the timers that are due. @returns milliseconds that it is behind */
  turn(): number {
    const behind = this.#wheel.turn(this.#now, (timer) => this.#fire(this.#slots[timer >> 1], timer % 2 === 0));
    this.#judge.behind(behind, this.#now());
    return behind;
  }

  /** Notes that the whole thread did nothing for so many milliseconds until now. */
  paused(ms: number): void {
    this.#judge.behind(ms, this.#now());
  }

  init({ index, name, data, target }: GivenDevice): void {
    const slot: Slot = {
      index,
      name,
      data,
      device: this.#used.watch(data),
      target,
      session: null,
      state: "initializing",
      failures: 0,
      isUp: undefined,
      // Fields added later would take more memory.
      lastPing: undefined,
      operation: undefined,
      tasks: undefined,
    };
    this.#slots[index] = slot;
    this.#count++;
    const { init } = this.options.platform;
    let isOver = false;
    const call = (scope: Scope) => {
      const result = init?.(scope);
      if (isThenable(result)) result.then((late) => isOver && this.#stopLate(slot, late), () => {});
      return result;
    };
    this.#begin(slot, "init", this.settings.initTimeout, call, (error, value) => {
      isOver = slot.state === "stopping" || error !== null;
      // It was stopped during its init.
      if (slot.state === "stopping") return;
      if (error) {
        this.options.onEdge(["init.error", index, messageOf(error)]);
        return this.#stop(slot);
      }
      slot.session = value ?? null;
      slot.state = "running";
      this.options.onEdge(["initialized", index]);
      this.#schedule(slot, 0, this.settings.ping?.every[0] ?? 0);
    });
  }

  /** Applies a changed item. Asks for a new session if the platform has used a changed field. */
  update({ index, data, target }: GivenDevice): void {
    const slot = this.#slots[index];
    if (slot === undefined || slot.state === "stopping") return;
    const before = slot.data;
    const isUsed = !isDeepStrictEqual(target, slot.target) || this.#used.differ(before, data);
    [slot.data, slot.device, slot.target] = [data, this.#used.watch(data), target];
    if (isUsed) this.options.onEdge(["reinit", index]);
  }

  /** Ends a session; tasks under way fail. */
  stop(index: number): void {
    const slot = this.#slots[index];
    if (slot !== undefined && slot.state !== "stopping") this.#stop(slot);
  }

  /** Applies changed settings: the next ping of each session is at most one interval away. */
  set(settings: SessionSettings): void {
    const before = this.settings.ping;
    this.settings = settings;
    if (isDeepStrictEqual(before?.every, settings.ping?.every)) return;
    for (const slot of this.#slots) {
      if (slot?.state === "running" && slot.operation === undefined) this.#schedule(slot);
    }
  }

  run({ id, index, task, inputs, job, timeout }: GivenTask): void {
    const slot = this.#slots[index];
    const began = performance.now();
    const at = Date.now();
    const controller = new AbortController();
    let isOpen = true;
    const end = (error: string | null, value?: unknown) => {
      if (!isOpen) return;
      isOpen = false;
      clearTimeout(timer);
      slot?.tasks?.delete(id);
      this.#tasks.delete(id);
      const executionTime = Math.round(performance.now() - began);
      let returned: Json = null;
      try {
        if (error === null) returned = plainJson(value, `the result of the task ${task}`);
      } catch (thrown) {
        error = messageOf(thrown);
      }
      this.options.onEnded({ id, error, return: returned, at, executionTime });
    };
    const timer = setTimeout(() => {
      end(`The task ${task} took longer than ${formatDuration(timeout)}`);
      controller.abort();
    }, timeout);
    if (slot?.state !== "running") return end("it has no session");
    const definition: TaskDefinition<Json, unknown> | undefined = this.options.platform.tasks?.[task];
    if (definition === undefined) return end(`the platform has no task ${task}`);
    (slot.tasks ??= new Map()).set(id, { controller, end });
    this.#tasks.set(id, slot);
    const { run } = definition.spec;
    const scope = { ...this.#scope(slot), inputs, job, signal: controller.signal };
    this.#call(slot, () => run(scope as never), (error, value) => end(error && messageOf(error), value));
  }

  abortTask(id: number): void {
    const running = this.#tasks.get(id)?.tasks?.get(id);
    running?.end(ABORTED);
    running?.controller.abort();
  }

  /** Details of a session, with the platform's `info` if asked for. */
  async factsOf(index: number, withInfo: boolean): Promise<SessionFacts> {
    const slot = this.#slots[index];
    if (slot === undefined) return { index, failures: 0 };
    const { failures, lastPing } = slot;
    const info = withInfo && slot.state === "running" ? await this.#info(slot) : undefined;
    return { index, failures, ...lastPing !== undefined && { lastPing }, ...info !== undefined && { info } };
  }

  /** Ends all sessions. */
  stopAll(): void {
    for (const index of this.#slots.keys()) this.stop(index);
  }

  async #info(slot: Slot): Promise<Json | undefined> {
    const { info } = this.options.platform;
    if (info === undefined) return undefined;
    const { promise, resolve } = Promise.withResolvers<Json>();
    const controller = new AbortController();
    const fail = (message: string) => resolve({ error: message });
    const timer = setTimeout(() => {
      fail(`info took longer than ${formatDuration(INFO_TIMEOUT)}`);
      controller.abort();
    }, INFO_TIMEOUT);
    const scope = { ...this.#scope(slot), signal: controller.signal };
    this.#call(slot, () => info(scope), (error, value) => {
      try {
        if (error) fail(messageOf(error));
        else resolve(plainJson(value, "the result of info"));
      } catch (thrown) {
        fail(messageOf(thrown));
      }
    });
    return await promise.finally(() => clearTimeout(timer));
  }

  #fire(slot: Slot | undefined, isPing: boolean): void {
    if (slot === undefined) return;
    if (isPing) return this.#ping(slot);
    const { operation } = slot;
    if (operation === undefined) return;
    operation.end(new Error(`${operation.what} took longer than ${formatDuration(operation.limit)}`));
    operation.controller?.abort();
  }

  #schedule(
    { index }: Slot,
    least = this.settings.ping?.every[0] ?? 0,
    most = this.settings.ping?.every[1] ?? 0,
  ): void {
    if (this.settings.ping === undefined) this.#wheel.drop(2 * index);
    else this.#setTimer(2 * index, this.#now() + least + Math.random() * (most - least));
  }

  #setTimer(timer: number, due: number): void {
    this.#wheel.set(timer, due);
    this.options.onTimer?.(due);
  }

  #ping(slot: Slot): void {
    const { settings: { ping }, options: { platform, builtIn } } = this;
    if (ping === undefined || slot.state !== "running") return;
    if (this.#pings >= MOST_PINGS[ping.by ?? "module"]) return this.#schedule(slot);
    this.#pings++;
    const own = ping.by === undefined
      ? (scope: Scope) => platform.ping?.(scope)
      : ({ signal }: Scope) => builtIn!(slot.target ?? "", signal);
    const began = this.#now();
    this.#begin(slot, "ping", ping.timeout, own, (error) => {
      this.#pings--;
      if (slot.state !== "running") return;
      if (this.#judge.counts(began)) this.#pinged(slot, error, ping.down);
      if (slot.state === "running") this.#schedule(slot);
    });
  }

  #pinged(slot: Slot, error: Error | null, down: number): void {
    const edges = this.#judge.take(slot, slot.index, error, down);
    edges.forEach(this.options.onEdge);
    if (edges.at(-1)?.[0] === "dead") this.#stop(slot);
  }

  /** Stops a session that an init has made after its time limit. Nothing else refers to it. */
  #stopLate(slot: Slot, session: unknown): void {
    const signal = AbortSignal.timeout(this.settings.stopTimeout);
    const scope = { ...this.#scope({ ...slot, session }), signal };
    this.#call(slot, () => this.options.platform.stop?.(scope), () => {});
  }

  #stop(slot: Slot): void {
    const { index } = slot;
    slot.state = "stopping";
    this.#wheel.drop(2 * index);
    const { operation } = slot;
    operation?.end(new Error("the session ends"));
    operation?.controller?.abort();
    for (const { controller, end } of [...slot.tasks?.values() ?? []]) {
      end("its session has ended");
      controller.abort();
    }
    const { stop } = this.options.platform;
    this.#begin(slot, "stop", this.settings.stopTimeout, (scope) => stop?.(scope), (error) => {
      if (error) this.options.onEdge(["stop.error", index, messageOf(error)]);
      this.#wheel.drop(2 * index);
      this.#slots[index] = undefined;
      this.#count--;
      this.options.onEdge(["stopped", index]);
    });
  }

  /** Calls a function with a time limit, and ignores a later result. */
  #begin(
    slot: Slot,
    what: Operation["what"],
    limit: number,
    call: (scope: Scope) => unknown,
    done: (error: Error | null, value?: unknown) => void,
  ): void {
    const timer = 2 * slot.index + 1;
    const operation: Operation = {
      what,
      limit,
      end: (error, value) => {
        if (slot.operation !== operation) return;
        slot.operation = undefined;
        this.#wheel.drop(timer);
        done(error, value);
      },
    };
    slot.operation = operation;
    this.#setTimer(timer, this.#now() + limit);
    const scope = {
      ...this.#scope(slot),
      // Made on first use: most functions never use it, and 10,000 controllers a second have a cost.
      get signal() {
        return (operation.controller ??= new AbortController()).signal;
      },
    };
    this.#call(slot, () => call(scope), operation.end);
  }

  #scope({ device, name, session }: Slot): Omit<Scope, "signal"> {
    return { device, name, session, ...this.options.surroundings };
  }

  #call({ index }: Slot, call: () => unknown, end: (error: Error | null, value?: unknown) => void): void {
    const { mark } = this.options;
    let result: unknown;
    try {
      mark(index + 1);
      result = call();
    } catch (error) {
      return end(toError(error));
    } finally {
      mark(0);
    }
    if (isThenable(result)) result.then((value) => end(null, value), (error) => end(toError(error)));
    else end(null, result);
  }
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof value === "object" && value !== null && "then" in value && typeof value.then === "function";
}

function toError(thrown: unknown): Error {
  return thrown instanceof Error ? thrown : new Error(String(thrown));
}
