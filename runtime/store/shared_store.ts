import type { Ending } from "./ledger/tables.ts";
import type { Store } from "./store.ts";

/** A store that several programs share, the replicas: one of them decides, the others follow. */
export interface SharedStore extends Store {
  /**
   * From now on this program decides. Reads go on meanwhile, and calls wait. Resolves when those that waited here are decided; for those
   * of others see {@link decideForOthers}.
   * @param load brings the folder to the newest state; called when no more frames are followed
   */
  promote(load: () => Promise<void>): Promise<void>;
  /**
   * Only for who decides: from now on what others send is decided. Not before the rules are in force: they say for how long events are
   * known, and which events of the program itself start something.
   */
  decideForOthers(): Promise<void>;
  /**
   * Decides what a replica left in its inbox, queues its runs again, frees its devices, and forgets it. Only for who decides, after the replica
   * was fenced.
   */
  retire(replica: string, now: number): Promise<void>;
  /** The replicas that state knows of: they have sent a batch, or own a run. */
  knownReplicas(): Promise<string[]>;
  /** Why these runs are to be ended, by run: only those of them that are running and that another replica asked to end. */
  getEndings(runs: string[]): Promise<Map<string, Ending>>;
  /** Calls the listener after frames in which something of {@link Change} has changed. */
  watch(listener: (change: Change) => void): void;
}

/** What others have changed. */
export interface Change {
  /** Ids of running runs of this replica that were woken, or that it is asked to end (see {@link SharedStore.getEndings}). */
  runs: string[];
  /** The names of the tables with changes. */
  tables: ReadonlySet<string>;
  /** Whether a run may have become claimable, now or at another time than before. */
  isClaimable: boolean;
}
