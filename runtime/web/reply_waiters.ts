import type { Event } from "../model/event.ts";
import type { Rule } from "../model/rule.ts";
import { isFinal, type Run } from "../model/run.ts";
import type { EventIdentity, Reply, Store } from "../store/store.ts";
import { readArgs } from "../language/kind.ts";
import { webhook } from "../triggers/webhook.ts";

/** What a replica reads of its store. */
type SharedReplies = Pick<Store, "getReply" | "getLiveRuns" | "getRun">;

/**
 * Requests that wait for the `reply` step of their event. The runner calls this after the reply is on disk. Another replica may
 * execute the run of an event: its reply is in the store then.
 */
export class ReplyWaiters {
  readonly #waiting = new Map<string, Set<Waiter>>();
  /** Requests that want a reply, by event. They are counted before the delivery, when their runs are not known yet. */
  readonly #wanted = new Map<string, Wanted>();
  #looking: Promise<void> | undefined;
  #isBehind = false;

  /** @param shared the store, if other replicas execute runs of it */
  constructor(private readonly shared?: SharedReplies, private readonly onError?: (error: unknown) => void) {}

  /** The same, also if another replica may have the request. @param rule of the run, if it is in force */
  mayBeAwaited(event: EventIdentity, run: AnsweringRun, rule: Rule | undefined, now: number): boolean {
    return this.isAwaited(event) || (this.isShared && mayStillWait(run, rule, now));
  }

  /** Whether replies may come, and runs end, without a call of this. */
  get isShared(): boolean {
    return this.shared !== undefined;
  }

  /** Whether any request still wants a reply to the event. */
  isAwaited(event: EventIdentity): boolean {
    return this.#wanted.has(keyOf(event));
  }

  /** Marks replies to the events as wanted until `answer` has made the response. */
  async during<T>(events: EventIdentity[], answer: () => Promise<T>): Promise<T> {
    for (const event of events) this.#count(keyOf(event), 1);
    try {
      return await answer();
    } finally {
      for (const event of events) this.#count(keyOf(event), -1);
    }
  }

