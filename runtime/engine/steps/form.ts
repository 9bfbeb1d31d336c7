import { z } from "zod";
import { asIn } from "../../language/checker/sentences.ts";
import { duration, people, template } from "../../language/arg_types.ts";
import { fields } from "../../language/fields/read_fields.ts";
import { type Args, resolvedArgs } from "../../language/kind.ts";
import { exactDuration } from "../../model/duration.ts";
import { TerminalError } from "../../model/errors.ts";
import { newId } from "../../model/id.ts";
import { isFinalStep, type StepRecord } from "../../model/run.ts";
import { describeWait } from "../../store/run_changes.ts";
import { Interruption, type StepOutcome, type Stopped, type Suspended, suspendedTogether } from "../outcome.ts";
import { later } from "../../language/fields/moment.ts";
import { pathIn, type RunContext, type RunSteps, type StepFrame } from "../step_frame.ts";
import { forkGuarded } from "./branch_set.ts";
import { type Control, defineControl, notTaken, resolveStepArgs } from "./control.ts";
import { askedAt, type FormCall, type FormInput, formInputOf, FormNotices } from "./form_notices.ts";
import { type Beginning, beginOnce, runWait, type WaitTask } from "./wait.ts";

/** What a form takes. */
const schemas = {
  kind: "form",
  main: template().describe("The question, as the title of the page"),
  options: {
    to: people().describe("Who may answer: people or groups of whenthen.yaml, or e-mail addresses"),
    fields: fields().optional().describe("The fields to fill in"),
    remind: duration().optional().describe("How often they are reminded until one has answered: 1d"),
    escalate: z.strictObject({
      after: duration().describe("The time without an answer"),
      to: people().describe("Who is asked, too"),
    }, asIn("escalate: { after: 2d, to: cfo }")).optional()
      .describe("Adds people to the form if nobody has answered by then: { after: 2d, to: cfo }"),
    timeout: duration().optional().describe("How long it can be answered; by default until somebody does"),
    retry: notTaken("a form has one attempt, which lasts until its timeout"),
  },
} as const;

type FormArgs = Args<typeof schemas>;

/** Characters of a title; a longer one would be no title, and would break every list that shows it. */
const LONGEST_TITLE = 500;

/**
 * Asks people and waits until one of them has answered. Meanwhile they are notified and reminded, and others may be asked,
 * too. A failure of these notices does not fail the form; they end with it.
 * @returns the answers with `by` and `at`; null, `timedOut`, if nobody answered in time
 */
export async function runForm(call: FormCall, frame: StepFrame, runSteps: RunSteps): Promise<StepOutcome> {
  const { context, signal } = frame;
  const task = waitTask(call, frame);
  const record = await beginOnce(context, task);
  const outcome = isFinalStep(record.state)
    ? await runWait(context, task, signal)
    : await askAndNotify(call, task, frame, runSteps);
  if (outcome.kind !== "suspended") await endNotices(call.path, context);
  return outcome;
}

async function askAndNotify(
  call: FormCall,
  task: WaitTask,
  frame: StepFrame,
  runSteps: RunSteps,
): Promise<StepOutcome> {
  const { context } = frame;
  const stop = new AbortController();
  const signal = AbortSignal.any([frame.signal, stop.signal]);
  const notices = new FormNotices(call, { ...frame, signal }, runSteps);
  let asked: StepOutcome | undefined;
  let sent: Suspended | Stopped | undefined;
  const ask = async () => {
    asked = await runWait(context, task, signal);
    if (asked.kind !== "suspended") {
      stop.abort(new Interruption("cancelled", `The form of step "${call.path}" is closed`));
    }
  };
  const notify = async () => {
    sent = await notices.send();
    if (sent?.kind === "stopped") stop.abort(new Interruption("shutdown", `Step "${sent.step}" ended the run`));
  };
  await forkGuarded(context.waiting, [ask, notify], stop);
  if (asked === undefined) return sent!;
  return asked.kind === "suspended" && sent?.kind === "suspended" ? suspendedTogether([asked, sent]) : asked;
}

function waitTask({ path, after, args }: FormCall, { context }: StepFrame): WaitTask {
  return {
    path,
    kind: "form",
    ...(after !== undefined && { after }),
    begin: async () => beginForm(resolvedArgs(schemas, (await args()).used), context),
    describe: (record) => {
      const form = formInputOf(record);
      return describeWait({ kind: "form", form: { title: form.form, to: askedAt(form, Infinity) } });
    },
  };
}

function titleOf(form: string): string {
  const characters = [...form.replaceAll(/\s+/g, " ").trim()];
  return characters.length > LONGEST_TITLE
    ? `${characters.slice(0, LONGEST_TITLE - 1).join("")}…`
    : characters.join("");
}

/** @throws TerminalError if nobody could answer */
function beginForm({ form, to, fields = {}, remind, escalate, timeout }: FormArgs, { options }: RunContext): Beginning {
  const { people, clock } = options;
  const nobody = [...to, ...escalate?.to ?? []].find((name) => people.find([name]).length === 0);
  if (nobody !== undefined) {
    throw new TerminalError(
      `Cannot ask "${nobody}": there is no such person, nobody is in a group of that name, and it is not an e-mail address`,
    );
  }
  const title = titleOf(form);
  const now = clock.now();
  const id = newId(now);
  const due = timeout === undefined ? {} : { due: later(now, timeout) };
  const input: FormInput = {
    form: title,
    to,
    id,
    ...(remind !== undefined && { remind: exactDuration(remind) }),
    ...(escalate && { escalate: { ...escalate, after: exactDuration(escalate.after) } }),
    ...(timeout !== undefined && { timeout: exactDuration(timeout) }),
  };
  return {
    input: { ...input },
    ...due,
    wait: { kind: "form", form: { id, title, to: askedAt(input, now), fields, ...due } },
  };
}

/** Notices that were pending when the form was closed are cancelled, so that none is sent later. */
async function endNotices(path: string, { records, options: { clock } }: RunContext): Promise<void> {
  const isNotice = (record: StepRecord) => /^(notify|remind@\d+|escalate)\//.test(record.path.slice(path.length + 1));
  const open = records.below(path).filter((record) => isNotice(record) && !isFinalStep(record.state));
  const error = { name: "Cancelled", message: `The form of step "${path}" is closed` };
  for (const { due: _due, ...record } of open) {
    await records.write({ ...record, state: "cancelled", error, endedAt: clock.now() });
  }
}

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
      ...typeof remind === "number" && remind < 1_000 ? ["remind: the interval is too short; write at least 1s"] : [],
      ...typeof after === "number" && typeof timeout === "number" && after >= timeout
        ? ["escalate: it would come after the timeout; write a shorter time"]
        : [],
    ];
  },
  execute(step, frame, runSteps) {
    const args = () => resolveStepArgs(form, step.args, frame);
    const { notify } = step.children;
    return runForm({ path: pathIn(frame, step.id), args, ...(notify && { notify }) }, frame, runSteps);
  },
});
