import { hintAtUnknown } from "../language/hints.ts";
import { messageOf, UsageError } from "../model/errors.ts";
import type {
  DeviceSearch,
  DeviceView,
  Fleet,
  Fleets,
  FleetSummary,
  Recipients,
  TaskOrder,
  TaskResult,
} from "../model/fleet.ts";
import { INVENTORY } from "../folder/fleet_inventory.ts";
import type { LoadedFleets } from "../folder/loaded.ts";
import { DeviceLog } from "./device_log.ts";
import type { SessionFacts } from "./messages.ts";
import { LiveFleet, type LiveFleetOptions } from "./live_fleet.ts";
import { SharedFleets } from "./shared_fleets.ts";
import { byWorker, type Device } from "./device.ts";

/** Devices that a removal stores at once. */
const SLICE = 500;
/** Milliseconds within which a worker answers; a page does not wait for one that blocks. */
const ASK_TIMEOUT = 1_000;
/** The same with `info`, which the platform's code computes. */
const INFO_TIMEOUT = 6_000;

/** The fleets of the program. */
export class LiveFleets implements Fleets {
  readonly #fleets = new Map<string, LiveFleet>();
  /** Fleets whose file was removed, until they have ended. */
  readonly #leaving = new Set<LiveFleet | StoredFleet>();
  /** The last change of each fleet, by id: a fleet that is slow or fails does not delay another one. */
  readonly #changes = new Map<string, Promise<void>>();
  /** Whether all that is stored belongs to fleets of the folder. */
  #isTidy = false;
  #isStopped = false;

  /** Absent if this program alone has all devices. */
  readonly #shared: SharedFleets | undefined;
  /** Of the last load. */
  #unread: LoadedFleets["unreadFleets"];

  private readonly options: LiveFleetOptions;

