import type { Cancel, Clock } from "../host/clock.ts";
import { type Suspended, suspendedTogether } from "./outcome.ts";

/** How a branch waits. */
interface WaitOptions {
  /** The run stays in memory for this wait, if it is short. */
  hold?: boolean;
  /** The step that waits: once the run has slept, it looks again only where its record has changed, or it is due. */
  path?: string;
  /** In a few words, what it waits for; called only where the run falls asleep. */
  what?(): string;
}

/** A branch that waits in this life of its run. */
interface Waiter extends WaitOptions {
  due?: number;
  /** True: look again; false: the run is to be suspended. */
  resume(again: boolean): void;
}

/** Milliseconds that a run is held in memory for a wait that asks for it, rather than suspended in the store. */
const LONGEST_HOLD = 10_000;

/** BranchSet that wait from which on a run falls asleep rather than being read back: that takes some 15 µs for each of them. */
const MANY = 32;

/**
 * The waits of one life of a run. While any branch works, those that wait do so in memory: each goes on when it is due or
 * when something woke the run. Once all of them wait, the run is suspended; only a wait with `hold`, such as the pace of an `each`,
 * keeps it in memory for a few seconds, as reading back a long run for every item would cost more than it saves. Where many
 * branches wait the run falls asleep: it is suspended in the store as well, and goes on in memory if it is claimed here again.
 */
export class Waiting {
  /** BranchSet that work. */
  #active = 1;
  /** Milliseconds in which all branches waited and the run was held: they are no time spent. */
  #held = 0;
  #heldSince: number | undefined;
  #alarm: { at: number; cancel: Cancel } | undefined;
  readonly #waiters = new Set<Waiter>();
  #asleep = false;
  /** What goes on while a branch waits, and would not be told to stop: the time of a called action. */
  #pins = 0;

  /**
   * @param holds the run is held for every wait, until it is told to {@link suspend}
   * @param onAsleep called when it falls asleep, with what it waits for; absent where it never does
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

  /** Whether the run sleeps: nothing of it goes on before {@link rouse}, or {@link suspend} gives it up. */
  get asleep(): boolean {
    return this.#asleep;
  }

  /** How many branches wait. */
  get size(): number {
    return this.#waiters.size;
  }

  /**
   * The branch has nothing to do until `due`, or until the run is woken.
   * @returns true where it is to look again, false where the run is suspended
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

  /** Performs branches side by side; the one that calls this does nothing meanwhile. Rejects as the first that does. */
  async fork<T>(branches: (() => Promise<T>)[]): Promise<T[]> {
    let left = branches.length;
    for (let count = 1; count < left; count++) this.enter();
    // The last one to end hands its place to the caller.
    const done = () => void (--left > 0 && this.leave());
    const running = branches.map((branch) => branch().finally(done));
    const settled = await Promise.allSettled(running);
    const failed = settled.find((each) => each.status === "rejected");
    if (failed) throw failed.reason;
    return await Promise.all(running);
  }

  /** Does something during which the run does not fall asleep. */
  async awake<T>(work: () => Promise<T>): Promise<T> {
    this.#pins++;
    try {
      return await work();
    } finally {
      this.#pins--;
    }
  }

  /** The run goes on here: those look again whose records have changed meanwhile, or that are due. */
  rouse(changed: Set<string>): void {
    this.#asleep = false;
    const now = this.clock.now();
    const looks = ({ path, due = Infinity }: Waiter) => path === undefined || changed.has(path) || due <= now;
    this.#resume(looks, true);
    if (this.idle) this.#parkOrHold();
    else this.#setAlarm(this.#nextDue());
  }

  /** Something that the run waits for may have come: all who wait look again. */
  wake(): void {
    // It has been suspended: whoever claims it is told.
    if (this.#asleep) return;
    this.#resume(() => true, true);
    this.#setAlarm(undefined);
  }

  /** The run is suspended where it is held. */
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
    if (this.#active === 0) this.#parkOrHold();
    if (this.#waiters.size === 0 || this.#asleep) this.#setAlarm(undefined);
    else if (this.#alarm !== undefined && this.#alarm.at <= this.clock.now()) this.#resumeDue();
  }

  #parkOrHold(): void {
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

  /** Lets those go on that are due, and sees to it that the next one will be. */
  #resumeDue(): void {
    const now = this.clock.now();
    this.#resume(({ due }) => due !== undefined && due <= now, true);
    this.#setAlarm(this.#nextDue());
  }

  /** One alarm for all. It may be of one that waits no more: to look at thousands whenever one comes or goes would take seconds. */
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
