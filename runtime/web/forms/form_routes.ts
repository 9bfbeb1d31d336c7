import type { Context, Hono } from "hono";
import type { Form } from "../../model/form.ts";
import type { Json } from "../../model/json.ts";
import { valueOfText } from "../../language/fields/field_text.ts";
import { isOpen } from "../../engine/answer_form.ts";
import type { WebContext } from "../context.ts";
import { CSRF_INPUT, isFromOurPage } from "./csrf.ts";
import { formPage } from "./form_page.ts";
import { readInputs } from "./inputs.ts";
import { listPage } from "./list_page.ts";
import { forbiddenNotice, thanksNotice } from "./notices.ts";
import { namesOf } from "./people.ts";
import { respond } from "./respond.ts";
import { refuseForeign, sessionOf, signedInAs, toSignIn } from "./session_routes.ts";
import { tooLate, unknownForm, type Visit, visitOf } from "./visit.ts";

/** How many forms a page of the list has. */
const PAGE = 50;

/** `/forms` and `/forms/<id>`. */
export function addFormRoutes(app: Hono, context: WebContext): void {
  app.get("/", (c) => list(c, context));
  app.get("/:id", async (c) => {
    const visit = await visitOf(c, context);
    if (visit instanceof Response) return visit;
    return tooLate(c, context, visit) ?? respond(c, context, openForm(visit, context));
  });
  app.post("/:id", (c) => answer(c, context));
  app.get("/:id/thanks", async (c) => {
    const visit = await visitOf(c, context);
    if (visit instanceof Response) return visit;
    const { form, person, query, signedIn } = visit;
    if (form.answer?.by !== person.id) return c.redirect(`/forms/${form.id}${query}`, 303);
    return respond(c, context, thanksNotice(form, signedIn));
  });
}

async function list(c: Context, context: WebContext): Promise<Response> {
  const session = await sessionOf(c, context);
  if (session === undefined) return toSignIn(c);
  const { store, clock } = context;
  const after = c.req.query("after");
  const to = namesOf(session.person);
  const found = await store.listForms({ state: "open", to, limit: PAGE + 1, ...after !== undefined && { after } });
  const page = listPage({
    forms: found.slice(0, PAGE).filter((form) => isOpen(form, clock.now())),
    next: found.length > PAGE ? found[PAGE - 1].id : undefined,
    ruleName: (id) => ruleName(id, context),
    now: clock.now(),
    signedIn: signedInAs(session, context)!,
  });
  return respond(c, context, page);
}

async function answer(c: Context, context: WebContext): Promise<Response> {
  const inputs = await readInputs(c, context);
  if (inputs instanceof Response) return inputs;
  const visit = await visitOf(c, context);
  if (visit instanceof Response) return visit;
  const { form, person, link, query, owner, signedIn } = visit;
  if (!isFromOurPage(c, context.desk, inputs[CSRF_INPUT] ?? "", owner)) return refuseForeign(c, context);
  const late = tooLate(c, context, visit);
  if (late !== undefined) return late;
  const via = link === undefined ? "page" : "link";
  const answered = await context.answerForm(form.id, person, { values: valuesOf(form, inputs), via });
  switch (answered.kind) {
    case "accepted":
      return c.redirect(`/forms/${form.id}/thanks${query}`, 303);
    case "invalid":
      return respond(c, context, openForm(visit, context, { texts: inputs, problems: answered.problems }), 422);
    case "closed":
      return tooLate(c, context, { ...visit, form: answered.form })!;
    case "forbidden":
      return respond(c, context, forbiddenNotice(form.id, signedIn), 403);
    case "unknown":
      return unknownForm(c, context, signedIn);
  }
}

/** @param sent the invalid answer, shown again with its problems */
function openForm(
  { form, query, csrf, signedIn }: Visit,
  context: WebContext,
  sent?: { texts: Record<string, string>; problems: Record<string, string> },
) {
  const problems = Object.entries(sent?.problems ?? {}).map(([name, problem]) => [name, forPeople(problem)]);
  return formPage({
    form,
    rule: ruleName(form.rule, context),
    action: `/forms/${form.id}${query}`,
    csrf,
    now: context.clock.now(),
    signedIn,
    ...sent && { texts: sent.texts, problems: Object.fromEntries(problems) },
  });
}

/** The values that were typed; empty ones are left out. */
function valuesOf({ fields }: Form, inputs: Record<string, string>): Record<string, Json> {
  const values = Object.entries(fields).map(([name, field]) =>
    [name, Object.hasOwn(inputs, name) ? valueOfText(field, inputs[name]) : undefined] as const
  );
  return Object.fromEntries(values.filter((entry): entry is [string, Json] => entry[1] !== undefined));
}

/** A problem in words for the person who answers. */
function forPeople(problem: string): string {
  if (problem.endsWith(", got nothing")) return "An answer is needed";
  return problem.charAt(0).toUpperCase() + problem.slice(1);
}

function ruleName(id: string, { rules }: WebContext): string {
  return rules().rules.get(id)?.name ?? id;
}
