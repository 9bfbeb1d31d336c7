import { branchPath } from "../../workers/step_path.ts";
import type { Rate } from "../../model/duration.ts";
import type { RunContext } from "../step_frame.ts";
import type { Suspended } from "../outcome.ts";

/** Spaces out the starts of an `each`'s items, across all executions of its run: `10/s` begins one every 100 ms. */
export class Pace {
  /** Milliseconds from one start to the next. */
  readonly #interval: number;
  /** When the next one may begin. */
  #next: number;

  /** @param path of the `each` with that many items */
  constructor(
    private readonly context: RunContext,
    private readonly path: string,
    items: number,
    { count, per }: Rate,
  ) {
    this.#interval = per / count;
    const now = context.options.clock.now();
    const starts = Array.from({ length: items }, (_, index) => context.records.begunAt(branchPath(path, index)) ?? 0);
    // After a clock rollback, some items began in the future; how long ago that was is unknown, so they are ignored.
    this.#next = starts.reduce((last, start) => start > now ? last : Math.max(last, start), 0) + this.#interval;
  }

  /** Resolves when an item may begin, or with what it waits for if the run is suspended first. */
  async admit(index: number, signal: AbortSignal): Promise<Suspended | undefined> {
    const { waiting, records, options: { clock } } = this.context;
    if (records.isBegun(branchPath(this.path, index))) return undefined;
    const due = Math.max(this.#next, clock.now());
    this.#next = due + this.#interval;
    const waitingFor = `the pace of "${this.path}"`;
    while (clock.now() < due) {
      if (!await waiting.wait(due, signal, { hold: true, what: () => waitingFor })) {
        return { kind: "suspended", due, waitingFor };
      }
    }
    return undefined;
  }
}
