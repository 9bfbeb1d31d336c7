import { hostname } from "node:os";
import { isDeepStrictEqual } from "node:util";
import { type Clock, orAborted, sleepFor } from "../host/clock.ts";
import { INVENTORY } from "../folder/fleet_inventory.ts";
import { collectGarbage, RELIEF, Slices } from "../host/large_work.ts";
import { messageOf, UsageError } from "../model/errors.ts";
import type { Fleet, FleetTask, Recipients, TaskOrder, TaskResult } from "../model/fleet.ts";
import type { Json } from "../model/json.ts";
import type { PlaceStore, Progress, StoppedDevice, Store, TakenPlace } from "../store/store.ts";
import { DeviceLog, type DeviceLogOptions } from "./device_log.ts";
import { Inventory, type InventoryChange, type InventoryOptions } from "./inventory.ts";
import { type Device, isLive, newDevice } from "./device.ts";
import { isTags, tagsOf } from "./shared_views.ts";
import { Supervisor, type SupervisorOptions } from "./supervisor.ts";
import type { FleetSharing } from "./sharing.ts";
import { sendTask, type TaskScope, type TaskSender } from "./send_task.ts";

/** Options of `LiveFleet`. */
export interface LiveFleetOptions extends InventoryOptions, DeviceLogOptions, SupervisorOptions {
  store:
    & InventoryOptions["store"]
    & DeviceLogOptions["store"]
    & Pick<Store, "listStopped" | "listInventories">
    & PlaceStore;
  clock: Clock;
  /** Executes a task that the fleet's file declares. Its templates are unresolved. */
  call: (
    fleet: Fleet,
    call: NonNullable<FleetTask["call"]>,
    scope: TaskScope,
    signal: AbortSignal,
  ) => Promise<Json>;
  /** Absent if this program alone has all devices. */
  shared?: FleetSharing;
  /** The inventory of a fleet was read or has changed, if several replicas share the devices. */
  onInventory?: (fleet: string, removed: string[]) => void;
}

/** Devices that a removal stores at once. */
const SLICE = 500;
/** Milliseconds between two checks whether all devices of an order are initialized. */
const ALONE_PAUSE = 20;

/**
 * One fleet of the program: its inventory, its devices and their supervisor. If several replicas share the devices, the one that
 * decides reads the inventory, and each one looks after those that it has taken.
 */
export class LiveFleet {
  /** Those of the inventory, if this program reads it. */
  readonly devices = new Map<string, Device>();
  /** Those that this program looks after: the same, unless several replicas share them. */
  readonly mine: ReadonlyMap<string, Device>;
  readonly log: DeviceLog;
  readonly supervisor: Supervisor;
  #inventory: Inventory;
  #sorted: string[] | undefined;
  #isOpen = false;
  #isClosed = false;
  /** Whether all stored devices are in {@link devices}. */
  #isRead = false;
  /** Why it could not be opened. */
  #failure: string | null = null;
  /** With several replicas: the devices that this one has taken and not released yet, also while their sessions end. */
  readonly #epochs = new Map<string, number>();
  readonly #taken = new Map<string, Device>();
  /** Resolves when the known devices wait for their init. */
  readonly #opened = Promise.withResolvers<void>();

