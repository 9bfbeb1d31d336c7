import { type Context, Hono } from "hono";
import { isOpen } from "../../engine/answer_form.ts";
import { readInputs, refuseForeign } from "../console/inputs.ts";
import { notice, page } from "../console/shell.ts";
import { timesFor } from "../console/times.ts";
import { type ConsoleEnv, sessionViewer } from "../console/viewer.ts";
import type { WebContext } from "../context.ts";
import { typedValues } from "./fields.ts";
import { forbiddenNotice, formPage, listPage, thanksNotice } from "./form_page.ts";
import { namesOf } from "./people.ts";
import { toSignIn } from "./sessions.ts";
import { addSignIn } from "./sign_in.ts";
import { CSRF_INPUT, isFromOurPage } from "./signatures.ts";
import { isByLink, tooLate, unknownForm, type Visit, visitOf } from "./visit.ts";

/** How many forms a page of the list has. */
const PAGE = 50;

/**
 * `/forms`: the pages on which people answer. Everybody who can reach the port may open them; a session or a link
 * identifies the person.
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

async function list(c: Context<ConsoleEnv>, context: WebContext): Promise<Response> {
  const person = c.get("viewer")?.person;
  if (person === undefined) return toSignIn(c, "/forms");
  const { store, clock } = context;
  const after = c.req.query("after");
  const to = namesOf(person);
  const found = await store.listForms({ state: "open", to, limit: PAGE + 1, ...after !== undefined && { after } });
  const listed = listPage({
    forms: found.slice(0, PAGE).filter((form) => isOpen(form, clock.now())),
    next: found.length > PAGE ? found[PAGE - 1].id : undefined,
    ruleName: (id) => ruleName(id, context),
    times: timesFor(c, context),
  });
  return await page(c, context, listed);
}

async function answer(c: Context<ConsoleEnv>, context: WebContext): Promise<Response> {
  const inputs = await readInputs(c, context);
  if (inputs instanceof Response) return inputs;
  const visit = await visitOf(c, context);
  if (visit instanceof Response) return visit;
  const { form, person, link, query, owner } = visit;
  if (!isFromOurPage(c, context.desk, inputs[CSRF_INPUT] ?? "", owner)) return refuseForeign(c, context);
  const late = tooLate(c, context, visit);
  if (late !== undefined) return late;
  const via = link === undefined ? "page" : "link";
  const answered = await context.answerForm(form.id, person, { values: typedValues(form.fields, inputs), via });
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

/** @param sent the invalid answer, shown again with its problems */
function showForm(
  c: Context,
  { form, query, csrf }: Visit,
  context: WebContext,
  sent?: { texts: Record<string, string>; problems: Record<string, string> },
): Promise<Response> {
  const problems = Object.entries(sent?.problems ?? {}).map(([name, problem]) => [name, forPeople(problem)]);
  const shown = formPage({
    form,
    rule: ruleName(form.rule, context),
    action: `/forms/${form.id}${query}`,
    csrf,
    times: timesFor(c, context),
    ...sent && { texts: sent.texts, problems: Object.fromEntries(problems) },
  });
  return page(c, context, shown, sent === undefined ? 200 : 422);
}

/** A problem in words for the person who answers. */
function forPeople(problem: string): string {
  if (problem.endsWith(", got nothing")) return "An answer is needed";
  return problem.charAt(0).toUpperCase() + problem.slice(1);
}

function ruleName(id: string, { rules }: WebContext): string {
  return rules().rules.get(id)?.name ?? id;
}
