import type { OpenDatabase } from "../database/open_database.ts";
import type { Clock } from "../host/clock.ts";
import { FolderLostError } from "../host/lock.ts";
import { messageOf } from "../model/errors.ts";
import type { Change, SharedStore } from "../store/shared_store.ts";

/** What a replica tells the program. */
export interface ReplicaOptions {
  database: OpenDatabase;
  store: SharedStore;
  clock: Clock;
}

/** One of several programs that share a store. One of them decides; the others follow, and take over when that one ends. */
export class Replica {
  readonly members: OpenDatabase["members"];
  /** Resolves if it could not take over: it can only begin anew. */
  readonly failed: Promise<Error>;
  readonly #options: ReplicaOptions;
  readonly #stop = new AbortController();
  readonly #failure = Promise.withResolvers<Error>();
  #decides: boolean;
  #watch: ReturnType<OpenDatabase["members"]["watch"]> | undefined;
  /** Settles when it is not taking over. */
  #following: Promise<void> = Promise.resolve();

  constructor(options: ReplicaOptions) {
    this.#options = options;
    this.members = options.database.members;
    this.failed = this.#failure.promise;
    this.#decides = options.database.lease !== undefined;
  }

  /** Whether this one decides. */
  get decides(): boolean {
    return this.#decides;
  }

  /**
   * From now on it takes part: it looks after the others if it decides, else it takes over as soon as nobody does.
   * @param onChange see {@link SharedStore.watch}
   * @param onDecides called after the store has taken over
   */
  start(onChange: (change: Change) => void, onDecides: () => Promise<void>): void {
    this.#options.store.watch(onChange);
    if (this.#decides) this.#lookAfterOthers();
    else this.#following = this.#follow(onDecides);
  }

  /** Resolves when it does nothing any more on its own. */
  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#following;
    await this.#watch?.stop();
  }

  async #follow(onDecides: () => Promise<void>): Promise<void> {
    const { database, store } = this.#options;
    try {
      await database.decide(this.#stop.signal);
      await database.folder.loadStore();
      await store.promote();
      this.#decides = true;
      this.#lookAfterOthers();
      await onDecides();
    } catch (error) {
      if (this.#stop.signal.aborted) return;
      this.#failure.resolve(new FolderLostError(`Cannot take over the decisions: ${messageOf(error)}`));
    }
  }

  /** What replicas leave that have ended, in an orderly way or not, goes on here. */
  #lookAfterOthers(): void {
    const { store, clock } = this.#options;
    this.#watch = this.members.watch((id) => store.retire(id, clock.now()));
  }
}
