import { setTimeout as sleep } from "node:timers/promises";
import type { OpenDatabase } from "../database/open_database.ts";
import { type Clock, orAborted, waitAtMost } from "../host/clock.ts";
import { FolderLostError } from "../host/lock.ts";
import { messageOf } from "../model/errors.ts";
import type { SharedFiles } from "../connections/vault.ts";
import { actWhileAlive } from "../engine/acting.ts";
import { logWarning } from "../engine/run_log.ts";
import type { Sharing } from "../engine/runner_options.ts";
import type { FleetSharing } from "../fleet/sharing.ts";
import { newId } from "../model/id.ts";
import { RulesOfReplicas, versionOf } from "./rules_of_replicas.ts";
import { openStore, type StoreOptions } from "../store/open_store.ts";
import type { Change, SharedStore } from "../store/shared_store.ts";

/** Milliseconds until something that the others must know is told again. */
const AGAIN = 250;
/** Milliseconds between two counts of the replicas. */
const LOOK = 5_000;

/** Milliseconds for the last changes of a replica that stops. */
const LAST_CHANGES = 1_000;

/** The tables of pauses, config of people and of a platform, tokens of connections. */
const ADOPTED = ["rule", "config", "fact", "mark"];

/** Whether a change of these tables by another replica may concern what is in force here. */
export function concernsRules(tables: ReadonlySet<string>): boolean {
  return ADOPTED.some((table) => tables.has(table));
}

/** What a replica works with. */
export interface ReplicaOptions {
  database: OpenDatabase;
  store: SharedStore;
  clock: Clock;
}

/** Opens the store of a database as one of its replicas. @param options of the store, but for where its files are durable */
export async function openReplica(database: OpenDatabase, options: StoreOptions, clock: Clock): Promise<Replica> {
  const lost = Promise.withResolvers<Error>();
  const store = await openStore({
    ...options,
    elsewhere: database.elsewhere,
    follow: database.lease === undefined,
    onLost: lost.resolve,
  });
  const replica = new Replica({ database, store, clock });
  lost.promise.then((error) => replica.fail(error));
  return replica;
}

/** One of several programs that share a store. One of them decides; the others follow, and take over when that one ends. */
export class Replica {
  readonly members: OpenDatabase["members"];
  readonly store: SharedStore;
  /** Resolves if it could not take over: it can only begin anew. */
  readonly failed: Promise<Error>;
  readonly #options: ReplicaOptions;
  readonly #stop = new AbortController();
  readonly #failure = Promise.withResolvers<Error>();
  /** For the runner. */
  readonly sharing: Sharing;
  /** For fleets, whose devices replicas share. */
  readonly fleets: FleetSharing;
  /** For what is sealed in the data folder. */
  readonly files: SharedFiles;
  #decides: boolean;
  /** How many replicas are alive, as of the last look. */
  #alive = 1;
  #looks: ReturnType<typeof setInterval> | undefined;
  readonly #rules: RulesOfReplicas;
  #watch: ReturnType<OpenDatabase["members"]["watch"]> | undefined;
  readonly #inForce = Promise.withResolvers<void>();
  /** Settles when it is not taking over. */
  #following: Promise<void> = Promise.resolve();

  constructor(options: ReplicaOptions) {
    this.#options = options;
    this.members = options.database.members;
    this.store = options.store;
    this.failed = this.#failure.promise;
    this.sharing = {
      store: options.store,
      registered: () => this.#registered(),
      acting: actWhileAlive(this.members, () => options.database.lost),
    };
    this.fleets = {
      me: this.members.me,
      decides: () => this.#decides,
      members: () => this.members.list(),
      acting: this.sharing.acting,
    };
    this.files = shareFiles(options);
    this.#decides = options.database.lease !== undefined;
    this.#rules = new RulesOfReplicas(this.members.me, logWarning);
  }

  /** Whether this one decides. */
  get decides(): boolean {
    return this.#decides;
  }

  /** The share of what all replicas may do together that this one may use: with three of them a third. */
  get share(): number {
    return 1 / this.#alive;
  }

  /**
   * From now on it takes part: if it does not decide, it takes over as soon as nobody does. It decides for the others after {@link begin}.
   * @param onChange see {@link SharedStore.watch}
   * @param onDecides called after the store has taken over
   */
  start(onChange: (change: Change) => void, onDecides: () => Promise<void>): void {
    this.#options.store.watch(onChange);
    this.#looks = setInterval(() => void this.#count(), LOOK);
    void this.#count();
    this.#following = this.#takePart(onDecides);
  }

