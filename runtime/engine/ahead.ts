import { actions } from "../actions/index.ts";
import type { ClaimedRun, Lease } from "../store/store.ts";
import type { RuleVersion } from "./step_frame.ts";

/**
 * Runs that began before they are on disk. Their first step shows nothing until its record is on disk, and that is in the frame of the event
 * or in a later one.
 */
export class AheadOfDisk {
  /** By the lease that they were claimed on. */
  readonly #begun = new Map<Lease, ClaimedRun[]>();

  /**
   * Chooses the runs that may begin.
   * @param versionOf a rule version, if it is in memory
   */
  choose(
    lease: Lease,
    claimed: ClaimedRun[],
    versionOf: (version: string) => RuleVersion | undefined,
  ): ClaimedRun[] {
    const begun = claimed.filter((claim) => beginsInside(claim, versionOf(claim.run.version)));
    if (begun.length > 0) this.#begun.set(lease, begun);
    return begun;
  }

  /**
   * The lease ends.
   * @param claimed the runs claimed on it that are on disk; those that began and are not among them are given up
   */
  settle(lease: Lease, claimed: ClaimedRun[]): { begun: ClaimedRun[]; undone: ClaimedRun[]; rest: ClaimedRun[] } {
    const begun = this.#begun.get(lease);
    if (begun === undefined) return { begun: [], undone: [], rest: claimed };
    this.#begun.delete(lease);
    const isIn = (claims: ClaimedRun[]) => ({ run }: ClaimedRun) => claims.some((claim) => claim.run.id === run.id);
    const [isBegun, isClaimed] = [isIn(begun), isIn(claimed)];
    return {
      begun,
      undone: begun.filter((claim) => !isClaimed(claim)),
      rest: claimed.filter((claim) => !isBegun(claim)),
    };
  }
}

/** Whether a run shows nothing outside before its first record is on disk. */
function beginsInside({ asksFirst }: ClaimedRun, version: RuleVersion | undefined): boolean {
  const then = version?.rule.then;
  // If the step is skipped by its `if`, that is recorded before the next step begins.
  return Array.isArray(then) && !asksFirst && then.length > 0 && actions[then[0].kind]?.staysInside === true;
}
