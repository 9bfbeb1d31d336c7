import { performForm, schemas } from "./form_step.ts";
import { pathIn } from "../step_frame.ts";
import { resolveStepArgs } from "./step_args.ts";
import { type Control, defineControl } from "./control.ts";

/** Results of a form besides its fields. */
const TAKEN = ["by", "at"];

/** Asks people, and waits for the answer of one of them. */
export const form: Control = defineControl({
  ...schemas,
  summary: "Asks people, and waits until one of them has answered",
  children: ["notify"],
  controls: true,
  nested: { optional: true, apart: true, names: () => ["form"] },
  check({ fields = {}, remind, escalate, timeout }) {
    const after = escalate?.after;
    const taken = Object.keys(fields).filter((name) => TAKEN.includes(name));
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
});
