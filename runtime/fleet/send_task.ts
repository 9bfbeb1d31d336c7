import { type Clock, sleepFor } from "../host/clock.ts";
import { checkValues, sayProblem } from "../language/fields/check_values.ts";
import { formatDuration } from "../model/duration.ts";
import { hintAtUnknown } from "../language/hints.ts";
import { messageOf, UsageError } from "../model/errors.ts";
import type { Fleet, FleetTask, TaskOrder, TaskResult } from "../model/fleet.ts";
import type { Json, JsonObject } from "../model/json.ts";
import { type Device, isComing, isLive } from "./device.ts";
import { ABORTED, type TaskEnd } from "./messages.ts";

/** The scope of a task's templates. */
export interface TaskScope {
  device: Json;
  inputs: JsonObject;
  job: string;
}

/** The parts of a fleet that tasks need. */
export interface TaskSender {
  fleet: Fleet;
  /** The devices to which it is sent. */
  names: string[];
  deviceOf: (name: string) => Device | undefined;
  /** Why no device is initialized for a while, such as a platform that does not load; null if all is well. */
  fault: () => string | null;
  /** Executes a task that the fleet's file declares. */
  call: (call: NonNullable<FleetTask["call"]>, scope: TaskScope, signal: AbortSignal) => Promise<Json>;
  /** With several replicas: see `FleetSharing.acting`. */
  acting?: () => Promise<void> | undefined;
  /** The name of this host. */
  worker: string;
  clock: Clock;
}

/** How many devices run a task at once, by default. */
const MOST_AT_ONCE = 100;
/** The number of results passed on together, and the milliseconds after which fewer are passed on. */
const SLICE = 100;
const SLICE_TIME = 500;
/** Milliseconds between two checks whether a device is initialized. */
const INIT_PAUSE = 50;
/** While so many results are not stored, no more devices are sent the task. */
const MOST_WAITING = 1_000;

/** The number of tasks that run on a device, and the tasks that wait for their turn, of all orders. */
const turns = new WeakMap<Device, { running: number; waiting: (() => void)[] }>();

/** Sends a task to devices; see {@link Fleets.task}. */
export async function sendTask(
  sender: TaskSender,
  order: TaskOrder,
  onResults: (results: TaskResult[]) => void | Promise<void>,
): Promise<void> {
  const { fleet, names } = sender;
  const task = Object.hasOwn(fleet.tasks, order.task) ? fleet.tasks[order.task] : undefined;
  if (task === undefined) {
    const hint = hintAtUnknown(order.task, Object.keys(fleet.tasks));
    throw new UsageError(`${fleet.id} has no task ${JSON.stringify(order.task)}; ${hint}`);
  }
  const { values: inputs, problems } = checkValues(task.inputs, order.inputs);
  if (problems.length > 0) {
    throw new UsageError(`Cannot send ${task.name} to ${fleet.id}: ${problems.map(sayProblem).join("; ")}`);
  }
  const { max = MOST_AT_ONCE, done, signal } = order;
  if (max < 1) throw new UsageError(`Cannot send ${task.name} to ${max} devices at once: expected at least 1`);
  const open = names.filter((name) => !done?.has(name));
  const results = new Results(onResults, sender.clock);
  let next = 0;
  const work = async () => {
    while (next < open.length) {
      signal?.throwIfAborted();
      const name = open[next++];
      // Results are stored also if the order is aborted at the same time.
      await results.add(await runOne(sender, { ...order, inputs }, task, name));
    }
  };
  const workers = Array.from({ length: Math.min(max, open.length) }, work);
  try {
    await Promise.all(workers);
  } catch (error) {
    // No further device begins. The results so far are stored.
    next = open.length;
    await Promise.allSettled(workers);
    await results.flush();
    throw error;
  }
  await results.flush();
}

async function runOne(sender: TaskSender, order: TaskOrder, task: FleetTask, name: string): Promise<TaskResult> {
  const { job, timeout, signal } = order;
  const device = sender.deviceOf(name);
  const begun = { job, device: name, worker: sender.worker };
  const failed = (error: string): TaskResult => {
    const at = new Date(sender.clock.now()).toISOString();
    return { ...begun, success: false, error, return: null, at, executionTime: 0 };
  };
  if (device === undefined) return failed("there is no such device");
  const leave = await turnOf(device, task.max, signal);
  try {
    if (task.call === undefined) await untilInitialized(sender, device, timeout ?? task.timeout, signal);
    await sender.acting?.();
    signal?.throwIfAborted();
    const reason = unableTo(task, device, sender.fault());
    if (reason !== undefined) return failed(reason);
    const { error, return: returned, at, executionTime } = await execute(sender, order, task, device);
    const time = new Date(at).toISOString();
    return { ...begun, success: error === null, error, return: returned, at: time, executionTime };
  } finally {
    leave();
  }
}

