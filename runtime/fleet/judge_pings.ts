import { messageOf } from "../model/errors.ts";
import type { Edge } from "./messages.ts";

/** If the thread is behind by so many milliseconds, the pings under way do not count: the machine slept, or code computed. */
const STALL = 1_000;

/** What pings have said about a device. */
export interface Pinged {
  /** Failed pings in a row. */
  failures: number;
  /** Undefined until a ping has ended. */
  isUp: boolean | undefined;
  /** Milliseconds since the epoch. */
  lastPing?: number;
}

/** Decides what the end of a ping says about its device. */
export class PingJudge {
  #stalledAt = -Infinity;

  /** Notes how many milliseconds the thread is behind at a time of the monotonic clock. */
  behind(ms: number, now: number): void {
    if (ms > STALL) this.#stalledAt = now;
  }

  /** Whether a ping counts that began at this time: not if the thread has stood still since. */
  counts(began: number): boolean {
    return began > this.#stalledAt;
  }

  /**
   * Takes the end of a ping that counts.
   * @param down after so many failures in a row a device is dead
   * @returns what is new, in order; the last is `dead` if its session is to be stopped
   */
  take(pinged: Pinged, index: number, error: Error | null, down: number): Edge[] {
    pinged.lastPing = Date.now();
    if (error === null) {
      const isNew = pinged.isUp !== true;
      pinged.failures = 0;
      pinged.isUp = true;
      return isNew ? [["reachable", index]] : [];
    }
    pinged.failures++;
    pinged.isUp = false;
    const message = messageOf(error);
    const edges: Edge[] = [["unreachable", index, message]];
    if (pinged.failures >= down) edges.push(["dead", index, message]);
    return edges;
  }
}
