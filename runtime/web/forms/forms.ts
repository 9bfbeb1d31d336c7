import { type Context, Hono } from "hono";
import type { ContentfulStatusCode } from "hono/utils/http-status";
import { isOpen, mayAnswer } from "../../engine/form_answers.ts";
import { isMultipart, type SentFile } from "../../formats/multipart.ts";
import type { Form, Person } from "../../model/form.ts";
import { attributes, markup } from "../console/markup.ts";
import { csrfInput, notice, type Page, page, readInputs, refuseForeign } from "../console/shell.ts";
import { type Times, timesFor } from "../console/times.ts";
import { type ConsoleEnv, sessionViewer } from "../console/viewer.ts";
import type { WebContext } from "../context.ts";
import { defaultTexts, fieldMarkup, problemSummary, shownFields, typedValues } from "./fields.ts";
import { lastOfEach, readForm } from "./multipart_answer.ts";
import { namesOf } from "./people.ts";
import { toSignIn } from "./sessions.ts";
import { addSignIn } from "./sign_in.ts";
import { CSRF_INPUT, csrfToken, isFromOurPage, type Link } from "./signatures.ts";

const AT = "/forms";
/** Forms of a page of the list. */
const PAGE = 50;

/**
 * `/forms`: the pages on which people answer. Everybody who can reach the port may open them; a session or a link identifies
 * the person.
 */
export function formPages(context: WebContext): Hono<ConsoleEnv> {
  const app = new Hono<ConsoleEnv>();
  app.use(async (c, next) => {
    const viewer = isByLink(c) ? undefined : await sessionViewer(c, context);
    if (viewer !== undefined) c.set("viewer", viewer);
    await next();
  });
  addSignIn(app, context);
  app.get("/", (c) => list(c, context));
  app.get("/:id", async (c) => {
    const visit = await visitOf(c, context);
    if (visit instanceof Response) return visit;
    return tooLate(c, context, visit) ?? showForm(c, visit, context);
  });
  app.post("/:id", (c) => answer(c, context));
  app.get("/:id/thanks", async (c) => {
    const visit = await visitOf(c, context);
    if (visit instanceof Response) return visit;
    const { form, person, query, link } = visit;
    if (form.answer?.by !== person.id) return c.redirect(`/forms/${form.id}${query}`, 303);
    return page(c, context, thanksNotice(form, link === undefined));
  });
  app.all("/*", (c) => page(c, context, notice("There is nothing here", "The address is wrong, or too old."), 404));
  return app;
}

/** The list of open forms that ask the person who is signed in, oldest first. */
async function list(c: Context<ConsoleEnv>, context: WebContext): Promise<Response> {
  const person = c.get("viewer")?.person;
  if (person === undefined) return toSignIn(c, AT);
  const { store, clock } = context;
  const after = c.req.query("after");
  const to = namesOf(person);
  const found = await store.listForms({ state: "open", to, limit: PAGE + 1, ...after !== undefined && { after } });
  const next = found.length > PAGE ? found[PAGE - 1].id : undefined;
  const times = timesFor(c, context);
  const items = found.slice(0, PAGE).filter((form) => isOpen(form, clock.now())).map((form) => {
    const until = form.due !== undefined && markup`, until ${times.long(form.due)}`;
    return markup`<li>
<a href="/forms/${form.id}">${form.title}</a>
<p class="soft">${ruleName(form.rule, context)}, since ${times.long(form.createdAt)}${until}</p>
</li>
`;
  });
  const body = markup`<h1>Waiting for you</h1>
${items.length === 0 ? markup`<p>Nothing waits for you.</p>` : markup`<ul class="waiting">${items}</ul>`}
${next !== undefined && markup`<p><a href="/forms?after=${next}">More</a></p>`}`;
  return await page(c, context, { title: "Waiting for you", body, at: AT, narrow: true });
}

async function answer(c: Context<ConsoleEnv>, context: WebContext): Promise<Response> {
  const visit = await visitOf(c, context);
  if (visit instanceof Response) return visit;
  const { form, person, link, query, owner } = visit;
  const sent = await readAnswer(c, context, form);
  if (sent instanceof Response) return sent;
  const { inputs, files } = sent;
  if (!isFromOurPage(c, context.desk, inputs[CSRF_INPUT] ?? "", owner)) return refuseForeign(c, context);
  const late = tooLate(c, context, visit);
  if (late !== undefined) return late;
  const via = link === undefined ? "page" : "link";
  const answered = await context.answerForm(form.id, person, { values: typedValues(form.fields, inputs), files, via });
  switch (answered.kind) {
    case "accepted":
      return c.redirect(`/forms/${form.id}/thanks${query}`, 303);
    case "invalid":
      return showForm(c, visit, context, { texts: inputs, problems: answered.problems });
    case "closed":
      return tooLate(c, context, { ...visit, form: answered.form })!;
    case "forbidden":
      return page(c, context, forbiddenNotice(form.id, c.get("viewer")?.person), 403);
    case "unknown":
      return unknownForm(c, context);
  }
}

