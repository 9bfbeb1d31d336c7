import { TerminalError } from "../model/errors.ts";
import { isOwnType } from "../model/event.ts";
import { json, template } from "../language/fields/field.ts";
import { defineAction } from "./action.ts";

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
  async execute(args, { run, path, services }) {
    const { emit: type, data = null, subject, id = `${run.id}/${path}` } = args;
    if (type === "") throw new TerminalError("Cannot emit an event with an empty type; write one such as order.paid");
    if (isOwnType(type)) {
      throw new TerminalError(`Cannot emit "${type}": types that begin with whenthen. are the program's own`);
    }
    if (id === "") {
      throw new TerminalError(`Cannot emit "${type}" with an empty id; leave the id out to get a generated one`);
    }
    const event = { type, data, ...(subject !== undefined && { subject }), id };
    const receipt = await services.emit(event, run);
    return { output: { ...event, source: receipt.event.source } };
  },
});
