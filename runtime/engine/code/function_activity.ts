import type { Waiting } from "../waiting.ts";

/**
 * Milliseconds that a function gets to ask for another step after it has done all that it could at once: it may wait for
 * something of its own, such as a timer. Suspending too early would only repeat what it does between steps.
 */
const QUIET = 20;
/** The same for tests with a manual clock, in which functions wait for nothing outside the program. */
const SOON = 1;

/** Whether a rule's function is working, as one of the branches of its run. */
export class FunctionActivity {
  #works = true;
  #isOver = false;
  #isQuiet = false;
  #timer: ReturnType<typeof setTimeout> | undefined;

  /**
   * @param isWaiting whether it waits for steps that others execute
   * @param onRest called when it stops working
   * @param soon give it next to no time for something of its own
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

  /** It calls a step, or is about to get an answer. */
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

  /** It has returned or thrown: it does not work again. */
  end(): void {
    this.#isOver = true;
    clearTimeout(this.#timer);
    this.#setWorks(false);
  }

  /** Returns its slot among the branches to the run. */
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
