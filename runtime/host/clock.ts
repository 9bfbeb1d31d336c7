/** The time, and timers. All waiting uses a clock, so that tests can control the time. */
export interface Clock {
  /** Milliseconds since the epoch. */
  now(): number;
  /** The monotonic clock in whole milliseconds, with an arbitrary origin. Use it to measure elapsed time. */
  ticks(): number;
  /** Calls back once when the wall clock has reached `at`. Follows clock steps: it never sleeps longer than 30 s at a time. */
  at(at: number, wake: () => void): Cancel;
  /** Calls back once after this many milliseconds, by the monotonic clock. For timeouts. */
  after(ms: number, wake: () => void): Cancel;
  /**
   * Calls back at each clock rollback, with its milliseconds. Without this, a wait until a time could last for years. Listeners are
   * called in the order in which they were added.
   */
  onRollback(wake: (by: number) => void): Cancel;
}

export type Cancel = () => void;

const LONGEST_SLEEP = 30_000;
/** The longest timer of the hosts: 2^31 - 1 milliseconds. */
const LONGEST_TIMER = 2_147_483_647;

/** Milliseconds that do not count as a rollback: time synchronization may slow the clock down. */
const SLACK = 1_000;

const ticks = () => Math.floor(performance.now());

/** The machine's clock. */
export const systemClock: Clock = wallClock(Date.now, LONGEST_SLEEP);

/**
 * A clock that follows `now`, which may be set.
 * @param longestSleep milliseconds after which it is checked again
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
    onRollback: watchForRollbacks(now, longestSleep),
  };
}

/** One check for all listeners. If each had its own, a listener could run before the one that it depends on. */
function watchForRollbacks(now: () => number, pause: number): Clock["onRollback"] {
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
    // A new listener must not get rollbacks from before.
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
  /** Whether it is relative to the time when it was set, and so not affected by jumps. */
  relative: boolean;
}

/** A clock that moves only by its methods. */
export class ManualClock implements Clock {
  #now: number;
  #alarms = new Set<Alarm>();
  /** The sum of all jumps in milliseconds, which are not part of elapsed time. */
  #jumped = 0;
  #rollbackListeners = new Set<(by: number) => void>();

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
    // As with the real clock, an alarm that is already due does not wait for the next move.
    if (at <= this.#now) queueMicrotask(() => void (this.#alarms.delete(alarm) && wake()));
    return () => this.#alarms.delete(alarm);
  }

  onRollback(wake: (by: number) => void): Cancel {
    const listener = (by: number) => wake(by);
    this.#rollbackListeners.add(listener);
    return () => this.#rollbackListeners.delete(listener);
  }

  /** Moves to `to` and fires the alarms due on the way, in order of time. Lets pending promises settle before and after each. */
  async advanceTo(to: number): Promise<void> {
    do await new Promise((resolve) => setTimeout(resolve, 0)); while (this.wakeNext(to));
    this.#now = Math.max(this.#now, to);
    await new Promise((resolve) => setTimeout(resolve, 0));
  }

  /** Moves to the first alarm due up to `to`, and fires it. @returns false if there is none; the time is then unchanged */
  wakeNext(to: number): boolean {
    const due = [...this.#alarms].filter((alarm) => alarm.at <= to);
    if (due.length === 0) return false;
    const next = due.reduce((first, alarm) => alarm.at < first.at ? alarm : first);
    this.#alarms.delete(next);
    this.#now = Math.max(this.#now, next.at);
    next.wake();
    return true;
  }

  /** Sets the time like a clock step. Fires no alarms; a step backwards calls the rollback listeners. */
  jumpTo(to: number): void {
    const by = to - this.#now;
    this.#now = to;
    this.#jumped += by;
    for (const alarm of this.#alarms) if (alarm.relative) alarm.at += by;
    if (by < 0) { for (const wake of [...this.#rollbackListeners]) wake(-by); }
  }
}

/** Resolves when the clock reaches `at`, or at once when the signal is aborted. */
export function sleepUntil(clock: Clock, at: number, signal: AbortSignal): Promise<void> {
  return sleep((wake) => clock.at(at, wake), signal);
}

/** Resolves after this many milliseconds, or at once when the signal is aborted. */
export function sleepFor(clock: Clock, ms: number, signal: AbortSignal): Promise<void> {
  return sleep((wake) => clock.after(ms, wake), signal);
}

function sleep(setTimer: (wake: () => void) => Cancel, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve();
    const done = () => {
      signal.removeEventListener("abort", done);
      cancel();
      resolve();
    };
    const cancel = setTimer(done);
    signal.addEventListener("abort", done);
  });
}

/** Waits for work, but no longer than this many milliseconds. */
export async function waitAtMost(clock: Clock, ms: number, work: Promise<unknown>): Promise<void> {
  const done = new AbortController();
  await Promise.race([work, sleepFor(clock, ms, done.signal)]);
  done.abort();
}

/**
 * Waits for work, or until the signal is aborted; the work goes on then.
 * @throws the reason of the signal
 */
export async function orAborted<T>(work: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return await work;
  const aborted = Promise.withResolvers<never>();
  const abort = () => aborted.reject(signal.reason);
  signal.addEventListener("abort", abort);
  if (signal.aborted) abort();
  try {
    return await Promise.race([work, aborted.promise]);
  } finally {
    signal.removeEventListener("abort", abort);
  }
}
