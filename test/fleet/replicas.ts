import type { LiveFleetOptions } from "../../runtime/fleet/live_fleet.ts";
import type { FleetMember, FleetSharing } from "../../runtime/fleet/sharing.ts";
import type { DeviceView } from "../../runtime/model/fleet.ts";
import { openStore } from "../../runtime/store/open_store.ts";
import type { Store } from "../../runtime/store/store.ts";
import { Plant, played, until } from "./harness.ts";

/** What each replica learns of the tables that others have changed. */
const SHARED_TABLES = new Set(["place", "carried", "order", "result", "baseline"]);

/** Several programs with the same fleets on one store. */
export class Replicas implements AsyncDisposable {
  readonly plants = new Map<string, Plant>();
  readonly members = new Map<string, FleetMember>();
  decider = "";
  store!: Store;
  /** What the program's surroundings do otherwise, for all that join. */
  options: Partial<LiveFleetOptions> = {};
  /** How often the replicas were listed. */
  looks = 0;
  /** Calls of these methods of the store, or of `members`, wait. */
  readonly #refused = new Set<string>();
  readonly #held = new Map<string, { promise: Promise<void>; replica?: string }>();

  constructor(private readonly files: Record<string, string>) {}

  static async with(files: Record<string, string>, ids: string[]): Promise<Replicas> {
    const replicas = new Replicas(files);
    const store = await openStore({ folder: "", volatile: true, onWarning() {}, now: Date.now() });
    replicas.store = replicas.#told(store);
    for (const id of ids) await replicas.join(id);
    return replicas;
  }

  /** The store; each change of it is told to all, as frames are. */
  #told(store: Store): Store {
    return new Proxy(store, {
      get: (target, name) => {
        const value = Reflect.get(target, name);
        if (typeof value !== "function") return value;
        if (this.#refused.delete(String(name))) return () => Promise.reject(new Error("refused"));
        const held = this.#held.get(String(name));
        const isChange = /^(change|want|take|release|note|free|set|put|add|end|drop)/.test(String(name));
        if (held === undefined && !isChange) return value.bind(target);
        return async (...given: unknown[]) => {
          if (held && (held.replica === undefined || held.replica === given[0])) await held.promise;
          const result = await value.apply(target, given);
          if (isChange) { for (const plant of this.plants.values()) plant.fleets.changed(SHARED_TABLES); }
          return result;
        };
      },
    });
  }

  /**
   * From now on calls of a method of the store, or of `members`, wait.
   * @param replica only those of this one
   * @returns lets them go on
   */
  hold(method: string, replica?: string): () => void {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#held.set(method, { promise, replica });
    return () => {
      this.#held.delete(method);
      resolve();
    };
  }

  /** The next call of a method of the store fails. */
  refuseOnce(method: string): void {
    this.#refused.add(method);
  }

  async join(id: string, files = this.files): Promise<Plant> {
    this.members.set(id, { id, name: `host-${id}`, address: `http://${id}`, isAlive: true, fenced: false });
    if (this.decider === "") this.decider = id;
    const shared: FleetSharing = {
      me: id,
      decides: () => this.decider === id,
      members: async () => {
        this.looks++;
        await this.#held.get("members")?.promise;
        return [...this.members.values()];
      },
      acting: () => undefined,
    };
    const plant = await Plant.with(files, { ...this.options, shared }, this.store);
    this.plants.set(id, plant);
    plant.fleets.changed(SHARED_TABLES);
    return plant;
  }

  /** A replica dies: it does nothing more, and the others retire it. */
  async die(id: string): Promise<void> {
    const plant = this.plants.get(id)!;
    this.plants.delete(id);
    this.members.delete(id);
    // What it still writes while its sessions end is refused: they are others'.
    await this.store.freePlaces(id);
    await plant.stop();
    if (this.decider !== id) return;
    this.decider = [...this.plants.keys()][0];
    await this.plants.get(this.decider)!.fleets.decide();
  }

  /** How many devices of a fleet each replica holds, as the store has it. */
  async spread(fleet = "play"): Promise<Record<string, number>> {
    const counts: Record<string, number> = {};
    for (const { owner = "nobody", wanted } of await this.store.listPlaces(fleet, 10_000)) {
      const who = owner === wanted ? owner : `${owner}→${wanted}`;
      counts[who] = (counts[who] ?? 0) + 1;
    }
    return counts;
  }

  async reach(counts: Record<string, number>, fleet = "play"): Promise<void> {
    const wanted = JSON.stringify(Object.entries(counts).sort());
    await until(() => this.spread(fleet), (spread) => JSON.stringify(Object.entries(spread).sort()) === wanted);
  }

  /** All lines of the log of all replicas, with the replica. */
  logs(): string[] {
    return [...this.plants].flatMap(([id, plant]) => plant.logs.map((line) => `${id}: ${line}`));
  }

  async devices(fleet = "play"): Promise<DeviceView[]> {
    return (await [...this.plants.values()].at(-1)!.fleets.devices(fleet, { max: 1_000 })).devices;
  }

  async allIn(state: string, count: number, fleet = "play"): Promise<void> {
    await until(() => this.devices(fleet), (all) => all.length === count && all.every((each) => each.state === state));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const plant of this.plants.values()) {
      await plant.fleets.stop();
      plant.store = { close: () => Promise.resolve() } as Store;
      await plant[Symbol.asyncDispose]();
    }
    await this.store.close();
  }
}

export function named(count: number): { name: string }[] {
  return Array.from({ length: count }, (_, index) => ({ name: `d${index}` }));
}

/** The same, with another inventory. */
export async function list(replicas: Replicas, devices: object[], more: string): Promise<void> {
  for (const plant of replicas.plants.values()) await plant.reload(played(devices, more));
}
