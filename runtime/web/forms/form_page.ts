import type { Form } from "../../model/form.ts";
import { textOfValue } from "../../language/fields/field_value.ts";
import { fieldMarkup, idOf, labelOf, type ShownField } from "./fields.ts";
import { csrfInput, layout, type Page } from "./layout.ts";
import { type Markup, markup } from "./markup.ts";
import { time } from "./times.ts";

/** The contents of an open form's page. */
export interface FormPage {
  form: Form;
  /** The name of the rule that asks. */
  rule: string;
  /** Where it is sent: the page's own address, with the query of a link. */
  action: string;
  csrf: string;
  now: number;
  signedIn?: Page["signedIn"];
  /** The texts that were sent before, if they were invalid. */
  texts?: Record<string, string>;
  problems?: Record<string, string>;
}

/** The page on which a person answers a form. */
export function formPage(page: FormPage): Markup {
  const { form, rule, action, csrf, now, signedIn, problems = {} } = page;
  const fields = Object.entries(form.fields).map(([name, field]): ShownField => {
    const text = page.texts === undefined ? textOfValue(field.default ?? null) : sentText(page.texts, name);
    return { name, field, text, ...Object.hasOwn(problems, name) && { problem: problems[name] } };
  });
  const wrong = fields.filter(({ problem }) => problem !== undefined);
  const until = form.due !== undefined && markup` Please answer until ${time(form.due, now)}.`;
  const body = markup`<h1>${form.title}</h1>
<p class="soft">Asked by ${rule} on ${time(form.createdAt, now)}.${until}</p>
${wrong.length > 0 && summary(wrong)}
<form method="post" action="${action}" accept-charset="utf-8">
${csrfInput(csrf)}
${fields.map(fieldMarkup)}
<p><button class="main">Send the answer</button></p>
</form>`;
  return layout({ title: wrong.length > 0 ? `Error: ${form.title}` : form.title, body, signedIn });
}

/** A field may have the name of a property that every object has. */
function sentText(texts: Record<string, string>, name: string): string {
  return Object.hasOwn(texts, name) ? texts[name] : "";
}

/** All problems in one place, which has the focus when the page opens; each links to its field. */
function summary(wrong: ShownField[]): Markup {
  const items = wrong.map(({ name, field, problem }) =>
    markup`<li><a href="#${idOf(name)}">${labelOf(name, field)}: ${problem}</a></li>\n`
  );
  return markup`<div class="summary" role="alert" tabindex="-1" autofocus aria-labelledby="summary">
<h2 id="summary">${wrong.length === 1 ? "One answer is not valid" : `${wrong.length} answers are not valid`}</h2>
<ul>
${items}</ul>
</div>`;
}
