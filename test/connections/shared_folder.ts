import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { SharedFiles } from "../../runtime/connections/vault.ts";

/** A data folder that several replicas of a test use, each as if it were alone with a copy of the files. */
export class SharedFolder {
  readonly #turns = new Map<string, Promise<unknown>>();
  readonly #announced = new Map<string, number>();
  /** Names under which turns were taken, in order. */
  readonly taken: string[] = [];

  constructor(private readonly folder: string) {}

  /** The files as one more replica sees them. */
  replica(): SharedFiles {
    const seen = new Map<string, string | undefined>();
    return {
      inTurn: (name, work) => {
        this.taken.push(name);
        const turn = (this.#turns.get(name) ?? Promise.resolve()).catch(() => {}).then(work);
        this.#turns.set(name, turn);
        return turn;
      },
      refresh: async (file) => {
        const content = await readFile(join(this.folder, file), "utf8").catch(() => undefined);
        if (seen.has(file) && seen.get(file) === content) return false;
        seen.set(file, content);
        return true;
      },
      announce: (file) => Promise.resolve(void this.#announced.set(file, (this.#announced.get(file) ?? 0) + 1)),
      announced: (file) => Promise.resolve(this.#announced.get(file)),
    };
  }
}
