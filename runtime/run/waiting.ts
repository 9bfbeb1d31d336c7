import type { Cancel, Clock } from "../host/clock.ts";

/** A branch that waits in this life of its run. */
interface Waiter {
  due?: number;
  hold: boolean;
  /** True: look again; false: the run is to be parked. */
  resume(again: boolean): void;
}

/** Milliseconds that a run is held in memory for a wait that asks for it, rather than parked in the store. */
const LONGEST_HOLD = 10_000;

/**
 * The waits of one life of a run. While any branch works, those that wait do so in memory: each goes on when it is due or
 * when something woke the run. Once all of them wait, the run is parked; only a wait with `hold`, such as the pace of an `each`,
 * keeps it in memory for a few seconds, as reading back a long run for every item would cost more than it saves.
 */
export class Waiting {
  /** Branches that work. */
  #active = 1;
  /** Milliseconds in which all branches waited and the run was held: they are no time spent. */
  #held = 0;
  #heldSince: number | undefined;
  #alarm: { at: number; cancel: Cancel } | undefined;
  readonly #waiters = new Set<Waiter>();

  /** @param holds the run is held for every wait, until it is told to {@link park} */
  constructor(private readonly clock: Clock, private readonly holds = false) {}

  /** Milliseconds for which the run was held although no branch worked. */
  get held(): number {
    return this.#held + (this.#heldSince === undefined ? 0 : this.clock.ticks() - this.#heldSince);
  }

  /** Whether all branches wait, and the run is held. */
  get idle(): boolean {
    return this.#active === 0;
  }

  /**
   * The branch has nothing to do until `due`, or until the run is woken.
   * @param hold the run stays in memory for this wait, if it is short
   * @returns true where it is to look again, false where the run is parked
   */
  wait(due: number | undefined, signal: AbortSignal, { hold = false } = {}): Promise<boolean> {
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
        ...(due !== undefined && { due }),
        hold,
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

  /** Something that the run waits for may have come: all who wait look again. */
  wake(): void {
    this.#resume(() => true, true);
    this.#setAlarm(undefined);
  }

  /** The run is parked where it is held. */
  park(): void {
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
    if (this.#waiters.size === 0) this.#setAlarm(undefined);
    else if (this.#alarm !== undefined && this.#alarm.at <= this.clock.now()) this.#resumeDue();
  }

  #parkOrHold(): void {
    const now = this.clock.now();
    const held = this.#nextDue(({ hold }) => hold);
    const due = this.#nextDue();
    if (due !== undefined && due <= now) return;
    const isLong = held === undefined || held > now + LONGEST_HOLD;
    if (isLong && !this.holds) this.#resume(() => true, false);
    else this.#heldSince = this.clock.ticks();
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
