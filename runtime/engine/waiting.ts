import type { Cancel, Clock } from "../host/clock.ts";
import { type Suspended, suspendedTogether } from "./outcome.ts";

/** How a branch waits. */
interface WaitOptions {
  /** The run stays in memory for this wait, if it is short. */
  hold?: boolean;
  /** The step that waits. After a sleep it checks again only if its record has changed or it is due. */
  path?: string;
  /** What it waits for, in a few words; called only if the run falls asleep. */
  what?(): string;
}

/** A branch that waits in this execution of its run. */
interface Waiter extends WaitOptions {
  due?: number;
  /** True: check again; false: the run is to be suspended. */
  resume(again: boolean): void;
}

/** Longest wait, in milliseconds, for which a run with `hold` stays in memory instead of being suspended. */
const LONGEST_HOLD = 10_000;

/** From this many waiting branches on, a run falls asleep instead of being read back, which takes some 15 µs for each. */
const MANY = 32;

/**
 * The waits of one execution of a run. While any branch works, the others wait in memory: each continues when it is due
 * or when something wakes the run. When all of them wait, the run is suspended. Only a wait with `hold`, such as the
 * pace of an `each`, keeps it in memory for a few seconds, because reading back a long run for every item would cost
 * more. If many branches wait, the run falls asleep: it is suspended in the store, but continues in memory if it is
 * claimed here again.
 */
export class Waiting {
  /** Branches that work. */
  #active = 1;
  /** Milliseconds in which all branches waited and the run was held: they do not count as time spent. */
  #held = 0;
  #heldSince: number | undefined;
  #alarm: { at: number; cancel: Cancel } | undefined;
  readonly #waiters = new Set<Waiter>();
  #asleep = false;
  /**
   * How many timers run on while branches wait, such as the timeout of a called action: with any, the run must not fall
   * asleep.
   */
  #pins = 0;

  /**
   * @param holds hold the run for every wait, until {@link suspend} is called
   * @param onAsleep called when it falls asleep, with what it waits for; absent if it never does
   */
  constructor(
    private readonly clock: Clock,
    private readonly holds = false,
    private readonly onAsleep?: (suspended: Suspended) => void,
  ) {}

  /** Milliseconds for which the run was held although no branch worked. */
  get held(): number {
    return this.#held + (this.#heldSince === undefined ? 0 : this.clock.ticks() - this.#heldSince);
  }

  /** Whether all branches wait, and the run is held. */
  get idle(): boolean {
    return this.#active === 0;
  }

  /** Whether the run sleeps: nothing continues before {@link rouse} or {@link suspend}. */
  get asleep(): boolean {
    return this.#asleep;
  }

  /** How many branches wait. */
  get size(): number {
    return this.#waiters.size;
  }

