import { type Clock, sleepFor } from "../host/clock.ts";
import { messageOf } from "../model/errors.ts";
import type { JsonObject } from "../model/json.ts";
import type { OwnEvent, OwnEventType } from "../model/event.ts";
import type { DeviceChange, DeviceReport, HeldPlace, Progress, StoppedDevice, Store } from "../store/store.ts";
import type { Device } from "./device.ts";

/** Options of `DeviceLog`. */
export interface DeviceLogOptions {
  store: Pick<Store, "changeDevices" | "listNotices" | "isOwnWanted">;
  clock: Clock;
  /** Masks secrets: an error may quote an answer. */
  maskJson: (value: JsonObject) => JsonObject;
  onFailure: (message: string) => void;
}

type DeviceEvent = Extract<OwnEventType, `whenthen.device.${string}`>;
/** The last part of the type of an event: `init.error`. */
type Kind = DeviceEvent extends `whenthen.device.${infer Rest}` ? Rest : never;

/** A change of a device that is not stored yet. */
interface Entry {
  name: string;
  event?: OwnEvent;
  row?: StoppedDevice | null;
  report?: DeviceReport;
  /** With several replicas: which of its owners says this. */
  epoch?: number;
}

/** Whose devices a log is about, if several replicas share them. */
export interface LogHolder {
  replica: string;
  epochOf(device: string): number | undefined;
}

/** Entries stored at once. All other work of the store waits for them, some 10 ms. */
const SLICE = 250;
/** While so many events are not accepted yet, no more are stored: runs come first. */
const MOST_NOTICES = 1_000;
/** Milliseconds until they are counted again, and until the next attempt after a failure. */
const PAUSE = 50;
const AFTER_FAILURE = 1_000;
/** Milliseconds for storing the rest at the end of the program. */
const CLOSE_TIMEOUT = 2_000;

/**
 * Stores the events of the devices of one fleet, in order and in slices: if 100,000 devices lose their network, webhooks wait for
 * one slice, not for all. An event without a listener is only counted. Of each kind of event only the last one of each device
 * waits to be stored, so that a slow disk costs no memory.
 */
export class DeviceLog {
  readonly counts: Partial<Record<DeviceEvent, number>> = {};
  /** By kind and device, the oldest one first. */
  readonly #entries = new Map<string, Entry>();
  #storing: Promise<void> | undefined;
  readonly #stop = new AbortController();

  /** @param holder absent if one program has all devices */
  constructor(
    private readonly fleet: string,
    private readonly options: DeviceLogOptions,
    private readonly holder?: LogHolder,
  ) {}

  /** Adds an event, with the device's row if that changes with it. */
  add(kind: Kind, name: string, more: JsonObject = {}, row?: StoppedDevice | null): void {
    const type: DeviceEvent = `whenthen.device.${kind}`;
    const event = this.#count(type) ? this.#eventOf(type, name, more) : undefined;
    if (event !== undefined || row !== undefined) this.#push(kind, { name, event, row });
  }

  /** Lets other replicas know the state of a device. */
  report({ name, state, since, failures, error }: Device): void {
    if (this.holder === undefined) return;
    const report = { state, since, ...failures > 0 && { failures }, ...error !== undefined && { error } };
    this.#push("state", { name, report });
  }

  /** Masks secrets in an error. */
  mask(error: string): string {
    return error === "" ? error : String(this.options.maskJson({ error }).error);
  }

  /** Removes the row of a device that is no longer dead or failed. */
  clear(name: string): void {
    this.#push("", { name, row: null });
  }

  /**
   * Stores the inventory's progress with the events of the devices that it adds and removes.
   * @param changed with several replicas: the devices whose items have changed
   * @returns whether too many events are not accepted yet: then wait for {@link room}
   */
  async progress(progress: Progress, added: string[], removed: string[], changed?: string[]): Promise<boolean> {
    const events = [
      ...this.#eventsOf("whenthen.device.added", added),
      ...this.#eventsOf("whenthen.device.removed", removed),
    ];
    const stopped = removed.map((name): [string, null] => [name, null]);
    const { store, clock } = this.options;
    const change = { fleet: this.fleet, progress, stopped, events, ...changed && { changed, removed } };
    return await store.changeDevices(change, clock.now()) > MOST_NOTICES;
  }

