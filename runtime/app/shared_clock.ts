import { type Clock, wallClock } from "../host/clock.ts";

/** Milliseconds by which the clock of a machine may differ from that of the database before it is corrected. */
const TOLERANCE = 1_000;
/** Milliseconds after which a sleeping timer looks at the clock again. */
const LONGEST_SLEEP = 30_000;

/**
 * The machine's clock, corrected if it differs from the one that all replicas share: the times that one replica records are due on
 * another.
 * @param offset milliseconds by which the shared clock is ahead at the moment
 * @param onCorrected called with each new correction, in milliseconds
 */
export function sharedClock(clock: Clock, offset: () => number, onCorrected: (by: number) => void): Clock {
  let adopted = 0;
  const now = () => {
    const by = Math.round(offset());
    if (Math.abs(by - adopted) > TOLERANCE) onCorrected(adopted = by);
    return clock.now() + adopted;
  };
  return wallClock(now, LONGEST_SLEEP);
}
