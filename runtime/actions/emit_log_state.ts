import { z } from "zod";
import { duration, json, template } from "../language/arg_types.ts";
import { TerminalError } from "../model/errors.ts";
import { isOwnType } from "../model/event.ts";
import { defineAction, traceHeadersOf } from "./action.ts";

/** Sends an event to the rules of this folder. Its id is the same on each attempt, so that a second one is a duplicate. */
export const emit = defineAction({
  kind: "emit",
  summary: "Sends an event to the rules that listen to its type",
  main: template().describe("The event's type, such as order.paid"),
  options: {
    data: json().optional().describe("The event's data"),
    subject: template().optional().describe("The event's subject"),
    id: template().optional().describe(
      "With an expression, the event's identity (by default this run and step); otherwise the step's id",
    ),
  },
  defaults: { timeout: 30_000, attempts: 1 },
  async execute(args, context) {
    const { run, path, services } = context;
    const { emit: type, data = null, subject, id = `${run.id}/${path}` } = args;
    if (type === "") throw new TerminalError("Cannot emit an event with an empty type; write one such as order.paid");
    if (isOwnType(type)) {
      throw new TerminalError(`Cannot emit "${type}": types that begin with whenthen. are the program's own`);
    }
    if (id === "") {
      throw new TerminalError(`Cannot emit "${type}" with an empty id; leave the id out to get a generated one`);
    }
    const event = { type, data, ...(subject !== undefined && { subject }), id };
    const { traceparent } = traceHeadersOf(context);
    const receipt = await services.emit({ ...event, ...traceparent !== undefined && { trace: traceparent } }, run);
    return { output: { ...event, source: receipt.event.source } };
  },
});

/** Writes one line to the program's log, once the step is recorded. */
export const log = defineAction({
  kind: "log",
  summary: "Writes a line to the program's log",
  main: template().describe("The line"),
  options: {
    level: z.enum(["debug", "info", "warn", "error"]).optional().describe("By default info"),
    data: json().optional().describe("Logged with the line"),
  },
  defaults: { timeout: 30_000, attempts: 1 },
  staysInside: true,
  execute({ log: message, level = "info", data }, { run, path, services }) {
    const about = { rule: run.rule, run: run.id, step: path, ...(data !== undefined && { data }) };
    return { output: null, onRecorded: () => services.log(level, message, about) };
  },
});

/**
 * Memory across runs: sets a value and returns the previous one, or only reads if no value is given. The store writes the value
 * together with the step's record and puts the previous value there as the step's result.
 */
export const state = defineAction({
  kind: "state",
  summary: "Stores a value across runs and returns the previous one; without a value it only reads",
  main: template().describe("The key, such as up/${{ event.subject }}"),
  options: {
    value: json().optional().describe("The value to store"),
    ttl: duration().optional().describe("How long it is kept; by default for ever"),
  },
  defaults: { timeout: 30_000, attempts: 1 },
  async execute({ state: key, value, ttl }, { services }) {
    const current = await services.getState(key) ?? null;
    if (value === undefined) return { output: current };
    return { output: current, effects: { state: { key, value, ...(ttl !== undefined && { ttl }) } } };
  },
});