  /** Resolves when all is stored. */
  async settled(): Promise<void> {
    while (this.#storing !== undefined) await this.#storing;
  }

  /** From now on entries are stored without waiting for room. */
  hurry(): void {
    this.#stop.abort();
  }

  /** Stores the rest: waits for no room, and only for a limited time. */
  async close(): Promise<void> {
    this.hurry();
    const late = Promise.withResolvers<void>();
    const cancel = this.options.clock.after(CLOSE_TIMEOUT, late.resolve);
    await Promise.race([this.settled(), late.promise]);
    cancel();
  }

  #eventsOf(type: DeviceEvent, names: string[]): OwnEvent[] {
    return names.flatMap((name) => this.#count(type) ? [this.#eventOf(type, name, {})] : []);
  }

  #count(type: DeviceEvent): boolean {
    this.counts[type] = (this.counts[type] ?? 0) + 1;
    return this.options.store.isOwnWanted(type);
  }

  #eventOf(type: DeviceEvent, device: string, more: JsonObject): OwnEvent {
    const data = this.options.maskJson({ fleet: this.fleet, device, ...more });
    return { type, subject: device, data };
  }

  #push(kind: Kind | "state" | "", entry: Entry): void {
    const key = `${kind}\0${entry.name}`;
    const before = this.#entries.get(key);
    // Behind all later changes of the device.
    this.#entries.delete(key);
    const row = entry.row === undefined ? before?.row : entry.row;
    this.#entries.set(key, { ...entry, row, ...this.holder && { epoch: this.holder.epochOf(entry.name) } });
    this.#storing ??= this.#store();
  }

  async #store(): Promise<void> {
    const { store, clock, onFailure } = this.options;
    // Entries of the same turn are stored together.
    await Promise.resolve();
    while (this.#entries.size > 0) {
      const slice = [...this.#entries.entries().take(SLICE)];
      const stopped = slice.flatMap(([, { name, row }]): [string, StoppedDevice | null][] =>
        row === undefined ? [] : [[name, row]]
      );
      const events = slice.flatMap(([, { event }]) => event ?? []);
      try {
        const more = this.#holding(slice.map(([, entry]) => entry));
        const waiting = await store.changeDevices({ fleet: this.fleet, stopped, events, ...more }, clock.now());
        for (const [key, entry] of slice) if (this.#entries.get(key) === entry) this.#entries.delete(key);
        if (waiting > MOST_NOTICES) await this.room();
      } catch (error) {
        if (this.#stop.signal.aborted) break;
        onFailure(`Cannot store what happened to devices of ${this.fleet}, it is tried again: ${messageOf(error)}`);
        await sleepFor(clock, AFTER_FAILURE, this.#stop.signal);
      }
    }
    // At once: entries added from now on are stored by another pass.
    this.#storing = undefined;
  }

  /** With several replicas: what the others learn, and by which right this one says it. */
  #holding(entries: Entry[]): Pick<DeviceChange, "holder" | "reports"> {
    if (this.holder === undefined) return {};
    const { replica } = this.holder;
    const held = entries.flatMap(({ name, epoch }): HeldPlace[] => epoch === undefined ? [] : [[name, epoch]]);
    const reports = entries.flatMap(({ name, report }): [string, DeviceReport][] => report ? [[name, report]] : []);
    return { holder: { replica, held }, reports };
  }

  /** Waits until fewer events are not accepted yet. */
  async room(): Promise<void> {
    const { store, clock } = this.options;
    const { signal } = this.#stop;
    while (!signal.aborted && (await store.listNotices(MOST_NOTICES)).length === MOST_NOTICES) {
      await sleepFor(clock, PAUSE, signal);
    }
  }
}
