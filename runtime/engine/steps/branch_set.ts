import { type RecordedError, recordError } from "../../model/errors.ts";
import type { Json, JsonObject } from "../../model/json.ts";
import type { StepRecord } from "../../model/run.ts";
import type { RunContext } from "../step_frame.ts";
import type { Waiting } from "../waiting.ts";
import {
  Interruption,
  type StepFailure,
  type StepOutcome,
  type Stopped,
  type Suspended,
  suspendedTogether,
} from "../outcome.ts";
import { checkSize } from "../records.ts";

/** A step with others inside, as it is recorded. */
interface Composite {
  path: string;
  kind: string;
  /** See {@link StepRecord.after}. */
  after?: string;
  input?: JsonObject;
}

/** How such a step ended: with its result, or with the failure of a step inside. */
export type Ending = { output: Json } | StepFailure;

/**
 * Branches of a step that run side by side until the step is decided. Branches that have not ended by then have lost: the
 * decision and the end of the losers are one transition, and the losers have stopped before the run continues.
 */
export class BranchSet {
  /** Aborted when the step is decided, and with the signal around it. */
  readonly signal: AbortSignal;
  readonly #stop = new AbortController();
  readonly #startedAt: number;
  /** Open branches, by path, and what each is suspended for. */
  readonly #open = new Map<string, Suspended | undefined>();
  #stopped: Stopped | undefined;
  #decision: Promise<unknown> | undefined;

  constructor(private readonly context: RunContext, private readonly step: Composite, signal: AbortSignal) {
    this.signal = AbortSignal.any([signal, this.#stop.signal]);
    this.#startedAt = context.records.begunAt(step.path) ?? context.options.clock.now();
  }

  /**
   * Runs one branch.
   * @param settle takes the branch's ending; returns the ending of the step, or undefined while it is not decided
   * @returns whether there is more to do: the branch has ended, and the step is not decided
   */
  async execute(
    path: string,
    execute: () => Promise<StepOutcome>,
    settle: (ending: Ending) => Ending | undefined,
  ): Promise<boolean> {
    this.#open.set(path, undefined);
    const outcome = await execute();
    if (this.#isOver) return false;
    if (outcome.kind === "suspended") return this.suspend(path, outcome);
    if (outcome.kind === "stopped") {
      this.#stopped = outcome;
      this.#stop.abort(new Interruption("cancelled", `Step "${outcome.step}" ended the run`));
      return false;
    }
    this.#open.delete(path);
    const decision = settle(outcome);
    if (decision !== undefined) await this.#decide(decision);
    return decision === undefined;
  }

  /** The run is suspended before a branch can begin or continue. */
  suspend(path: string, suspended: Suspended): false {
    this.#open.set(path, suspended);
    return false;
  }

  /**
   * Runs work side by side; each piece executes one branch, or several in sequence.
   * @returns why the run does not continue after the step, or undefined if the step is decided
   * @throws the signal's reason, or what keeps the run from being executed
   */
  async run(work: (() => Promise<void>)[]): Promise<Suspended | Stopped | undefined> {
    await forkGuarded(this.context.waiting, work, this.#stop);
    await this.#decision;
    if (this.#stopped !== undefined || this.#decision !== undefined) return this.#stopped;
    return suspendedTogether([...this.#open.values()].filter((suspended) => suspended !== undefined));
  }

  /** Whether the branches' outcomes no longer count. */
  get #isOver(): boolean {
    return this.#stop.signal.aborted;
  }

  async #decide(ending: Ending): Promise<void> {
    this.#decision = endComposite(this.context, this.step, this.#startedAt, ending, [...this.#open.keys()]);
    this.#stop.abort(new Interruption("cancelled", `Step "${this.step.path}" was decided without it`));
    await this.#decision;
  }
}

/**
 * Runs branches side by side. An error of a branch ends all of them and is thrown; after the stop, errors are ignored.
 * @param stop ends the branches
 */
export async function forkGuarded(
  waiting: Waiting,
  branches: (() => Promise<void>)[],
  stop: AbortController,
): Promise<void> {
  let trouble: { thrown: unknown } | undefined;
  const guard = (branch: () => Promise<void>) => async () => {
    try {
      await branch();
    } catch (thrown) {
      if (stop.signal.aborted) return;
      trouble = { thrown };
      stop.abort(new Interruption("shutdown", "A branch beside it could not be executed"));
    }
  };
  await waiting.fork(branches.map(guard));
  if (trouble !== undefined) throw trouble.thrown;
}

/** Records how a step with others inside ended. */
export async function endComposite(
  { records, options: { clock } }: RunContext,
  { path, kind, after, input }: Composite,
  startedAt: number,
  ending: Ending,
  losers: string[] = [],
): Promise<StepRecord> {
  const endedAt = clock.now();
  const said = { ...(after !== undefined && { after }), ...(input !== undefined && { input }) };
  const record = { path, kind, attempts: 1, startedAt, endedAt, ...said };
  const cancels = losers.length > 0 ? { cancels: losers } : {};
  const error = "output" in ending ? tooLarge(path, ending.output) : { ...ending.error, step: ending.step };
  const ended = "output" in ending && error === undefined
    ? { state: "succeeded" as const, output: ending.output }
    : { state: "failed" as const, error };
  return await records.write({ ...record, ...ended }, cancels);
}

function tooLarge(path: string, output: Json): RecordedError | undefined {
  try {
    checkSize(path, output);
    return undefined;
  } catch (thrown) {
    return recordError(thrown);
  }
}
