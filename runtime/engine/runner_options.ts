import type { Clock } from "../host/clock.ts";
import type { Isolates } from "../workers/workers.ts";
import type { Action, ActionServices } from "../actions/action.ts";
import type { Person } from "../model/person.ts";
import type { Run, StepRecord } from "../model/run.ts";
import type { Verdict } from "../model/verdict.ts";
import type { Scope } from "../language/expressions/expression.ts";
import type { EventIdentity, Reply, Store } from "../store/store.ts";

/** What runs work with. */
export interface RunnerOptions {
  store: Store;
  isolates: Isolates;
  clock: Clock;
  /** Whose leases they are; a new one for each start of the program. */
  owner: string;
  /** The rules folder, absolute. */
  folder: string;
  /** What expressions see beside the run's own: `env` and `secrets`. */
  surroundings: (rule: string) => Scope;
  /** What actions can reach; the rest comes from the run itself. */
  services: Omit<ActionServices, "getState" | "callModule">;
  /** Who answers forms, and where. */
  people: FormPeople;
  /**
   * A run ended, and that is on disk. Where its function `if` ended it, the verdict says why.
   */
  onFinished?: (run: Run, verdict?: Verdict) => void;
  /** A step ended, and that is on disk. */
  onStep?: (record: StepRecord) => void;
  /** A run recorded the reply to its event, and that is on disk. */
  onReply?: (event: EventIdentity, reply: Reply, run: string) => void;
  /** Something went wrong that is no run's fault, such as a store that refuses. */
  onError: (message: string, error: unknown) => void;
  /** Runs at once. @default 256 */
  maxRuns?: number;
  /** What performs a step in the place of its kind's own action, or of the action that it calls: for tests. */
  standIn?: (step: { kind: string; path: string; target?: string }) => Action | undefined;
  /**
   * For tests, which turn the clock faster than runs can be read back: a run that waits is held in memory until
   * {@link Runner.suspend}, and a function counts as waiting soon.
   */
  holds?: boolean;
  /** For the jitter of retries: from 0 up to 1. @default Math.random */
  random?: () => number;
}

/** What steps that ask people know of them and of the form pages. */
export interface FormPeople {
  /**
   * Those who are meant: by an id, by a group, or by an e-mail address, which may be of somebody who is not in `people`. Each
   * once, in the order in which they are named; what is none of these gives nobody.
   */
  find(to: string[]): Person[];
  /** The page of a form for those with an account. */
  url(form: string): string;
  /**
   * The page of a form for one person, without an account.
   * @param expires milliseconds since the epoch
   */
  link(form: string, person: Person, expires?: number): string;
  /** Whether `smtp` is set. */
  canMail(): boolean;
}
