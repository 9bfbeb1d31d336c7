import type { Capped } from "../trigger.ts";
import type { PollContext } from "./poll_args.ts";

/** The most items of one look. */
const MOST_ITEMS = 10_000;

/** The options of a poll; those that it does not set come from its source. */
export interface PollSettings {
  key?: string;
  /** When an item was last changed; CEL. */
  at?: string;
  /** Paths in an item that do not count. */
  ignore: string[];
  take?: number;
  max: number;
}

export function settingsOf({ args, source }: Pick<PollContext, "args" | "source">): PollSettings {
  return {
    key: args.key ?? source?.key,
    at: args.at ?? source?.at,
    ignore: args.ignore ?? source?.ignore ?? [],
    take: args.take,
    max: args.max ?? source?.max ?? MOST_ITEMS,
  };
}

/** A look has more items than the poll may have; nothing is compared, and no event is emitted. */
export class PollCappedError extends Error {
  override name = "PollCappedError";

  constructor(readonly count: number, readonly max: number) {
    super(`The source has more than ${max} items, so nothing was compared; raise it with "max", or use "take: ${max}"`);
  }
}

/** What a poll reports of an error, if that is the limit of its items. */
export function cappedBy(error: unknown): Capped | undefined {
  return error instanceof PollCappedError ? { max: error.max } : undefined;
}

/** Counts the items of a look, page by page. */
export class ItemLimit {
  #count = 0;

  constructor(private readonly settings: Pick<PollSettings, "take" | "max">) {}

  /**
   * Counts the items of a page.
   * @returns whether there are as many as the poll takes
   * @throws PollCappedError
   */
  add(count: number): boolean {
    const { take, max } = this.settings;
    this.#count += count;
    if (take !== undefined) return this.#count >= take;
    if (this.#count > max) throw new PollCappedError(this.#count, max);
    return false;
  }
}
