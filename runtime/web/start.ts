import { type Context, Hono } from "hono";
import { z } from "zod";
import { callerInputs } from "../commands/check_set.ts";
import { commandOfRule } from "../commands/command_rule.ts";
import { mayStart, startersOf, startRule } from "../ingest/start_rule.ts";
import type { Json } from "../model/json.ts";
import type { Field } from "../model/rule.ts";
import type { Receipt } from "../store/store.ts";
import { answerJson, answerRefusal, type EventAnswer, eventAnswer } from "./answer.ts";
import type { WebContext } from "./context.ts";
import { type Asking, personOrOperator } from "./forms/api.ts";
import { bodyOf } from "./given.ts";

/** The answer of `GET /api/rules/<id>/start`: what a start of the rule takes. */
export interface Startable {
  rule: string;
  name?: string;
  inputs: Record<string, Field>;
  /** Who may start it besides operators. */
  to: string[];
}

/** The answer of `POST /api/rules/<id>/start`. */
export type StartAnswer = EventAnswer & Pick<Receipt, "verdicts">;

const START = z.strictObject({
  inputs: z.record(z.string(), z.custom<Json>()).default({}),
  data: z.custom<Json>().default(null),
  subject: z.string().min(1).max(1_000).optional(),
  id: z.string().min(1).max(200).optional(),
  by: z.string().trim().min(1).max(100).optional(),
});

const PATH = "/rules/:id{.+}/start";

/** `/api/rules/<id>/start`: starts a rule by hand, for operators and for people with a token. */
export function startApi(context: WebContext): Hono<Asking> {
  const app = new Hono<Asking>();
  app.use(PATH, personOrOperator(context));
  app.get(PATH, (c) => {
    const id = c.req.param("id");
    const rule = context.rules().startable.get(id);
    if (rule === undefined || !mayStart(rule, c.get("person"))) return absent(c, id, context);
    const { name } = rule;
    const command = commandOfRule(rule);
    const inputs = command === undefined ? rule.inputs ?? {} : callerInputs(command);
    const startable: Startable = { rule: id, ...name !== undefined && { name }, inputs, to: startersOf(rule) };
    return answerJson(c, context.maskJson(startable as unknown as Json));
  });
  app.post(PATH, async (c) => {
    const id = c.req.param("id");
    const person = c.get("person");
    const { by = "an operator", ...given } = await bodyOf(c, START);
    const { clock, ingest } = context;
    const start = { ...given, by: person?.id ?? by, ...person && { person } };
    const started = await startRule({ clock, ingest, rules: context.rules().startable }, id, start);
    switch (started.kind) {
      case "accepted": {
        const { receipt } = started;
        const answer: StartAnswer = { ...eventAnswer([receipt]), verdicts: receipt.verdicts };
        const status = receipt.delivery === "duplicate" ? 200 : 202;
        return answerJson(c, context.maskJson(answer as unknown as Json), status);
      }
      case "unknown":
      case "forbidden":
        return absent(c, id, context);
      case "invalid": {
        const { problems } = started;
        return answerRefusal(c, context, 422, `The inputs are not valid: ${Object.values(problems).join("; ")}`, {
          problems,
        });
      }
    }
  });
  return app;
}

/** A person gets one answer for rules that do not exist and for those that they may not start: the ids of rules are no business of theirs. */
function absent(c: Context<Asking>, id: string, context: WebContext): Response {
  const person = c.get("person");
  const known = [...context.rules().startable.values()].filter((rule) => mayStart(rule, person)).map(({ id }) => id);
  const there = known.sort().join(", ") || "none";
  if (person !== undefined) {
    return answerRefusal(
      c,
      context,
      403,
      `${person.id} may not start a rule "${id}"; what ${person.id} may start: ${there}`,
    );
  }
  return answerRefusal(
    c,
    context,
    404,
    `Cannot start the rule "${id}": there is none with that id; there are: ${there}`,
  );
}
