import { FaultyDisk } from "./faulty_disk.ts";

/** A disk whose next sync waits until it is released; later ones pass. */
export class HeldDisk extends FaultyDisk {
  readonly #reached = Promise.withResolvers<void>();
  readonly #released = Promise.withResolvers<void>();

  /** Resolves when a sync waits. */
  hold(): Promise<void> {
    this.beforeSync = () => {
      this.beforeSync = () => {};
      this.#reached.resolve();
      return this.#released.promise;
    };
    return this.#reached.promise;
  }

  release(): void {
    this.#released.resolve();
  }
}
