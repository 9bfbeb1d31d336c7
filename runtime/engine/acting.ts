import { orAborted } from "../host/clock.ts";
import { Interruption } from "./outcome.ts";

/**
 * Milliseconds after its last good sign of life for which a replica begins new work. Others take its runs over after 3 s without one;
 * the rest is for clocks that differ and for work that begins a moment later.
 */
const SURE = 2_000;
/** Milliseconds between two looks for the next sign of life. */
const LOOK = 50;

/** Why new work must wait, as a promise; undefined if it may begin. Rejects with an {@link Interruption} if it must not begin any more. */
export type Acting = () => Promise<void> | undefined;

/** What a replica knows of its own signs of life. */
export interface SignsOfLife {
  /** When the last one that was answered had been sent, by `performance.now()`. */
  readonly lastBeat: number;
}

/**
 * Lets a replica begin work only while no other one may have taken over its runs: its last answered sign of life is younger than two
 * seconds. Otherwise the work waits for the next one. Uses the machine's own monotonic clock, as the signs of life do.
 * @param lost why this replica was excluded, once it was
 */
export function actWhileAlive(life: SignsOfLife, lost: () => Error | undefined): Acting {
  const isSure = () => performance.now() - life.lastBeat < SURE;
  /** One wait serves all work. */
  let waiting: Promise<void> | undefined;
  const wait = async () => {
    while (lost() === undefined && !isSure()) await new Promise((resolve) => setTimeout(resolve, LOOK));
    const error = lost();
    if (error !== undefined) throw new Interruption("shutdown", error.message);
  };
  return () => {
    if (waiting === undefined && lost() === undefined && isSure()) return undefined;
    waiting ??= wait().finally(() => waiting = undefined);
    // Not everybody who asks waits.
    waiting.catch(() => {});
    return waiting;
  };
}

/**
 * Waits until a run may begin an attempt of a step, or continue its function.
 * @returns undefined if it may at once
 * @throws the signal's reason; an {@link Interruption} if this replica was excluded
 */
export function mayAct({ shared }: { shared?: { acting: Acting } }, signal: AbortSignal): Promise<void> | undefined {
  const waiting = shared?.acting();
  return waiting && orAborted(waiting, signal);
}
