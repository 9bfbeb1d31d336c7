import { FolderLostError } from "../../host/lock.ts";
import { messageOf } from "../../model/errors.ts";
import type { Elsewhere } from "../elsewhere.ts";
import type { Rows } from "../ledger/rows.ts";
import type { Ending } from "../ledger/tables.ts";
import { LedgerStore } from "../ledger_store.ts";
import { type DecidingParts, type FollowedState, openDecider, type StoreHost } from "../open_decider.ts";
import type { Change, SharedStore } from "../shared_store.ts";
import { type Receipt, UndecidedError } from "../store.ts";
import { reclaimRuns } from "../transitions/claim_runs.ts";
import { freePlaces } from "../transitions/places.ts";
import { settle } from "./calls.ts";
import { changesOf } from "./frame_changes.ts";
import { Inbox } from "./inbox.ts";
import { FoldOrders } from "./fold_orders.ts";
import { type FollowingParts, openFollower } from "./open_follower.ts";
import { INTAKE_TIMEOUT, type OpenCall, RETRY_AFTER, type SentBatch } from "./outbox.ts";

export interface SharedStoreOptions {
  elsewhere: Elsewhere;
  /** Follow another program. */
  follow: boolean;
  onLost?: (error: FolderLostError) => void;
  intakeTimeout?: number;
}

/**
 * Opens a store that several programs share.
 * @throws as `openStore`
 */
export async function openSharedStore(host: StoreHost, options: SharedStoreOptions): Promise<SharedStore> {
  const { elsewhere, follow, onLost = () => {}, intakeTimeout = INTAKE_TIMEOUT } = options;
  const watching = new Watching(elsewhere, intakeTimeout);
  if (!follow) return SharedLedgerStore.decide(host, watching);
  const onChange = (change: Change) => watching.tell(change);
  const onUnwanted = (receipts: Receipt[], now: number) => store.putBack(receipts, now);
  const following = { elsewhere, onChange, onLost, onUnwanted, intakeTimeout };
  const store = SharedLedgerStore.follow(host, watching, await openFollower(host, following));
  return store;
}

/** The role of a program that decides. */
interface DecidingRole {
  parts: DecidingParts;
  inbox: Inbox;
  folds: FoldOrders;
}

class SharedLedgerStore extends LedgerStore implements SharedStore {
  readonly #host: StoreHost;
  readonly #watching: Watching;
  /** Set while this program follows. */
  #following: FollowingParts | undefined;
  #promotion: Promise<void> | undefined;
  /** Set while it decides. */
  #role: DecidingRole | undefined;
  readonly #closing = new AbortController();

  private constructor(
    host: StoreHost,
    watching: Watching,
    role: DecidingRole | FollowingParts,
  ) {
    super("inbox" in role ? role.parts : role);
    this.#host = host;
    this.#watching = watching;
    if ("inbox" in role) this.#role = role;
    else this.#following = role;
  }

  static async decide(host: StoreHost, watching: Watching): Promise<SharedLedgerStore> {
    return new SharedLedgerStore(host, watching, await openRole(host, watching));
  }

  static follow(host: StoreHost, watching: Watching, parts: FollowingParts): SharedLedgerStore {
    return new SharedLedgerStore(host, watching, parts);
  }

