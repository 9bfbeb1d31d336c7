import { type Clock, sleepFor } from "../host/clock.ts";
import { messageOf } from "../model/errors.ts";
import type { HeldPlace, NamedPlace, PlaceStore } from "../store/store.ts";
import type { LiveFleet } from "./live_fleet.ts";
import { type FleetSharing, PLACES_AT_ONCE } from "./sharing.ts";

/** Options of `HeldPlaces`. */
export interface HeldPlacesOptions {
  store: PlaceStore;
  shared: FleetSharing;
  clock: Clock;
  /** The fleets of this program. */
  fleetOf: (id: string) => LiveFleet | undefined;
  onFailure: (message: string) => void;
}

/** Milliseconds until the next attempt after a failure. */
const AFTER_FAILURE = 1_000;

/** Takes the devices that this replica is to look after, and releases those that it is not to look after any more. */
export class HeldPlaces {
  readonly #options: HeldPlacesOptions;
  readonly #stop = new AbortController();
  /** Devices whose sessions end. */
  readonly #leaving = new Set<string>();
  /** Those whose sessions have ended, by fleet. */
  readonly #left = new Map<LiveFleet, HeldPlace[]>();
  /** Resolves when some are released. */
  #released = Promise.withResolvers<void>();
  #isDue = false;
  #working: Promise<void> | undefined;

  constructor(options: HeldPlacesOptions) {
    this.#options = options;
  }

  /** Places have changed, or a fleet is new here. */
  wake(): void {
    this.#isDue = true;
    if (!this.#stop.signal.aborted) this.#working ??= this.#work();
  }

  /** Resolves when it does nothing any more. What is held stays held: the others learn that this replica has ended. */
  async stop(): Promise<void> {
    this.#stop.abort();
    this.#released.resolve();
    await this.#working;
  }

  /** Ends the sessions of all devices of a fleet that this program no longer has. Resolves when others may have them. */
  async leaveAll(live: LiveFleet): Promise<void> {
    this.#leave(live, [...live.mine.keys()]);
    while (live.holdsAny && !this.#stop.signal.aborted) await this.#released.promise;
  }

  async #work(): Promise<void> {
    const { signal } = this.#stop;
    while ((this.#isDue || this.#left.size > 0) && !signal.aborted) {
      this.#isDue = false;
      try {
        await this.#release();
        await this.#look();
      } catch (error) {
        if (signal.aborted) break;
        this.#isDue = true;
        this.#options.onFailure(`Cannot take or release devices, it is tried again: ${messageOf(error)}`);
        await sleepFor(this.#options.clock, AFTER_FAILURE, signal);
      }
    }
    // At once: what changes from now on begins another pass.
    this.#working = undefined;
  }

  async #look(): Promise<void> {
    const { store, shared, fleetOf } = this.#options;
    let page: NamedPlace[] = [];
    do {
      page = await store.listDuePlaces(shared.me, PLACES_AT_ONCE, page.at(-1));
      for (const [id, places] of Map.groupBy(page, ({ fleet }) => fleet)) {
        const live = fleetOf(id);
        if (live?.isOpen && !this.#stop.signal.aborted) await this.#act(live, places);
      }
    } while (page.length === PLACES_AT_ONCE && !this.#stop.signal.aborted);
  }

  async #act(live: LiveFleet, places: NamedPlace[]): Promise<void> {
    const { store, shared: { me } } = this.#options;
    const free = places.filter(({ owner }) => owner === undefined).map(({ name }) => name);
    const held = places.filter(({ owner, name }) => owner === me && live.holds(name));
    const isOver = ({ wanted, news }: NamedPlace) => wanted !== me || news === "removed";
    this.#leave(live, held.filter(isOver).map(({ name }) => name));
    const changed = held.filter((place) => !isOver(place)).map(({ name, epoch }): HeldPlace => [name, epoch]);
    if (changed.length > 0) {
      await store.noteNews(me, live.fleet.id, changed);
      await live.readItems(changed.map(([name]) => name));
    }
    if (free.length > 0) await live.adopt(await store.takePlaces(me, live.fleet.id, free));
  }

  #leave(live: LiveFleet, names: string[]): void {
    const keyOf = (name: string) => JSON.stringify([live.fleet.id, name]);
    const leaving = names.filter((name) => !this.#leaving.has(keyOf(name)));
    for (const name of leaving) this.#leaving.add(keyOf(name));
    live.leave(leaving, (name, epoch) => {
      this.#leaving.delete(keyOf(name));
      const left = this.#left.get(live) ?? [];
      this.#left.set(live, left);
      left.push([name, epoch]);
      this.#wakeToRelease();
    });
  }

  #wakeToRelease(): void {
    if (!this.#stop.signal.aborted) this.#working ??= Promise.resolve().then(() => this.#work());
  }

  async #release(): Promise<void> {
    const { store, shared: { me } } = this.#options;
    for (const [live, left] of this.#left) {
      // What this replica knows of them is stored before somebody else has them.
      await live.log.settled();
      while (left.length > 0) {
        const slice = left.slice(0, PLACES_AT_ONCE);
        await store.releasePlaces(me, live.fleet.id, slice);
        left.splice(0, slice.length);
        live.forget(slice.map(([name]) => name));
      }
      this.#released.resolve();
      this.#released = Promise.withResolvers();
      this.#left.delete(live);
    }
  }
}
