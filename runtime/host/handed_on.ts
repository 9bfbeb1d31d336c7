import type { Buffer } from "node:buffer";
import type { Readable } from "node:stream";

/** Takes a piece of a stream; the next one comes once it resolves. */
export type Take = (bytes: Uint8Array) => Promise<void>;

/** Milliseconds between two looks at whether a stream is taken. */
const LOOK = 50;

/** Hands a stream on, piece by piece: whoever writes it waits for whoever takes it. */
export class HandedOn {
  /** Resolves if it could not be taken. */
  readonly failed: Promise<void>;
  error: unknown;
  #taking: Promise<void> = Promise.resolve();
  readonly #fail: () => void;

  constructor(private readonly stream: Readable, private readonly take: Take) {
    const { promise, resolve } = Promise.withResolvers<void>();
    [this.failed, this.#fail] = [promise, resolve];
    stream.on("data", (chunk: Buffer) => {
      stream.pause();
      this.#taking = this.#taking.then(() => this.#hand(chunk));
    });
  }

  /** What came is taken. */
  get taken(): Promise<void> {
    return this.#taking;
  }

  /**
   * Waits until all is taken, also what a slow disk keeps in the pipe. Who still has the stream open has `ms` to write, beside the
   * time that taking it takes.
   * @param closed resolves when the stream has ended and was read
   */
  async drained(ms: number, closed: Promise<void>): Promise<void> {
    let isClosed = false;
    closed.then(() => isClosed = true);
    for (let left = ms; left > 0 && !isClosed && this.error === undefined;) {
      await this.#taking;
      const began = performance.now();
      await within(Math.min(left, LOOK), closed);
      left -= performance.now() - began;
    }
    await this.#taking;
  }

  async #hand(chunk: Buffer): Promise<void> {
    if (this.error !== undefined) return;
    try {
      await this.take(chunk);
      this.stream.resume();
    } catch (error) {
      this.error = error;
      this.#fail();
    }
  }
}

/** Resolves with the promise, or after that time. */
export async function within(ms: number, promise: Promise<void>): Promise<void> {
  let timer;
  await Promise.race([promise, new Promise<void>((resolve) => timer = setTimeout(resolve, ms))]);
  clearTimeout(timer);
}
