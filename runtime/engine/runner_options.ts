import type { Clock } from "../host/clock.ts";
import type { Isolates } from "../workers/workers.ts";
import type { Action, ActionServices } from "../actions/action.ts";
import type { Person } from "../model/form.ts";
import type { Command } from "../model/rule.ts";
import type { Run, StepRecord } from "../model/run.ts";
import type { Verdict } from "../model/event.ts";
import type { Scope } from "../language/expressions/expression.ts";
import type { SharedStore } from "../store/shared_store.ts";
import type { EventIdentity, Reply, Store } from "../store/store.ts";
import type { Acting } from "./acting.ts";

/**
 * How many runs are executed at once: most of them wait for an answer and cost a few kilobytes. More would not be
 * faster on the one main thread, and each may hold a socket or a child; 1,024 open files are a usual limit.
 */
export const MAX_RUNS = 256;
/** Milliseconds until the store is asked again after it failed to give runs. */
export const CLAIM_AGAIN = 5_000;
/**
 * Milliseconds for which a replica that does not decide leaves due runs to the others: to the one that decides, which needs no message
 * for a claim, or to the one that took their event.
 */
export const DEFERENCE = 100;
/** Milliseconds that a replica that stops waits for the decisions of another one. */
export const LAST_ANSWERS = 3_000;

/** What the runner works with. */
export interface RunnerOptions {
  store: Store;
  isolates: Isolates;
  clock: Clock;
  /** The owner of the leases; a new one for each start of the program. */
  owner: string;
  /** Set if other replicas execute runs of the same store. */
  shared?: Sharing;
  /** The rules folder, absolute. */
  folder: string;
  /** What expressions see besides the run's own names: `env` and `secrets`. */
  surroundings: (rule: string) => Scope;
  /** A recorded value with the paths of saved files as they are on this machine. Absent: they are recorded so. */
  localize?: <T>(recorded: T) => Promise<T>;
  /** What actions can reach, apart from what belongs to a run. */
  services: Omit<ActionServices, "getState" | "callModule" | "patched">;
  /** Who answers forms, and on which pages. */
  people: FormPeople;
  /**
   * Called when a run has ended, on disk. If its function `if` ended it, the verdict says why.
   */
  onFinished?: (run: Run, verdict?: Verdict) => void;
  /** Called when a step has ended, on disk. */
  onStep?: (record: StepRecord, run: Run) => void;
  /** Called when a run has recorded the reply to its event, on disk. */
  onReply?: (event: EventIdentity, reply: Reply, run: string) => void;
  /** Called when something failed without the fault of a run, such as a write of the store. */
  onError: (message: string, error: unknown) => void;
  /** Runs at once. @default 256 */
  maxRuns?: number;
  /** An action to execute instead of that of the step's kind, or of the action or command that it calls: for tests. */
  standIn?: (step: { kind: string; path: string; target?: string; command?: Command }) => Action | undefined;
  /**
   * For tests, which advance the clock faster than runs can be read back: a run that waits is held in memory until
   * {@link Runner.suspend}, and a function gets next to no time of its own.
   */
  holds?: boolean;
  /** For the jitter of retries: from 0 up to 1. @default Math.random */
  random?: () => number;
}

/** How the runner knows of the other replicas on its store. */
export interface Sharing {
  store: Pick<SharedStore, "getEndings" | "knownReplicas">;
  /**
   * The ids of all replicas whose runs are not to be taken over as a whole: those that are alive, and those whose end is about to be
   * handled, one by one.
   */
  registered(): Promise<string[]>;
  /** Whether this replica may begin new work. */
  acting: Acting;
}

/** What steps that ask people need to know about them and the form pages. */
export interface FormPeople {
  /**
   * The people that `to` names: by id, by group, or by an e-mail address, also of somebody who is not in `people`. Each
   * once, in the given order; an unknown name is ignored.
   */
  find(to: string[]): Person[];
  /** The page of a form for people with an account. */
  url(form: string): string;
  /**
   * The page of a form for one person, without an account.
   * @param expires milliseconds since the epoch
   */
  link(form: string, person: Person, expires?: number): string;
  /** Whether `smtp` is set. */
  canMail(): boolean;
}
