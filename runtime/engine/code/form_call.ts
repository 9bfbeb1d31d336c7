import type { Step } from "../../model/rule.ts";
import type { StepArgs } from "../steps/step_args.ts";

/** A form of a YAML step or of `step.form`. */
export interface FormCall {
  path: string;
  /** See {@link StepRecord.after}. */
  after?: string;
  /** The question and its options. What people are shown is recorded as it is, secrets too. */
  args(): Promise<StepArgs>;
  /** Steps that notify the people asked, instead of a mail to each. */
  notify?: Step[];
}

/** What is recorded of a form as its step's input. Every execution of the run takes reminders and escalation from it. */
export interface FormInput {
  form: string;
  to: string[];
  id: string;
  remind?: string;
  escalate?: { after: string; to: string[] };
  timeout?: string;
  /** When it was escalated. */
  escalated?: string;
}

/** Whom a form asks at a given time: after the escalation, also the people that it added. */
export function askedAt({ to, escalate, escalated }: FormInput, at: number): string[] {
  const more = escalated !== undefined && Date.parse(escalated) <= at ? escalate!.to : [];
  return [...new Set([...to, ...more])];
}
