/** A replica: one of the programs that work on one database. */
export interface Member {
  id: string;
  /** The name of its host. */
  name: string;
  pid: number;
  /** The version of whenthen. */
  version: string;
  /** Where it answers requests; null if it does not say. */
  address: string | null;
  /** Milliseconds since the epoch, by the clock of the database. */
  startedAt: number;
  /** Whether it is the one that decides. */
  decides: boolean;
  /** Whether it has given a sign of life in the last seconds, by the clock of the database. */
  isAlive: boolean;
  /** The last frame that it has applied. */
  applied: number;
  /** How many frames it has not applied yet. */
  behind: number;
  /** Whether it was declared dead: nothing that it sends counts any more. */
  fenced: boolean;
}

/** The replicas of a database, as one of them sees them. */
export interface Members {
  /** This replica. */
  readonly me: string;
  /** All registered replicas. */
  list(): Promise<Member[]>;
  /**
   * Only for who decides: calls `onDead` with each replica that has given no sign of life for 3 s, after it was fenced; also with
   * those that a predecessor has fenced and not retired.
   */
  watch(onDead: (id: string) => Promise<void>): { stop(): Promise<void> };
  /** `performance.now()` when the last beat that was answered had been sent. */
  readonly lastBeat: number;
  /** Milliseconds by which the clock of the database is ahead of ours, measured with each beat; half of the round trip is subtracted. */
  readonly clockOffset: number;
}

/** What a replica tells of itself when it registers. */
export type MemberInfo = Pick<Member, "name" | "pid" | "version" | "address">;
