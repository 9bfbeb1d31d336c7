import { orAborted, sleepFor } from "../host/clock.ts";
import type { Settings } from "../folder/loaded.ts";
import { messageOf } from "../model/errors.ts";
import type { DeviceSearch, DeviceView, Recipients, TaskOrder, TaskResult } from "../model/fleet.ts";
import { DeviceOrders } from "./device_orders.ts";
import { HeldPlaces } from "./held_places.ts";
import type { LiveFleet, LiveFleetOptions } from "./live_fleet.ts";
import { Placement } from "./placement.ts";
import { isTags, SharedViews } from "./shared_views.ts";
import { carriedVersion, type FleetSharing } from "./sharing.ts";

/** Milliseconds until the next attempt after a failure. */
const AFTER_FAILURE = 1_000;

/** What the fleets of a program do because several replicas share their devices. */
export class SharedFleets {
  readonly #options: LiveFleetOptions;
  readonly #shared: FleetSharing;
  readonly #fleets: ReadonlyMap<string, LiveFleet>;
  readonly #held: HeldPlaces;
  readonly #orders: DeviceOrders;
  readonly views: SharedViews;
  #placement: Placement | undefined;
  #settings: Settings["places"] | undefined;
  /** The versions of the fleets that the others know of. */
  #carried = "";
  #carrying: Promise<void> | undefined;
  readonly #stop = new AbortController();

  constructor(options: LiveFleetOptions, shared: FleetSharing, fleets: ReadonlyMap<string, LiveFleet>) {
    const { store, clock, onFailure } = options;
    const fleetOf = (id: string) => fleets.get(id);
    this.#options = options;
    this.#shared = shared;
    this.#fleets = fleets;
    this.#held = new HeldPlaces({ store, shared, clock, fleetOf, onFailure });
    this.#orders = new DeviceOrders({ store, shared, clock, fleetOf, onFailure });
    this.views = new SharedViews(store, shared);
  }

  /** Applies the settings of a load: before the first one nothing is placed. */
  configure(settings: Settings["places"]): void {
    this.#settings = settings;
  }

  /** The fleets of this program have changed. Resolves when the others can know it; never rejects. */
  async use(): Promise<void> {
    if (this.#shared.isGuest) return;
    for (const live of this.#fleets.values()) void live.opened.then(() => this.#held.wake());
    await (this.#carrying ??= this.#carry());
    this.decide();
    this.#placement?.wake();
  }

  /** Tells the others the versions that are in force here. */
  async #carry(): Promise<void> {
    const { store, clock, onFailure } = this.#options;
    const { signal } = this.#stop;
    // Changes of the same turn are told together.
    await Promise.resolve();
    while (!signal.aborted) {
      const versions = Object.fromEntries([...this.#fleets].map(([id, { fleet }]) => [id, carriedVersion(fleet)]));
      const carried = JSON.stringify(versions);
      if (carried === this.#carried) break;
      try {
        await store.setCarried(this.#shared.me, versions);
        this.#carried = carried;
      } catch (error) {
        if (signal.aborted) break;
        onFailure(`Cannot tell the others which fleets this replica has, it is tried again: ${messageOf(error)}`);
        await sleepFor(clock, AFTER_FAILURE, signal);
      }
    }
    // At once: what changes from now on is told by another call.
    this.#carrying = undefined;
  }

  /** From now on this replica decides, if it does. */
  decide(): void {
    if (this.#settings === undefined || this.#placement !== undefined) return;
    if (!this.#shared.decides() || this.#stop.signal.aborted) return;
    const { store, clock, onFailure, onLog } = this.#options;
    this.#placement = new Placement({
      store,
      shared: this.#shared,
      clock,
      settings: () => this.#settings!,
      fleets: () => [...this.#fleets.values()],
      onWarning: (fleet, message) => onLog(fleet, "warn", message),
      onFailure,
      onPlaced: () => this.#held.wake(),
    });
  }

  /** An inventory that this replica reads has changed. */
  inventoryChanged(fleet: string, removed: string[]): void {
    this.#held.wake();
    this.#placement?.inventoryChanged(fleet, removed);
  }

  /** Others have changed tables of the store. */
  changed(tables: ReadonlySet<string>): void {
    if (tables.has("place")) this.#held.wake();
    if (tables.has("carried")) this.#placement?.wake();
    if (tables.has("order") || tables.has("result") || tables.has("place")) this.#orders.wake();
  }

  /** Gives the devices of a fleet up whose file was removed here. */
  async remove(live: LiveFleet): Promise<void> {
    if (live.readsInventory) await live.remove();
    await this.#held.leaveAll(live);
  }

  async names(live: LiveFleet, to: Recipients): Promise<string[]> {
    if (to !== "all" && !isTags(to)) return await live.recipients(to);
    return await this.views.names(live.fleet, isTags(to) ? to.tags : undefined);
  }

  async task(live: LiveFleet, order: TaskOrder, onResults: (results: TaskResult[]) => void | Promise<void>) {
    await orAborted(live.opened, order.signal);
    await this.#orders.send(live, order, await this.names(live, order.to), onResults);
  }

  again(live: LiveFleet, name: string): Promise<boolean> {
    return this.#orders.again(live, name);
  }

  devices(live: LiveFleet, search: DeviceSearch): Promise<{ devices: DeviceView[]; total: number }> {
    return this.views.find(live.fleet, search);
  }

  /** Takes no more devices, and sends nothing to them for others. */
  async stop(): Promise<void> {
    this.#stop.abort();
    await Promise.all([this.#placement?.stop(), this.#held.stop(), this.#orders.stop()]);
  }
}