  constructor(options: LiveFleetOptions) {
    this.#shared = options.shared && new SharedFleets(options, options.shared, this.#fleets);
    this.options = { ...options, onInventory: (...change) => this.#shared?.inventoryChanged(...change) };
  }

  /**
   * Applies the fleets of a load: new ones start, changed ones adapt, those without a file end. They are known at once.
   * @returns resolves when all of this is done; never rejects
   */
  async use({ fleets, unreadFleets, settings }: LoadedFleets): Promise<void> {
    for (const [id, live] of this.#fleets) {
      if (fleets.has(id)) continue;
      this.#fleets.delete(id);
      this.#leaving.add(live);
      this.#enqueueChange(id, () => this.#remove(live).finally(() => this.#leaving.delete(live)));
    }
    for (const [id, fleet] of fleets) {
      const live = this.#fleets.get(id);
      if (live !== undefined) this.#enqueueChange(id, () => this.#adapt(live, fleet));
      else {
        const started = new LiveFleet(fleet, this.options);
        this.#fleets.set(id, started);
        this.#enqueueChange(id, () => started.start());
      }
    }
    this.#unread = unreadFleets;
    this.#shared?.configure(settings.places);
    await this.#tidy();
    await this.#shared?.use();
    await Promise.all(this.#changes.values());
  }

  /** From now on this replica decides: it reads the inventories, and distributes the devices. */
  async decide(): Promise<void> {
    for (const [id, live] of this.#fleets) this.#enqueueChange(id, () => live.decide());
    await this.#tidy();
    this.#shared?.decide();
    await Promise.all(this.#changes.values());
  }

  /** Tables of the store that several replicas share have changed. */
  changed(tables: ReadonlySet<string>): void {
    this.#shared?.changed(tables);
  }

  async #adapt(live: LiveFleet, fleet: Fleet): Promise<void> {
    await live.use(fleet);
    // The others learn of a changed fleet when it is in force here.
    void this.#shared?.use();
  }

  async #remove(live: LiveFleet): Promise<void> {
    await (this.#shared === undefined ? live.remove() : this.#shared.remove(live));
    await live.stop();
  }

  async #tidy(): Promise<void> {
    const unread = this.#unread;
    if (unread === undefined || this.options.shared?.decides() === false) return;
    try {
      await this.#removeStored(new Set([...this.#fleets.keys(), ...unread]));
      this.#isTidy ||= unread.size === 0;
    } catch (error) {
      if (this.#isStopped) return;
      this.options.onFailure(`Cannot find fleets whose files are gone, the next load does: ${messageOf(error)}`);
    }
  }

  /** Removes what is stored of fleets whose files were deleted while the program was down. */
  async #removeStored(known: ReadonlySet<string>): Promise<void> {
    if (this.#isTidy) return;
    const gone = (await this.options.store.listInventories(INVENTORY)).filter((id) => !known.has(id));
    for (const id of gone) {
      if (this.#fleets.has(id) || this.#changes.has(id)) continue;
      const stored = new StoredFleet(id, this.options);
      this.#leaving.add(stored);
      this.#enqueueChange(id, () => stored.remove().finally(() => this.#leaving.delete(stored)));
    }
  }

  #enqueueChange(id: string, change: () => void | Promise<void>): void {
    const done = (this.#changes.get(id) ?? Promise.resolve()).then(async () => {
      if (!this.#isStopped) await change();
    }).catch((error) => {
      if (!this.#isStopped) this.options.onFailure(`Cannot change the fleet ${id}: ${messageOf(error)}`);
    }).finally(() => {
      if (this.#changes.get(id) === done) this.#changes.delete(id);
    });
    this.#changes.set(id, done);
  }

  /** Ends all sessions, in all fleets at once. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    await this.#shared?.stop();
    await Promise.all([...this.#fleets.values(), ...this.#leaving].map((live) => live.stop()));
    await Promise.all(this.#changes.values());
  }

  list(): FleetSummary[] {
    return [...this.#fleets.values()].map((live) => this.#summaryOf(live)).sort((a, b) =>
      a.fleet.id < b.fleet.id ? -1 : 1
    );
  }

  get(fleet: string): FleetSummary | undefined {
    const live = this.#fleets.get(fleet);
    return live && this.#summaryOf(live);
  }

  #summaryOf(live: LiveFleet): FleetSummary {
    if (this.#shared === undefined) return summaryOf(live);
    const { fleet, problem } = live;
    const counts = this.options.store.countPlaces(fleet.id);
    return { fleet, total: Object.values(counts).reduce((sum, count) => sum + count, 0), counts, problem };
  }

  async devices(fleet: string, search: DeviceSearch = {}): Promise<{ devices: DeviceView[]; total: number }> {
    const live = this.#find(fleet);
    if (this.#shared !== undefined) return await this.#shared.devices(live, search);
    const { states, tags, name, after, max = 100 } = search;
    const fits = (device: Device) =>
      (states === undefined || states.includes(device.state)) &&
      (tags === undefined || tags.some((tag) => device.tags.includes(tag))) &&
      (name === undefined || device.name.includes(name));
    const found = live.names().map((each) => live.devices.get(each)!).filter(fits);
    const begin = after === undefined ? 0 : found.findIndex((device) => device.name > after);
    const page = begin === -1 ? [] : found.slice(begin, begin + max);
    return { devices: await this.#views(live, page, false), total: found.length };
  }

  async device(fleet: string, name: string): Promise<DeviceView | undefined> {
    const live = this.#find(fleet);
    const device = live.mine.get(name);
    const own = device && (await this.#views(live, [device], true))[0];
    if (this.#shared === undefined) return own;
    const known = await this.#shared.views.get(live.fleet, name);
    return known && own ? { ...known, ...own, state: known.state } : known;
  }

  async recipients(fleet: string, to: Recipients): Promise<string[]> {
    const live = this.#find(fleet);
    return await (this.#shared === undefined ? live.recipients(to) : this.#shared.names(live, to));
  }

  async task(order: TaskOrder, onResults: (results: TaskResult[]) => void | Promise<void>): Promise<void> {
    const live = this.#find(order.fleet);
    await (this.#shared === undefined ? live.task(order, onResults) : this.#shared.task(live, order, onResults));
  }

  again(fleet: string, name: string): Promise<boolean> {
    const live = this.#find(fleet);
    return this.#shared?.again(live, name) ?? Promise.resolve(live.supervisor.again(name));
  }

  eventCounts(): Record<string, number> {
    const sums: Record<string, number> = {};
    for (const { log } of this.#fleets.values()) {
      for (const [type, count] of Object.entries(log.counts)) sums[type] = (sums[type] ?? 0) + count;
    }
    return sums;
  }

  #find(fleet: string): LiveFleet {
    const live = this.#fleets.get(fleet);
    if (live !== undefined) return live;
    const hint = hintAtUnknown(fleet, [...this.#fleets.keys()].sort());
    throw new UsageError(`There is no fleet ${JSON.stringify(fleet)}; ${hint}`);
  }

  /** Devices with the details that their workers have. */
  async #views({ fleet }: LiveFleet, devices: Device[], info: boolean): Promise<DeviceView[]> {
    const facts = new Map<Device, SessionFacts>();
    const asked = byWorker(devices.filter(({ worker }) => worker !== undefined));
    await Promise.all([...asked].map(async ([worker, group]) => {
      const byIndex = new Map(group.map((device) => [device.index, device]));
      const indexes = [...byIndex.keys()];
      for (const each of await worker.ask(indexes, info, info ? INFO_TIMEOUT : ASK_TIMEOUT)) {
        const device = byIndex.get(each.index);
        if (device !== undefined) facts.set(device, each);
      }
    }));
    return devices.map((device): DeviceView => {
      const { name, state, tags, data, since, failures, error, again } = device;
      const { lastPing, info: says } = facts.get(device) ?? {};
      return {
        fleet: fleet.id,
        device: name,
        state,
        tags,
        data,
        ...says !== undefined && { info: this.options.maskJson({ info: says }).info },
        since,
        failures,
        ...lastPing !== undefined && { lastPing },
        ...error !== undefined && { error },
        ...again !== undefined && { again },
      };
    });
  }
}

/** A fleet of which only the stored rows are left. */
class StoredFleet {
  readonly #log: DeviceLog;
  #isStopped = false;

  constructor(private readonly id: string, private readonly options: LiveFleetOptions) {
    this.#log = new DeviceLog(id, options);
  }

  stop(): Promise<void> {
    this.#isStopped = true;
    this.#log.hurry();
    return Promise.resolve();
  }

  /** Emits `removed` for each device, and removes its rows, in slices. A removal that is interrupted goes on after the next start. */
  async remove(): Promise<void> {
    const { store, clock, log, shared } = this.options;
    const key = { rule: this.id, trigger: INVENTORY };
    let count = 0;
    for (;;) {
      const names = [...(await store.getBaseline(key, SLICE)).keys()];
      if (this.#isStopped) return;
      if (names.length === 0) break;
      count += names.length;
      const isFull = await this.#log.progress(
        { ...key, baseline: { put: [], remove: names } },
        [],
        names,
        shared && [],
      );
      if (isFull) await this.#log.room();
    }
    const stopped = [...(await store.listStopped(this.id)).keys()].map((name): [string, null] => [name, null]);
    await store.changeDevices({ fleet: this.id, progress: { ...key, mark: null }, stopped, events: [] }, clock.now());
    log(this.id, INVENTORY).info(`its file is gone, and so are its ${count} devices`);
  }
}

function summaryOf({ fleet, devices, problem }: LiveFleet): FleetSummary {
  const counts: FleetSummary["counts"] = {
    distributing: 0,
    waiting: 0,
    initializing: 0,
    initialized: 0,
    reachable: 0,
    unreachable: 0,
    dead: 0,
    failed: 0,
  };
  for (const { state } of devices.values()) counts[state]++;
  return { fleet, total: devices.size, counts, problem };
}
