import { orAborted } from "../host/clock.ts";
import { messageOf, UsageError } from "../model/errors.ts";
import type { Fleets } from "../model/fleet.ts";
import { INVENTORY } from "../folder/fleet_inventory.ts";
import type { LoadedFleets } from "../folder/loaded.ts";
import type { LiveFleetOptions } from "./live_fleet.ts";
import type { LiveFleets } from "./fleets.ts";

/** The fleets of the program. A program without fleets loads none of their code. */
export class ProgramFleets implements Fleets {
  #live: LiveFleets | undefined;
  #loaded: LoadedFleets | undefined;
  #isStarted = false;
  /** Whether this program runs no fleets. */
  #isAlone = false;
  /** Whether it leaves all devices to other replicas. */
  #isGuest = false;
  /** Resolves when it is decided whether fleets run. */
  readonly #decided = Promise.withResolvers<void>();
  #alone: Promise<void> = Promise.resolve();
  /** Resolves when the fleets of the last load are known. */
  #applied: Promise<void> = Promise.resolve();

  constructor(private readonly options: LiveFleetOptions) {}

  /** Applies the fleets of a load. Nothing starts before {@link start}. */
  use(loaded: LoadedFleets): void {
    this.#loaded = loaded;
    if (!this.#isStarted) return;
    this.#applied = this.#apply(loaded).catch((error) =>
      this.options.onFailure(`Cannot change the fleets: ${messageOf(error)}`)
    );
  }

  /** Starts the fleets; from now on they follow each load. If they run already, this replica decides from now on. */
  start(): void {
    if (this.#isStarted) return void this.#live?.decide();
    this.#isStarted = true;
    if (this.#loaded !== undefined) this.use(this.#loaded);
    this.#decided.resolve();
  }

  /**
   * For `whenthen once` and commands, in which no fleet runs: each order initializes its devices, and stops them. If other replicas have
   * the devices, they execute it.
   */
  standAlone(): void {
    this.#isGuest = this.options.shared?.decides() === false;
    if (this.#isGuest) return this.start();
    this.#isAlone = true;
    this.#decided.resolve();
  }

  /** Others have changed tables of the store. */
  changed(tables: ReadonlySet<string>): void {
    this.#live?.changed(tables);
  }

  /** Ends all sessions. */
  async stop(): Promise<void> {
    this.#isStarted = false;
    this.#decided.resolve();
    await this.#live?.stop();
  }

  async #apply(loaded: LoadedFleets): Promise<void> {
    if (this.#live === undefined && loaded.fleets.size === 0 && !await this.#hasStored()) return;
    const { LiveFleets } = await import("./fleets.ts");
    // Another load, or the end of the program, may have come meanwhile.
    if (!this.#isStarted) return;
    const { shared } = this.options;
    const role = this.#isGuest && shared && { shared: { ...shared, decides: () => false, isGuest: true } };
    this.#live ??= new LiveFleets({ ...this.options, ...role });
    // Each fleet reports its own failures.
    void this.#live.use(this.#loaded!);
  }

  /** Whether fleets are stored whose files were deleted while the program was down. */
  async #hasStored(): Promise<boolean> {
    return (await this.options.store.listInventories(INVENTORY)).length > 0;
  }

  list: Fleets["list"] = () => this.#live?.list() ?? [];
  get: Fleets["get"] = (fleet) => this.#live?.get(fleet);
  devices: Fleets["devices"] = async (fleet, search) => await (await this.#ready(fleet)).devices(fleet, search);
  device: Fleets["device"] = async (fleet, name) => await (await this.#ready(fleet)).device(fleet, name);
  recipients: Fleets["recipients"] = async (fleet, to) => await (await this.#ready(fleet)).recipients(fleet, to);
  task: Fleets["task"] = async (order, onResults) =>
    await (this.#isAlone && this.#loaded?.fleets.has(order.fleet)
      ? this.#taskAlone(order, onResults)
      : (await this.#ready(order.fleet, order.signal)).task(order, onResults));
  again: Fleets["again"] = async (fleet, name) => await (await this.#ready(fleet)).again(fleet, name);
  eventCounts: Fleets["eventCounts"] = () => this.#live?.eventCounts() ?? {};

  /** Executes orders one after another. */
  #taskAlone(...[order, onResults]: Parameters<Fleets["task"]>): Promise<void> {
    const done = this.#alone.then(async () => {
      const { LiveFleet } = await import("./live_fleet.ts");
      const fleet = { ...this.#loaded!.fleets.get(order.fleet)!, ping: undefined };
      const { shared: _shared, ...options } = this.options;
      await new LiveFleet(fleet, options).taskAlone(order, onResults);
    });
    this.#alone = done.catch(() => {});
    return done;
  }

  /** Runs are resumed before the fleets start, and after a reload a fleet may not be known yet. */
  async #ready(fleet: string, signal?: AbortSignal): Promise<LiveFleets> {
    await orAborted(this.#decided.promise, signal);
    if (this.#live?.get(fleet) === undefined) await orAborted(this.#applied, signal);
    if (this.#live !== undefined) return this.#live;
    const starts = this.#loaded?.fleets.has(fleet) ? "it does not run" : "there is none";
    throw new UsageError(`Cannot reach the fleet ${JSON.stringify(fleet)}: ${starts}`);
  }
}
