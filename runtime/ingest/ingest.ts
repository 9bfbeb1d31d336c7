import type { Clock } from "../host/clock.ts";
import { type Scope, withState } from "../language/expressions/expression.ts";
import { type Event, isOwnType, OWN_SOURCE, typePatterns } from "../model/event.ts";
import type { Rule } from "../model/rule.ts";
import {
  type Arrival,
  type Candidate,
  type ClaimedRun,
  type Lease,
  type Notice,
  type Progress,
  type Receipt,
  type Store,
  StoreFullError,
  type TriggerKey,
} from "../store/store.ts";
import type { Registry, Subscription, TriggerEvent } from "../triggers/trigger.ts";
import { Batches } from "./open_batches.ts";
import { decide } from "./decide_verdict.ts";
import { isByHand } from "./rule_inputs.ts";

/** What ingest works with. */
export interface IngestOptions {
  store: Store;
  clock: Clock;
  /** The context that a rule's expressions see: `env`, `secrets`. */
  surroundings: (rule: string) => Scope;
  /** Executes runs, if the program does so; takes over those that start at once. */
  executor?: Executor;
  /** Called after the transition is on disk: runs may be waiting, a `restart` may have replaced some. */
  onAccepted: (receipts: Receipt[]) => void;
  /** Whether this program decides, if it is one of several replicas. @default always */
  decides?: () => boolean;
  /** Reports that the store has no room for an event, and that it has room again. */
  full?: FullReport;
}

/** The condition that the store has no room. Other replicas may begin and end it, too. */
interface FullReport {
  holds(): boolean;
  begin(reason: string): void;
  end(): void;
}

/** Executes runs that were claimed together with their event, which saves a transition for each. */
interface Executor {
  /** Reserves up to `most` slots, until {@link take} is called. */
  lease(most: number): Lease;
  /**
   * Begins those of the runs that may begin before they are on disk.
   * @returns whether there are any
   */
  begin(lease: Lease, claimed: ClaimedRun[]): boolean;
  /** @param claimed the runs claimed on that lease, which are on disk; none if they were undone */
  take(lease: Lease, claimed: ClaimedRun[]): void;
}

/** An event that a trigger of a rule received. */
export interface Delivery extends TriggerKey {
  event: Event;
  /** Identity retention in milliseconds, if the trigger sets it. */
  within?: number;
}

/** Takes events: decides without the store which rules they start (identity, match, condition), then makes one transition. */
export class Ingest {
  readonly subscriptions = new Subscriptions();
  readonly batches: Batches;
  #rules: ReadonlyMap<string, Rule> = new Map();
  #paused: Readonly<Record<string, string>> = {};

  constructor(private readonly options: IngestOptions) {
    const { store, clock, onAccepted, decides } = options;
    const rules = () => this.#rules;
    const paused = () => this.#paused;
    this.batches = new Batches({ store, clock, rules, paused, onClosed: onAccepted, ...decides && { decides } });
  }

  /** The rules in force from now on; their versions are already in the store. */
  setRules(rules: ReadonlyMap<string, Rule>): void {
    this.#rules = rules;
  }

  /** The paused rules, whose events start nothing, each with the reason. */
  setPaused(paused: Readonly<Record<string, string>>): void {
    this.#paused = paused;
  }

