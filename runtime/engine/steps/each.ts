import { z } from "zod";
import { compile, showResult } from "../../language/expressions/expression.ts";
import { readsSecret } from "../../language/expressions/recorded_args.ts";
import { resolveArgs } from "../../language/expressions/template.ts";
import { expression, number, rate } from "../../language/arg_types.ts";
import { resolvedArgs } from "../../language/kind.ts";
import type { Rate } from "../../model/duration.ts";
import { recordError, TerminalError } from "../../model/errors.ts";
import type { Json, JsonObject } from "../../model/json.ts";
import { branchPath } from "../../workers/workers.ts";
import { computeStep, outcomeOf } from "../attempt.ts";
import type { StepFailure, Stopped, Suspended } from "../outcome.ts";
import { sizeAsJson } from "../records.ts";
import { MAX_OUTPUT } from "../../model/run.ts";
import {
  evaluateIn,
  innerFrame,
  inScope,
  pathIn,
  type RunContext,
  type RunSteps,
  type StepFrame,
} from "../step_frame.ts";
import { BranchSet, endComposite, type Ending } from "./branch_set.ts";
import { type Control, defineControl, notOn, type StepOf } from "./control.ts";

const notHere = notOn("an each step", "then");
/** The name of an item without `as`. */
const ITEM = "item";
/** Names that an item cannot have: expressions see something else under them. */
const TAKEN = [
  ...["event", "steps", "errors", "config", "env", "secrets", "state", "inputs", "run", "rule"],
  ...["error", "index", "form"],
];
/** How many errors are kept if the results do not fit. */
const MOST_ERRORS = 100;

const schemas = {
  kind: "each",
  main: expression().describe("The list"),
  options: {
    as: z.string().regex(/^[A-Za-z_]\w*$/, { error: "expected a name of letters, digits and _" }).optional()
      .describe("The item's name in the steps; by default item. Its index, from 0, is index"),
    max: number({ min: 1, integer: true }).optional().describe("How many items at once; by default 1"),
    rate: rate().optional().describe("The rate at which items start: 10/s"),
    timeout: notHere,
    retry: notHere,
    onTimeout: notHere,
  },
} as const;

type EachStep = StepOf<typeof schemas>;

/** What an `each` does. */
interface Plan {
  items: Json[];
  /** How many items at once. */
  max: number;
  rate?: Rate;
}

/** Runs its steps for every item of a list. */
export const each: Control = defineControl({
  ...schemas,
  summary: "Runs the steps under then for every item of a list",
  children: ["then"],
  controls: true,
  nested: { apart: true, stops: true, names: ({ as = ITEM }) => [String(as), "index"] },
  check({ as }) {
    return as !== undefined && TAKEN.includes(as)
      ? [`as: "${as}" is already the name of something else; choose another one`]
      : [];
  },
  async execute(step, frame, runSteps) {
    const { records } = frame.context;
    const path = pathIn(frame, step.id);
    const recorded = records.ended(path);
    if (recorded !== undefined) return outcomeOf(recorded);
    const plan = await makePlan(step, frame);
    const unfinished = await runItems(step, plan, frame, runSteps);
    return unfinished ?? outcomeOf(records.get(path)!);
  },
});

async function makePlan(step: EachStep, frame: StepFrame): Promise<Plan | StepFailure> {
  try {
    const { max = 1, rate } = await inScope(
      frame,
      (scope) => resolvedArgs(schemas, resolveArgs(each, step.args, scope)),
    );
    const items = await itemsOf(step, frame);
    return "error" in items ? items : { items, max, ...(rate && { rate }) };
  } catch (thrown) {
    return { kind: "failed", error: recordError(thrown), step: pathIn(frame, step.id) };
  }
}

/** The list, the same in all executions of the run: if the expression may change, its first value is recorded. */
async function itemsOf(step: EachStep, frame: StepFrame): Promise<Json[] | StepFailure> {
  const text = step.args.each;
  const read = async () => {
    const items = await evaluateIn(frame, text);
    if (Array.isArray(items)) return items;
    throw new TerminalError(`"each: ${text}" gives ${showResult(text, items).slice(0, 100)}; a list is expected`);
  };
  if (!compile(text).varies) return await read();
  const kept = { path: `${pathIn(frame, step.id)}[items]`, kind: step.kind };
  const outcome = await computeStep(frame.context, kept, frame.signal, read);
  return outcome.kind === "result" ? outcome.output as Json[] : outcome as StepFailure;
}

