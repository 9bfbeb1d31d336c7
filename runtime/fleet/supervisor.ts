import { isDeepStrictEqual } from "node:util";
import type { Cancel, Clock } from "../host/clock.ts";
import type { Scope } from "../language/expressions/expression.ts";
import { messageOf } from "../model/errors.ts";
import type { DeviceState, Fleet } from "../model/fleet.ts";
import type { StoppedDevice } from "../store/store.ts";
import { CrashPauses, LONGEST_PAUSE } from "./crash_pauses.ts";
import { byWorker, type Device, fits, givenOf, isComing, isLive, type LiveEdge } from "./device.ts";
import type { DeviceLog } from "./device_log.ts";
import { type FleetWorker, Workers, type WorkersOptions } from "./fleet_workers.ts";
import type { Edge } from "./messages.ts";
import { resolveTarget } from "./ping_targets.ts";
import { StoppedDevices } from "./stopped_devices.ts";

/** Options of `Supervisor`. */
export interface SupervisorOptions extends Omit<WorkersOptions, "fleet"> {
  clock: Clock;
  surroundings: (fleet: string) => Scope;
}

/** Milliseconds between two slices of devices that get new sessions after a change of the platform. */
const SLICE_PAUSE = 100;

/**
 * Decides about the devices of one fleet: which is initialized next, which is unreachable, dead or failed, and when it is tried
 * again. The sessions are in workers, which report only changes.
 */
export class Supervisor {
  /** Why the platform does not work; null if it does. */
  fault: string | null = null;
  readonly workers: Workers<Device>;
  #queue: Device[] = [];
  #initializing = 0;
  /** Sessions of removed devices that still end, by name: a new device of that name waits for it. */
  readonly #leaving = new Map<string, Device>();
  /** What is done when such a session has ended, if something is. */
  readonly #onLeft = new Map<Device, () => void>();
  readonly #stopped: StoppedDevices;
  /** Names of devices with a row in the store; their next init removes it. */
  readonly #hadRow = new Set<string>();
  #isOpen = false;
  readonly #crashes = new CrashPauses();
  readonly #timers = new Set<Cancel>();
  /** Counts renewals: a newer one ends the one that is under way. */
  #renewals = 0;