  /** A run recorded a reply to the event. */
  answered(event: EventIdentity, reply: Reply): void {
    const wanted = this.#wantedOf(event);
    if (wanted) wanted.reply ??= reply;
    for (const waiter of this.#of(event)) waiter.settle({ reply });
  }

  /** A run of the event ended; when none of its runs can reply any more, the wait ends. */
  ended(event: EventIdentity, run: EndedRun): void {
    this.#wantedOf(event)?.ended.push(run);
    for (const waiter of this.#of(event)) noteEnd(waiter, run);
  }

  /** Other replicas have changed rows in these tables of the store: one may have replied, or ended a run. */
  changed(tables: ReadonlySet<string>): void {
    if (this.#waiting.size === 0 || !(tables.has("run") || tables.has("reply"))) return;
    this.#isBehind = true;
    this.#looking ??= this.#catchUp();
  }

  async #catchUp(): Promise<void> {
    try {
      while (this.#isBehind) {
        this.#isBehind = false;
        const waiting = [...this.#waiting.values()].map((waiters) => [...waiters]);
        const runs = waiting.flat().flatMap(({ runs }) => [...runs]);
        // In this order: a run that has ended has recorded its reply before.
        const live = new Set((await this.shared!.getLiveRuns([...new Set(runs)])).map(({ id }) => id));
        for (const waiters of waiting) await this.#settle(waiters, live);
      }
    } catch (error) {
      this.onError?.(error);
    } finally {
      this.#looking = undefined;
    }
  }

  /** @param waiters of one event */
  async #settle(waiters: Waiter[], live: ReadonlySet<string>): Promise<void> {
    const [{ event }] = waiters;
    const reply = await this.shared!.getReply(event);
    if (reply !== undefined) return this.answered(event, reply);
    const runs = new Set(waiters.flatMap(({ runs }) => [...runs]));
    for (const id of runs) {
      if (live.has(id)) continue;
      const trace = await this.shared!.getRun(id);
      // It is no longer in history, or live again because somebody retries it.
      if (trace === undefined) this.ended(event, { id, rule: "", state: "succeeded" });
      else if (isFinal(trace.run.state)) this.ended(event, trace.run);
    }
  }

  /** Ends all waits without a reply, as at the end of draining. */
  release(): void {
    for (const waiters of [...this.#waiting.values()]) for (const waiter of [...waiters]) waiter.settle({});
  }

  /**
   * Waits until a reply is recorded, all the runs have ended, or the signal is aborted. Of events in {@link during}, a run may have
   * replied or ended before.
   */
  wait(event: EventIdentity, runs: string[], signal: AbortSignal): Promise<WaitOutcome> {
    const key = keyOf(event);
    return new Promise((resolve) => {
      const giveUp = () => waiter.settle({});
      const waiter: Waiter = {
        event,
        runs: new Set(runs),
        failed: [],
        settle: (outcome) => {
          signal.removeEventListener("abort", giveUp);
          const waiters = this.#waiting.get(key);
          waiters?.delete(waiter);
          if (waiters?.size === 0) this.#waiting.delete(key);
          resolve(outcome);
        },
      };
      this.#waiting.set(key, (this.#waiting.get(key) ?? new Set()).add(waiter));
      signal.addEventListener("abort", giveUp);
      if (signal.aborted || runs.length === 0) return giveUp();
      const { reply, ended = [] } = this.#wantedOf(event) ?? {};
      if (reply !== undefined) return waiter.settle({ reply });
      for (const run of ended) noteEnd(waiter, run);
    });
  }

  #count(key: string, change: 1 | -1): void {
    const wanted = this.#wanted.get(key) ?? { requests: 0, ended: [] };
    wanted.requests += change;
    if (wanted.requests === 0) this.#wanted.delete(key);
    else this.#wanted.set(key, wanted);
  }

  /** Each run that ends asks, and usually no request wants a reply. */
  #wantedOf(event: EventIdentity): Wanted | undefined {
    return this.#wanted.size === 0 ? undefined : this.#wanted.get(keyOf(event));
  }

  #of(event: EventIdentity): Waiter[] {
    return this.#waiting.size === 0 ? [] : [...this.#waiting.get(keyOf(event)) ?? []];
  }
}

/** The outcome of a wait. Both are absent if it timed out, or the runs succeeded without a reply. */
export interface WaitOutcome {
  reply?: Reply;
  /** The rules whose runs failed, if all runs have ended without a reply. */
  failed?: string[];
}

/** A run that has ended. */
type EndedRun = Pick<Run, "id" | "rule" | "state">;

/** What requests want that are under way for an event, and what came of it so far. */
interface Wanted {
  requests: number;
  reply?: Reply;
  ended: EndedRun[];
}

interface Waiter {
  event: EventIdentity;
  runs: Set<string>;
  failed: string[];
  settle(outcome: WaitOutcome): void;
}

function noteEnd(waiter: Waiter, { id, rule, state }: EndedRun): void {
  if (state === "failed" && waiter.runs.has(id)) waiter.failed.push(rule);
  waiter.runs.delete(id);
  if (waiter.runs.size === 0) waiter.settle({ failed: waiter.failed });
}

/** A run that answers the request of its event. */
interface AnsweringRun {
  trigger: string;
  event: Pick<Event, "time">;
}

/** Milliseconds that a request usually waits for its reply. */
const USUAL = 10_000;

/**
 * Whether the request of a run's event may still wait for its reply, if another replica took it. Only that one knows, so this goes by
 * the time.
 * @param rule of the run, if it is in force
 */
export function mayStillWait(
  { trigger, event }: AnsweringRun,
  rule: Rule | undefined,
  now: number,
): boolean {
  const own = rule?.triggers.find(({ id }) => id === trigger);
  if (own?.kind !== "webhook") return false;
  const { replyWithin } = readArgs(webhook, own.args);
  // What a template gives is known where the request is.
  return Date.parse(event.time) + (typeof replyWithin === "number" ? replyWithin : USUAL) > now;
}

function keyOf({ source, id }: EventIdentity): string {
  return JSON.stringify([source, id]);
}
