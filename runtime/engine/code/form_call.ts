import type { Step } from "../../model/rule.ts";
import type { StepArgs } from "../steps/step_args.ts";

/** A form that is asked, of a YAML step or of `step.form`. */
export interface FormCall {
  path: string;
  /** See {@link StepRecord.after}. */
  after?: string;
  /** The question and its options. What people are shown is kept as it is, secrets too. */
  args(): Promise<StepArgs>;
  /** Tells those asked, instead of a mail to each. */
  notify?: Step[];
}

/** What is recorded of a form as its step's input. Reminders and the escalation go by it, in every life of the run. */
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

/** Whom a form asks at a time: those of the escalation, too, once it has come. */
export function askedAt({ to, escalate, escalated }: FormInput, at: number): string[] {
  const more = escalated !== undefined && Date.parse(escalated) <= at ? escalate!.to : [];
  return [...new Set([...to, ...more])];
}
