import { type Clock, sleepFor } from "../host/clock.ts";
import { messageOf } from "../model/errors.ts";
import type { JsonObject } from "../model/json.ts";
import type { OwnEvent, OwnEventType } from "../model/own_events.ts";
import type { Progress, StoppedDevice, Store } from "../store/store.ts";

/** What the log of a fleet's devices works with. */
export interface DeviceLogOptions {
  store: Pick<Store, "changeDevices" | "listNotices" | "isTold">;
  clock: Clock;
  /** Masks secrets: an error may quote an answer. */
  maskJson: (value: JsonObject) => JsonObject;
  onFailure: (message: string) => void;
}

type DeviceEvent = Extract<OwnEventType, `whenthen.device.${string}`>;

/** Something that happened to a device and is not stored yet. */
interface Entry {
  name: string;
  event?: OwnEvent;
  row?: StoppedDevice | null;
}

/** What is stored at once: all other work of the store waits for it, some 10 ms. */
const SLICE = 250;
/** With so many events that are not accepted yet, no more are stored: runs come first. */
const MOST_NOTICES = 1_000;
/** Milliseconds until it looks whether there are fewer, and after a failure. */
const PAUSE = 50;
const AFTER_FAILURE = 1_000;

/**
 * Stores what happens to the devices of one fleet, in order and in slices: when a network is cut over 100,000 devices, webhooks wait
 * for one slice, not for all. An event that nobody listens to is only counted. Of failed pings only the last one of each device waits to be
 * stored, so that a slow disk costs no memory.
 */
export class DeviceLog {
  readonly counts: Partial<Record<DeviceEvent, number>> = {};
  #entries: Entry[] = [];
  /** The failed ping of each device that is not stored yet. */
  readonly #failed = new Map<string, Entry>();
  #storing: Promise<void> | undefined;
  readonly #stop = new AbortController();

  constructor(private readonly fleet: string, private readonly options: DeviceLogOptions) {}

  /** Adds an event, with the device's row if that changes with it. */
  add(kind: string, name: string, more: JsonObject = {}, row?: StoppedDevice | null): void {
    const type = `whenthen.device.${kind}` as DeviceEvent;
    const event = this.#count(type) ? this.#eventOf(type, name, more) : undefined;
    if (row) row = { ...row, error: String(this.options.maskJson({ error: row.error }).error) };
    const failed = type === "whenthen.device.unreachable" ? this.#failed.get(name) : undefined;
    if (failed !== undefined) failed.event = event;
    else if (event !== undefined || row !== undefined) this.#push({ name, event, row }, type);
  }

  /** Forgets the row of a device that is no longer left alone. */
  clear(name: string): void {
    this.#push({ name, row: null });
  }

  /** Stores the inventory's progress with the events of the devices that it adds and removes. Waits if too many are not accepted. */
  async progress(progress: Progress, added: string[], removed: string[]): Promise<void> {
    const events = [
      ...this.#eventsOf("whenthen.device.added", added),
      ...this.#eventsOf("whenthen.device.removed", removed),
    ];
    const stopped = removed.map((name): [string, null] => [name, null]);
    const { store, clock } = this.options;
    // What was stored later would bring the row of a removed device back.
    const gone = new Set(removed);
    for (const entry of this.#entries) if (gone.has(entry.name)) delete entry.row;
    const waiting = await store.changeDevices({ fleet: this.fleet, progress, stopped, events }, clock.now());
    if (waiting > MOST_NOTICES) await this.#room();
  }

  /** Resolves when all is stored. */
  async settled(): Promise<void> {
    while (this.#storing !== undefined) await this.#storing;
  }

  /** Stores what is left, without waiting for room. */
  async close(): Promise<void> {
    this.#stop.abort();
    await this.settled();
  }

  #eventsOf(type: DeviceEvent, names: string[]): OwnEvent[] {
    return names.flatMap((name) => this.#count(type) ? [this.#eventOf(type, name, {})] : []);
  }

  #count(type: DeviceEvent): boolean {
    this.counts[type] = (this.counts[type] ?? 0) + 1;
    return this.options.store.isTold(type);
  }

  #eventOf(type: DeviceEvent, device: string, more: JsonObject): OwnEvent {
    const data = this.options.maskJson({ fleet: this.fleet, device, ...more });
    return { type, subject: device, data };
  }

  #push(entry: Entry, type?: DeviceEvent): void {
    this.#entries.push(entry);
    if (type === "whenthen.device.unreachable") this.#failed.set(entry.name, entry);
    this.#storing ??= this.#store().finally(() => this.#storing = undefined);
  }

  async #store(): Promise<void> {
    const { store, clock, onFailure } = this.options;
    // What happens in the same turn goes along.
    await Promise.resolve();
    while (this.#entries.length > 0) {
      const slice = this.#entries.slice(0, SLICE);
      for (const entry of slice) if (this.#failed.get(entry.name) === entry) this.#failed.delete(entry.name);
      const stopped = slice.flatMap(({ name, row }): [string, StoppedDevice | null][] =>
        row === undefined ? [] : [[name, row]]
      );
      const events = slice.flatMap(({ event }) => event ?? []);
      try {
        const waiting = await store.changeDevices({ fleet: this.fleet, stopped, events }, clock.now());
        this.#entries = this.#entries.slice(slice.length);
        if (waiting > MOST_NOTICES) await this.#room();
      } catch (error) {
        if (this.#stop.signal.aborted) return;
        onFailure(`Cannot store what happened to devices of ${this.fleet}, it is tried again: ${messageOf(error)}`);
        await sleepFor(clock, AFTER_FAILURE, this.#stop.signal);
      }
    }
  }

  async #room(): Promise<void> {
    const { store, clock } = this.options;
    const { signal } = this.#stop;
    while (!signal.aborted && (await store.listNotices(MOST_NOTICES)).length === MOST_NOTICES) {
      await sleepFor(clock, PAUSE, signal);
    }
  }
}
