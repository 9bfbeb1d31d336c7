import { type Context, Hono } from "hono";
import { z } from "zod";
import { mayAnswer } from "../engine/form_answers.ts";
import { isMultipart, type SentFile } from "../formats/multipart.ts";
import { UsageError } from "../model/errors.ts";
import type { Form, FormState, Person } from "../model/form.ts";
import type { Json } from "../model/json.ts";
import { type Asking, personOrOperator } from "./access.ts";
import { answerMasked, answerRefusal } from "./answer.ts";
import type { WebContext } from "./context.ts";
import { namesOf, type People } from "./forms/people.ts";
import { typedValues } from "./forms/fields.ts";
import { lastOfEach, readForm } from "./forms/multipart_answer.ts";
import { bodyOf, queryOf } from "./request.ts";

const STATES = ["open", "answered", "expired", "cancelled"] as const satisfies FormState[];
export const FORMS = z.strictObject({
  state: z.enum(STATES).default("open"),
  for: z.string().min(1).optional().describe("A person or a group"),
  limit: z.coerce.number().int().min(1).max(1_000).default(50),
  after: z.string().optional().describe("The next page: forms after this id"),
});
export const ANSWER = z.strictObject({
  as: z.string().min(1).optional().describe("The person who answers; not with that person's own token"),
  values: z.record(z.string(), z.custom<Json>()).default({}),
});

/** `/api/forms`: forms as JSON, for operators and for people with a token. */
export function formsApi(context: WebContext): Hono<Asking> {
  const app = new Hono<Asking>();
  app.use(personOrOperator(context));
  app.get("/", (c) => list(c, context));
  app.get("/:id", async (c) => {
    const id = c.req.param("id");
    const form = await context.store.getForm(id);
    if (form === undefined) return answerRefusal(c, context, 404, `There is no form "${id}"`);
    const own = c.get("person");
    if (own !== undefined && !mayAnswer(form, own)) return notFor(c, context, id, own);
    return answerMasked(c, context, form);
  });
  app.post("/:id", (c) => answer(c, c.req.param("id"), context));
  return app;
}

async function list(c: Context<Asking>, context: WebContext): Promise<Response> {
  const { for: name, ...filter } = queryOf(c, FORMS);
  const { people } = context.desk;
  const own = c.get("person");
  if (own !== undefined && name !== undefined && people.get(name)?.id !== own.id) {
    return answerRefusal(c, context, 403, `This token is of ${own.id}: it lists no forms for "${name}"`);
  }
  const to = own ? namesOf(own) : name === undefined ? undefined : addressees(name, people);
  const forms = await context.store.listForms({ ...filter, ...to && { to } });
  return answerMasked(c, context, forms);
}

/** A person's forms include those of the person's groups; a group's forms are those that name the group. */
function addressees(name: string, people: People): string[] {
  const person = people.get(name);
  if (person !== undefined) return namesOf(person);
  if (people.find([name]).length > 0) return [name];
  throw new UsageError(`There is no person and no group "${name}" in whenthen.yaml`);
}

async function answer(c: Context<Asking>, id: string, context: WebContext): Promise<Response> {
  const given = isMultipart(c.req.header("content-type") ?? "") ? await multipartAnswer(c, id, context) : undefined;
  if (given instanceof Response) return given;
  const { as, values, files } = given ?? { ...await bodyOf(c, ANSWER), files: [] };
  const own = c.get("person");
  if (own === undefined && as === undefined) throw new UsageError('Cannot answer without a name: add "as": "<person>"');
  const person = as === undefined ? own : context.desk.people.get(as);
  if (own !== undefined && person?.id !== own.id) {
    return answerRefusal(c, context, 403, `This token is of ${own.id}: it cannot answer as "${as}"`);
  }
  if (person === undefined) return answerRefusal(c, context, 403, `There is nobody "${as}"`);
  const answered = await context.answerForm(id, person, { values, files, via: "api" });
  switch (answered.kind) {
    case "accepted":
      return answerMasked(c, context, answered.form);
    case "unknown":
      return answerRefusal(c, context, 404, `There is no form "${id}"`);
    case "forbidden":
      return notFor(c, context, id, person);
    case "closed":
      return answerRefusal(
        c,
        context,
        409,
        `The form "${id}" cannot be answered any more: ${whyClosed(answered.form)}`,
      );
    case "invalid": {
      const { problems } = answered;
      const sentences = Object.entries(problems).map(([name, problem]) => `${name}: ${problem}`).join("; ");
      return answerRefusal(c, context, 422, `The answer is not valid: ${sentences}`, { problems });
    }
  }
}

/** An answer with files, as a page sends it: `as`, and each field by its name. */
async function multipartAnswer(
  c: Context,
  id: string,
  context: WebContext,
): Promise<z.output<typeof ANSWER> & { files: SentFile[] } | Response> {
  const fields = (await context.store.getForm(id))?.fields ?? {};
  const form = await readForm(c.req.raw, fields);
  if (form instanceof Response) return form;
  const { as, ...inputs } = lastOfEach(form);
  return { ...as !== undefined && { as }, values: typedValues(fields, inputs), files: form.files };
}

function notFor(c: Context, context: WebContext, id: string, person: Person): Response {
  return answerRefusal(c, context, 403, `The form "${id}" is not for ${person.id}`);
}

/** Why a form cannot be answered any more. */
function whyClosed({ state, answer, due }: Form): string {
  if (answer !== undefined) return `${answer.by} answered it at ${new Date(answer.at).toISOString()}`;
  if (state === "cancelled") return "what asked for it has ended";
  return due === undefined ? "its time is over" : `its time was over at ${new Date(due).toISOString()}`;
}