  /**
   * The branch has nothing to do until `due`, or until the run is woken.
   * @returns true if it is to check again, false if the run is suspended
   */
  wait(due: number | undefined, signal: AbortSignal, options: WaitOptions = {}): Promise<boolean> {
    signal.throwIfAborted();
    return new Promise((resolve, reject) => {
      const end = () => {
        signal.removeEventListener("abort", aborted);
        this.#waiters.delete(waiter);
      };
      const aborted = () => {
        end();
        this.enter();
        if (this.#waiters.size === 0) this.#setAlarm(undefined);
        reject(signal.reason);
      };
      const waiter: Waiter = {
        ...options,
        ...(due !== undefined && { due }),
        resume: (again) => {
          end();
          this.enter();
          resolve(again);
        },
      };
      signal.addEventListener("abort", aborted);
      this.#waiters.add(waiter);
      if (due !== undefined && due < (this.#alarm?.at ?? Infinity)) this.#setAlarm(due);
      this.leave();
    });
  }

  /** Runs branches concurrently while the calling branch waits. Rejects with the first branch that rejects. */
  async fork<T>(branches: (() => Promise<T>)[]): Promise<T[]> {
    let left = branches.length;
    for (let count = 1; count < left; count++) this.enter();
    // The last one to end hands its slot to the caller.
    const done = () => void (--left > 0 && this.leave());
    const running = branches.map((branch) => branch().finally(done));
    const settled = await Promise.allSettled(running);
    const failed = settled.find((each) => each.status === "rejected");
    if (failed) throw failed.reason;
    return await Promise.all(running);
  }

  /** Runs work during which the run does not fall asleep. */
  async awake<T>(work: () => Promise<T>): Promise<T> {
    this.#pins++;
    try {
      return await work();
    } finally {
      this.#pins--;
    }
  }

  /** The run continues here: branches check again if they are due or their record has changed. */
  rouse(changed: Set<string>): void {
    this.#asleep = false;
    const now = this.clock.now();
    const looks = ({ path, due = Infinity }: Waiter) => path === undefined || changed.has(path) || due <= now;
    this.#resume(looks, true);
    if (this.idle) this.#suspendOrHold();
    else this.#setAlarm(this.#nextDue());
  }

  /** Something that the run waits for may have come: all branches check again. */
  wake(): void {
    // It is suspended: the execution that claims it next reads the change.
    if (this.#asleep) return;
    this.#resume(() => true, true);
    this.#setAlarm(undefined);
  }

  /** Suspends the run if it is held. */
  suspend(): void {
    this.#asleep = false;
    if (this.idle) this.#resume(() => true, false);
  }

  /** One more branch works. */
  enter(): void {
    this.#active++;
    if (this.#heldSince !== undefined) this.#held = this.held;
    this.#heldSince = undefined;
  }

  /** A branch has ended or waits. */
  leave(): void {
    this.#active--;
    if (this.#active === 0) this.#suspendOrHold();
    if (this.#waiters.size === 0 || this.#asleep) this.#setAlarm(undefined);
    else if (this.#alarm !== undefined && this.#alarm.at <= this.clock.now()) this.#resumeDue();
  }

  #suspendOrHold(): void {
    const now = this.clock.now();
    const held = this.#nextDue(({ hold = false }) => hold);
    const due = this.#nextDue();
    if (due !== undefined && due <= now) return;
    const isLong = held === undefined || held > now + LONGEST_HOLD;
    if (!isLong || this.holds) this.#heldSince ??= this.clock.ticks();
    else if (this.onAsleep && this.#pins === 0 && this.#waiters.size >= MANY) this.#fallAsleep(this.onAsleep);
    else this.#resume(() => true, false);
  }

  #fallAsleep(onAsleep: (suspended: Suspended) => void): void {
    this.#asleep = true;
    this.#heldSince ??= this.clock.ticks();
    this.#setAlarm(undefined);
    const suspended = ({ due, what }: Waiter): Suspended => ({
      kind: "suspended",
      ...(due !== undefined && { due }),
      waitingFor: what?.() ?? "a time",
    });
    onAsleep(suspendedTogether([...this.#waiters].map(suspended)));
  }

  /** Resumes the branches that are due, and sets the timer for the next one. */
  #resumeDue(): void {
    const now = this.clock.now();
    this.#resume(({ due }) => due !== undefined && due <= now, true);
    this.#setAlarm(this.#nextDue());
  }

  /**
   * One timer for all branches. It may belong to a branch that no longer waits: searching thousands of branches at each
   * change would take seconds.
   */
  #setAlarm(at: number | undefined): void {
    this.#alarm?.cancel();
    this.#alarm = at === undefined ? undefined : { at, cancel: this.clock.at(at, () => this.#resumeDue()) };
  }

  #resume(which: (waiter: Waiter) => boolean, again: boolean): void {
    for (const waiter of [...this.#waiters].filter(which)) waiter.resume(again);
  }

  #nextDue(which: (waiter: Waiter) => boolean = () => true): number | undefined {
    let next: number | undefined;
    for (const waiter of this.#waiters) {
      if (waiter.due !== undefined && waiter.due < (next ?? Infinity) && which(waiter)) next = waiter.due;
    }
    return next;
  }
}

/**
 * Milliseconds that a function gets to ask for another step after it has done all that it could at once: it may wait for
 * something of its own, such as a timer. Suspending too early would only repeat what it does between steps.
 */
const QUIET = 20;
/** The same for tests with a manual clock, in which functions wait for nothing outside the program. */
const SOON = 1;

/** Tells the run whether its rule's function works, which is one of the branches of the run. */
export class FunctionActivity {
  #works = true;
  #isOver = false;
  #isQuiet = false;
  #timer: ReturnType<typeof setTimeout> | undefined;

  /**
   * @param isWaiting whether it waits for steps that others execute
   * @param onRest called when it stops working
   * @param soon whether it gets next to no time for something of its own
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
  markWorking(): void {
    if (this.#isOver) return;
    clearTimeout(this.#timer);
    this.#isQuiet = false;
    this.#setWorks(true);
  }

  /** It has done all that it could at once. */
  markQuiet(): void {
    if (this.#isOver) return;
    this.#isQuiet = true;
    this.recheck();
  }

  /** What it waits for may have changed. */
  recheck(): void {
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
