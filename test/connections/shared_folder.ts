import type { SharedFiles } from "../../runtime/connections/vault.ts";

/** A data folder that several replicas of a test use, with the disk as the one place of its files. */
export class SharedFolder {
  readonly #turns = new Map<string, Promise<unknown>>();
  readonly #announced = new Map<string, number>();
  /** Names under which turns were taken, in order. */
  readonly taken: string[] = [];

  /** The files as one more replica sees them. */
  replica(): SharedFiles {
    return {
      inTurn: (name, work) => {
        this.taken.push(name);
        const turn = (this.#turns.get(name) ?? Promise.resolve()).catch(() => {}).then(work);
        this.#turns.set(name, turn);
        return turn;
      },
      refresh: () => Promise.resolve(),
      announce: (file) => Promise.resolve(void this.#announced.set(file, (this.#announced.get(file) ?? 0) + 1)),
      announced: (file) => Promise.resolve(this.#announced.get(file)),
    };
  }
}
