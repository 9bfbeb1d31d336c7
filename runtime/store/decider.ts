import type { Ids } from "./ledger/keys.ts";
import type { JobKind, Ledger } from "./ledger/ledger.ts";
import type { Rows } from "./ledger/rows.ts";
import type { OwnListeners, Retention } from "./store.ts";
import type { Transition, TransitionContext } from "./transitions/transition.ts";

/** What the program told the store after it was opened. */
export interface StoreSettings {
  retention: Retention;
  own: OwnListeners;
}

/** Where transitions are decided: in this program, or in another one that it follows. */
export interface Deciding {
  /**
   * Runs a transition in its turn; resolves when it is durable.
   * @param onDecided see {@link Ledger.add}; not called if another program decides
   * @throws what the transition throws
   */
  decide<I, R>(
    kind: JobKind,
    transition: Transition<I, R>,
    input: I,
    now: number,
    onDecided?: (result: R) => boolean,
  ): Promise<R>;
  /** Reads live rows; resolves when everything that it saw is durable. */
  read<T>(work: (rows: Rows) => T): Promise<T>;
  /** Why no new events are accepted at the moment. */
  readonly refusal: string | undefined;
  /** Decides what waits, then nothing more. */
  close(): Promise<void>;
}

/** Decides in this program. */
export class Decider implements Deciding {
  constructor(
    readonly rows: Rows,
    private readonly ids: Ids,
    readonly ledger: Ledger,
    private readonly settings: StoreSettings,
  ) {}

  readonly decide: Deciding["decide"] = (kind, transition, input, now, onDecided) => {
    const work = () => {
      const result = transition(this.rows, input, this.at(now));
      this.notify();
      return result;
    };
    return this.ledger.add(kind, work, onDecided);
  };

  read<T>(work: (rows: Rows) => T): Promise<T> {
    return this.ledger.add("read", () => work(this.rows));
  }

  get refusal(): string | undefined {
    return this.ledger.refusal;
  }

  close(): Promise<void> {
    return this.ledger.close();
  }

  /** The context of a transition. */
  at(now: number): TransitionContext {
    const { retention, own } = this.settings;
    return { now, ids: this.ids, retention, hasListener: own.hasListener };
  }

  /** Tells the program if there are notices. */
  notify(): void {
    if (this.rows.size("notice") > 0) this.settings.own.onNotice();
  }
}
