import { parseDuration } from "../../model/duration.ts";
import type { Person } from "../../model/form.ts";
import type { JsonObject } from "../../model/json.ts";
import type { Step } from "../../model/rule.ts";
import { isFinalStep, type StepRecord } from "../../model/run.ts";
import type { Stopped, Suspended } from "../outcome.ts";
import { innerFrame, type RunSteps, type StepFrame } from "../step_frame.ts";
import type { StepArgs } from "./control.ts";

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
export type FormInput = {
  form: string;
  to: string[];
  id: string;
  remind?: string;
  escalate?: { after: string; to: string[] };
  timeout?: string;
  /** When it was escalated. */
  escalated?: string;
};

/** The recorded input of a form. */
export function formInputOf({ input }: StepRecord): FormInput {
  return input as FormInput;
}

/** Whom a form asks at a given time: after the escalation, also the people that it added. */
export function askedAt({ to, escalate, escalated }: FormInput, at: number): string[] {
  const more = escalated !== undefined && Date.parse(escalated) <= at ? escalate!.to : [];
  return [...new Set([...to, ...more])];
}

/** The default mail, sent if the rule has no `notify`. */
interface Mail extends JsonObject {
  to: string;
  subject: string;
  text: string;
}

/** Notifies the people that a form asks: at once, then with reminders; and those to whom it is escalated. */
export class FormNotices {
  constructor(
    private readonly call: FormCall,
    private readonly frame: StepFrame,
    private readonly runSteps: RunSteps,
  ) {}

  /**
   * Sends all that is due, now and later. What an earlier execution of the run sent is not sent again. Of the reminders
   * that were missed, only the last one is sent.
   * @returns why the run does not continue here; undefined if there is nothing more to send
   */
  async send(): Promise<Suspended | Stopped | undefined> {
    const { context: { waiting, options: { clock } }, signal } = this.frame;
    const { remind, escalate } = this.#input;
    const every = remind === undefined ? undefined : Math.max(1_000, parseDuration(remind)!);
    let [reminded, escalated] = [0, false];
    let unfinished = await this.#notify("notify", this.#input.to);
    while (unfinished === undefined) {
      // Read again each time, because a clock rollback changes them.
      const { startedAt, due = Infinity } = this.#record;
      const escalateAt = escalate === undefined ? Infinity : startedAt + parseDuration(escalate.after)!;
      const now = clock.now();
      const reminders = every === undefined ? 0 : Math.floor((now - startedAt) / every);
      if (now >= due) return undefined;
      if (!escalated && escalateAt <= now) {
        escalated = true;
        unfinished = await this.#escalate(escalate!.to);
      } else if (reminders > reminded) {
        reminded = reminders;
        // The people to whom it is escalated at this very time have just been notified.
        const asked = askedAt(this.#input, startedAt + reminders * every! - 1);
        unfinished = await this.#notify(`remind@${reminders}`, asked);
      } else {
        const nextReminder = every === undefined ? Infinity : startedAt + (reminders + 1) * every;
        const next = Math.min(nextReminder, escalated ? Infinity : escalateAt);
        if (next >= due || next === Infinity) return undefined;
        const waitingFor = `a notice of step "${this.call.path}"`;
        if (!await waiting.wait(next, signal, { what: () => waitingFor })) {
          return { kind: "suspended", due: next, waitingFor };
        }
      }
    }
    return unfinished;
  }

  get #record(): StepRecord {
    return this.frame.context.records.get(this.call.path)!;
  }

  get #input(): FormInput {
    return formInputOf(this.#record);
  }

  /** Adds people to the form, once, and notifies them. */
  async #escalate(more: string[]): Promise<Suspended | Stopped | undefined> {
    const { records, options: { store, clock } } = this.frame.context;
    const input = this.#input;
    if (input.escalated === undefined) {
      const { id, title, fields, due } = (await store.getForm(input.id))!;
      const now = clock.now();
      const escalated: FormInput = { ...input, escalated: new Date(now).toISOString() };
      const form = { id, title, to: askedAt(escalated, now), fields, ...(due !== undefined && { due }) };
      const record = await records.write({ ...this.#record, input: escalated }, {
        wait: { kind: "form", form },
      });
      if (isFinalStep(record.state)) return undefined;
    }
    return await this.#notify("escalate", more, this.#input.to);
  }

  /**
   * Runs the steps of one notice. Their failure appears in the trace, but fails nothing else.
   * @param notified the already notified ones
   */
  async #notify(notice: string, to: string[], notified: string[] = []): Promise<Suspended | Stopped | undefined> {
    const { records, options: { people: known } } = this.frame.context;
    const knowing = new Set(known.find(notified).map(({ id }) => id));
    const people = known.find(to).filter(({ id }) => !knowing.has(id));
    if (people.length === 0) return undefined;
    const steps = this.call.notify ?? (known.canMail() ? people.flatMap(mailStep) : []);
    const path = `${this.call.path}/${notice}`;
    // Most were sent in an earlier execution of the run: signing unneeded links takes long if a run asks hundreds of
    // people.
    if (steps.every(({ id }) => records.ended(`${path}/${id}`) !== undefined)) return undefined;
    const frame = innerFrame(this.frame, path, this.frame.signal, this.#names(notice, people));
    const outcome = await this.runSteps(steps, frame);
    return outcome.kind === "suspended" || outcome.kind === "stopped" ? outcome : undefined;
  }

  /** What the steps of a notice see as `form`; and, as `mails`, which no rule can name, the default mails. */
  #names(notice: string, people: Person[]): JsonObject {
    const { people: known } = this.frame.context.options;
    const { form: title, id } = this.#input;
    const { due } = this.#record;
    const shown = people.map((person) => {
      const { id: personId, name, email = null } = person;
      const url = known.link(id, person, due);
      // Whoever has the link answers as that person.
      this.frame.context.records.hide(url, `${known.url(id)}?***`);
      return { id: personId, name, email, url };
    });
    const until = due === undefined ? null : new Date(due).toISOString();
    const form = { id, title, url: known.url(id), until, people: shown };
    const mails = shown.map(({ email, url }) => mailOf(notice, title, email ?? "", url, until));
    return { form, mails };
  }
}

/** The mail to the person at that index. Its text is passed as a value, so that it is never read as a template. */
function mailStep({ email }: Person, index: number): Step[] {
  if (email === undefined) return [];
  const args = Object.fromEntries(
    [["mail", "to"], ["subject", "subject"], ["text", "text"]].map(([option, part]) => {
      return [option, `\${{ mails[${index}].${part} }}`];
    }),
  );
  const id = index === 0 ? "mail" : `mail#${index + 1}`;
  return [{ id, kind: "mail", at: { line: 1, column: 1 }, args, children: {}, onError: "continue" }];
}

function mailOf(notice: string, title: string, to: string, url: string, until: string | null): Mail {
  const subject = notice.startsWith("remind") ? `Reminder: ${title}` : title;
  const last = until === null ? [] : [`It can be answered until ${until.slice(0, 16).replace("T", " ")} UTC.`];
  return { to, subject, text: [title, `Please answer: ${url}`, ...last].join("\n\n") + "\n" };
}
