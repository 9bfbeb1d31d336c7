import type { Waiting } from "../waiting.ts";

/**
 * Milliseconds that a function gets to ask for another step when all it could do at once is done: it may wait for something
 * of its own. Parking a little early would only repeat what it does between steps.
 */
const QUIET = 20;
/** The same where the clock is turned by hand, and nobody waits for anything of the machine's. */
const SOON = 1;

/** Whether a rule's function works, as one of the branches of its run. */
export class FunctionActivity {
  #works = true;
  #isOver = false;
  #isQuiet = false;
  #timer: ReturnType<typeof setTimeout> | undefined;

  /**
   * @param isWaiting whether it waits for steps that others perform
   * @param onRest it works no more
   * @param soon it gets next to no time for something of its own
   */
  constructor(
    private readonly waiting: Waiting,
    private readonly isWaiting: () => boolean,
    private readonly onRest: () => void,
    private readonly soon = false,
  ) {}

  get works(): boolean {
    return this.#works;
  }

  /** It calls, or is about to be answered. */
  stir(): void {
    if (this.#isOver) return;
    clearTimeout(this.#timer);
    this.#isQuiet = false;
    this.#setWorks(true);
  }

  /** It has done all that it could at once. */
  quiet(): void {
    if (this.#isOver) return;
    this.#isQuiet = true;
    this.look();
  }

  /** What it waits for may have changed. */
  look(): void {
    clearTimeout(this.#timer);
    if (!this.#isQuiet || !this.#works) return;
    this.#timer = setTimeout(() => {
      if (!this.isWaiting()) return;
      this.#setWorks(false);
      this.onRest();
    }, this.soon ? SOON : QUIET);
  }

  /** It has returned or thrown: it never works again. */
  end(): void {
    this.#isOver = true;
    clearTimeout(this.#timer);
    this.#setWorks(false);
  }

  /** Gives its place among the branches back to the run. */
  close(): void {
    this.end();
    this.#setWorks(true);
  }

  #setWorks(works: boolean): void {
    if (this.#works === works) return;
    this.#works = works;
    if (works) this.waiting.enter();
    else this.waiting.leave();
  }
}
