import { hostname } from "node:os";
import { isDeepStrictEqual } from "node:util";
import { type Clock, orAborted, sleepFor } from "../host/clock.ts";
import { INVENTORY } from "../folder/fleet_inventory.ts";
import { collectGarbage, RELIEF, Slices } from "../host/large_work.ts";
import { evaluate } from "../language/expressions/expression.ts";
import { messageOf, UsageError } from "../model/errors.ts";
import {
  ALONE,
  type Fleet,
  type FleetTask,
  type Places,
  type Recipients,
  type TaskOrder,
  type TaskResult,
} from "../model/fleet.ts";
import type { Json } from "../model/json.ts";
import type { Progress, Store } from "../store/store.ts";
import { DeviceLog, type DeviceLogOptions } from "./device_log.ts";
import { Inventory, type InventoryChange, type InventoryOptions } from "./inventory.ts";
import { type Device, newDevice } from "./device.ts";
import { Supervisor, type SupervisorOptions } from "./supervisor.ts";
import { sendTask, type TaskScope, type TaskSender } from "./send_task.ts";

/** Options of `LiveFleet`. */
export interface LiveFleetOptions extends InventoryOptions, DeviceLogOptions, SupervisorOptions {
  store: InventoryOptions["store"] & DeviceLogOptions["store"] & Pick<Store, "listStopped" | "listInventories">;
  clock: Clock;
  /** Executes a task that the fleet's file declares. Its templates are unresolved. */
  call: (
    fleet: Fleet,
    call: NonNullable<FleetTask["call"]>,
    scope: TaskScope,
    signal: AbortSignal,
  ) => Promise<Json>;
  /** @default ALONE */
  places?: Places;
}

/** One list for all devices without tags. */
const NO_TAGS: string[] = [];
/** Devices that a removal stores at once. */
const SLICE = 500;
/** Milliseconds between two checks whether all devices of an order are initialized. */
const ALONE_PAUSE = 20;

/** One fleet of the program: its inventory, its devices and their supervisor. */
export class LiveFleet {
  readonly devices = new Map<string, Device>();
  readonly log: DeviceLog;
  readonly supervisor: Supervisor;
  #inventory: Inventory;
  #sorted: string[] | undefined;
  #isOpen = false;
  #isClosed = false;
  /** Why it could not be opened. */
  #failure: string | null = null;
  #release: (() => Promise<void>) | undefined;
  /** Resolves when the known devices wait for their init. */
  readonly #opened = Promise.withResolvers<void>();

  constructor(public fleet: Fleet, private readonly options: LiveFleetOptions) {
    this.log = new DeviceLog(fleet.id, options);
    this.supervisor = new Supervisor(fleet, this.devices, this.log, options);
    this.#inventory = this.#newInventory();
  }

  /** Why its inventory or its platform does not work, or which devices were left out; null if all is well. */
  get problem(): string | null {
    return this.#failure ?? this.supervisor.fault ?? this.#inventory.failure ?? this.#inventory.warning;
  }

  /** The names of its devices in order. */
  names(): string[] {
    return this.#sorted ??= [...this.devices.keys()].sort();
  }

  /**
   * The names that recipients stand for.
   * @throws UsageError if they are none
   */
  async recipients(to: Recipients): Promise<string[]> {
    await this.#opened.promise;
    return this.#namesOf(to);
  }