/** Why a device cannot be sent a task now. A task by `call` needs no session: it may reboot a device that is dead. */
function unableTo(
  { call }: FleetTask,
  { state, error, isRemoved, worker }: Device,
  fault: string | null,
): string | undefined {
  if (isRemoved) return "it was removed";
  if (call !== undefined) return undefined;
  if (worker !== undefined && isLive(state)) return undefined;
  const why = error ?? (isComing(state) ? fault : undefined) ?? undefined;
  return why === undefined ? `it has no session: it is ${state}` : `it has no session: it is ${state}: ${why}`;
}

async function execute(
  { call, clock }: TaskSender,
  { inputs, job, timeout: asked, signal }: TaskOrder,
  task: FleetTask,
  device: Device,
): Promise<Omit<TaskEnd, "id">> {
  const timeout = asked ?? task.timeout;
  if (task.call === undefined) {
    const ended = await device.worker!.run({ index: device.index, task: task.name, inputs, job, timeout }, signal);
    if (ended.error === ABORTED) signal?.throwIfAborted();
    return ended;
  }
  const at = clock.now();
  const began = clock.ticks();
  const late = new AbortController();
  const cancel = clock.after(timeout, () => {
    late.abort(new Error(`The task ${task.name} took longer than ${formatDuration(timeout)}`));
  });
  const either = signal === undefined ? late.signal : AbortSignal.any([signal, late.signal]);
  const end = (error: string | null, value: Json) => {
    return { error, return: value, at, executionTime: clock.ticks() - began };
  };
  try {
    const { data } = device;
    return end(null, await call(task.call, { device: data, inputs, job }, either));
  } catch (error) {
    if (!late.signal.aborted) signal?.throwIfAborted();
    return end(messageOf(late.signal.aborted ? late.signal.reason : error), null);
  } finally {
    cancel();
  }
}

/** Waits for the session of a device, which it soon gets after a start or a reload; not if the platform is at fault. */
async function untilInitialized(
  { clock, fault }: TaskSender,
  device: Device,
  timeout: number,
  signal = new AbortController().signal,
): Promise<void> {
  const end = clock.ticks() + timeout;
  while (isComing(device.state) && !device.isRemoved && fault() === null && !signal.aborted && clock.ticks() < end) {
    await sleepFor(clock, INIT_PAUSE, signal);
  }
}

/**
 * Waits until fewer than `max` tasks run on a device.
 * @returns a function that passes the turn to the next task
 * @throws the reason of the signal
 */
async function turnOf(device: Device, max: number, signal: AbortSignal | undefined): Promise<() => void> {
  const turn = turns.get(device) ?? { running: 0, waiting: [] };
  turns.set(device, turn);
  while (turn.running >= max) {
    signal?.throwIfAborted();
    const mine = Promise.withResolvers<void>();
    const abort = () => mine.resolve();
    signal?.addEventListener("abort", abort);
    turn.waiting.push(mine.resolve);
    await mine.promise;
    signal?.removeEventListener("abort", abort);
    turn.waiting = turn.waiting.filter((each) => each !== mine.resolve);
    // If it was woken and aborted at the same time, it passes its turn on.
    if (signal?.aborted) turn.waiting.shift()?.();
  }
  turn.running++;
  return () => {
    turn.running--;
    turn.waiting.shift()?.();
  };
}

/** Passes results on in slices, one after another. */
class Results {
  #waiting: TaskResult[] = [];
  /** Results passed on and not stored yet. */
  #pending = 0;
  #last: Promise<void> = Promise.resolve();
  /** Cancels the timer for results that are too few for a slice. */
  #cancel: (() => void) | undefined;
  /** Why results cannot be stored. */
  #failure: { error: unknown } | undefined;

  constructor(
    private readonly onResults: (results: TaskResult[]) => void | Promise<void>,
    private readonly clock: Clock,
  ) {}

  /** Resolves at once, unless too many wait to be stored. @throws what `onResults` has thrown */
  async add(result: TaskResult): Promise<void> {
    if (this.#failure !== undefined) throw this.#failure.error;
    if (this.#waiting.push(result) === 1) {
      this.#cancel = this.clock.after(SLICE_TIME, () => void this.flush().catch(() => {}));
    }
    const flushed = this.#waiting.length >= SLICE ? this.flush() : undefined;
    if (this.#pending >= MOST_WAITING) await flushed;
  }

  /** @throws what `onResults` throws */
  flush(): Promise<void> {
    this.#cancel?.();
    const slice = this.#waiting;
    this.#waiting = [];
    if (slice.length === 0) return this.#last;
    this.#pending += slice.length;
    this.#last = this.#last.then(async () => {
      await this.onResults(slice);
      this.#pending -= slice.length;
    });
    // The next `add` or `flush` throws it. Without this it would be an unhandled rejection until then.
    this.#last.catch((error) => this.#failure ??= { error });
    return this.#last;
  }
}
