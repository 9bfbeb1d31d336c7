import { z } from "zod";
import { asIn } from "../../language/checker/sentences.ts";
import { resolveArgs } from "../../language/expressions/template.ts";
import { duration, expression, number } from "../../language/arg_types.ts";
import { resolvedArgs } from "../../language/kind.ts";
import { exactDuration, parseDuration } from "../../model/duration.ts";
import type { JsonObject } from "../../model/json.ts";
import type { Step } from "../../model/rule.ts";
import { isFinalStep, type StepRecord } from "../../model/run.ts";
import { attemptStep, computeStep, outcomeOf, STANDARD_DELAYS } from "../attempt.ts";
import type { StepOutcome, Stopped, Suspended } from "../outcome.ts";
import { handOver, innerFrame, inScope, leaveOut, pathIn, type RunSteps, type StepFrame } from "../step_frame.ts";
import { endComposite, type Ending } from "./branch_set.ts";
import { type Control, defineControl, holds, notOn, plainArgs } from "./control.ts";
import { runWait } from "./wait.ts";

const notHere = notOn("a repeat step", "then");

const schemas = {
  kind: "repeat",
  main: z.strictObject({
    while: expression().optional().describe("Before each turn: whether there is one"),
    until: expression().optional().describe("After each turn: whether it was the last one"),
    times: number({ min: 0, integer: true }).optional().describe("How many turns"),
    every: duration().optional().describe("From the start of one turn to that of the next; by default at once"),
    max: number({ min: 1, integer: true }).optional().describe("Turns after which it fails; by default 10000"),
  }, asIn("repeat: { times: 3 }")).describe("One of while, until and times; index is the turn, from 0"),
  options: { timeout: notHere, retry: notHere, onTimeout: notHere },
} as const;

/** Runs its steps again and again. */
export const repeat: Control = defineControl({
  ...schemas,
  summary: "Runs the steps under then again and again",
  children: ["then"],
  controls: true,
  nested: { seen: true, names: () => ["index"] },
  check({ repeat }) {
    const given = ["while", "until", "times"].filter((key) => key in repeat);
    if (given.length === 1) return [];
    const got = given.length === 0 ? "got none of them" : `got ${given.join(" and ")}`;
    return [`expected one of "while", "until" and "times", ${got}; write until: with the condition that ends it`];
  },
  async execute(step, frame, runSteps) {
    const path = pathIn(frame, step.id);
    const plan = () => inScope(frame, (scope) => resolvedArgs(schemas, resolveArgs(repeat, step.args, scope)).repeat);
    const repeated = { ...step.args.repeat, path, kind: step.kind, steps: step.children.then, plan };
    const turns = new Turns(repeated, frame, runSteps);
    if (frame.context.records.ended(path) === undefined) {
      const unfinished = await turns.execute();
      if (unfinished !== undefined) return unfinished;
    } else await turns.runLast();
    if (turns.last === undefined) leaveOut(step.children.then, frame);
    else handOver(step.children.then, turns.last, frame);
    return outcomeOf(frame.context.records.get(path)!);
  },
});

/** How often something is repeated at most, and how fast. */
interface Repetition {
  times?: number;
  /** Milliseconds from the start of one turn to that of the next. */
  every?: number;
  max?: number;
}

/** A step that is executed in turns. */
interface Repeated {
  path: string;
  kind: string;
  steps: Step[];
  /** Conditions, checked before and after a turn. */
  while?: string;
  until?: string;
  /** Called once, when the step begins. */
  plan(): Promise<Repetition>;
}

/** Turns after which a step without `max` fails. */
const MOST_TURNS = 10_000;

/**
 * The turns of one step. Before each turn a record at its path decides whether it takes place; with `every` the step waits
 * there. The record of the first turn also keeps the plan for all of them.
 */
class Turns {
  /** The frame of the turn that was executed last. */
  last: StepFrame | undefined;

  constructor(
    private readonly step: Repeated,
    private readonly frame: StepFrame,
    private readonly runSteps: RunSteps,
  ) {}

