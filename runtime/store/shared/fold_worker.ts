import { messageOf } from "../../model/errors.ts";
import type { StoreTasks } from "../background.ts";
import type { Elsewhere } from "../elsewhere.ts";
import type { FoldEnd, FoldOrder, FoldTask } from "../fold_order.ts";

export interface FoldWorkerOptions {
  /** Runs the tasks in a thread, on the files of this machine. */
  background: StoreTasks;
  elsewhere: Pick<Elsewhere, "exchange" | "prepareFold" | "upload">;
  /** Tells the one that decides. */
  onEnd: (id: string, end: FoldEnd) => void;
}

/** Does the folds and merges that the one that decides orders, while this replica follows. See `fold_orders.ts`. */
export class FoldWorker {
  readonly #options: FoldWorkerOptions;
  /** The newest order. */
  #id: string | undefined;
  #stop = new AbortController();
  #closed = false;
  /** Settles with the last task. */
  #last: Promise<void> = Promise.resolve();

  constructor(options: FoldWorkerOptions) {
    this.#options = options;
  }

  /** The order has changed: what an earlier one asked for is no longer wanted. */
  look(order: FoldOrder | undefined): void {
    if (order?.id === this.#id) return;
    this.#stop.abort();
    this.#id = order?.id;
    if (order === undefined || order.to !== this.#options.elsewhere.exchange.me || this.#closed) return;
    const { signal } = this.#stop = new AbortController();
    const { id, task } = order;
    this.#last = this.#last.then(() => this.#work(id, task, signal));
  }

  /** Ends the task, as a kill would. Resolves when it changes nothing any more. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#stop.abort();
    await this.#options.background.close(this.#stop.signal);
    await this.#last;
  }

  async #work(id: string, task: FoldTask, signal: AbortSignal): Promise<void> {
    const end = await this.#run(task, signal).catch((error) => ({ error: messageOf(error) }));
    if (!signal.aborted) this.#options.onEnd(id, end);
  }

  async #run(task: FoldTask, signal: AbortSignal): Promise<FoldEnd> {
    const { background, elsewhere } = this.#options;
    signal.throwIfAborted();
    await elsewhere.prepareFold(task, signal);
    signal.throwIfAborted();
    const result = await background.run(task.name, task.args);
    return { result, files: await elsewhere.upload(signal) };
  }
}