/** @returns why the run does not continue after the step, or undefined if the step is decided */
async function runItems(
  step: EachStep,
  plan: Plan | StepFailure,
  frame: StepFrame,
  runSteps: RunSteps,
): Promise<Suspended | Stopped | undefined> {
  const path = pathIn(frame, step.id);
  const { context } = frame;
  const composite = { path, kind: step.kind };
  const begun = context.records.begunAt(path) ?? context.options.clock.now();
  if ("error" in plan) return void await endComposite(context, composite, begun, plan);
  const { items, max, rate } = plan;
  const { as = ITEM } = step.args;
  const result = new EachResult(items.length, step.onError === "continue");
  if (items.length === 0) return void await endComposite(context, composite, begun, { output: result.output });
  const branches = new BranchSet(context, { ...composite, input: { each: items.length } }, frame.signal);
  const isSecret = await inScope(frame, (scope) => readsSecret(step.args.each, scope, frame.unresolved));
  const pace = rate && new Pace(context, path, items.length, rate);
  let next = 0;
  const runNext = async (): Promise<boolean> => {
    const index = next++;
    if (index >= items.length) return false;
    const suspended = await pace?.admit(index, branches.signal);
    const item = `${path}[${index}]`;
    if (suspended !== undefined) return branches.suspend(item, suspended);
    const unresolved = isSecret ? { [as]: `\${{ (${step.args.each})[${index}] }}` } : {};
    const inner = innerFrame(frame, item, branches.signal, { [as]: items[index], index }, unresolved);
    return await branches.execute(
      item,
      () => runSteps(step.children.then, inner),
      (ending) => result.add(index, ending),
    );
  };
  const work = async () => {
    while (await runNext());
  };
  return await branches.run(Array.from({ length: Math.min(max, items.length) }, () => work));
}

/** The results of the items so far. */
class EachResult {
  readonly #results: Json[];
  readonly #errors: { index: number; step: string; message: string }[] = [];
  #ended = 0;

  constructor(private readonly total: number, private readonly continuesOnError: boolean) {
    this.#results = Array(total).fill(null);
  }

  /** @returns the ending of the step if this item decides it, or undefined while it continues */
  add(index: number, ending: Ending): Ending | undefined {
    this.#ended++;
    if ("output" in ending) this.#results[index] = ending.output;
    else if (!this.continuesOnError) return ending;
    else this.#errors.push({ index, step: ending.step, message: ending.error.message });
    return this.#ended === this.total ? { output: this.output } : undefined;
  }

  get output(): JsonObject {
    const errors = this.#errors.toSorted((a, b) => a.index - b.index);
    return fitting({ total: this.total, failed: errors.length, results: this.#results, errors });
  }
}

/**
 * The result of an `each`. If the results of its items together exceed the limit for one step, they are left out: failing
 * the step would waste the work. An expression that uses them reports that they are missing.
 */
export function fitting(result: JsonObject): JsonObject {
  if (sizeAsJson(result) <= MAX_OUTPUT) return result;
  const { total, failed, errors } = result;
  return { total, failed, errors: Array.isArray(errors) ? errors.slice(0, MOST_ERRORS) : [] };
}

/** Spaces out the starts of an `each`'s items, across all executions of its run: `10/s` begins one every 100 ms. */
export class Pace {
  /** Milliseconds from one start to the next. */
  readonly #interval: number;
  /** When the next one may begin. */
  #next: number;

  /** @param path of the `each` with that many items */
  constructor(
    private readonly context: RunContext,
    private readonly path: string,
    items: number,
    { count, per }: Rate,
  ) {
    this.#interval = per / count;
    const now = context.options.clock.now();
    const starts = Array.from({ length: items }, (_, index) => context.records.begunAt(branchPath(path, index)) ?? 0);
    // After a clock rollback, some items began in the future; how long ago that was is unknown, so they are ignored.
    this.#next = starts.reduce((last, start) => start > now ? last : Math.max(last, start), 0) + this.#interval;
  }

  /** Resolves when an item may begin, or with what it waits for if the run is suspended first. */
  async admit(index: number, signal: AbortSignal): Promise<Suspended | undefined> {
    const { waiting, records, options: { clock } } = this.context;
    if (records.isBegun(branchPath(this.path, index))) return undefined;
    const due = Math.max(this.#next, clock.now());
    this.#next = due + this.#interval;
    const waitingFor = `the pace of "${this.path}"`;
    while (clock.now() < due) {
      if (!await waiting.wait(due, signal, { hold: true, what: () => waitingFor })) {
        return { kind: "suspended", due, waitingFor };
      }
    }
    return undefined;
  }
}
