import type { Clock } from "../../runtime/host/clock.ts";
import type { Disk } from "../../runtime/host/disk.ts";

/** Clock and disk of one start of the program: after its crash no timer fires, and it reads and changes nothing. */
export class Start {
  readonly clock: Clock;
  readonly disk: Disk;
  readonly #crash = new AbortController();

  constructor(clock: Clock, disk: Disk) {
    this.clock = {
      now: () => clock.now(),
      ticks: () => clock.ticks(),
      after: (ms, wake) => this.crashed.aborted ? () => {} : clock.after(ms, () => this.crashed.aborted || wake()),
      at: (at, wake) => this.crashed.aborted ? () => {} : clock.at(at, () => this.crashed.aborted || wake()),
      onRollback: (wake) => clock.onRollback(wake),
    };
    const files = this.#mortal(disk);
    this.disk = new Proxy(files, {
      get: (target, name) => {
        if (name !== "create" && name !== "append" && name !== "open") return Reflect.get(target, name);
        return async (path: string) => this.#mortal(await target[name](path));
      },
    });
  }

  /** A wrapper of the same object that never answers after the crash. */
  #mortal<T extends object>(thing: T): T {
    return new Proxy(thing, {
      get: (target, name) => {
        const value = Reflect.get(target, name);
        if (typeof value !== "function") return value;
        return (...args: unknown[]) => this.crashed.aborted ? new Promise(() => {}) : value.apply(target, args);
      },
    });
  }

  get crashed(): AbortSignal {
    return this.#crash.signal;
  }

  die(): void {
    this.#crash.abort();
  }
}
