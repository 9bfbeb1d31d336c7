import { randomUUID } from "node:crypto";
import { join } from "node:path";
import type { Disk } from "../../host/disk.ts";
import type { StoreTasks } from "../background.ts";
import type { Decider } from "../decider.ts";
import type { Elsewhere, FollowerState } from "../elsewhere.ts";
import { type FoldEnd, type FoldTask, isFoldTask } from "../fold_order.ts";

/** Milliseconds that a replica has for a task. */
const TIMEOUTS: Record<FoldTask["name"], number> = { fold: 60_000, merge: 300_000 };

/** For so many milliseconds a replica gets no more orders after it has failed. */
const REST = 600_000;

export interface FoldOrdersOptions {
  /** Runs the tasks in a thread of this program. */
  background: StoreTasks;
  elsewhere: Elsewhere;
  disk: Disk;
  folder: string;
  onWarning: (message: string) => void;
}

/**
 * Has folds and merges done by a replica that follows, as they take about a fifth of the processor time of the replica that decides. If there is
 * none, or it fails, a thread of this program does them. The order is a row, so the replica gets it with a frame. It uploads the files, and then
 * answers with a call. Only this program, which has the lease, adds them to the files of the store: an answer after a take-over, or after this
 * program has stopped waiting for it, has no effect.
 */
export class FoldOrders implements StoreTasks {
  readonly #options: FoldOrdersOptions;
  #decider: Decider | undefined;
  #pending: { id: string; to: string; settle: (end: FoldEnd | undefined) => void } | undefined;
  /** `performance.now()` when a replica has failed. */
  readonly #failed = new Map<string, number>();
  /** The first frame of the newest segment to fold. */
  #first = 1;
  #closed = false;
  readonly #stop = new AbortController();

  constructor(options: FoldOrdersOptions) {
    this.#options = options;
  }

  /** From now on others get orders. An order of the one that decided before no longer counts. */
  async start(decider: Decider): Promise<void> {
    this.#decider = decider;
    await this.#forget(decider);
  }

  readonly run: StoreTasks["run"] = async (name, args, transfer) => {
    const { background } = this.#options;
    const task = { name: name as string, args };
    const end = isFoldTask(task) ? await this.#order(task) : undefined;
    if (end === undefined) return await background.run(name, args, transfer);
    // deno-lint-ignore no-explicit-any -- The replica has run the same task.
    return end.result as any;
  };

  /** See {@link Background.close}. */
  async close(signal?: AbortSignal): Promise<void> {
    this.#closed = true;
    this.#stop.abort();
    this.#pending?.settle(undefined);
    await this.#options.background.close(signal);
  }

  /** Calls of replicas were decided. The end of an order may be among them. */
  look(): void {
    if (this.#pending === undefined) return;
    const order = this.#decider!.rows.fact("fold");
    if (order?.id === this.#pending.id && order.end !== undefined) this.#pending.settle(order.end);
  }

  /** A replica was fenced, and what it had sent is decided. */
  gone(replica: string): void {
    this.#failed.delete(replica);
    if (this.#pending?.to === replica) this.#pending.settle(undefined);
  }

  /** @returns undefined if no replica has done it */
  async #order(task: FoldTask): Promise<Exclude<FoldEnd, { error: string }> | undefined> {
    const { elsewhere, onWarning } = this.#options;
    if (task.name === "fold") this.#first = task.args.firstSeq;
    const decider = this.#decider;
    if (decider === undefined || this.#closed) return undefined;
    const followers = await elsewhere.exchange.followers().catch(() => []);
    const to = choose(followers.filter(({ id }) => !this.#rests(id)), this.#first);
    if (to === undefined) return undefined;
    // A closing store makes no more transitions.
    const end = await this.#wait(decider, to, task).catch(() => undefined);
    try {
      if (end !== undefined && !("error" in end)) {
        // The first attempt removes the files that these replace from this machine, so an outage must not end it half-way.
        await elsewhere.outlast(() => elsewhere.publish(end.files), { signal: this.#stop.signal, onOutage() {} });
        await this.#removeFolded(task);
      }
    } finally {
      await this.#forget(decider);
    }
    if (end === undefined || !("error" in end)) return end;
    this.#failed.set(to, performance.now());
    onWarning(`Replica ${to} cannot ${task.name} the log of the store: ${end.error}; this program does it`);
  }

  /** @returns how it has ended; undefined if the replica is gone, or this program closes */
  async #wait({ ledger, rows }: Decider, to: string, task: FoldTask): Promise<FoldEnd | undefined> {
    const id = randomUUID();
    const { promise, resolve } = Promise.withResolvers<FoldEnd | undefined>();
    const limit = TIMEOUTS[task.name];
    const timer = setTimeout(() => resolve({ error: `it has not answered within ${limit / 1_000} s` }), limit);
    this.#pending = { id, to, settle: resolve };
    try {
      await ledger.add("change", () => rows.putFact("fold", { id, to, task }));
      return await promise;
    } finally {
      clearTimeout(timer);
      this.#pending = undefined;
    }
  }

  /** This program folds no more of the segment either. If its file cannot be removed now, the next start removes it. */
  async #removeFolded(task: FoldTask): Promise<void> {
    const { disk, folder } = this.#options;
    if (task.name === "fold") await disk.remove(join(folder, task.args.name)).catch(() => {});
  }

  async #forget({ ledger, rows }: Decider): Promise<void> {
    if (rows.fact("fold") === undefined) return;
    // If the store closes, the next one that decides forgets it.
    await ledger.add("change", () => void rows.drop("fact", "fold")).catch(() => {});
  }

  #rests(replica: string): boolean {
    const failedAt = this.#failed.get(replica);
    return failedAt !== undefined && performance.now() - failedAt < REST;
  }
}

/**
 * The replica for the next order: the oldest one.
 * @param first a replica that has not applied this frame is too far behind
 */
export function choose(followers: FollowerState[], first: number): string | undefined {
  return followers.find(({ applied }) => applied >= first)?.id;
}
