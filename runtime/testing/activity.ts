import { setTimeout as pause } from "node:timers/promises";
import { turn } from "../host/large_work.ts";
import type { Mismatch } from "../model/test.ts";
import type { Store } from "../store/store.ts";

/** Turns of the event loop without activity after which the world counts as quiet. */
const QUIET_TURNS = 3;
/** Turns at full speed, a few milliseconds: a worker answers in less, and a pause takes longer than that. */
const EAGER_TURNS = 2_000;
/** Milliseconds of real time within which something must happen. */
export const TIMEOUT = 10_000;

/** Tracks the activity in a simulated world: nothing in it waits for real time, so it becomes quiet by itself. */
export class Activity {
  #open = 0;
  /** Counts finished activities. */
  #happened = 0;

  /** Counts as active until the promise settles. */
  async during<T>(promise: Promise<T>): Promise<T> {
    this.#open++;
    try {
      return await promise;
    } finally {
      this.#open--;
      this.#happened++;
    }
  }

  /** Wraps the store so that its calls count as activity. */
  watch(store: Store): Store {
    return new Proxy(store, {
      get: (target, name) => (...args: unknown[]) =>
        this.during(Reflect.apply(Reflect.get(target, name) as () => Promise<unknown>, target, args)),
    });
  }

  /**
   * Resolves when nothing is active any more.
   * @param isIdle whether the parts that are not counted here wait, too
   * @throws TestFailed if nothing happens although something is active
   */
  async settled(isIdle: () => boolean): Promise<void> {
    let quiet = 0;
    let happened = this.#happened;
    let since = performance.now();
    for (let turns = 0; quiet < QUIET_TURNS; turns++) {
      if (turns < EAGER_TURNS) await turn();
      else await pause(1);
      quiet = this.#open === 0 && isIdle() ? quiet + 1 : 0;
      if (happened !== this.#happened) [happened, since, turns] = [this.#happened, performance.now(), 0];
      if (performance.now() - since > TIMEOUT) {
        throw new TestFailed(`Nothing has happened for ${TIMEOUT / 1_000} s, but the rule is still running`);
      }
    }
  }
}

/** An expectation of a test has failed. */
export class TestFailed extends Error {
  override name = "TestFailed";
  constructor(message: string, readonly mismatches: Mismatch[] = []) {
    super(message);
  }
}