  /** @returns why the run does not continue after the step, or undefined if it has ended */
  async execute(): Promise<Suspended | Stopped | undefined> {
    const { records, options: { clock } } = this.frame.context;
    const startedAt = records.begunAt(this.step.path) ?? clock.now();
    const end = async (ending: Ending) => {
      const { path, kind } = this.step;
      await endComposite(this.frame.context, { path, kind }, startedAt, ending);
      return undefined;
    };
    // Earlier turns are over, but conditions may read the results of the last one that was executed.
    for (let turn = Math.max(0, this.#lastBegun() - 1);; turn++) {
      const decision = await this.#decide(turn);
      if (decision.kind === "failed") return await end(decision);
      if (decision.kind !== "result") return decision;
      if (decision.output === false) return await end({ output: { turns: turn } });
      const outcome = await this.#runTurn(turn);
      if (outcome.kind === "failed") return await end(outcome);
      if (outcome.kind !== "result") return outcome;
    }
  }

  /** Runs the last turn once more from its records, to restore its results. */
  async runLast(): Promise<void> {
    const last = this.#lastBegun();
    const turn = this.#isExecuted(last) ? last : last - 1;
    if (turn >= 0) await this.#runTurn(turn);
  }

  /** Decides whether a turn takes place, when its time has come. */
  async #decide(turn: number): Promise<StepOutcome> {
    const { context, signal } = this.frame;
    const step = { path: this.#pathOf(turn), kind: this.step.kind };
    const recorded = this.#record(turn);
    if (this.#isExecuted(turn)) return { kind: "result", output: true };
    if (recorded !== undefined && isFinalStep(recorded.state)) return outcomeOf(recorded);
    if (turn === 0) return await this.#decideFirst(step);
    const { every, times } = this.#plan;
    if (recorded === undefined || recorded.state === "retrying") {
      if (times !== undefined && turn >= times) return { kind: "result", output: false };
      const over = this.#isOver();
      if (await over.catch(() => true)) return await computeStep(context, step, signal, async () => !await over);
      if (every === undefined) return await computeStep(context, step, signal, () => this.#holdsWhile(turn));
    }
    return await runWait(context, {
      ...step,
      begin: () => Promise.resolve({ input: {}, due: this.#dueOf(turn), wait: { kind: "time" } }),
      onTimeout: () => this.#holdsWhile(turn),
      describe: () => `turn ${turn + 1} of step "${this.step.path}"`,
    }, signal);
  }

  #decideFirst(step: { path: string; kind: string }): Promise<StepOutcome> {
    return attemptStep(this.frame.context, {
      ...step,
      retry: { attempts: 1, ...STANDARD_DELAYS },
      worthRetrying: () => false,
      prepare: async () => {
        const { every, ...rest } = await this.step.plan();
        return plainArgs({ ...rest, ...(every && { every: exactDuration(every) }) });
      },
      act: async ({ used: { times } }) => ({ output: times !== 0 && await this.#holdsWhile(0) }),
    }, this.frame.signal);
  }

  async #runTurn(turn: number): Promise<StepOutcome> {
    const { max = Math.max(MOST_TURNS, this.#plan.times ?? 0) } = this.#plan;
    if (turn >= max) {
      const message = `Cannot repeat "${this.step.path}" more than ${max} times; max: allows more`;
      return { kind: "failed", error: { name: "TerminalError", message }, step: this.step.path };
    }
    this.last = innerFrame(this.frame, this.#pathOf(turn), this.frame.signal, { index: turn });
    return await this.runSteps(this.step.steps, this.last);
  }

  async #isOver(): Promise<boolean> {
    const { until } = this.step;
    return until !== undefined && await holds(until, this.last!);
  }

  async #holdsWhile(turn: number): Promise<boolean> {
    const { while: condition } = this.step;
    if (condition === undefined) return true;
    const frame = innerFrame(this.last ?? this.frame, "", this.frame.signal, { index: turn });
    if (this.last === undefined) leaveOut(this.step.steps, frame);
    return await holds(condition, frame);
  }

  /**
   * The next time on the grid that starts with the first turn. If a turn took longer than the interval, the next one
   * follows at once, and the missed ones are dropped.
   */
  #dueOf(turn: number): number {
    const every = parseDuration(this.#plan.every!)!;
    const start = this.#record(0)!.endedAt!;
    // After a clock rollback the recorded end may be in the future.
    const last = Math.min(this.#record(turn - 1)!.endedAt!, this.frame.context.options.clock.now());
    return start + (Math.floor((last - start) / every) + 1) * every;
  }

  /** The plan for all turns, from the record of the first one. */
  get #plan(): Omit<Repetition, "every"> & { every?: string } {
    return this.#record(0)?.input as JsonObject & { every?: string };
  }

  /** Whether the turn was decided to take place. An operator who skips the wait for it lets it begin. */
  #isExecuted(turn: number): boolean {
    const record = this.#record(turn);
    return record?.state === "skipped" || (record?.state === "succeeded" && record.output === true);
  }

  #lastBegun(): number {
    let turn = 0;
    while (this.frame.context.records.isBegun(this.#pathOf(turn + 1))) turn++;
    return turn;
  }

  #record(turn: number): StepRecord | undefined {
    return this.frame.context.records.get(this.#pathOf(turn));
  }

  #pathOf(turn: number): string {
    return `${this.step.path}[${turn}]`;
  }
}