  constructor(public fleet: Fleet, private readonly options: LiveFleetOptions) {
    const { shared } = options;
    const holder = shared && { replica: shared.me, epochOf: (name: string) => this.#epochs.get(name) };
    this.log = new DeviceLog(fleet.id, options, holder);
    this.mine = shared === undefined ? this.devices : this.#taken;
    this.supervisor = new Supervisor(fleet, this.mine, this.log, options);
    this.#inventory = this.#newInventory();
  }

  /** Why its inventory or its platform does not work, or which devices were left out; null if all is well. */
  get problem(): string | null {
    return this.#failure ?? this.supervisor.fault ?? this.#inventory.failure ?? this.#inventory.warning;
  }

  /** Whether it takes devices. */
  get isOpen(): boolean {
    return this.#isOpen;
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
    const { fleet, options: { clock, call, shared } } = this;
    const sender: TaskSender = {
      fleet,
      names: this.#namesOf(order.to),
      deviceOf: (name) => this.mine.get(name),
      fault: () => this.#isClosed ? "the fleet ends" : this.supervisor.fault,
      ...shared && { acting: () => shared.acting() },
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

  /** Opens the fleet. */
  start(): void {
    if (!this.#isClosed) void this.#tryToOpen().finally(this.#opened.resolve);
  }

  /** Ends all sessions. */
  async stop(): Promise<void> {
    this.#isClosed = true;
    this.#opened.resolve();
    await this.#close();
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
      for (const device of this.devices.values()) if (!this.#taken.has(device.name)) device.isRemoved = true;
      this.devices.clear();
      this.#isRead = false;
      this.#sorted = undefined;
      return await this.#tryToOpen();
    }
    if (before.tags !== fleet.tags) {
      for (const device of [...this.devices.values(), ...this.#taken.values()]) device.tags = this.#tagsOf(device.data);
    }
    const inventoryOf = ({ inventory: { triggers }, list, files, key }: Fleet) => [triggers, list, files, key];
    if (isDeepStrictEqual(inventoryOf(before), inventoryOf(fleet))) return this.#inventory.use(fleet);
    await this.#renewInventory();
    if (!this.#isClosed && this.readsInventory) await this.#inventory.attach();
  }

  /** From now on this replica decides, so it reads the inventory, unless it did so when it was opened. */
  async decide(): Promise<void> {
    await this.#opened.promise;
    if (this.#isClosed || this.#failure !== null || this.#isRead) return;
    await this.#readBaseline();
    await this.#inventory.attach();
  }

  /** Whether this program reads the inventory. */
  get readsInventory(): boolean {
    return this.options.shared?.decides() ?? true;
  }

  /** Whether this program reads the inventory, and knows all devices that are stored. */
  get knowsInventory(): boolean {
    return this.readsInventory && this.#isRead;
  }

  async #renewInventory(): Promise<void> {
    await this.#inventory.detach();
    this.#inventory = this.#newInventory();
  }

  /** Resolves when it was opened, or has ended. */
  get opened(): Promise<void> {
    return this.#opened.promise;
  }

  /** Forgets all devices, after the fleet's file was removed. Their sessions may still run. */
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
  }

  #newInventory(): Inventory {
    const { fleet, options, devices } = this;
    return new Inventory(fleet, options, () => devices.keys(), (change, progress) => this.#change(change, progress));
  }

  async #open(): Promise<void> {
    const { shared } = this.options;
    const rows = shared === undefined ? await this.options.store.listStopped(this.fleet.id) : new Map();
    if (shared !== undefined) {
      this.#isOpen = true;
      this.supervisor.open(rows);
      if (!shared.decides()) return;
    }
    await this.#readBaseline();
    // Devices removed meanwhile get no session.
    await this.#inventory.attach();
    if (this.#isClosed) return;
    this.#isOpen = true;
    if (this.devices.size > RELIEF) collectGarbage();
    const { size } = this.devices;
    this.options.log(this.fleet.id, INVENTORY).info(`${size} ${size === 1 ? "device" : "devices"}`);
    if (shared === undefined) this.supervisor.open(rows);
  }

  /** Adds the devices of the stored baseline. */
  async #readBaseline(): Promise<void> {
    const slices = new Slices();
    for await (const page of this.#inventory.baseline()) {
      for (const [name, item] of page) this.#add(name, item);
      if (slices.isOver) await slices.next();
    }
    this.#isRead = true;
    this.options.onInventory?.(this.fleet.id, []);
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
    const { shared } = this.options;
    const added = put.map(([name]) => name).filter((name) => !this.devices.has(name));
    const gone = removed.flatMap((name) => this.devices.get(name) ?? []);
    const others = shared && put.filter(([name, item]) => !isDeepStrictEqual(this.devices.get(name)?.data, item));
    const isFull = await this.log.progress(
      progress,
      added,
      gone.map(({ name }) => name),
      others?.map(([name]) => name),
    );
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
    // Those who look after them learn of it from their places.
    if (shared === undefined) this.supervisor.change(fresh, changed, gone);
    else this.options.onInventory?.(this.fleet.id, removed);
    if (isFull) await this.log.room();
  }

  #add(name: string, data: Json): Device {
    const device = this.#taken.get(name) ?? this.#create(name, data);
    this.devices.set(name, device);
    this.#sorted = undefined;
    return device;
  }

  #create(name: string, data: Json): Device {
    return newDevice(name, data, this.#tagsOf(data), this.options.clock.now());
  }

  // ── devices that several replicas share ────────────────────────────────────────────────────────────────────────

  /** Whether this replica has taken a device and not released it yet. */
  holds(name: string): boolean {
    return this.#epochs.has(name);
  }

  get holdsAny(): boolean {
    return this.#epochs.size > 0;
  }

  /** Looks after devices that this replica has taken, in the state in which their last owner left them. */
  async adopt(taken: TakenPlace[]): Promise<void> {
    const items = await this.itemsOf(taken.map(({ name }) => name));
    const devices: Device[] = [];
    const rows = new Map<string, StoppedDevice>();
    for (const { name, epoch, state, stopped } of taken) {
      this.#epochs.set(name, epoch);
      const device = this.devices.get(name) ?? this.#create(name, items.get(name) ?? null);
      this.#taken.set(name, device);
      // Those that went are released soon.
      if (!items.has(name)) continue;
      if (stopped !== undefined) rows.set(name, stopped);
      else if (isLive(state)) device.before = state;
      // Its last owner was about to begin a session.
      else if (state !== device.state) this.log.report(device);
      devices.push(device);
    }
    this.supervisor.adopt(devices, rows);
  }

  /** Reads the items of devices anew, which have changed. */
  async readItems(names: string[]): Promise<void> {
    const items = await this.itemsOf(names);
    const changed = names.flatMap((name) => items.has(name) ? this.#taken.get(name) ?? [] : []);
    for (const device of changed) {
      device.data = items.get(device.name)!;
      device.tags = this.#tagsOf(device.data);
    }
    this.supervisor.change([], changed, []);
  }

  /** Ends the sessions of devices. @param onLeft called for each when its session has ended */
  leave(names: string[], onLeft: (name: string, epoch: number) => void): void {
    const devices = names.flatMap((name) => this.#taken.get(name) ?? []);
    for (const device of devices) {
      const { name, data } = device;
      this.#taken.delete(name);
      // The old one keeps its session until that has ended.
      if (this.devices.get(name) === device) this.devices.set(name, this.#create(name, data));
    }
    this.supervisor.leave(devices, ({ name }) => onLeft(name, this.#epochs.get(name)!));
  }

  /** These devices are released. */
  forget(names: string[]): void {
    for (const name of names) this.#epochs.delete(name);
  }

  /** The items of devices that are in the inventory. */
  itemsOf(names: string[]): Promise<Map<string, Json>> {
    return this.options.store.getItems({ rule: this.fleet.id, trigger: INVENTORY }, names);
  }

  #tagsOf(item: Json): string[] {
    return tagsOf(this.fleet, item);
  }
}
