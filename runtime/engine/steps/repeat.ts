import { z } from "zod";
import { duration, expression, number } from "../../language/fields/field.ts";
import { resolvedArgs } from "../../language/kind.ts";
import { asIn } from "../../language/checker/sentences.ts";
import { resolveArgs } from "../../language/expressions/template.ts";
import { outcomeOf } from "../attempt.ts";
import { handOver, inScope, leaveOut, pathIn } from "../step_frame.ts";
import { Turns } from "./turns.ts";
import { type Control, defineControl, notOn } from "./control.ts";

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

/** Performs its steps again and again. */
export const repeat: Control = defineControl({
  ...schemas,
  summary: "Performs the steps under then again and again",
  children: ["then"],
  controls: true,
  nested: { seen: true, names: () => ["index"] },
  check({ repeat }) {
    const given = ["while", "until", "times"].filter((key) => key in repeat);
    if (given.length === 1) return [];
    const got = given.length === 0 ? "got none of them" : `got ${given.join(" and ")}`;
    return [`expected one of "while", "until" and "times", ${got}; write until: with the condition that ends it`];
  },
  async perform(step, frame, runSteps) {
    const path = pathIn(frame, step.id);
    const plan = () => inScope(frame, (scope) => resolvedArgs(schemas, resolveArgs(repeat, step.args, scope)).repeat);
    const repeated = { ...step.args.repeat, path, kind: step.kind, steps: step.children.then, plan };
    const turns = new Turns(repeated, frame, runSteps);
    if (frame.context.records.ended(path) === undefined) {
      const unfinished = await turns.perform();
      if (unfinished !== undefined) return unfinished;
    } else await turns.performLast();
    if (turns.last === undefined) leaveOut(step.children.then, frame);
    else handOver(step.children.then, turns.last, frame);
    return outcomeOf(frame.context.records.get(path)!);
  },
});
