/** The time, and waking up at a time. Everything that waits takes one of these, so that tests can turn the hands. */
export interface Clock {
  /** Milliseconds since the epoch. */
  now(): number;
  /** Whole milliseconds of a clock that nobody sets, from any beginning: what lies between two of them has passed. */
  ticks(): number;
  /** Calls back once when the wall clock has reached `at`. Follows clock steps: it never sleeps over 30 s at a stretch. */
  at(at: number, wake: () => void): Cancel;
  /** Calls back once, so many milliseconds from now, whatever the wall clock is set to: for what may only take so long. */
  after(ms: number, wake: () => void): Cancel;
  /**
   * Calls back each time the wall clock is found to have been set back, with the milliseconds by which: who waits for a time may
   * wait for years. Whoever asked for this first is called first.
   */
  onRollback(wake: (by: number) => void): Cancel;
}

export type Cancel = () => void;

const LONGEST_SLEEP = 30_000;
/** What a timer of the hosts can hold: 2^31 - 1 milliseconds. */
const LONGEST_TIMER = 2_147_483_647;

/** A clock that is this many milliseconds slow was slowed, not set. */
const SLACK = 1_000;

const ticks = () => Math.floor(performance.now());

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
    ticks,
    after(ms, wake) {
      const end = ticks() + ms;
      let timer: ReturnType<typeof setTimeout>;
      const sleep = () => {
        const left = end - ticks();
        if (left <= 0) wake();
        else timer = setTimeout(sleep, Math.min(left, LONGEST_TIMER));
      };
      timer = setTimeout(sleep, Math.min(ms, LONGEST_TIMER));
      return () => clearTimeout(timer);
    },
    onRollback: watchSetBack(now, longestSleep),
  };
}

/** One look for all: each would find it at a time of its own, and who goes by what another one puts right would be too early. */
function watchSetBack(now: () => number, pause: number): Clock["onRollback"] {
  const listeners = new Set<(by: number) => void>();
  let last = { time: 0, ticks: 0 };
  let timer: ReturnType<typeof setInterval>;
  const look = () => {
    const seen = { time: now(), ticks: ticks() };
    const by = last.time + seen.ticks - last.ticks - seen.time;
    last = seen;
    if (by > SLACK) { for (const wake of [...listeners]) wake(by); }
  };
  return (wake) => {
    // What was before is nothing to who asks only now.
    look();
    if (listeners.size === 0) timer = setInterval(look, pause);
    const listener = (by: number) => wake(by);
    listeners.add(listener);
    return () => {
      listeners.delete(listener);
      if (listeners.size === 0) clearInterval(timer);
    };
  };
}

interface Alarm {
  at: number;
  wake: () => void;
  /** It is a time from when it was set, wherever the hands jump. */
  relative: boolean;
}

/** A clock that moves only when told. */
export class ManualClock implements Clock {
  #now: number;
  #alarms = new Set<Alarm>();
  /** Milliseconds that jumps have made up: nobody lived through them. */
  #jumped = 0;
  #setBack = new Set<(by: number) => void>();

  constructor(now: number) {
    this.#now = now;
  }

  now(): number {
    return this.#now;
  }

  ticks(): number {
    return this.#now - this.#jumped;
  }

  at(at: number, wake: () => void): Cancel {
    return this.#set({ at, wake, relative: false });
  }

  after(ms: number, wake: () => void): Cancel {
    return this.#set({ at: this.#now + ms, wake, relative: true });
  }

  #set(alarm: Alarm): Cancel {
    const { at, wake } = alarm;
    this.#alarms.add(alarm);
    // As with any clock: what is due already is not left to the next turn of the hands.
    if (at <= this.#now) queueMicrotask(() => void (this.#alarms.delete(alarm) && wake()));
    return () => this.#alarms.delete(alarm);
  }

  onRollback(wake: (by: number) => void): Cancel {
    const listener = (by: number) => wake(by);
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
    const by = to - this.#now;
    this.#now = to;
    this.#jumped += by;
    for (const alarm of this.#alarms) if (alarm.relative) alarm.at += by;
    if (by < 0) { for (const wake of [...this.#setBack]) wake(-by); }
  }
}

/** Resolves when the clock reaches `at`, or at once when the signal is aborted. */
export function sleepUntil(clock: Clock, at: number, signal: AbortSignal): Promise<void> {
  return sleep((wake) => clock.at(at, wake), signal);
}

/** Resolves after so many milliseconds, or at once when the signal is aborted. */
export function sleepFor(clock: Clock, ms: number, signal: AbortSignal): Promise<void> {
  return sleep((wake) => clock.after(ms, wake), signal);
}

function sleep(wakeMe: (wake: () => void) => Cancel, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve();
    const done = () => {
      signal.removeEventListener("abort", done);
      cancel();
      resolve();
    };
    const cancel = wakeMe(done);
    signal.addEventListener("abort", done);
  });
}
