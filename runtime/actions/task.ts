import { Buffer } from "node:buffer";
import { z } from "zod";
import { writeExactJson } from "../formats/exact_json.ts";
import { duration, json, number } from "../language/arg_types.ts";
import { TerminalError, UsageError, withDetail } from "../model/errors.ts";
import type { Recipients, TaskOrder, TaskResult } from "../model/fleet.ts";
import { asJson, isObject, type Json, type JsonObject } from "../model/json.ts";
import { MAX_OUTPUT } from "../model/run.ts";
import { type ActionContext, defineAction, type StepParts } from "./action.ts";

/** Sends a task to devices of a fleet. */
export const task = defineAction({
  kind: "task",
  summary: "Sends a task to devices of a fleet",
  main: z.string().min(1).describe("The name of the task"),
  options: {
    fleet: z.string().min(1).describe("The id of the fleet: the path of its file without extension"),
    to: json().describe("Which devices: a name, a list of names, { tags: [press] }, or all"),
    with: z.record(z.string(), json()).optional().describe("The inputs of the task"),
    max: number({ min: 1, integer: true }).optional().describe("How many devices at once; by default 100"),
    timeout: duration().optional().describe("For each device; by default that of the task"),
  },
  nested: { optional: true, stops: true },
  // Each device has its timeout.
  defaults: { timeout: 86_400_000, attempts: 1 },
  retries: (error) => !(error instanceof TerminalError || error instanceof UsageError),
  async execute({ task, fleet, to, with: inputs = {}, max, timeout }, context) {
    const sending = new Sending(context);
    const order = { fleet, task, inputs, ...max !== undefined && { max }, ...timeout !== undefined && { timeout } };
    return { output: await sending.send(readRecipients(to), order) };
  },
});

/** The same for a TypeScript rule, in which `onError` is an option like any other. */
export const taskInCode = {
  ...task,
  options: { ...task.options, onError: z.enum(["stop", "continue"]).optional() },
};

/** The order of a step, without the parts that the step itself adds. */
type StepOrder = Pick<TaskOrder, "fleet" | "task" | "inputs" | "max" | "timeout">;

/** @throws TerminalError */
function readRecipients(to: Json): Recipients {
  if (typeof to === "string" && to !== "") return to;
  const isNames = (list: Json | undefined): list is string[] =>
    Array.isArray(list) && list.every((name) => typeof name === "string" && name !== "");
  if (isNames(to)) return to;
  if (isObject(to) && isNames(to.tags) && Object.keys(to).length === 1) return { tags: to.tags };
  const given = JSON.stringify(to).slice(0, 200);
  throw new TerminalError(`Cannot send the task to ${given}: expected a name, a list of names, { tags: […] } or all`);
}

/** The name of the parts in which the step records results. */
const RESULTS = "results";

/** One attempt of a task step. Results are recorded in slices: after a crash these devices are not sent the task again. */
class Sending {
  readonly #results = new Map<string, TaskResult>();
  readonly #parts: StepParts;

  constructor(private readonly context: ActionContext<unknown>) {
    this.#parts = context.parts;
  }

  async send(to: Recipients, order: StepOrder): Promise<Json> {
    this.#recall();
    const isOne = typeof to === "string" && to !== "all";
    if (!Array.isArray(to) || to.length > 0) await this.#order(to, order, isOne);
    return isOne ? oneResult(this.#results.get(to)!) : many(this.#resultsFor(to));
  }

  /** Takes over the recorded results. Devices that failed in an earlier attempt are sent the task again. */
  #recall(): void {
    for (const { attempt, output } of this.#parts.read()) {
      for (const result of output as TaskResult[]) {
        if (result.success || attempt === this.context.attempt) this.#results.set(result.device, result);
      }
    }
  }

  async #order(to: Recipients, order: StepOrder, isOne: boolean): Promise<void> {
    const { run, path, signal, services, continuesOnError } = this.context;
    const failed = new AbortController();
    const stopAt = ({ device, success, error }: TaskResult) => {
      if (!success && !isOne && !continuesOnError) {
        failed.abort(new Error(`Cannot ${order.task} on ${device}: ${error}`));
      }
    };
    const done = new Set(this.#results.keys());
    const both = AbortSignal.any([signal, failed.signal]);
    // The same in every attempt: the platform may use it to detect duplicates.
    const job = `${run.id}/${path}`;
    try {
      for (const result of this.#results.values()) stopAt(result);
      failed.signal.throwIfAborted();
      await services.fleets().task({ ...order, to, job, done, signal: both }, async (results) => {
        for (const result of results) this.#results.set(result.device, result);
        await this.#parts.add(RESULTS, asJson(results));
        results.forEach(stopAt);
      });
      failed.signal.throwIfAborted();
    } catch (error) {
      if (!failed.signal.aborted) throw error;
      throw withDetail(failed.signal.reason, many(this.#resultsFor(to)));
    }
  }

  /** In the order of `to` if that is a list of names, else in the order of the names. */
  #resultsFor(to: Recipients): TaskResult[] {
    const names = Array.isArray(to) ? new Set(to) : [...this.#results.keys()].sort();
    return [...names].flatMap((name) => this.#results.get(name) ?? []);
  }
}

function oneResult(result: TaskResult): Json {
  const output = { ...result };
  if (result.success) return output;
  throw withDetail(new Error(result.error!), output);
}

/** The results of several devices. If they are too large together, those of successes are left out. */
function many(results: TaskResult[]): JsonObject {
  const failures = results.filter(({ success }) => !success);
  const all = (list: TaskResult[]): JsonObject => {
    return {
      total: results.length,
      failed: failures.length,
      results: list.map((result): JsonObject => ({ ...result })),
    };
  };
  for (let list = results;; list = list === results ? failures : list.slice(0, list.length / 2)) {
    const output = all(list);
    if (list.length === 0 || Buffer.byteLength(writeExactJson(output)) <= MAX_OUTPUT) return output;
  }
}
