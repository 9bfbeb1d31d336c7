import type { Program } from "../program.ts";

/** Clients of whatever program there is, several side by side, for as long as they are told to. */
export abstract class Clients implements Disposable {
  /** Whom they ask; nobody while the program is gone. */
  program: Program | undefined;
  /** Nothing new is begun. */
  protected enough = false;
  /** The test is over, and nothing is asked any more. */
  protected gone = false;
  readonly #over: Promise<void>;

  constructor(count: number) {
    const begin = async () => {
      // What extends this is not made yet.
      await null;
      await this.goOn();
    };
    this.#over = Promise.all(Array.from({ length: count }, begin)).then(() => {});
    // Whoever ends it hears of its failure.
    this.#over.catch(() => {});
  }

  /** What one of them does until it is enough. */
  protected abstract goOn(): Promise<void>;

  /** They begin nothing new; resolves once everything is answered. */
  async end(): Promise<void> {
    this.enough = true;
    await this.#over;
  }

  /** Gives up, where a test fails before its end. */
  [Symbol.dispose](): void {
    this.enough = true;
    this.gone = true;
  }
}
