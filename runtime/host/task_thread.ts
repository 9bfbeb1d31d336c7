import { parentPort, type Worker } from "node:worker_threads";

/** The answer of a thread to an order. The error is in a form that keeps fields which a structured clone would lose. */
type Answer = { result: unknown } | { error: { name: string; message: string; stack?: string; code?: unknown } };

/** The result of a task. The buffers in `transfer` are transferred, everything else is cloned. */
export interface TaskResult {
  result: unknown;
  transfer?: ArrayBuffer[];
}

/**
 * A worker thread of the program that does one task at a time; its file calls {@link serveOrders}. It does not keep the program
 * alive, except while a task runs.
 */
export class TaskThread {
  readonly #worker: Worker;
  #answer: ReturnType<typeof Promise.withResolvers<Answer>>;
  #ready: Promise<unknown> | undefined;
  isAlive = true;

  constructor(worker: Worker) {
    this.#worker = worker;
    this.#answer = this.#nextAnswer();
    worker.on("message", (answer: Answer) => this.#answer.resolve(answer));
    worker.once("error", (error) => this.#die(error instanceof Error ? error : new Error(String(error))));
    worker.once("exit", (code) => this.#die(new Error(`the background thread ended with code ${code}`)));
    worker.unref();
  }

  /**
   * Sends an order, and waits for its answer. One at a time.
   * @param transfer buffers in the order that are transferred
   * @throws what the task throws, by name, message and code; Error if the thread dies
   */
  async run(order: unknown, transfer: ArrayBuffer[] = []): Promise<unknown> {
    this.#worker.ref();
    try {
      // An order sent before the thread listens would be lost.
      await (this.#ready ??= this.#take());
      this.#worker.postMessage(order, transfer);
      const answer = await this.#take();
      if ("error" in answer) throw toError(answer.error);
      return answer.result;
    } finally {
      this.#worker.unref();
    }
  }

  /** Ends the thread, even during a task. */
  async end(): Promise<void> {
    await this.#worker.terminate();
  }

  async #take(): Promise<Answer> {
    const answer = await this.#answer.promise;
    this.#answer = this.#nextAnswer();
    return answer;
  }

  #nextAnswer() {
    const answer = Promise.withResolvers<Answer>();
    // The thread may die while nothing awaits the answer.
    answer.promise.catch(() => {});
    return answer;
  }

  #die(error: Error): void {
    this.isAlive = false;
    this.#answer.reject(error);
  }
}

function toError({ name, message, stack, code }: Extract<Answer, { error: unknown }>["error"]): Error {
  return Object.assign(new Error(message), { name, stack }, code === undefined ? {} : { code });
}

/** Carries out the orders that the main thread sends. Called once, by the thread's own file. */
export function serveOrders<Order>(execute: (order: Order) => Promise<TaskResult>): void {
  parentPort!.on("message", async (order: Order) => {
    try {
      const { result, transfer } = await execute(order);
      answer({ result }, transfer);
    } catch (error) {
      const { name, message, stack, code } = error as Error & { code?: unknown };
      answer({ error: { name, message, stack, code } });
    }
  });
  answer({ result: "ready" });
}

function answer(message: Answer, transfer: ArrayBuffer[] = []): void {
  parentPort!.postMessage(message, transfer);
}
