import { type FormAnswer, formOutput } from "../../model/form.ts";
import type { AnsweredForm } from "../store.ts";
import type { Context } from "./context.ts";
import { closeForm, readForm } from "./forms.ts";
import { addNote } from "./notes.ts";
import { endWait } from "./waits.ts";

/** The first answer to an open form ends its step; one that comes after its time finds it expired. */
export function answerForm({ database }: Context, id: string, answer: FormAnswer): AnsweredForm | undefined {
  const form = readForm(database, id);
  if (form?.state !== "open") return form && { form, accepted: false };
  const expired = form.due !== undefined && answer.at >= form.due;
  if (expired) closeForm(database, id, "expired");
  else {
    closeForm(database, id, "answered", answer);
    endWait(
      database,
      { run: form.run, path: form.step },
      { state: "succeeded", output: formOutput(answer) },
      answer.at,
    );
    addNote(database, form.run, `Form "${form.title}" answered by ${answer.by} (${answer.via})`, answer.at);
  }
  return { form: readForm(database, id)!, accepted: !expired };
}
