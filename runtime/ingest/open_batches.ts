import type { Clock } from "../host/clock.ts";
import { batchTerms, lastOccurrence } from "../language/checker/batch.ts";
import type { Rule } from "../model/rule.ts";
import type { BatchClosing, DueBatch, Receipt, Store } from "../store/store.ts";
import { keepGoing, type Loop } from "../triggers/timetable.ts";
import { admissionOf } from "./decide_verdict.ts";
import { inputsOfBatch } from "./rule_inputs.ts";

/** What batches work with. */
interface BatchesOptions {
  store: Pick<Store, "adaptBatches" | "nextBatchDue" | "dueBatches" | "closeBatch">;
  clock: Clock;
  /** The rules in force, and why some of them are paused. */
  rules: () => ReadonlyMap<string, Rule>;
  paused: () => Readonly<Record<string, string>>;
  /** Whether this program closes the batches. Of several replicas, only the one that decides does. @default always */
  decides?: () => boolean;
  /** Called after the transition is on disk: batches became events. */
  onClosed: (receipts: Receipt[]) => void;
}

/** How many batches are closed concurrently; each is its own transition, and they share one sync. */
const AT_ONCE = 64;

/**
 * The open batches. They close when their time comes, by the current options of their rule. One timer serves all of them.
 * Batches of a rule that is paused, disabled or removed stay open until it is back, because a verdict would lose their
 * events.
 */
export class Batches {
  readonly #stop = new AbortController();
  /** The options of each trigger that the store knows. */
  #adapted = new Map<string, string>();
  #loop: Loop | undefined;
  /** When the timer fires; undefined while that is being determined. */
  #next: number | undefined;

  constructor(private readonly options: BatchesOptions) {}

  /**
   * Starts to close batches when they are due.
   * @param onFailure called with the reason if one could not be closed; it is retried
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

  /** Resolves when no batch is being closed. */
  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#loop?.detach();
  }

  /** Rules were loaded, paused or resumed: open batches follow their current options. */
  async rulesChanged(): Promise<void> {
    const { store, clock, rules, decides } = this.options;
    if (decides?.() === false) return;
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

  /** Events were accepted: one may have opened a batch that closes before all others, or filled one. */
  collected(receipts: Receipt[]): void {
    const next = this.#next ?? Infinity;
    const isSooner = receipts.some(({ verdicts }) =>
      verdicts.some(({ verdict }) => verdict.kind === "batched" && verdict.until < next)
    );
    if (isSooner) this.#loop?.wake();
  }

  /** Other replicas have changed rows in these tables of the store. */
  changed(tables: ReadonlySet<string>): void {
    if (tables.has("batch")) this.#loop?.wake();
  }

  /** Closes all batches that are due. @throws if one could not be closed; the others still are */
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

/** Missed occurrences of a cron become one: the last of them. */
function closingOf({ id, trigger, closesAt }: DueBatch, rule: Rule, now: number): BatchClosing {
  const own = rule.triggers.find((each) => each.id === trigger);
  const inputs = inputsOfBatch(rule, own);
  const closing = { batch: id, version: rule.version, admission: { ...admissionOf(rule), ...inputs && { inputs } } };
  const batch = own?.batch;
  if (batch?.cron === undefined) return closing;
  const last = lastOccurrence(batch, now);
  return {
    ...closing,
    // A full batch, or one collected under other options, closes between two occurrences.
    ...last !== undefined && last >= closesAt && { scheduled: last },
    ...batch.empty && { next: batchTerms(batch, now) },
  };
}