  /** An event that cannot be made durable is refused after a while: who decides does as a follower's outbox. */
  override async accept(...args: Parameters<LedgerStore["accept"]>): Promise<Receipt[]> {
    const [arrivals, , now] = args;
    const accepting = super.accept(...args);
    if (this.#role === undefined || arrivals.length === 0) return await accepting;
    const late = Promise.withResolvers<never>();
    const timer = setTimeout(() => {
      late.reject(new UndecidedError(`${this.#watching.elsewhere.name} does not answer`, RETRY_AFTER));
      accepting.then((receipts) => this.putBack(receipts, now), () => {});
    }, this.#watching.intakeTimeout);
    return await Promise.race([accepting, late.promise]).finally(() => clearTimeout(timer));
  }

  watch(listener: (change: Change) => void): void {
    this.#watching.listener = listener;
  }

  promote(load: () => Promise<void>): Promise<void> {
    return this.#promotion ??= this.#promote(load);
  }

  async #promote(load: () => Promise<void>): Promise<void> {
    const following = this.#following;
    if (following === undefined) return;
    const { handOver, role } = await this.#takeOver(following, load).catch((error) => {
      // What waits for an answer must not wait for ever.
      following.deciding.lose(new FolderLostError(`Cannot take over the decisions: ${messageOf(error)}`));
      throw error;
    });
    // From here to the end of `#continue` in one turn: no new call comes before one that waited.
    this.parts = role.parts;
    this.#role = role;
    // The one that decided before may have died between a fold and the row of its part.
    role.parts.history.dropFolded();
    const own = this.#continue(handOver(), role);
    this.#following = undefined;
    await own;
  }

  async #takeOver({ deciding, state }: FollowingParts, load: () => Promise<void>) {
    const handOver = await this.#outlast(() => deciding.handOver());
    await this.#outlast(load);
    const open = () => openRole(this.#host, this.#watching, { state, seq: deciding.seq });
    return { handOver, role: await this.#outlast(open) };
  }

  /** Repeats work while the place of the store cannot be reached: what this program has in memory is worth more than the wait. */
  #outlast<T>(work: () => Promise<T>): Promise<T> {
    const { elsewhere } = this.#watching;
    return elsewhere.outlast(work, {
      signal: this.#closing.signal,
      onOutage: (why) =>
        this.#host.onWarning(`Cannot take over the decisions from ${elsewhere.name} yet: ${why}; it is tried again`),
    });
  }

  async decideForOthers(): Promise<void> {
    const { inbox, folds, parts: { deciding } } = this.#deciding();
    // What the one that decided before did not get to comes first.
    const left = this.#promotion ? await this.knownReplicas() : [];
    for (const replica of left) await this.#outlast(() => inbox.rest(replica, false));
    inbox.start();
    await folds.start(deciding);
  }

  /**
   * Queues runs again that were claimed with events for a caller that no longer waited for them. Nobody has seen the receipts, so the
   * program is told what follows from them.
   */
  putBack(receipts: Receipt[], now: number): void {
    const suspension = { state: "queued", waitingFor: "another attempt", spent: 0 } as const;
    for (const { run } of receipts.flatMap(({ claimed = [] }) => claimed)) {
      // If the store is lost or closed, the run is queued again with all others of this replica.
      this.suspendRun(run.id, suspension, now).catch(() => {});
    }
    const woken = receipts.flatMap(({ wakes }) => wakes);
    this.#watching.tell({ runs: woken, tables: new Set(["run", "lane"]), isClaimable: true });
  }

  /** Settles the calls that were not answered when this program followed. */
  async #continue(
    { sent, waiting }: { sent: SentBatch | undefined; waiting: OpenCall[] },
    { parts: { deciding }, inbox }: DecidingRole,
  ): Promise<void> {
    const own = sent && this.#settleSent(sent, deciding.rows, inbox);
    for (const { kind, transition, input, now, resolve, reject } of waiting) {
      deciding.decide(kind, transition, input, now).then(resolve, reject);
    }
    await own;
  }

  /** Decides a batch that was sent. It is not decided yet: all frames are applied, and none has its answers. */
  async #settleSent({ seq, text, calls }: SentBatch, rows: Rows, inbox: Inbox): Promise<void> {
    try {
      const answers = await inbox.decide({ replica: this.#me, seq, calls: text }) ?? [];
      for (const [index, call] of calls.entries()) settle(call, answers[index], rows);
    } catch (error) {
      for (const call of calls) call.reject(error);
    }
  }

  async retire(replica: string, now: number): Promise<void> {
    const { inbox, folds, parts: { deciding } } = this.#deciding();
    await inbox.rest(replica, true);
    folds.gone(replica);
    for (let more = true; more;) {
      const slice = await deciding.ledger.add("change", () => {
        this.#watching.expect();
        return reclaimRuns(deciding.rows, { of: [replica] }, deciding.at(now));
      });
      more = slice.more;
    }
    const free = () => {
      this.#watching.expect();
      return freePlaces(deciding.rows, { replica });
    };
    while (await deciding.ledger.add("change", free));
    await deciding.ledger.add("change", () => deciding.rows.drop("replica", replica));
    // All of them: it may have suspended the run, or the one that decided before may have queued it again and died then.
    await this.resumeSearches(now);
  }

  async knownReplicas(): Promise<string[]> {
    return await this.parts.deciding.read((rows) => {
      const owners = rows.range("run", "owned", "").map(({ owner }) => owner!);
      return [...new Set([...rows.keys("replica"), ...owners])].sort();
    });
  }

  async getEndings(runs: string[]): Promise<Map<string, Ending>> {
    return await this.parts.deciding.read((rows) =>
      new Map(runs.flatMap((id): [string, Ending][] => {
        const ending = rows.get("run", id)?.ending;
        return ending === undefined ? [] : [[id, ending]];
      }))
    );
  }

  override async close(): Promise<void> {
    this.#closing.abort();
    await this.#promotion?.catch(() => {});
    await this.#role?.inbox.close();
    await super.close();
  }

  get #me(): string {
    return this.#watching.me;
  }

  /** @throws Error if this program follows another one */
  #deciding(): DecidingRole {
    if (this.#role === undefined) throw new Error("Cannot decide for others: another program decides");
    return this.#role;
  }
}

async function openRole(host: StoreHost, watching: Watching, followed?: FollowedState): Promise<DecidingRole> {
  const { elsewhere, me } = watching;
  const folds = new FoldOrders({ ...host, background: host.folds, elsewhere });
  const watched: Elsewhere = { ...elsewhere, append: watching.append };
  const parts = { ...await openDecider({ ...host, folds, elsewhere: watched }, followed), replica: me };
  const inbox = new Inbox({
    decider: parts.deciding,
    exchange: elsewhere.exchange,
    name: elsewhere.name,
    onWarning: host.onWarning,
    onDecided: () => {
      watching.expect();
      folds.look();
    },
  });
  return { parts, inbox, folds };
}

/** Tells the program what others have changed. */
class Watching {
  listener: ((change: Change) => void) | undefined;
  /** How many of the next frames may have something that others asked for. Other frames need no look. */
  #awaited = 0;
  /** The last frame, and whether it needs one. */
  #last = { seq: 0, isAwaited: false };

  constructor(readonly elsewhere: Elsewhere, readonly intakeTimeout: number) {}

  get me(): string {
    return this.elsewhere.exchange.me;
  }

  tell(change: Change): void {
    // An error of the listener must not look like one of the frame.
    queueMicrotask(() => this.listener?.(change));
  }

  /** Something that others asked for is decided: it is in the next frame, or in the one after that if one is being written. */
  expect(): void {
    this.#awaited = 2;
  }

  /** Makes a frame durable, then tells what it changed. */
  readonly append = async (seq: number, frame: Uint8Array): Promise<void> => {
    // An append that failed is repeated.
    if (seq !== this.#last.seq) this.#last = { seq, isAwaited: this.#awaited-- > 0 };
    this.#awaited = Math.max(0, this.#awaited);
    const { isAwaited } = this.#last;
    await this.elsewhere.append(seq, frame);
    if (!isAwaited) return;
    const change = this.listener && changesOf(frame, this.me);
    if (change !== undefined) this.tell(change);
  };
}
