import type { Cancel, Clock } from "../host/clock.ts";
import { INVENTORY } from "../folder/fleet_inventory.ts";
import { formatDuration } from "../model/duration.ts";
import type { Settings } from "../folder/loaded.ts";
import { messageOf } from "../model/errors.ts";
import type { PlaceStore } from "../store/store.ts";
import type { LiveFleet } from "./live_fleet.ts";
import { type Host, place, type Placed } from "./place.ts";
import { carriedVersion, type FleetMember, type FleetSharing, PLACES_AT_ONCE } from "./sharing.ts";

/** Options of `Placement`. */
export interface PlacementOptions {
  store: PlaceStore;
  shared: FleetSharing;
  clock: Clock;
  settings: () => Settings["places"];
  /** The fleets whose inventories this program reads. */
  fleets: () => LiveFleet[];
  onWarning: (fleet: string, message: string) => void;
  onFailure: (message: string) => void;
  /** Called after each pass. */
  onPlaced: () => void;
  /** @default 300_000 */
  stuckAfter?: number;
}

/** Milliseconds until the next pass if something has changed during one: a large inventory is read in many parts. */
const SOON = 100;
/** Milliseconds after which a device that comes to no session is placed elsewhere. */
const STUCK_AFTER = 300_000;
/** The most devices that are looked at for that in one pass. */
const MOST_STUCK = 1_000;

/** Where the devices of one fleet are wanted, by name. */
type Wanted = Map<string, { on: string; since: number }>;

/** Decides which replica looks after which device, for all fleets; only on the replica that decides. */
export class Placement {
  readonly #options: PlacementOptions;
  readonly #stop = new AbortController();
  readonly #wanted = new Map<string, Wanted>();
  /** Devices that have left the inventory since the last pass, by fleet. They have no place any more, even if they are back already. */
  readonly #removed = new Map<string, Set<string>>();
  /** How often an inventory has changed. */
  #changes = 0;
  /** What the last pass was about: as long as nothing differs, there is nothing to do. */
  #last = "";
  #timer: Cancel | undefined;
  /** Whether something has changed during a pass. */
  #isDue = false;
  #working: Promise<void> | undefined;

  constructor(options: PlacementOptions) {
    this.#options = options;
    this.wake();
  }

  /** Devices were added to an inventory, changed, or removed. */
  inventoryChanged(fleet: string, removed: string[]): void {
    const all = this.#removed.get(fleet) ?? new Set();
    for (const name of removed) all.add(name);
    if (all.size > 0) this.#removed.set(fleet, all);
    this.#changes++;
    this.wake();
  }

  /** Looks now, as an inventory or the replicas have changed. */
  wake(): void {
    this.#isDue = true;
    if (this.#stop.signal.aborted || this.#working !== undefined) return;
    this.#timer?.();
    this.#isDue = false;
    this.#working = this.#pass().finally(() => {
      this.#working = undefined;
      const { clock, settings } = this.#options;
      const pause = this.#isDue ? SOON : settings().every;
      if (!this.#stop.signal.aborted) this.#timer = clock.after(pause, () => this.wake());
    });
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    this.#timer?.();
    await this.#working;
  }

  async #pass(): Promise<void> {
    const { shared, onFailure } = this.#options;
    try {
      const members = await shared.members();
      const alive = members.filter(({ isAlive, fenced }) => isAlive && !fenced);
      await this.#place(members, alive.map(({ id }) => id).sort());
      await this.#moveStuck(alive);
      this.#options.onPlaced();
    } catch (error) {
      if (this.#stop.signal.aborted) return;
      // What is stored is learnt anew.
      this.#wanted.clear();
      this.#last = "";
      onFailure(`Cannot decide which replica looks after which device, it is tried again: ${messageOf(error)}`);
    }
  }

