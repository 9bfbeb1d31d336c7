import type { Clock } from "../host/clock.ts";
import { checkValues, withoutCleared } from "../language/fields/check_values.ts";
import { type Form, type FormAnswer, isAmong, type Person } from "../model/form.ts";
import type { Json } from "../model/json.ts";
import type { Store } from "../store/store.ts";

/** The outcome of an answer. */
export type FormAnswered =
  /** It ended the wait; the run continues. */
  | { kind: "accepted"; form: Form }
  /** There is no such form. */
  | { kind: "unknown" }
  /** The form asks other people. */
  | { kind: "forbidden"; form: Form }
  /** It was already answered, its time is up, or its run has ended. */
  | { kind: "closed"; form: Form }
  /** What is wrong with each invalid value, by field. */
  | { kind: "invalid"; form: Form; problems: Record<string, string> };

/** What {@link answerForm} works with. */
interface AnswerOptions {
  store: Pick<Store, "getForm" | "answerForm">;
  clock: Clock;
  /** Receives the runs that continue: {@link Runner.woken}. */
  onWoken: (runs: string[]) => void;
}

/** Whether the form asks this person: by id, by a group, or by e-mail address. */
export function mayAnswer({ to }: Pick<Form, "to">, person: Person): boolean {
  return isAmong(to, person);
}

/** Whether the form can still be answered. The run records a moment later that the time is up. */
export function isOpen({ state, due }: Form, now: number): boolean {
  return state === "open" && (due === undefined || due > now);
}

/** Takes a person's answer to a form from any channel: it is checked here, then the run continues at once. */
export async function answerForm(
  { store, clock, onWoken }: AnswerOptions,
  id: string,
  person: Person,
  { values: given, via }: Pick<FormAnswer, "values" | "via">,
): Promise<FormAnswered> {
  const form = await store.getForm(id);
  if (form === undefined) return { kind: "unknown" };
  if (!mayAnswer(form, person)) return { kind: "forbidden", form };
  const at = clock.now();
  if (!isOpen(form, at)) return { kind: "closed", form };
  const { values, problems } = checkAnswer(form, given);
  if (Object.keys(problems).length > 0) return { kind: "invalid", form, problems };
  const answered = await store.answerForm(id, { values, by: person.id, at, via });
  if (answered === undefined) return { kind: "unknown" };
  if (!answered.accepted) return { kind: "closed", form: answered.form };
  onWoken([form.run]);
  return { kind: "accepted", form: answered.form };
}

/** The values of all fields, and what is wrong with them, by field. An empty text is not a value for a required field. */
function checkAnswer(
  { fields }: Form,
  given: Record<string, Json>,
): { values: Record<string, Json>; problems: Record<string, string> } {
  const isBlank = (name: string) =>
    fields[name]?.type === "text" && typeof given[name] === "string" && given[name].trim() === "";
  const typed = Object.fromEntries(
    Object.entries(given).filter(([name]) => !Object.hasOwn(fields, name) || !isBlank(name)),
  );
  const { values, problems } = checkValues(withoutCleared(fields, typed), typed);
  const names = [...new Set([...Object.keys(fields), ...problems.map(({ key }) => key)])];
  const byField = names.map((name) => {
    const own = problems.filter(({ key }) => key === name).map(({ kind, message, hint }) =>
      kind === "unknown" ? `unknown field${hint?.startsWith("did you") ? `; ${hint}` : ""}` : message
    );
    return [name, own.join("; ")] as const;
  });
  return { values, problems: Object.fromEntries(byField.filter(([, says]) => says !== "")) };
}