  /** The rules are in force: from now on this replica may decide for others. */
  begin(): void {
    this.#inForce.resolve();
  }

  /** Resolves when it does nothing any more on its own, see {@link lastChanges}. */
  async stop(): Promise<void> {
    if (this.#stop.signal.aborted) return;
    this.#stop.abort();
    clearInterval(this.#looks);
    // Without an address, no starting replica leaves the lease to this one, see `lease.ts`.
    void this.members.note({ address: null }).catch(() => {});
    await this.lastChanges(this.#following.then(() => this.#watch?.stop()));
  }

  /**
   * Waits for the changes of the store that a part of the program makes when it ends, but at most 1 s: if all replicas stop, none may be
   * left to decide on them. Closing the store waits up to 3 s more for the answers to those that were sent.
   */
  lastChanges(work: Promise<unknown>): Promise<void> {
    return waitAtMost(this.#options.clock, LAST_CHANGES, work);
  }

  async #count(): Promise<void> {
    const members = await this.members.list().catch(() => undefined);
    if (members === undefined) return;
    const alive = members.filter(({ isAlive }) => isAlive);
    this.#alive = Math.max(1, alive.length);
    this.#rules.compare(alive, performance.now());
  }

  /** These rules are in force here. */
  noteRules(rules: ReadonlyMap<string, { version: string }>): void {
    this.#noteRules(versionOf(rules)).catch((error) => {
      logWarning(`Cannot tell which rules are in force: ${messageOf(error)}`);
    });
  }

  /** Other rules may be about to be in force here. Resolves when the others know that, so that nobody drops the versions of these rules. */
  async changeRules(): Promise<void> {
    const { signal } = this.#stop;
    while (!signal.aborted) {
      try {
        return await this.#noteRules(null);
      } catch {
        // The database cannot be reached.
        if (this.#options.database.lost !== undefined) return;
        await sleep(AGAIN, undefined, { signal }).catch(() => {});
      }
    }
  }

  async #noteRules(rules: string | null): Promise<void> {
    await this.members.note({ rules });
  }

  /** Whether all replicas have the rules of this one, as far as that is known. */
  async allHaveSameRules(): Promise<boolean> {
    const members = await this.members.list();
    const mine = members.find(({ id }) => id === this.members.me)?.rules;
    return typeof mine === "string" && members.every(({ rules, fenced }) => fenced || rules === mine);
  }

  /** Tells the others where this one listens. That they do not learn it hinders nothing. */
  async noteAddress(address: string): Promise<void> {
    await this.members.note({ address }).catch((error) => logWarning(`Cannot tell the address: ${messageOf(error)}`));
  }

  /** It can only begin anew. */
  fail(error: Error): void {
    this.#failure.resolve(error);
  }

  /** Who takes over needs it, and must not begin anew because the database cannot be reached for a moment. */
  async #registered(): Promise<string[]> {
    const onOutage = (why: string) => logWarning(`Cannot read the list of replicas: ${why}; it is tried again`);
    const { elsewhere } = this.#options.database;
    const members = await elsewhere.outlast(() => this.members.list(), { signal: this.#stop.signal, onOutage });
    return members.map(({ id }) => id);
  }

  async #takePart(onDecides: () => Promise<void>): Promise<void> {
    const { database, store } = this.#options;
    const { signal } = this.#stop;
    const follows = !this.#decides;
    try {
      if (follows) {
        await database.decide(signal);
        await store.promote(() => database.folder.takeOver());
        this.#decides = true;
      }
      await orAborted(this.#inForce.promise, signal);
      await store.decideForOthers();
      this.#lookAfterOthers();
      if (follows) await onDecides();
    } catch (error) {
      if (signal.aborted) return;
      this.fail(new FolderLostError(`Cannot take over the decisions: ${messageOf(error)}`));
    }
  }

  /** What replicas leave that have ended, in an orderly way or not, goes on here. */
  #lookAfterOthers(): void {
    const { store, clock } = this.#options;
    this.#watch = this.members.watch((id) => store.retire(id, clock.now()));
  }
}

/** How replicas change the same files of the data folder: one at a time, by a lock in the database; a mark in the store announces each change. */
function shareFiles({ database, store, clock }: ReplicaOptions): SharedFiles {
  const markOf = (file: string) => ({ rule: "", trigger: `changed ${file}` });
  return {
    inTurn: (name, work) => database.turns.inTurn(name, work),
    refresh: (file) => database.folder.refresh(file),
    async announce(file) {
      const now = clock.now();
      await store.accept([], [{ ...markOf(file), mark: newId(now) }], now);
    },
    announced: (file) => store.getMark(markOf(file)),
  };
}
