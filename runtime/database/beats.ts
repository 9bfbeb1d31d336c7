/** Milliseconds between two signs of life. */
const BEAT = 500;

/** Milliseconds that the database may take for one answer. By then this program counts as dead for long. */
const SILENT = 10_000;

/** Repeats a sign of life. One that fails is repeated, as a database that cannot be reached may come back. */
export class Beats {
  readonly #timer: ReturnType<typeof setInterval>;
  /** When the one was sent that has no answer yet. */
  #sentAt: number | undefined;

  /** @param onSilent called once when the database does not answer any more */
  constructor(private readonly send: () => Promise<void>, private readonly onSilent: () => void) {
    this.#timer = setInterval(() => void this.#beat(), BEAT);
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  async #beat(): Promise<void> {
    if (this.#sentAt === undefined) {
      this.#sentAt = performance.now();
      // What is lost, those find who need it.
      await this.send().catch(() => {});
      this.#sentAt = undefined;
    } else if (performance.now() - this.#sentAt > SILENT) {
      this.stop();
      this.onSilent();
    }
  }
}

/** Why this program has lost the database when {@link Beats} finds it silent. */
export const SILENCE = `The database has not answered for ${SILENT / 1_000} s`;
