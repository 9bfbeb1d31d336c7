import type { Clock } from "../host/clock.ts";
import type { OwnEventType } from "../model/event.ts";
import { messageOf } from "../model/errors.ts";
import type { Json, JsonObject } from "../model/json.ts";
import type { ConditionChange, Store } from "../store/store.ts";
import { keepGoing, type Loop } from "../triggers/timetable.ts";
import type { Ingest } from "./ingest.ts";

/** The conditions of the program, each with the events that report its beginning and its end. */
const CONDITIONS = {
  "poll": { begins: "whenthen.poll.failed", ends: "whenthen.poll.recovered" },
  "capped": { begins: "whenthen.poll.capped" },
  "broken": { begins: "whenthen.rule.broken" },
  "config": { begins: "whenthen.config.refused" },
  "hook": { begins: "whenthen.hook.refused" },
  "connection": { begins: "whenthen.connection.lost" },
  "full": { begins: "whenthen.store.full" },
} satisfies Record<string, { begins: OwnEventType; ends?: OwnEventType }>;

type ConditionKind = keyof typeof CONDITIONS;

/** What a condition is about, as in the data of its events. The first value is their subject. */
export type About = Record<string, string>;

/** What own events work with. */
interface OwnEventsOptions {
  store: Pick<Store, "listenToOwn" | "listNotices" | "changeCondition" | "listConditions">;
  ingest: Pick<Ingest, "publishOwn" | "subscriptions">;
  clock: Clock;
  /** Masks secrets: a reason may quote an address or an answer. */
  maskJson: (value: Json) => Json;
}

/** How many notices are accepted at once. */
const AT_ONCE = 64;

/**
 * Emits the events of the program itself. The store keeps each as a notice, written in the same transition as the change that it
 * reports, so that a crash loses none; then it is accepted like any other event. A condition emits an event when it begins, and for
 * some kinds when it ends, but none in between, not even after a restart.
 */
export class OwnEvents {
  readonly #stop = new AbortController();
  /** The conditions that hold, by key. */
  readonly #known = new Map<string, { since: number; about: About }>();
  #changes: Promise<unknown> = Promise.resolve();
  /** How many changes were made here. */
  #made = 0;
  #reading: Promise<void> | undefined;
  #isBehind = false;
  #loop: Loop | undefined;
  #isReady = false;
  #onFailure: (message: string) => void = () => {};

  constructor(private readonly options: OwnEventsOptions) {
    const { store, ingest } = options;
    store.listenToOwn({
      hasListener: (type) => ingest.subscriptions.has(type),
      onNotice: () => this.#loop?.wake(),
    });
  }

  /**
   * Accepts the notices that were left at the last stop, then new ones.
   * @param onFailure called with what failed; it is retried
   * @param decides false for a replica that follows another one: that one accepts all notices
   */
  async start(onFailure: (message: string) => void, { decides = true } = {}): Promise<void> {
    this.#onFailure = onFailure;
    const known = await this.options.store.listConditions();
    for (const [key, condition] of known) if (!this.#known.has(key)) this.#known.set(key, condition);
    this.#isReady = true;
    if (decides) this.promote();
  }

  /** From now on this program accepts the notices. */
  promote(): void {
    const report = (failure: string | null) => failure === null || this.#onFailure(failure);
    this.#loop = keepGoing({ clock: this.options.clock, signal: this.#stop.signal, report }, async () => {
      await this.settle();
      return undefined;
    });
  }

  /** Other replicas have changed rows in these tables of the store. */
  changed(tables: ReadonlySet<string>): void {
    if (!tables.has("condition") || !this.#isReady) return;
    this.#isBehind = true;
    this.#reading ??= this.#readAgain();
  }

  /** Reads which conditions hold. What changes here meanwhile is newer than what was read, so then it is read again. */
  async #readAgain(): Promise<void> {
    try {
      while (this.#isBehind && !this.#stop.signal.aborted) {
        this.#isBehind = false;
        await this.#changes;
        const made = this.#made;
        const known = await this.options.store.listConditions();
        if (made === this.#made) this.#replaceKnown(known);
        else this.#isBehind = true;
      }
    } catch (error) {
      if (!this.#stop.signal.aborted) this.#onFailure(`Cannot read which conditions hold: ${messageOf(error)}`);
    } finally {
      this.#reading = undefined;
    }
  }

  #replaceKnown(known: ReadonlyMap<string, { since: number; about: About }>): void {
    this.#known.clear();
    for (const [key, condition] of known) this.#known.set(key, condition);
  }

  /** Accepts all notices. */
  async settle(): Promise<void> {
    const { store, ingest } = this.options;
    await this.#changes;
    for (;;) {
      const notices = await store.listNotices(AT_ONCE);
      if (notices.length === 0 || this.#stop.signal.aborted) return;
      await Promise.all(notices.map((notice) => ingest.publishOwn(notice)));
    }
  }

  /** Resolves when no notice is being accepted. */
  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#changes;
    await this.#loop?.detach();
  }

  /** Since when a condition holds, in milliseconds since the epoch; undefined if it does not. */
  since(kind: ConditionKind, about: About): number | undefined {
    return this.#known.get(keyOf(kind, about))?.since;
  }

  /** Whether any condition of a kind holds. */
  holdsAny(kind: ConditionKind): boolean {
    for (const condition of this.#known.keys()) if (condition.startsWith(`${kind} `)) return true;
    return false;
  }

  /**
   * Reports that a condition begins; does nothing while it holds.
   * @param data of its event, besides its subject and the reason
   */
  begin(kind: ConditionKind, about: About, reason: string, data: JsonObject = {}): void {
    const condition = keyOf(kind, about);
    if (this.#known.has(condition)) return;
    this.#known.set(condition, { since: this.options.clock.now(), about });
    const masked = this.options.maskJson({ ...about, reason, ...data }) as JsonObject;
    const event = { type: CONDITIONS[kind].begins, subject: subjectOf(about), data: masked };
    this.#change({ condition, about, reason: String(masked.reason), event });
  }

  /** Reports that a condition has ended; does nothing if it did not hold. */
  end(kind: ConditionKind, about: About): void {
    const condition = keyOf(kind, about);
    // Before the start it is not known yet which ones held when the program ended.
    if (!this.#known.delete(condition) && this.#isReady) return;
    const { ends }: { begins: OwnEventType; ends?: OwnEventType } = CONDITIONS[kind];
    const event = ends && { type: ends, subject: subjectOf(about), data: about };
    this.#change({ condition, about, reason: null, ...event && { event } });
  }

  /** Ends the conditions of a kind whose subject no longer exists, without an event. */
  forget(kind: ConditionKind, exists: (about: About) => boolean): void {
    for (const [condition, { about }] of [...this.#known]) {
      if (!condition.startsWith(`${kind} `) || exists(about)) continue;
      this.#known.delete(condition);
      this.#change({ condition, about, reason: null });
    }
  }

  #change(change: ConditionChange): void {
    const { store, clock } = this.options;
    this.#made++;
    this.#changes = this.#changes.then(() => store.changeCondition(change, clock.now())).catch((error) => {
      if (!this.#stop.signal.aborted) {
        this.#onFailure(`Cannot store that "${change.condition}" changed: ${error.message}`);
      }
    });
  }
}

function keyOf(kind: ConditionKind, about: About): string {
  return `${kind} ${JSON.stringify(about)}`;
}

function subjectOf(about: About): string {
  return Object.values(about)[0];
}
