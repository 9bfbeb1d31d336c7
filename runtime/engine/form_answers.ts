import { writeExactJson } from "../formats/exact_json.ts";
import { byField, type SentFile } from "../formats/multipart.ts";
import type { Clock } from "../host/clock.ts";
import type { RunFiles } from "../host/run_files.ts";
import { checkValues, withoutCleared } from "../language/fields/check_values.ts";
import { type Form, type FormAnswer, isAmong, type Person } from "../model/form.ts";
import type { SavedFile } from "../model/event.ts";
import { newId } from "../model/id.ts";
import type { Json, JsonObject } from "../model/json.ts";
import type { Store } from "../store/store.ts";

/** A person's answer, with the files that came with it. */
export interface GivenAnswer extends Pick<FormAnswer, "values" | "via"> {
  files?: SentFile[];
}

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
  files: Pick<RunFiles, "saveSent" | "remove">;
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
  { store, files, clock, onWoken }: AnswerOptions,
  id: string,
  person: Person,
  { values: given, files: sent = [], via }: GivenAnswer,
): Promise<FormAnswered> {
  const form = await store.getForm(id);
  if (form === undefined) return { kind: "unknown" };
  if (!mayAnswer(form, person)) return { kind: "forbidden", form };
  const at = clock.now();
  if (!isOpen(form, at)) return { kind: "closed", form };
  const { values, problems } = checkAnswer(form, withFiles(form, given, sent));
  if (Object.keys(problems).length > 0) return { kind: "invalid", form, problems };
  const saved: Record<string, SavedFile> = {};
  for (const file of sent) saved[file.field] = await save(files, form, file, at);
  const answered = await store.answerForm(id, { values: { ...values, ...saved }, by: person.id, at, via });
  if (answered?.accepted) {
    onWoken([form.run]);
    return { kind: "accepted", form: answered.form };
  }
  for (const file of Object.values(saved)) await files.remove(file);
  return answered === undefined ? { kind: "unknown" } : { kind: "closed", form: answered.form };
}

/** The values with the facts of the files. Only an upload is a file: a value that describes one could be any file. */
function withFiles({ fields }: Form, given: Record<string, Json>, sent: SentFile[]): Record<string, Json> {
  const isFile = (name: string) => Object.hasOwn(fields, name) && fields[name].type === "file";
  const others = Object.entries(given).map(([name, value]) => {
    return [name, isFile(name) && value !== null ? writeExactJson(value) : value];
  });
  const facts = byField(sent, ({ name, type, bytes }): JsonObject => ({ name, type, bytes: bytes.length }));
  return { ...Object.fromEntries(others), ...facts };
}

/** Each answer has files of its own: of two people who answer at once, only one is first. */
async function save(
  files: AnswerOptions["files"],
  { run, step }: Form,
  { field, name, type, bytes }: SentFile,
  at: number,
): Promise<SavedFile> {
  const what = `the file of the field "${field}"`;
  return await files.saveSent({ run, step: `${step}/${field}/${newId(at)}`, name, what }, bytes, type);
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
