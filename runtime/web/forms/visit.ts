import type { Context } from "hono";
import type { Form, Person } from "../../model/form.ts";
import { isOpen, mayAnswer } from "../../engine/answer_form.ts";
import type { WebContext } from "../context.ts";
import { csrfToken } from "./csrf.ts";
import type { Page } from "./layout.ts";
import type { Link } from "./links.ts";
import { closedNotice, forbiddenNotice, notice } from "./notices.ts";
import { respond } from "./respond.ts";
import { sessionOf, signedInAs, toSignIn } from "./session_routes.ts";

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
  signedIn?: Page["signedIn"];
}

/** The visitor of a form, by link or session; or the answer to a visitor whom it does not ask. */
export async function visitOf(c: Context, context: WebContext): Promise<Visit | Response> {
  const { desk, store } = context;
  const id = c.req.param("id")!;
  const known = c.req.query("sig") === undefined ? await bySession(c, context) : byLink(c, id, context);
  if (known === undefined) return toSignIn(c, id);
  const { person, ...rest } = known;
  const forbidden = () => respond(c, context, forbiddenNotice(id, rest.signedIn), 403);
  if (person === undefined) return forbidden();
  const form = await store.getForm(id);
  if (form === undefined) return unknownForm(c, context, rest.signedIn);
  if (!mayAnswer(form, person)) return forbidden();
  return { form, person, ...rest, csrf: csrfToken(desk, rest.owner) };
}

/** The answer if the form cannot be answered any more, or not with this link. */
export function tooLate(c: Context, context: WebContext, visit: Visit): Promise<Response> | Response | undefined {
  const { form, person, link, signedIn } = visit;
  const { desk: { people }, clock } = context;
  const now = clock.now();
  if (!isOpen(form, now)) {
    const nameOf = (id: string) => people.get(id)?.name ?? id;
    return respond(c, context, closedNotice(form, person, nameOf, now, signedIn), 409);
  }
  if (link === undefined || link.until > now) return undefined;
  const text = "Ask for a new one, or sign in if you have an account.";
  return respond(c, context, notice("This link has expired", text), 410);
}

export function unknownForm(c: Context, context: WebContext, signedIn: Page["signedIn"]) {
  const text = "Forms are removed some time after they were answered.";
  return respond(c, context, notice("There is no such form", text, signedIn), 404);
}

type Known = Omit<Visit, "form" | "person" | "csrf"> & { person?: Person };

async function bySession(c: Context, context: WebContext): Promise<Known | undefined> {
  const session = await sessionOf(c, context);
  if (session === undefined) return undefined;
  return { person: session.person, query: "", owner: session.cookie, signedIn: signedInAs(session, context) };
}

function byLink(c: Context, form: string, { desk }: WebContext): Known {
  const { for: name = "", until = "", sig = "" } = c.req.query();
  const link = desk.links.read(form, { for: name, until, sig });
  const person = link && desk.people.get(link.person);
  return { person, link, query: `?${new URLSearchParams({ for: name, until, sig })}`, owner: `${form} ${sig}` };
}