  async #place(members: FleetMember[], alive: string[]): Promise<void> {
    const { store, fleets, settings } = this.#options;
    const carried = await store.listCarried();
    const present = fleets().filter(({ knowsInventory }) => knowsInventory)
      .sort((a, b) => a.fleet.id < b.fleet.id ? -1 : 1);
    const facts = JSON.stringify([
      alive,
      [...carried].map(([fleet, versions]) => [fleet, ...versions]),
      present.map(({ fleet }) => [fleet.id, carriedVersion(fleet)]),
      this.#changes,
      settings(),
    ]);
    if (facts === this.#last) return;
    this.#last = "";
    for (const id of this.#wanted.keys()) if (!present.some(({ fleet }) => fleet.id === id)) this.#wanted.delete(id);
    for (const live of present) await this.#load(live, new Set(members.map(({ id }) => id)));
    for (const live of present) {
      const versions = carried.get(live.fleet.id) ?? new Map<string, string>();
      const loads = this.#loads();
      const version = carriedVersion(live.fleet);
      const hosts = alive.filter((id) => versions.has(id)).map((id): Host => ({
        id,
        load: loads.get(id) ?? 0,
        takes: versions.get(id) === version,
      }));
      if (!await this.#move(live, hosts)) return;
    }
    this.#last = facts;
  }

  /** Learns where the devices of a fleet are, after this replica has begun to decide, and frees those of replicas that nobody knows. */
  async #load(live: LiveFleet, known: ReadonlySet<string>): Promise<void> {
    const { fleet: { id }, devices } = live;
    if (this.#wanted.has(id)) return await this.#forgetRemoved(live);
    const { store } = this.#options;
    this.#removed.delete(id);
    const found: Wanted = new Map();
    const gone = new Set<string>();
    for (let page = await store.listPlaces(id, PLACES_AT_ONCE); page.length > 0;) {
      for (const { name, wanted, wantedAt, owner } of page) {
        if (devices.has(name)) found.set(name, { on: wanted, since: wantedAt });
        if (owner !== undefined && !known.has(owner)) gone.add(owner);
      }
      page = await store.listPlaces(id, PLACES_AT_ONCE, page.at(-1)!.name);
    }
    for (const replica of gone) await store.freePlaces(replica);
    this.#wanted.set(id, found);
    await this.#forgetRemoved(live);
  }

  /** A device that was removed may be back: it has its place only if its owner has not released it in between. */
  async #forgetRemoved({ fleet: { id }, devices }: LiveFleet): Promise<void> {
    const removed = [...this.#removed.get(id) ?? []];
    this.#removed.delete(id);
    const wanted = this.#wanted.get(id)!;
    for (let begin = 0; begin < removed.length; begin += PLACES_AT_ONCE) {
      const slice = removed.slice(begin, begin + PLACES_AT_ONCE);
      const back = slice.filter((name) => devices.has(name));
      const places = await this.#options.store.getPlaces(id, back);
      const kept = new Set(places.map(({ name }) => name));
      for (const name of slice) if (!kept.has(name)) wanted.delete(name);
    }
  }

  /** How many devices each replica has, or is to have, of all fleets. */
  #loads(): Map<string, number> {
    const loads = new Map<string, number>();
    for (const wanted of this.#wanted.values()) {
      for (const { on } of wanted.values()) loads.set(on, (loads.get(on) ?? 0) + 1);
    }
    return loads;
  }

  /** @returns whether all is placed: false if the program stops */
  async #move(live: LiveFleet, hosts: Host[]): Promise<boolean> {
    const { difference } = this.#options.settings();
    const wanted = this.#wanted.get(live.fleet.id)!;
    const devices = live.names().map((name): Placed => ({ name, ...wanted.get(name) }));
    const moves = place(devices, hosts, difference).map(({ name, to }): [string, string] => [name, to]);
    return await this.#want(live, moves);
  }

  async #want(live: LiveFleet, moves: [name: string, replica: string][]): Promise<boolean> {
    const { store, clock } = this.#options;
    const wanted = this.#wanted.get(live.fleet.id)!;
    for (let begin = 0; begin < moves.length; begin += PLACES_AT_ONCE) {
      if (this.#stop.signal.aborted) return false;
      const now = clock.now();
      // A device that was removed meanwhile gets no place.
      const slice = moves.slice(begin, begin + PLACES_AT_ONCE).filter(([name]) => live.devices.has(name));
      const placed = new Set(await store.wantPlaces(INVENTORY, live.fleet.id, slice, now));
      for (const [name, on] of slice) if (placed.has(name)) wanted.set(name, { on, since: now });
    }
    return true;
  }

  /** Devices that a replica does not take are placed anew. */
  async #moveStuck(alive: FleetMember[]): Promise<void> {
    const { store, clock, fleets, onWarning, stuckAfter = STUCK_AFTER } = this.#options;
    const oldest = clock.now() - stuckAfter;
    for (const { id, name } of alive) {
      const due = await store.listDuePlaces(id, MOST_STUCK);
      const stuck = due.filter(({ owner, wanted, wantedAt }) =>
        owner === undefined && wanted === id && wantedAt < oldest
      );
      if (stuck.length === 0) continue;
      const carried = await store.listCarried();
      for (const [fleet, places] of Map.groupBy(stuck, ({ fleet }) => fleet)) {
        const live = fleets().find((each) => each.fleet.id === fleet);
        if (live === undefined || !this.#wanted.has(fleet)) continue;
        const version = carriedVersion(live.fleet);
        const isTaker = (other: string) => other !== id && carried.get(fleet)?.get(other) === version;
        const elsewhere = alive.map((other) => other.id).filter(isTaker);
        if (elsewhere.length === 0) continue;
        onWarning(
          fleet,
          `${places.length} devices were not taken by ${name} for ${formatDuration(stuckAfter)}: ` +
            "other replicas look after them",
        );
        const moves = places.map((place, index): [string, string] => [place.name, elsewhere[index % elsewhere.length]]);
        await this.#want(live, moves);
      }
    }
  }
}
