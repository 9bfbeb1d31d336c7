import { z } from "zod";
import type { JsonObject } from "../../model/json.ts";
import { duration, people, template } from "../../language/fields/field.ts";
import { fields } from "../../language/fields/fields.ts";
import { asIn } from "../../language/checker/sentences.ts";
import { performForm } from "./form_step.ts";
import { pathIn } from "../step_frame.ts";
import { resolveStepArgs } from "./step_args.ts";
import { type Control, notTaken } from "./control.ts";

/** Results of a form besides its fields. */
const TAKEN = ["by", "at"];

/** Asks people, and waits for the answer of one of them. */
export const form: Control = {
  kind: "form",
  summary: "Asks people, and waits until one of them has answered",
  main: template().describe("The question, as the title of the page"),
  options: {
    to: people().describe("Who may answer: people or groups of whenthen.yaml, or e-mail addresses"),
    fields: fields().optional().describe("What they fill in"),
    remind: duration().optional().describe("How often they are reminded until one has answered: 1d"),
    escalate: z.strictObject({
      after: duration().describe("How long nobody has answered"),
      to: people().describe("Who is asked, too"),
    }, asIn("escalate: { after: 2d, to: cfo }")).optional()
      .describe("Adds people to the form if nobody has answered by then: { after: 2d, to: cfo }"),
    timeout: duration().optional().describe("How long it can be answered; by default until somebody does"),
    retry: notTaken("a form has one attempt, which lasts until its timeout"),
  },
  children: ["notify"],
  controls: true,
  nested: { optional: true, apart: true, names: () => ["form"] },
  check({ fields = {}, remind, escalate, timeout }) {
    const { after } = (escalate ?? {}) as { after?: number | string };
    const taken = Object.keys(fields as JsonObject).filter((name) => TAKEN.includes(name));
    return [
      ...taken.map((name) => `fields: the field "${name}" would hide who answered and when; give it another name`),
      ...typeof remind === "number" && remind < 1_000 ? ["remind: a reminder every moment; write at least 1s"] : [],
      ...typeof after === "number" && typeof timeout === "number" && after >= timeout
        ? ["escalate: its time comes after the timeout; write a shorter one"]
        : [],
    ];
  },
  perform(step, frame, runSteps) {
    const args = () => resolveStepArgs(form, step.args, frame);
    const { notify } = step.children;
    return performForm({ path: pathIn(frame, step.id), args, ...(notify && { notify }) }, frame, runSteps);
  },
};
