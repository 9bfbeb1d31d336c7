import type { Form } from "../../model/form.ts";
import type { Person } from "../../model/form.ts";
import { textOfValue } from "../../language/fields/field_value.ts";
import { markup } from "../console/markup.ts";
import { csrfInput, notice, type Page } from "../console/shell.ts";
import type { Times } from "../console/times.ts";
import { fieldMarkup, problemSummary, type ShownField, textIn } from "./fields.ts";

const AT = "/forms";

/** The contents of an open form's page. */
export interface FormPage {
  form: Form;
  /** The name of the rule that asks. */
  rule: string;
  /** Where it is sent: the page's own address, with the query of a link. */
  action: string;
  csrf: string;
  times: Times;
  /** The texts that were sent before, if they were invalid. */
  texts?: Record<string, string>;
  problems?: Record<string, string>;
}

/** The page on which a person answers a form. */
export function formPage({ form, rule, action, csrf, times, texts, problems = {} }: FormPage): Page {
  const fields = Object.entries(form.fields).map(([name, field]): ShownField => {
    const text = texts === undefined ? textOfValue(field.default ?? null) : textIn(texts, name);
    return { name, field, text, ...Object.hasOwn(problems, name) && { problem: problems[name] } };
  });
  const summary = problemSummary(fields, "answer");
  const until = form.due !== undefined && markup` Please answer until ${times.long(form.due)}.`;
  const body = markup`<h1>${form.title}</h1>
<p class="soft">Asked by ${rule} on ${times.long(form.createdAt)}.${until}</p>
${summary}
<form method="post" action="${action}" accept-charset="utf-8">
${csrfInput(csrf)}
${fields.map(fieldMarkup)}
<p><button class="main">Send the answer</button></p>
</form>`;
  return { title: summary ? `Error: ${form.title}` : form.title, body, at: AT, narrow: true };
}

/** The contents of the list. */
export interface ListPage {
  /** Oldest first. */
  forms: Form[];
  /** The name of a rule. */
  ruleName: (id: string) => string;
  times: Times;
  /** The form after which the next page begins, if there is one. */
  next?: string;
}

/** The list of forms that wait for a person. */
export function listPage({ forms, ruleName, times, next }: ListPage): Page {
  const items = forms.map(({ id, title, rule, createdAt, due }) => {
    const until = due !== undefined && markup`, until ${times.long(due)}`;
    return markup`<li>
<a href="/forms/${id}">${title}</a>
<p class="soft">${ruleName(rule)}, since ${times.long(createdAt)}${until}</p>
</li>
`;
  });
  const body = markup`<h1>Waiting for you</h1>
${forms.length === 0 ? markup`<p>Nothing waits for you.</p>` : markup`<ul class="waiting">${items}</ul>`}
${next !== undefined && markup`<p><a href="/forms?after=${next}">More</a></p>`}`;
  return { title: "Waiting for you", body, at: AT, narrow: true };
}

/** The form is for others; the page reveals nothing about it. @param person who is signed in, if anybody is */
export function forbiddenNotice(form: string, person: Person | undefined): Page {
  const text = person === undefined
    ? markup`This link is not, or no longer, valid for this form.`
    : markup`You are signed in as ${person.name}, and this form is for somebody else.
<a href="/forms/sign-in?to=/forms/${form}">Sign in as another person</a>`;
  return notice("This form is not for you", text, AT);
}

/** The form cannot be answered any more. @param person the visitor */
export function closedNotice(form: Form, person: Person, nameOf: (id: string) => string, times: Times): Page {
  const { state, answer, due } = form;
  const title = `Closed: ${form.title}`;
  if (state === "answered" && answer !== undefined) {
    const who = answer.by === person.id ? "You" : nameOf(answer.by);
    return notice(title, markup`${who} answered this form on ${times.long(answer.at)}.`, AT);
  }
  if (state === "cancelled") {
    return notice(title, "Nobody needs an answer any more: what asked for it has ended.", AT);
  }
  const until = due !== undefined && markup` It could be answered until ${times.long(due)}.`;
  return notice(title, markup`The time to answer this form is over.${until}`, AT);
}

/** The page after an answer. @param isSignedIn false if the person came by a link */
export function thanksNotice({ title }: Form, isSignedIn: boolean): Page {
  const text = markup`Your answer to “${title}” has been taken.
${isSignedIn && markup`<a href="/forms">What else waits for you</a>`}`;
  return notice("Thank you", text, AT);
}