/** What the page of a form sent; or the answer if it is refused. A form that asks for files is sent as multipart. */
async function readAnswer(
  c: Context<ConsoleEnv>,
  context: WebContext,
  { fields }: Form,
): Promise<{ inputs: Record<string, string>; files: SentFile[] } | Response> {
  if (!isMultipart(c.req.header("content-type") ?? "")) {
    const inputs = await readInputs(c, context);
    return inputs instanceof Response ? inputs : { inputs, files: [] };
  }
  const form = await readForm(c.req.raw, fields);
  if (form instanceof Response) {
    const { error } = await form.json();
    return await page(c, context, notice("Not sent", error), form.status as ContentfulStatusCode);
  }
  return { inputs: lastOfEach(form), files: form.files };
}

/** The page on which a person answers a form. @param sent the invalid answer, shown again with its problems */
function showForm(
  c: Context,
  { form, query, csrf }: Visit,
  context: WebContext,
  sent?: { texts: Record<string, string>; problems: Record<string, string> },
): Promise<Response> {
  const problems = Object.entries(sent?.problems ?? {}).map(([name, problem]) => [name, forPeople(problem)]);
  const fields = shownFields(form.fields, sent?.texts ?? defaultTexts(form.fields), Object.fromEntries(problems));
  const enctype = fields.some(({ field }) => field.type === "file") ? "multipart/form-data" : undefined;
  const summary = problemSummary(fields, "answer");
  const times = timesFor(c, context);
  const until = form.due !== undefined && markup` Please answer until ${times.long(form.due)}.`;
  const body = markup`<h1>${form.title}</h1>
<p class="soft">Asked by ${ruleName(form.rule, context)} on ${times.long(form.createdAt)}.${until}</p>
${summary}
<form method="post" action="/forms/${form.id}${query}" accept-charset="utf-8"${attributes({ enctype })}>
${csrfInput(csrf)}
${fields.map(fieldMarkup)}
<p><button class="main">Send the answer</button></p>
</form>`;
  const title = summary ? `Error: ${form.title}` : form.title;
  return page(c, context, { title, body, at: AT, narrow: true }, sent === undefined ? 200 : 422);
}

/** A problem in words for the person who answers. */
function forPeople(problem: string): string {
  if (problem.endsWith(", got nothing")) return "An answer is needed";
  return problem.charAt(0).toUpperCase() + problem.slice(1);
}

function ruleName(id: string, { rules }: WebContext): string {
  return rules().rules.get(id)?.name ?? id;
}

// ── the visitor ──────────────────────────────────────────────────────────────────────────────────────────────────────

/** A person whom a form asks, and how they were identified. */
interface Visit {
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

/** Whether a request came by a link, which takes precedence over a session. */
function isByLink(c: Context): boolean {
  return c.req.query("sig") !== undefined;
}

/** The visitor of a form, by link or session; or the answer to a visitor whom it does not ask. */
async function visitOf(c: Context<ConsoleEnv>, context: WebContext): Promise<Visit | Response> {
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
function tooLate(c: Context, context: WebContext, { form, person, link }: Visit): Promise<Response> | undefined {
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

function unknownForm(c: Context, context: WebContext): Promise<Response> {
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

// ── notices ──────────────────────────────────────────────────────────────────────────────────────────────────────────

/** The form is for others; the page reveals nothing about it. @param person who is signed in, if anybody is */
function forbiddenNotice(form: string, person: Person | undefined): Page {
  const text = person === undefined
    ? markup`This link is not, or no longer, valid for this form.`
    : markup`You are signed in as ${person.name}, and this form is for somebody else.
<a href="/forms/sign-in?to=/forms/${form}">Sign in as another person</a>`;
  return notice("This form is not for you", text, AT);
}

/** The form cannot be answered any more. @param person the visitor */
function closedNotice(form: Form, person: Person, nameOf: (id: string) => string, times: Times): Page {
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
function thanksNotice({ title }: Form, isSignedIn: boolean): Page {
  const text = markup`Your answer to “${title}” has been taken.
${isSignedIn && markup`<a href="/forms">What else waits for you</a>`}`;
  return notice("Thank you", text, AT);
}
