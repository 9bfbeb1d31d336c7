import type { Clock } from "../host/clock.ts";
import type { Rule } from "../model/rule.ts";
import { batchTerms, lastOccurrence } from "../language/fields/batch.ts";
import type { BatchClosing, DueBatch, Receipt, Store } from "../store/store.ts";
import { keepGoing, type Loop } from "../triggers/loop.ts";
import { admissionOf } from "./decide.ts";

/** What batches work with. */
export interface BatchesOptions {
  store: Pick<Store, "adaptBatches" | "nextBatchDue" | "dueBatches" | "closeBatch">;
  clock: Clock;
  /** The rules in force, and why some of them are paused. */
  rules: () => ReadonlyMap<string, Rule>;
  paused: () => Readonly<Record<string, string>>;
  /** Told after the transition is on disk: batches became events. */
  onClosed: (receipts: Receipt[]) => void;
}

/** Batches that are closed side by side; each is a transition of its own, and they share one sync. */
const AT_ONCE = 64;

/**
 * The open batches: they close when it is time, by their rule as it is then. One timer for all of them. Those of a rule that
 * is paused, disabled or gone stay open until it is there again, for a verdict on them would lose what they hold.
 */
export class Batches {
  readonly #stop = new AbortController();
  /** The options of each trigger, as the store knows them. */
  #adapted = new Map<string, string>();
  #loop: Loop | undefined;
  /** When the timer goes off; undefined while that is being found out. */
  #next: number | undefined;

  constructor(private readonly options: BatchesOptions) {}

  /**
   * From here on they close by themselves.
   * @param onFailure told why one could not be closed; it is attempted again
   */
  start(onFailure: (message: string) => void): void {
    const report = (failure: string | null) => failure === null || onFailure(failure);
    this.#loop = keepGoing({ clock: this.options.clock, signal: this.#stop.signal, report }, async () => {
      this.#next = undefined;
      await this.closeDue();
      this.#next = await this.options.store.nextBatchDue(this.#closable());
      return this.#next;
    });
  }

  /** Resolves once none is being closed. */
  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#loop?.detach();
  }

  /** Rules were loaded, paused or resumed: what is collected closes by what they say now. */
  async rulesChanged(): Promise<void> {
    const { store, clock, rules } = this.options;
    const now = clock.now();
    const adapted = new Map<string, string>();
    const changed: Parameters<Store["adaptBatches"]>[0] = [];
    for (const rule of rules().values()) {
      for (const { id: trigger, batch } of rule.triggers) {
        if (batch === undefined || !rule.enabled) continue;
        const terms = batchTerms(batch, now);
        const key = JSON.stringify([rule.id, trigger]);
        adapted.set(key, terms.options);
        if (this.#adapted.get(key) !== terms.options) changed.push({ rule: rule.id, trigger, terms });
      }
    }
    if (changed.length > 0) await store.adaptBatches(changed, now);
    this.#adapted = adapted;
    this.#loop?.wake();
  }

  /** Events were taken in: one may have opened a batch that closes before all others, or filled one. */
  collected(receipts: Receipt[]): void {
    const next = this.#next ?? Infinity;
    const isSooner = receipts.some(({ verdicts }) =>
      verdicts.some(({ verdict }) => verdict.kind === "batched" && verdict.until < next)
    );
    if (isSooner) this.#loop?.wake();
  }

  /** Closes all whose time has come by now. @throws where one could not be closed; the others are */
  async closeDue(): Promise<void> {
    const { store, clock, onClosed } = this.options;
    const now = clock.now();
    for (;;) {
      const due = await store.dueBatches(this.#closable(), AT_ONCE, now);
      if (due.length === 0 || this.#stop.signal.aborted) return;
      const closed = await Promise.allSettled(due.map((batch) => this.#close(batch)));
      onClosed(closed.flatMap((outcome) => outcome.status === "fulfilled" ? outcome.value ?? [] : []));
      const failed = closed.find((outcome) => outcome.status === "rejected");
      if (failed) throw failed.reason;
    }
  }

  async #close(batch: DueBatch): Promise<Receipt | undefined> {
    const rule = this.options.rules().get(batch.rule);
    if (rule === undefined) return undefined;
    const now = this.options.clock.now();
    return await this.options.store.closeBatch(closingOf(batch, rule, now), now);
  }

  #closable(): string[] {
    const paused = this.options.paused();
    return [...this.options.rules().values()].filter(({ id, enabled }) => enabled && paused[id] === undefined)
      .map(({ id }) => id);
  }
}

/** Missed occurrences of a cron are one: the last of them. */
function closingOf({ id, trigger, closesAt }: DueBatch, rule: Rule, now: number): BatchClosing {
  const closing = { batch: id, version: rule.version, admission: admissionOf(rule) };
  const batch = rule.triggers.find((each) => each.id === trigger)?.batch;
  if (batch?.cron === undefined) return closing;
  const last = lastOccurrence(batch, now);
  return {
    ...closing,
    // A full one, or one collected under other options, closes between two of them.
    ...last !== undefined && last >= closesAt && { scheduled: last },
    ...batch.empty && { next: batchTerms(batch, now) },
  };
}