  constructor(
    public fleet: Fleet,
    /** The devices of the inventory. */
    private readonly devices: ReadonlyMap<string, Device>,
    private readonly log: DeviceLog,
    private readonly options: SupervisorOptions,
  ) {
    this.workers = new Workers({
      ...options,
      fleet,
      onEdges: (worker, edges) => this.#onEdges(worker, edges),
      onGone: (worker, reason, culprit) => this.#onGone(worker, reason, culprit),
      onUnusable: (worker, error) => this.#onUnusable(worker, error),
    });
    this.#stopped = new StoppedDevices(options.clock, (due) => {
      for (const device of due) this.#wait(device);
      this.#pump();
    });
  }

  /** Begins. @param rows the devices that were dead or failed when the program ended */
  open(rows: ReadonlyMap<string, StoppedDevice>): void {
    this.#isOpen = true;
    for (const name of rows.keys()) if (!this.devices.has(name)) this.log.clear(name);
    this.adopt(this.devices.values(), rows);
  }

  /** Begins with more devices, which it has already. @param rows those of them that are dead or failed */
  adopt(devices: Iterable<Device>, rows: ReadonlyMap<string, StoppedDevice>): void {
    const known = [...rows].filter(([name]) => this.devices.has(name)).sort(([, a], [, b]) => a.again - b.again);
    const latest = this.options.clock.now() + this.fleet.init.again;
    for (const [name, row] of known) {
      const device = this.devices.get(name)!;
      // The clock may have been rolled back since.
      Object.assign(device, row, { again: Math.min(row.again, latest) });
      this.#hadRow.add(name);
      this.#stopped.add(device);
    }
    for (const device of devices) if (device.state === "waiting") this.#enqueue(device);
    this.#wakeStopped(this.options.clock.now());
    this.#pump();
  }

  /** Begins with a few devices only, also dead and failed ones. */
  openFor(devices: Device[], rows: ReadonlyMap<string, StoppedDevice>): void {
    this.#isOpen = true;
    for (const name of rows.keys()) this.#hadRow.add(name);
    this.#queue = devices;
    this.#pump();
  }

  /** Ends all sessions. */
  async close(): Promise<void> {
    this.#isOpen = false;
    for (const cancel of this.#timers) cancel();
    this.#stopped.close();
    await this.workers.close();
  }

  /**
   * Ends the sessions of devices that another replica looks after from now on, without an event.
   * @param onLeft called for each one when its session has ended
   */
  leave(devices: Device[], onLeft: (device: Device) => void): void {
    for (const device of devices) {
      this.#hadRow.delete(device.name);
      this.#remove(device);
      if (device.worker === undefined) onLeft(device);
      else this.#onLeft.set(device, () => onLeft(device));
    }
  }

  /** Takes a changed file: sessions begin anew only if the platform, or the kind of ping, has changed. */
  use(fleet: Fleet): void {
    const before = this.fleet;
    this.fleet = fleet;
    const isOther = before.platformVersion !== fleet.platformVersion ||
      !isDeepStrictEqual(before.ping?.by, fleet.ping?.by) || (before.ping === undefined) !== (fleet.ping === undefined);
    this.workers.use(fleet, isOther);
    if (isOther) this.#renew();
    else this.#pump();
  }

  /** Takes changes of the inventory that are stored. */
  change(added: Device[], changed: Device[], removed: Device[]): void {
    for (const device of removed) this.#remove(device);
    for (const device of added) this.#enqueue(device);
    this.#update(changed);
    this.#pump();
  }

  /** Initializes a dead or failed device now. @returns false if it is neither */
  again(name: string): boolean {
    const device = this.devices.get(name);
    if (device === undefined || !this.#stopped.remove(name)) return false;
    this.#wait(device);
    this.#pump();
    return true;
  }

  #remove(device: Device): void {
    const { name, worker, index, state } = device;
    this.#stopped.remove(name);
    if (this.#hadRow.delete(name)) this.log.clear(name);
    device.isRemoved = true;
    if (state === "initializing") this.#initializing--;
    if (worker === undefined) return;
    this.#leaving.set(name, device);
    worker.stop([index]);
  }

  /** Sends changed items to workers. A dead or failed device with a changed item is tried again. */
  #update(changed: Device[]): void {
    const given: Device[] = [];
    for (const device of changed) {
      if (this.#stopped.remove(device.name)) this.#wait(device);
      else if (device.worker !== undefined && this.#resolve(device)) given.push(device);
    }
    for (const [worker, devices] of byWorker(given)) worker.update(devices.map(givenOf));
  }

  #set(device: Device, state: DeviceState, error?: string): void {
    device.state = state;
    device.since = this.options.clock.now();
    device.error = error;
    device.again = undefined;
    // If its session only begins anew, nobody learns of that.
    if (device.before === undefined) this.log.report(device);
  }

  /** Lets a device wait for its init. */
  #wait(device: Device): void {
    this.#set(device, "waiting");
    device.failures = 0;
    this.#enqueue(device);
  }

  /** Puts a device at the end of the queue. If its last session still ends, that end does it. */
  #enqueue(device: Device): void {
    if (device.worker !== undefined || this.#leaving.has(device.name) || device.isQueued) return;
    device.isQueued = true;
    this.#queue.push(device);
  }

  #pump(): void {
    if (!this.#isOpen || this.fault !== null) return;
    const begun: Device[] = [];
    let next = 0;
    while (next < this.#queue.length && this.#initializing < this.fleet.init.max) {
      const device = this.#queue[next++];
      device.isQueued = undefined;
      if (device.isRemoved || device.state !== "waiting" || !this.#resolve(device)) continue;
      const worker = this.workers.withRoom();
      device.worker = worker;
      device.index = worker.add(device);
      this.#set(device, "initializing");
      this.#initializing++;
      begun.push(device);
    }
    if (next > 0) this.#queue = this.#queue.slice(next);
    for (const [worker, devices] of byWorker(begun)) worker.init(devices.map(givenOf));
  }

  /** Resolves the target to ping. @returns false if that fails, for example because the item lacks a field: the device has failed */
  #resolve(device: Device): boolean {
    const { fleet, options: { surroundings, clock } } = this;
    if (fleet.ping?.by === undefined) return true;
    try {
      const scope = { ...surroundings(fleet.id), device: device.data, $now: clock.now() };
      device.target = resolveTarget(fleet.ping.by, scope);
      return true;
    } catch (error) {
      const { worker, index } = device;
      if (device.state === "initializing") this.#initializing--;
      worker?.stop([index]);
      this.#fail(device, "failed", this.log.mask(messageOf(error)));
      return false;
    }
  }

  /** Gives all devices new sessions, in slices. */
  #renew(): void {
    this.fault = null;
    const stale = [...this.devices.values()].filter(({ worker }) => worker !== undefined);
    const renewal = ++this.#renewals;
    const next = () => {
      if (renewal !== this.#renewals) return;
      // At any time, only as many are without a session as may be initialized at once.
      let away = 0;
      for (const { state } of this.devices.values()) if (isComing(state)) away++;
      const slice = stale.splice(0, Math.max(0, this.fleet.init.max - away));
      for (const device of slice) if (!device.isRemoved && device.worker?.isOld) this.#reinit(device);
      this.#pump();
      if (stale.length > 0) this.#after(SLICE_PAUSE, next);
    };
    next();
  }

  #reinit(device: Device): void {
    const { worker, index, state } = device;
    if (worker === undefined || !(isLive(state) || state === "initializing")) return;
    if (state === "initializing") this.#initializing--;
    this.#set(device, "waiting");
    device.failures = 0;
    worker.stop([index]);
  }

  #onEdges(worker: FleetWorker<Device>, edges: Edge[]): void {
    for (const [kind, index, told = ""] of edges) {
      const device = worker.devices[index];
      if (device === undefined) continue;
      const error = this.log.mask(told);
      if (kind === "stopped") this.#onStopped(worker, device, index);
      else if (kind === "stop.error") this.log.add(kind, device.name, { error });
      // A session that is to end may still send changes from before that.
      else if (!device.isRemoved && device.worker === worker && fits(kind, device.state)) {
        this.#onEdge(device, kind, error);
      }
    }
    this.#pump();
  }

  #onEdge(device: Device, kind: LiveEdge, error: string): void {
    const { name, state } = device;
    switch (kind) {
      case "initialized":
        return this.#onInitialized(device);
      case "init.error":
        this.#initializing--;
        return this.#fail(device, "failed", error);
      case "reachable":
        device.failures = 0;
        if (state === "reachable") return;
        this.#set(device, "reachable");
        return this.log.add(kind, name);
      case "unreachable":
        device.failures++;
        if (state === "unreachable") device.error = error;
        else this.#set(device, "unreachable", error);
        return this.log.add(kind, name, { error, failures: device.failures });
      case "dead":
        return this.#fail(device, "dead", error);
      case "reinit":
        return this.#reinit(device);
    }
  }

  #onInitialized(device: Device): void {
    const { name, before } = device;
    this.#initializing--;
    this.#set(device, before ?? "initialized");
    device.before = undefined;
    const row = this.#hadRow.delete(name) ? null : undefined;
    if (before === undefined) this.log.add("initialized", name, {}, row);
    else if (row === null) this.log.clear(name);
  }

  #fail(device: Device, state: "dead" | "failed", error: string): void {
    const { name, failures } = device;
    const now = this.options.clock.now();
    this.#set(device, state, error);
    device.before = undefined;
    device.again = now + this.fleet.init.again;
    const row: StoppedDevice = { state, since: now, again: device.again, failures, error };
    const kind = state === "dead" ? "dead" : "init.error";
    this.log.add(kind, name, { error, ...state === "dead" && { failures } }, row);
    this.#hadRow.add(name);
    this.#stopped.add(device);
    this.#wakeStopped(now);
  }

  #onStopped(worker: FleetWorker<Device>, device: Device, index: number): void {
    worker.remove(index);
    this.workers.retire(worker);
    this.#release(worker, device, index);
    const current = this.devices.get(device.name);
    if (current?.state === "waiting") this.#enqueue(current);
  }

  /** A session has ended: the device, or the next one of its name, may have another one. */
  #release(worker: FleetWorker<Device>, device: Device, index: number): void {
    if (device.worker === worker && device.index === index) device.worker = undefined;
    if (this.#leaving.get(device.name) !== device) return;
    this.#leaving.delete(device.name);
    this.#onLeft.get(device)?.();
    this.#onLeft.delete(device);
  }

  /** Initializes the dead and failed devices that are due. */
  #wakeStopped(now: number): void {
    for (const device of this.#stopped.take(now)) this.#wait(device);
  }

  #onGone(worker: FleetWorker<Device>, reason: string, culprit: Device | undefined): void {
    this.options.onLog(this.fleet.id, "error", culprit ? `${reason}; it was called for ${culprit.name}` : reason);
    this.#requeue(worker, reason, culprit);
    if (culprit !== undefined || worker.isOld) return this.#pump();
    this.#pause(reason, this.#crashes.next(this.options.clock.now()));
  }

  /** Queues the devices of a worker that has ended, except the culprit. */
  #requeue(worker: FleetWorker<Device>, reason: string, culprit?: Device): void {
    for (const [index, device] of worker.devices.entries()) {
      if (device === undefined) continue;
      this.#release(worker, device, index);
      if (device.isRemoved) continue;
      if (device.state === "initializing") this.#initializing--;
      if (device.state === "dead" || device.state === "failed") continue;
      if (device === culprit && device.state !== "waiting") this.#blame(device, reason);
      else {
        device.before ??= isLive(device.state) ? device.state : undefined;
        this.#wait(device);
      }
    }
    for (const device of this.devices.values()) if (device.state === "waiting") this.#enqueue(device);
  }

  /** Begins no sessions for a while. */
  #pause(fault: string, ms: number): void {
    this.fault = fault;
    this.#after(ms, () => {
      this.fault = null;
      this.#pump();
    });
  }

  /** Gives up a device whose function never returned. */
  #blame(device: Device, reason: string): void {
    if (device.state === "initializing") return this.#fail(device, "failed", reason);
    device.failures++;
    this.log.add("unreachable", device.name, { error: reason, failures: device.failures });
    this.#fail(device, "dead", reason);
  }

  /** A platform that does not load is tried again when its file changes, and after a while. */
  #onUnusable(worker: FleetWorker<Device>, error: string): void {
    const fault = `the platform does not load: ${this.log.mask(error)}`;
    this.options.onLog(this.fleet.id, "error", fault);
    // If this was an older platform, the newer one may load.
    if (!worker.isOld) this.#pause(fault, LONGEST_PAUSE);
    this.#requeue(worker, fault);
    this.#pump();
  }

  #after(ms: number, work: () => void): void {
    if (!this.#isOpen) return;
    const cancel = this.options.clock.after(ms, () => {
      this.#timers.delete(cancel);
      if (this.#isOpen) work();
    });
    this.#timers.add(cancel);
  }
}
