/** The time, and waking up at a time. Everything that waits takes one of these, so that tests can turn the hands. */
export interface Clock {
  /** Milliseconds since the epoch. */
  now(): number;
  /** Calls back once when the wall clock has reached `at`. Follows clock steps: it never sleeps over 30 s at a stretch. */
  at(at: number, wake: () => void): Cancel;
  /** Calls back each time the wall clock is found to have been set back: who waits for a time may wait for years. */
  onSetBack(wake: () => void): Cancel;
}

export type Cancel = () => void;

const LONGEST_SLEEP = 30_000;

/** The machine's clock. */
export const systemClock: Clock = wallClock(Date.now, LONGEST_SLEEP);

/**
 * A clock that goes by itself, and may be set.
 * @param longestSleep milliseconds after which it is looked at again
 */
export function wallClock(now: () => number, longestSleep: number): Clock {
  return {
    now,
    at(at, wake) {
      let timer: ReturnType<typeof setTimeout>;
      const sleep = () => {
        const left = at - now();
        timer = setTimeout(left <= longestSleep ? check : sleep, Math.max(0, Math.min(left, longestSleep)));
      };
      const check = () => now() >= at ? wake() : sleep();
      sleep();
      return () => clearTimeout(timer);
    },
    onSetBack(wake) {
      let last = now();
      const timer = setInterval(() => {
        const time = now();
        if (time < last) wake();
        last = time;
      }, longestSleep);
      return () => clearInterval(timer);
    },
  };
}

/** A clock that moves only when told. */
export class ManualClock implements Clock {
  #now: number;
  #alarms = new Set<{ at: number; wake: () => void }>();
  #setBack = new Set<() => void>();

  constructor(now: number) {
    this.#now = now;
  }

  now(): number {
    return this.#now;
  }

  at(at: number, wake: () => void): Cancel {
    const alarm = { at, wake };
    this.#alarms.add(alarm);
    // As with any clock: what is due already is not left to the next turn of the hands.
    if (at <= this.#now) queueMicrotask(() => void (this.#alarms.delete(alarm) && wake()));
    return () => this.#alarms.delete(alarm);
  }

  onSetBack(wake: () => void): Cancel {
    const listener = () => wake();
    this.#setBack.add(listener);
    return () => this.#setBack.delete(listener);
  }

  /** Moves to `to`, waking what is due on the way in order of time; lets pending promises settle before and after each. */
  async advanceTo(to: number): Promise<void> {
    do await new Promise((resolve) => setTimeout(resolve, 0)); while (this.wakeNext(to));
    this.#now = Math.max(this.#now, to);
    await new Promise((resolve) => setTimeout(resolve, 0));
  }

  /** Moves to what is due first up to `to`, and wakes it. @returns false where nothing is: the time is as it was */
  wakeNext(to: number): boolean {
    const due = [...this.#alarms].filter((alarm) => alarm.at <= to);
    if (due.length === 0) return false;
    const next = due.reduce((first, alarm) => alarm.at < first.at ? alarm : first);
    this.#alarms.delete(next);
    this.#now = Math.max(this.#now, next.at);
    next.wake();
    return true;
  }

  /** Sets the time as a clock step does: wakes nothing but, where it goes backwards, those who asked about that. */
  jumpTo(to: number): void {
    const back = to < this.#now;
    this.#now = to;
    if (back) { for (const wake of [...this.#setBack]) wake(); }
  }
}

/** Resolves when the clock reaches `at`, or at once when the signal is aborted. */
export function sleepUntil(clock: Clock, at: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve();
    const done = () => {
      signal.removeEventListener("abort", done);
      cancel();
      resolve();
    };
    const cancel = clock.at(at, done);
    signal.addEventListener("abort", done);
  });
}
