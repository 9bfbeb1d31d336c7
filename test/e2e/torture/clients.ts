import type { Program } from "../program.ts";

/** Concurrent clients of the current program, until they are stopped. */
export abstract class Clients implements Disposable {
  /** The current program; undefined while it is down. */
  program: Program | undefined;
  /** No new work begins. */
  protected enough = false;
  /** The test is over, and no more requests are sent. */
  protected gone = false;
  readonly #over: Promise<void>;

  constructor(count: number) {
    const begin = async () => {
      // The subclass is not constructed yet.
      await null;
      await this.goOn();
    };
    this.#over = Promise.all(Array.from({ length: count }, begin)).then(() => {});
    // `end` reports its failure.
    this.#over.catch(() => {});
  }

  /** The work of one client until it is stopped. */
  protected abstract goOn(): Promise<void>;

  /** Stops new work; resolves when everything is answered. */
  async end(): Promise<void> {
    this.enough = true;
    await this.#over;
  }

  /** Aborts, if a test fails before its end. */
  [Symbol.dispose](): void {
    this.enough = true;
    this.gone = true;
  }
}