  /** @throws UsageError */
  #namesOf(to: Recipients): string[] {
    if (to === "all") return this.names();
    if (typeof to === "string" && to !== "") return [to];
    if (Array.isArray(to) && to.every((name) => typeof name === "string" && name !== "")) return [...new Set(to)];
    if (isTags(to)) {
      return this.names().filter((name) => this.devices.get(name)!.tags.some((tag) => to.tags.includes(tag)));
    }
    const given = JSON.stringify(to);
    throw new UsageError(`Cannot send a task to ${given}: expected a name, a list of names, { tags: […] } or all`);
  }

  /** See {@link Fleets.task}. */
  async task(order: TaskOrder, onResults: (results: TaskResult[]) => void | Promise<void>): Promise<void> {
    await orAborted(this.#opened.promise, order.signal);
    if (this.#failure !== null) throw new Error(`Cannot send a task to ${this.fleet.id}: ${this.#failure}`);
    await this.#send(order, onResults);
  }

  #send(order: TaskOrder, onResults: (results: TaskResult[]) => void | Promise<void>): Promise<void> {
    const { fleet, options: { clock, call } } = this;
    const sender: TaskSender = {
      fleet,
      names: this.#namesOf(order.to),
      deviceOf: (name) => this.devices.get(name),
      fault: () => this.#isClosed ? "the fleet ends" : this.supervisor.fault,
      call: (said, scope, signal) => call(fleet, said, scope, signal),
      worker: hostname(),
      clock,
    };
    return sendTask(sender, order, onResults);
  }

  /** Executes one order in a pass in which no fleet runs: initializes its devices, and stops them afterwards. Pings nothing. */
  async taskAlone(order: TaskOrder, onResults: (results: TaskResult[]) => void | Promise<void>): Promise<void> {
    const { clock, store } = this.options;
    const signal = order.signal ?? new AbortController().signal;
    try {
      await this.#readBaseline();
      await this.#inventory.look();
      const names = this.#namesOf(order.to).filter((name) => !order.done?.has(name));
      const devices = names.flatMap((name) => this.devices.get(name) ?? []);
      this.#isOpen = true;
      this.supervisor.openFor(devices, await store.listStopped(this.fleet.id));
      const isOpen = () => devices.some(({ state }) => state === "waiting" || state === "initializing");
      while (isOpen() && this.supervisor.fault === null && !signal.aborted) await sleepFor(clock, ALONE_PAUSE, signal);
      await this.#send(order, onResults);
    } finally {
      await this.#close();
    }
  }

  /** Opens the fleet as soon as this program has the place. */
  start(): void {
    if (this.#isClosed) return;
    const { places = ALONE } = this.options;
    this.#release = places.claim(`fleet ${this.fleet.id}`, {
      onMine: () => void this.#tryToOpen().finally(this.#opened.resolve),
      release: () => this.#close(),
    });
  }

  /** Ends all sessions. */
  async stop(): Promise<void> {
    this.#isClosed = true;
    this.#opened.resolve();
    await this.#release?.();
  }

  async #tryToOpen(): Promise<void> {
    try {
      await this.#open();
      this.#failure = null;
    } catch (error) {
      if (this.#isClosed) return;
      this.#failure = `it could not be opened: ${messageOf(error)}`;
      this.options.onFailure(`Cannot start the fleet ${this.fleet.id}: ${messageOf(error)}`);
    }
  }

  /** Takes a changed file. Opens a fleet again that could not be opened. */
  async use(fleet: Fleet): Promise<void> {
    await this.#opened.promise;
    if (this.#isClosed || (fleet === this.fleet && this.#failure === null)) return;
    const before = this.fleet;
    this.fleet = fleet;
    this.supervisor.use(fleet);
    if (this.#failure !== null) {
      await this.#renewInventory();
      // Some may be queued already.
      for (const device of this.devices.values()) device.isRemoved = true;
      this.devices.clear();
      this.#sorted = undefined;
      return await this.#tryToOpen();
    }
    if (before.tags !== fleet.tags) {
      for (const device of this.devices.values()) device.tags = this.#tagsOf(device.data);
    }
    const inventoryOf = ({ inventory: { triggers }, list, files, key }: Fleet) => [triggers, list, files, key];
    if (isDeepStrictEqual(inventoryOf(before), inventoryOf(fleet))) return this.#inventory.use(fleet);
    await this.#renewInventory();
    if (!this.#isClosed) await this.#inventory.attach();
  }

  async #renewInventory(): Promise<void> {
    await this.#inventory.detach();
    this.#inventory = this.#newInventory();
  }

  /** Forgets all devices, after the fleet's file was removed. */
  async remove(): Promise<void> {
    await this.#opened.promise;
    await this.#inventory.detach();
    const key = { rule: this.fleet.id, trigger: INVENTORY };
    const names = [...this.devices.keys()];
    for (let begin = 0; begin < names.length; begin += SLICE) {
      // The next start removes the rest.
      if (this.#isClosed) return;
      const removed = names.slice(begin, begin + SLICE);
      await this.#change({ put: [], removed }, { ...key, baseline: { put: [], remove: removed } });
    }
    await this.#change({ put: [], removed: [] }, { ...key, mark: null });
    await this.stop();
  }

  #newInventory(): Inventory {
    const { fleet, options, devices } = this;
    return new Inventory(fleet, options, () => devices.keys(), (change, progress) => this.#change(change, progress));
  }

  async #open(): Promise<void> {
    const rows = await this.options.store.listStopped(this.fleet.id);
    await this.#readBaseline();
    // Devices removed meanwhile get no session.
    await this.#inventory.attach();
    if (this.#isClosed) return;
    this.#isOpen = true;
    if (this.devices.size > RELIEF) collectGarbage();
    const { size } = this.devices;
    this.options.log(this.fleet.id, INVENTORY).info(`${size} ${size === 1 ? "device" : "devices"}`);
    this.supervisor.open(rows);
  }

  /** Adds the devices of the stored baseline. */
  async #readBaseline(): Promise<void> {
    const slices = new Slices();
    for await (const page of this.#inventory.baseline()) {
      for (const [name, item] of page) this.#add(name, item);
      if (slices.isOver) await slices.next();
    }
  }

  async #close(): Promise<void> {
    this.#isOpen = false;
    this.#isClosed = true;
    // A change of the inventory may wait for room.
    this.log.hurry();
    await this.#inventory.detach();
    await this.supervisor.close();
    await this.log.close();
  }

  /** Stores a change of the inventory with its events, then applies it. */
  async #change({ put, removed }: InventoryChange, progress: Progress): Promise<void> {
    const added = put.map(([name]) => name).filter((name) => !this.devices.has(name));
    const gone = removed.flatMap((name) => this.devices.get(name) ?? []);
    const isFull = await this.log.progress(progress, added, gone.map(({ name }) => name));
    const fresh: Device[] = [];
    const changed: Device[] = [];
    for (const [name, item] of put) {
      const device = this.devices.get(name);
      if (device === undefined) fresh.push(this.#add(name, item));
      else if (!isDeepStrictEqual(device.data, item)) {
        [device.data, device.tags] = [item, this.#tagsOf(item)];
        changed.push(device);
      }
    }
    for (const { name } of gone) this.devices.delete(name);
    this.#sorted = undefined;
    this.supervisor.change(fresh, changed, gone);
    if (isFull) await this.log.room();
  }

  #add(name: string, data: Json): Device {
    const since = this.options.clock.now();
    const device = newDevice(name, data, this.#tagsOf(data), since);
    this.devices.set(name, device);
    this.#sorted = undefined;
    return device;
  }

  #tagsOf(item: Json): string[] {
    const { tags } = this.fleet;
    if (tags === undefined) return NO_TAGS;
    try {
      const value = evaluate(tags, { item });
      const list = Array.isArray(value) ? value : [value];
      return list.filter((tag) => tag !== null && typeof tag !== "object").map(String);
    } catch {
      // An item without the field has no tags.
      return [];
    }
  }
}

function isTags(to: Recipients): to is { tags: string[] } {
  return typeof to === "object" && to !== null && "tags" in to && Array.isArray(to.tags);
}
