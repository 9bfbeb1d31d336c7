import type { Cancel, Clock } from "../host/clock.ts";
import type { Device } from "./device.ts";

/** The dead and failed devices of a fleet, in the order in which they are initialized again. */
export class StoppedDevices {
  readonly #devices = new Map<string, Device>();
  #alarm: { at: number; cancel: Cancel } | undefined;
  #isOpen = true;

  /** @param onDue called with devices whose time has come */
  constructor(private readonly clock: Clock, private readonly onDue: (devices: Device[]) => void) {}

  /** Adds a device with its time. {@link take} sets the alarm. */
  add(device: Device): void {
    this.#devices.set(device.name, device);
  }

  /** @returns whether it was there */
  remove(name: string): boolean {
    return this.#devices.delete(name);
  }

  /** Sets the alarm for the next device. @returns those that are due, which are removed */
  take(now: number): Device[] {
    const due: Device[] = [];
    let next: number | undefined;
    for (const [name, device] of this.#devices) {
      // If the setting has become shorter meanwhile, a device is at most one interval late.
      if (device.again! > now) {
        next = device.again!;
        break;
      }
      this.#devices.delete(name);
      due.push(device);
    }
    this.#setAlarm(next);
    return due;
  }

  close(): void {
    this.#isOpen = false;
    this.#alarm?.cancel();
  }

  #setAlarm(next: number | undefined): void {
    if (this.#alarm?.at === next || !this.#isOpen) return;
    this.#alarm?.cancel();
    this.#alarm = next === undefined ? undefined : {
      at: next,
      cancel: this.clock.at(next, () => {
        this.#alarm = undefined;
        this.onDue(this.take(this.clock.now()));
      }),
    };
  }
}
