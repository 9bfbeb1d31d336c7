import type { Form, Person } from "../../model/form.ts";
import { layout, type Page } from "./layout.ts";
import { type Markup, markup } from "./markup.ts";
import { time } from "./times.ts";

type SignedIn = Page["signedIn"];

/** A page with one message. */
export function notice(title: string, text: Markup | string, signedIn?: SignedIn): Markup {
  return layout({ title, body: markup`<h1>${title}</h1>\n<p>${text}</p>`, signedIn });
}

/** The form is for others; the page reveals nothing about it. */
export function forbiddenNotice(form: string, signedIn: SignedIn): Markup {
  const text = signedIn === undefined
    ? markup`This link is not, or no longer, valid for this form.`
    : markup`You are signed in as ${signedIn.person.name}, and this form is for somebody else.
<a href="/forms/sign-in?form=${form}">Sign in as another person</a>`;
  return notice("This form is not for you", text, signedIn);
}

/** The form cannot be answered any more. @param person the visitor */
export function closedNotice(
  form: Form,
  person: Person,
  nameOf: (id: string) => string,
  now: number,
  signedIn: SignedIn,
): Markup {
  const { state, answer, due } = form;
  const title = `Closed: ${form.title}`;
  if (state === "answered" && answer !== undefined) {
    const who = answer.by === person.id ? "You" : nameOf(answer.by);
    return notice(title, markup`${who} answered this form on ${time(answer.at, now)}.`, signedIn);
  }
  if (state === "cancelled") {
    return notice(title, "Nobody needs an answer any more: what asked for it has ended.", signedIn);
  }
  const until = due !== undefined && markup` It could be answered until ${time(due, now)}.`;
  return notice(title, markup`The time to answer this form is over.${until}`, signedIn);
}

/** The page after an answer. */
export function thanksNotice({ title }: Form, signedIn: SignedIn): Markup {
  const text = markup`Your answer to “${title}” has been taken.
${signedIn && markup`<a href="/forms">What else waits for you</a>`}`;
  return notice("Thank you", text, signedIn);
}