  /**
   * Events that one trigger emits to its own rule, with its progress, in one transition.
   * @throws StoreFullError
   */
  fromTrigger(
    key: TriggerKey,
    events: TriggerEvent[],
    progress?: Omit<Progress, keyof TriggerKey>,
  ): Promise<Receipt[]> {
    const source = `/rules/${key.rule}/${key.trigger}`;
    const deliveries = events.map((event) => ({ ...key, event: this.#stamp({ source, ...event }) }));
    return this.deliver(deliveries, progress === undefined ? [] : [{ ...key, ...progress }]);
  }

  /** Whether an event of a trigger would start something, or be collected; a function `if` is not asked. */
  async holds(key: TriggerKey, event: TriggerEvent): Promise<boolean> {
    const source = `/rules/${key.rule}/${key.trigger}`;
    const candidate = await this.#candidate(this.#stamp({ source, ...event }), key);
    return candidate?.outcome.kind === "admit" || candidate?.outcome.kind === "collect";
  }

  /**
   * Events for known rules, in one transition. Deliveries of the same identity are one event for several rules.
   * @throws StoreFullError
   */
  async deliver(deliveries: Delivery[], progress: Progress[] = []): Promise<Receipt[]> {
    const grouped = deliveries.length === 1 ? [deliveries] : byIdentity(deliveries);
    const arrivals = await all(grouped, (group) => this.#arrival(group));
    return await this.#accept(arrivals, progress);
  }

  /**
   * An event for all rules that subscribe to its type: from a step `emit`, `POST /events` or `whenthen emit`.
   * @throws StoreFullError
   */
  async publish(event: Omit<Event, "time"> & { time?: string }): Promise<Receipt> {
    return (await this.publishAll([event]))[0];
  }

  /**
   * Several such events, in one transition.
   * @returns one receipt for each, in order
   * @throws StoreFullError
   */
  async publishAll(events: (Omit<Event, "time"> & { time?: string })[]): Promise<Receipt[]> {
    return await this.#publish(events.map((event) => this.#stamp(event)));
  }

  /** An event of the program itself; its notice goes in the same transition. */
  async publishOwn({ id, at, ...event }: Notice): Promise<Receipt> {
    const own = { ...event, id, source: OWN_SOURCE, time: new Date(at).toISOString() };
    return (await this.#publish([own], true))[0];
  }

  async #publish(events: Event[], isOwn = false): Promise<Receipt[]> {
    const arrivals = await all(events, (event) => this.#subscribed(event));
    return await this.#accept(isOwn ? arrivals.map((arrival) => ({ ...arrival, isOwn })) : arrivals, []);
  }

  /** The arrival of an event at all rules that subscribe to its type. */
  async #subscribed(event: Event): Promise<Arrival> {
    const oneForEachRule = new Map(this.subscriptions.of(event.type).map((key) => [key.rule, key]));
    const found = await Promise.all([...oneForEachRule.values()].map((key) => this.#candidate(event, key)));
    return arrivalOf(event, undefined, found.filter((candidate) => candidate !== undefined));
  }

  #stamp(event: Omit<Event, "time"> & { time?: string }): Event {
    return { ...event, time: event.time ?? new Date(this.options.clock.now()).toISOString() };
  }

  async #arrival(group: Delivery[]): Promise<Arrival> {
    const [{ event, within }] = group;
    const candidates = await all(group, (delivery) => this.#candidate(event, delivery));
    return arrivalOf(event, within, candidates.filter((candidate) => candidate !== undefined));
  }

  async #candidate(event: Event, key: TriggerKey): Promise<Candidate | undefined> {
    const rule = this.#rules.get(key.rule);
    const trigger = rule?.triggers.find(({ id }) => id === key.trigger);
    if (rule === undefined || trigger === undefined) return undefined;
    const { store, clock, surroundings } = this.options;
    const now = clock.now();
    const outcome = await withState((keys) => store.getState(keys, now), (state) => {
      const scope: Scope = {
        __proto__: null,
        ...surroundings(rule.id),
        event,
        get state() {
          return state();
        },
        config: rule.config,
        rule: { id: rule.id, file: rule.file },
        $now: now,
      };
      return decide(event, rule, trigger, this.#paused[rule.id], scope, now);
    });
    return { rule: rule.id, version: rule.version, trigger: trigger.id, outcome };
  }

  async #accept(arrivals: Arrival[], progress: Progress[]): Promise<Receipt[]> {
    if (arrivals.length === 0 && progress.length === 0) return [];
    const { store, clock, executor, onAccepted } = this.options;
    const lease = executor?.lease(arrivals.reduce((sum, { candidates }) => sum + candidates.length, 0));
    const begin = lease && executor && ((claimed: ClaimedRun[]) => executor.begin(lease, claimed));
    const claimed: ClaimedRun[] = [];
    try {
      const receipts = await this.#whileRoom(arrivals, store.accept(arrivals, progress, clock.now(), lease, begin));
      for (const receipt of receipts) if (receipt.claimed) claimed.push(...receipt.claimed);
      onAccepted(receipts);
      this.batches.collected(receipts);
      return receipts;
    } finally {
      if (lease) executor?.take(lease, claimed);
    }
  }

  /** Reports when the store becomes full, and when it has room again for events other than the program's own. */
  async #whileRoom(arrivals: Arrival[], accepting: Promise<Receipt[]>): Promise<Receipt[]> {
    const { full } = this.options;
    try {
      const receipts = await accepting;
      if (
        full?.holds() && receipts.some(({ delivery }, index) => delivery !== "duplicate" && !arrivals[index].isOwn)
      ) full.end();
      return receipts;
    } catch (error) {
      if (error instanceof StoreFullError) full?.begin(error.message);
      throw error;
    }
  }
}

/**
 * An event that starts nothing because of invalid inputs does not keep its identity: the sender can correct it and send
 * it again. The same is true of a start by hand that is refused for any reason, such as a pause.
 */
function arrivalOf(event: Event, within: number | undefined, candidates: Candidate[]): Arrival {
  const kinds = candidates.map(({ outcome }) => outcome.kind);
  const startsNothing = !kinds.includes("admit") && !kinds.includes("collect");
  const mayComeAgain = startsNothing && (kinds.includes("invalid") || isByHand(event));
  return { event, within: mayComeAgain ? 0 : within, candidates };
}

/** Like `Promise.all`, but cheaper for a single item, which is the usual case. */
async function all<T, R>(items: T[], use: (item: T) => Promise<R>): Promise<R[]> {
  return items.length === 1 ? [await use(items[0])] : await Promise.all(items.map(use));
}

function byIdentity(deliveries: Delivery[]): Delivery[][] {
  return [...Map.groupBy(deliveries, ({ event }) => JSON.stringify([event.source, event.id])).values()];
}

/** Which rules listen to which event types: exact ones in a map, `prefix.*` in a map of prefixes. */
export class Subscriptions implements Registry<Subscription> {
  readonly #byType = new Map<string, Set<Subscription>>();
  /** How many subscribed types are of own events: each run that ends asks, and usually there is none. */
  #own = 0;

  add(subscription: Subscription): () => void {
    for (const type of subscription.types) {
      const listeners = this.#byType.get(type) ?? new Set();
      if (isOwnType(type) && !listeners.has(subscription)) this.#own++;
      this.#byType.set(type, listeners.add(subscription));
    }
    return () => {
      for (const type of subscription.types) {
        const listeners = this.#byType.get(type);
        if (listeners?.delete(subscription) && isOwnType(type)) this.#own--;
        if (listeners?.size === 0) this.#byType.delete(type);
      }
    };
  }

  /** Whether a subscription matches an event type. */
  has(type: string): boolean {
    if (this.#own === 0 && isOwnType(type)) return false;
    return typePatterns(type).some((pattern) => this.#byType.get(pattern) !== undefined);
  }

  /** The subscriptions that match an event type: `order.paid` matches `order.paid`, `order.*` and `*`. */
  of(type: string): Subscription[] {
    const found = new Set<Subscription>();
    for (const pattern of typePatterns(type)) {
      this.#byType.get(pattern)?.forEach((subscription) => found.add(subscription));
    }
    return [...found];
  }
}
