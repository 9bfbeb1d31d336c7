import type { Form } from "../../model/form.ts";
import { layout, type Page } from "./layout.ts";
import { type Markup, markup } from "./markup.ts";
import { time } from "./times.ts";

/** The contents of the list. */
export interface ListPage {
  /** Oldest first. */
  forms: Form[];
  /** The name of a rule. */
  ruleName: (id: string) => string;
  now: number;
  signedIn: NonNullable<Page["signedIn"]>;
  /** The form after which the next page begins, if there is one. */
  next?: string;
}

/** The list of forms that wait for a person. */
export function listPage({ forms, ruleName, now, signedIn, next }: ListPage): Markup {
  const items = forms.map(({ id, title, rule, createdAt, due }) => {
    const until = due !== undefined && markup`, until ${time(due, now)}`;
    return markup`<li>
<a href="/forms/${id}">${title}</a>
<p class="soft">${ruleName(rule)}, since ${time(createdAt, now)}${until}</p>
</li>
`;
  });
  const body = markup`<h1>Waiting for you</h1>
${forms.length === 0 ? markup`<p>Nothing waits for you.</p>` : markup`<ul class="waiting">${items}</ul>`}
${next !== undefined && markup`<p><a href="/forms?after=${next}">More</a></p>`}`;
  return layout({ title: "Waiting for you", body, signedIn });
}
