import { type FormAnswer, formOutput } from "../../model/form.ts";
import type { Rows } from "../ledger/rows.ts";
import type { AnsweredForm } from "../store.ts";
import { closeForm, readForm } from "./forms.ts";
import { addNote } from "./trace.ts";
import { endWait } from "./waits.ts";

/** The first answer to an open form ends its step. An answer after the form's time finds it expired. */
export function answerForm(
  rows: Rows,
  { form: id, answer }: { form: string; answer: FormAnswer },
): AnsweredForm | undefined {
  const form = readForm(rows, id);
  if (form?.state !== "open") return form && { form, accepted: false };
  const isExpired = form.due !== undefined && answer.at >= form.due;
  if (isExpired) closeForm(rows, id, "expired");
  else {
    closeForm(rows, id, "answered", answer);
    endWait(rows, { run: form.run, path: form.step }, { state: "succeeded", output: formOutput(answer) }, answer.at);
    addNote(rows, form.run, `Form "${form.title}" answered by ${answer.by} (${answer.via})`, answer.at, {
      by: answer.by,
    });
  }
  return { form: readForm(rows, id)!, accepted: !isExpired };
}
