import type { Context } from "hono";
import type { Form, Person } from "../../model/form.ts";
import { isOpen, mayAnswer } from "../../engine/answer_form.ts";
import { notice, page } from "../console/shell.ts";
import { timesFor } from "../console/times.ts";
import type { ConsoleEnv } from "../console/viewer.ts";
import type { WebContext } from "../context.ts";
import { closedNotice, forbiddenNotice } from "./form_page.ts";
import { toSignIn } from "./sessions.ts";
import { csrfToken, type Link } from "./signatures.ts";

/** A person whom a form asks, and how they were identified. */
export interface Visit {
  form: Form;
  person: Person;
  /** The link, unless they came with a session. */
  link?: Link;
  /** The query of the link, with its question mark. */
  query: string;
  /** For whom the page is made: see {@link csrfToken}. */
  owner: string;
  csrf: string;
}

/** Whether a request came by a link, which counts more than a session. */
export function isByLink(c: Context): boolean {
  return c.req.query("sig") !== undefined;
}

/** The visitor of a form, by link or session; or the answer to a visitor whom it does not ask. */
export async function visitOf(c: Context<ConsoleEnv>, context: WebContext): Promise<Visit | Response> {
  const { desk, store } = context;
  const id = c.req.param("id")!;
  const known = isByLink(c) ? byLink(c, id, context) : bySession(c);
  if (known === undefined) return toSignIn(c, `/forms/${id}`);
  const { person, ...rest } = known;
  const forbidden = () => page(c, context, forbiddenNotice(id, c.get("viewer")?.person), 403);
  if (person === undefined) return forbidden();
  const form = await store.getForm(id);
  if (form === undefined) return unknownForm(c, context);
  if (!mayAnswer(form, person)) return forbidden();
  return { form, person, ...rest, csrf: csrfToken(desk, rest.owner) };
}

/** The answer if the form cannot be answered any more, or not with this link. */
export function tooLate(c: Context, context: WebContext, { form, person, link }: Visit): Promise<Response> | undefined {
  const { desk: { people }, clock } = context;
  const now = clock.now();
  if (!isOpen(form, now)) {
    const nameOf = (id: string) => people.get(id)?.name ?? id;
    return page(c, context, closedNotice(form, person, nameOf, timesFor(c, context)), 409);
  }
  if (link === undefined || link.until > now) return undefined;
  const text = "Ask for a new one, or sign in if you have an account.";
  return page(c, context, notice("This link has expired", text), 410);
}

export function unknownForm(c: Context, context: WebContext): Promise<Response> {
  const text = "Forms are removed some time after they were answered.";
  return page(c, context, notice("There is no such form", text, "/forms"), 404);
}

type Known = Omit<Visit, "form" | "person" | "csrf"> & { person?: Person };

function bySession(c: Context<ConsoleEnv>): Known | undefined {
  const viewer = c.get("viewer");
  if (viewer?.person === undefined || viewer.owner === undefined) return undefined;
  return { person: viewer.person, query: "", owner: viewer.owner };
}

function byLink(c: Context, form: string, { desk }: WebContext): Known {
  const { for: name = "", until = "", sig = "" } = c.req.query();
  const link = desk.links.read(form, { for: name, until, sig });
  const person = link && desk.people.get(link.person);
  return { person, link, query: `?${new URLSearchParams({ for: name, until, sig })}`, owner: `${form} ${sig}` };
}
