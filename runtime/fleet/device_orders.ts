import { hostname } from "node:os";
import type { Clock } from "../host/clock.ts";
import { messageOf } from "../model/errors.ts";
import type { TaskOrder, TaskResult } from "../model/fleet.ts";
import { TASK_TIMEOUT } from "../folder/fleet_file.ts";
import { newId } from "../model/id.ts";
import type { DeviceOrder, OrderRow, PlaceStore } from "../store/store.ts";
import type { LiveFleet } from "./live_fleet.ts";
import { type FleetSharing, PLACES_AT_ONCE } from "./sharing.ts";

/** Options of `DeviceOrders`. */
export interface DeviceOrdersOptions {
  store: PlaceStore;
  shared: FleetSharing;
  clock: Clock;
  fleetOf: (id: string) => LiveFleet | undefined;
  onFailure: (message: string) => void;
}

type OnResults = (results: TaskResult[]) => void | Promise<void>;

/** How many devices run a task at once, by default. */
const MOST_AT_ONCE = 100;
/** Milliseconds until it looks again, if no change is told. */
const LOOK = 1_000;

/**
 * Sends tasks to devices wherever they are: each replica executes them for the devices that it looks after, and orders them of the
 * others for theirs. Orders and results are rows of the store.
 */
export class DeviceOrders {
  readonly #options: DeviceOrdersOptions;
  /** The orders of others that this replica executes. */
  readonly #running = new Map<string, { abort: AbortController; done: Promise<void> }>();
  #change = Promise.withResolvers<void>();
  #isStopped = false;

  constructor(options: DeviceOrdersOptions) {
    this.#options = options;
  }

