import { expression } from "../../language/fields/field.ts";
import { computeStep } from "../attempt.ts";
import { leaveOut, pathIn } from "../step_frame.ts";
import { type Control, defineControl, holds, notOn } from "./control.ts";

const notHere = notOn("an if step", "then and else");

/**
 * Runs `then` if its expression holds, else `else`. Its record is the decision, made once before the branch; its result
 * is whether the expression held.
 */
export const branch: Control = defineControl({
  kind: "if",
  summary: "Runs the steps under then if the expression holds, else those under else",
  main: expression().describe("The condition"),
  options: { timeout: notHere, retry: notHere, onTimeout: notHere },
  controls: true,
  children: ["then", "else"],
  async execute(step, frame, runSteps) {
    const path = pathIn(frame, step.id);
    const decision = await computeStep(frame.context, { path, kind: step.kind }, frame.signal, () => {
      return holds(step.args.if, frame);
    });
    if (decision.kind !== "result") return decision;
    // Also for the branch that is taken: if a step of it fails, those after it are not executed.
    leaveOut(Object.values(step.children).flat(), frame);
    const taken = decision.output === true ? "then" : "else";
    const outcome = await runSteps(step.children[taken] ?? [], { ...frame, path: `${path}/${taken}` });
    return outcome.kind === "result" ? decision : outcome;
  },
});