  /** Orders, their results or places have changed. */
  wake(): void {
    this.#change.resolve();
    this.#change = Promise.withResolvers();
    void this.#look().catch((error) => {
      if (!this.#isStopped) this.#options.onFailure(`Cannot execute what another replica ordered: ${messageOf(error)}`);
    });
  }

  /** Aborts what others have ordered. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#change.resolve();
    for (const { abort } of this.#running.values()) abort.abort();
    await Promise.all([...this.#running.values()].map(({ done }) => done));
  }

  // ── of others ──────────────────────────────────────────────────────────────────────────────────────────────────

  async #look(): Promise<void> {
    const { store, shared: { me } } = this.#options;
    const orders = await store.listOrders(me);
    const open = new Set(orders.map(({ id }) => id));
    for (const [id, { abort }] of this.#running) if (!open.has(id)) abort.abort();
    for (const order of orders) {
      if (this.#isStopped || this.#running.has(order.id)) continue;
      const abort = new AbortController();
      const done = this.#execute(order, abort).finally(() => this.#running.delete(order.id));
      this.#running.set(order.id, { abort, done });
    }
  }

  async #execute({ id, from: _from, to: _to, names, task, ...order }: OrderRow, abort: AbortController): Promise<void> {
    const { store, fleetOf, onFailure } = this.#options;
    const live = fleetOf(order.fleet);
    const mine = names.filter((name) => live?.mine.has(name));
    try {
      const { signal } = abort;
      if (live === undefined || mine.length === 0) return await store.endOrder(id);
      if (task === undefined) { for (const name of mine) live.supervisor.again(name); }
      else {
        await live.task({ ...order, task, to: mine, signal }, async (results) => {
          if (!await store.addResults(id, results)) abort.abort();
        });
      }
      await store.endOrder(id);
    } catch (error) {
      if (abort.signal.aborted) return;
      // Those without a result have this one.
      await store.endOrder(id, messageOf(error)).catch((failure) => {
        if (!this.#isStopped) onFailure(`Cannot answer what another replica ordered: ${messageOf(failure)}`);
      });
    }
  }

  // ── to others ──────────────────────────────────────────────────────────────────────────────────────────────────

  /** Sends a task to devices by name. See {@link Fleets.task}. */
  async send(live: LiveFleet, order: TaskOrder, names: string[], onResults: OnResults): Promise<void> {
    const { clock } = this.#options;
    const { max = MOST_AT_ONCE, done, timeout } = order;
    let open = new Set(names.filter((name) => !done?.has(name)));
    // Groups pass their results on one after another.
    let last: Promise<void> = Promise.resolve();
    const pass = (results: TaskResult[]) => {
      for (const { device } of results) open.delete(device);
      return last = last.then(() => onResults(results));
    };
    const end = clock.ticks() + (timeout ?? live.fleet.tasks[order.task]?.timeout ?? TASK_TIMEOUT);
    while (open.size > 0) {
      order.signal?.throwIfAborted();
      const before = this.#change.promise;
      const { byOwner, absent } = await this.#ownersOf(live, [...open]);
      if (absent.length > 0) await pass(absent.map((name) => this.#failed(order, name, "there is no such device")));
      const left = open.size;
      await this.#sendTo(live, order, byOwner, max, pass);
      if (open.size === 0 || open.size < left) continue;
      if (clock.ticks() >= end) {
        const reason = "no replica looks after it at the moment";
        await pass([...open].map((name) => this.#failed(order, name, reason)));
      } else await waitAtMost(clock, Math.min(LOOK, Math.max(0, end - clock.ticks())), before);
    }
    open = new Set();
    await last;
  }

  /** Lets a dead or failed device be initialized now by the replica that has it. */
  async again(live: LiveFleet, name: string): Promise<boolean> {
    const { store, clock, shared: { me } } = this.#options;
    const [place] = await store.getPlaces(live.fleet.id, [name]);
    if (place?.owner === me) return live.supervisor.again(name);
    if (place?.owner === undefined || !(place.state === "dead" || place.state === "failed")) return false;
    const ordered = {
      from: me,
      to: place.owner,
      fleet: live.fleet.id,
      names: [name],
      inputs: {},
      job: newId(clock.now()),
    };
    await this.#order(ordered, () => Promise.resolve(), undefined);
    return true;
  }

  async #ownersOf(live: LiveFleet, names: string[]): Promise<{ byOwner: Map<string, string[]>; absent: string[] }> {
    const byOwner = new Map<string, string[]>();
    const absent: string[] = [];
    for (let begin = 0; begin < names.length; begin += PLACES_AT_ONCE) {
      const slice = names.slice(begin, begin + PLACES_AT_ONCE);
      const places = new Map(
        (await this.#options.store.getPlaces(live.fleet.id, slice)).map((place) => [place.name, place]),
      );
      const known = await live.itemsOf(slice.filter((name) => !places.has(name)));
      for (const name of slice) {
        const { owner, news } = places.get(name) ?? {};
        if (news === "removed" || (!places.has(name) && !known.has(name))) absent.push(name);
        else if (owner !== undefined) {
          const names = byOwner.get(owner);
          if (names === undefined) byOwner.set(owner, [name]);
          else names.push(name);
        }
      }
    }
    return { byOwner, absent };
  }

  /** Sends to groups at once, with no more than `max` devices at once of all together. */
  async #sendTo(
    live: LiveFleet,
    order: TaskOrder,
    byOwner: Map<string, string[]>,
    max: number,
    pass: (results: TaskResult[]) => Promise<void>,
  ): Promise<void> {
    const groups = [...byOwner];
    const atOnce = Math.min(groups.length, max);
    const abort = new AbortController();
    const signal = order.signal === undefined ? abort.signal : AbortSignal.any([order.signal, abort.signal]);
    const share = { ...order, signal, max: Math.floor(max / Math.max(1, atOnce)) };
    let next = 0;
    const work = async () => {
      while (next < groups.length) {
        const [owner, names] = groups[next++];
        await this.#sendGroup(live, share, owner, names, pass);
      }
    };
    const workers = Array.from({ length: atOnce }, work);
    try {
      await Promise.all(workers);
    } catch (error) {
      next = groups.length;
      abort.abort(error);
      await Promise.allSettled(workers);
      throw error;
    }
  }

  async #sendGroup(
    live: LiveFleet,
    { fleet, task, inputs, job, max, timeout, signal, ...order }: TaskOrder,
    owner: string,
    names: string[],
    pass: (results: TaskResult[]) => Promise<void>,
  ): Promise<void> {
    const { shared: { me } } = this.#options;
    if (owner === me) {
      const to = names.filter((name) => live.mine.has(name));
      return await live.task({ ...order, fleet, task, inputs, job, max, timeout, signal, to }, pass);
    }
    const ordered = {
      from: me,
      to: owner,
      fleet,
      names,
      task,
      inputs,
      job,
      max,
      ...timeout !== undefined && { timeout },
    };
    await this.#order(ordered, pass, signal);
  }

  /** Orders something of another replica, and waits until that has done it, or has ended. */
  async #order(
    order: DeviceOrder,
    pass: (results: TaskResult[]) => Promise<void>,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    const { store, clock } = this.#options;
    const id = newId(clock.now());
    const left = new Set(order.names);
    await store.putOrder(id, order);
    const aborted = Promise.withResolvers<void>();
    signal?.addEventListener("abort", () => aborted.resolve(), { once: true });
    try {
      for (let after = 0;;) {
        const before = this.#change.promise;
        const progress = await store.getOrder(id, after);
        if (progress !== undefined && progress.results.length > 0) {
          after = progress.last;
          for (const { device } of progress.results) left.delete(device);
          await pass(progress.results);
        }
        if (progress?.error !== undefined) {
          return await pass([...left].map((name) => this.#failed(order, name, progress.error!)));
        }
        if (progress === undefined || progress.isDone) return;
        signal?.throwIfAborted();
        await waitAtMost(clock, LOOK, Promise.race([before, aborted.promise]));
      }
    } finally {
      await store.dropOrder(id);
    }
  }

  #failed({ job }: { job: string }, device: string, error: string): TaskResult {
    const at = new Date(this.#options.clock.now()).toISOString();
    return { job, device, worker: hostname(), success: false, error, return: null, at, executionTime: 0 };
  }
}

/** Waits for a change, but not longer than some milliseconds. */
async function waitAtMost(clock: Clock, ms: number, change: Promise<void>): Promise<void> {
  const late = Promise.withResolvers<void>();
  const cancel = clock.after(ms, late.resolve);
  await Promise.race([change, late.promise]);
  cancel();
}
