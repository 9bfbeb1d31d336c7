import { type Context, Hono } from "hono";
import { z } from "zod";
import { checkSet, type Pairs, settable } from "../commands/check_set.ts";
import { type FieldProblem, sayProblem } from "../language/fields/check_values.ts";
import type { Completion } from "../language/fields/relations.ts";
import type { Json } from "../model/json.ts";
import type { Command } from "../model/rule.ts";
import { answerMasked, answerRefusal } from "./answer.ts";
import type { WebContext } from "./context.ts";
import { bodyOf } from "./request.ts";

/** One command in the listing. */
export type CommandListing = Pick<Command, "id" | "name" | "help" | "file" | "program" | "root"> & {
  /** What callers may set. */
  inputs: string[];
};

/** The answer of `POST /api/commands/<id>/check`. */
export interface CommandChecked {
  /** Null if there are problems. */
  argv: string[] | null;
  /** The smallest valid set that holds the given one; null if there is none. */
  complete: Completion | null;
  problems: (FieldProblem & { says: string })[];
}

export const CHECK = z.strictObject({
  /** An object, or a list of pairs, which keeps the order of names that are numbers. */
  with: z.union([z.array(z.tuple([z.string(), z.custom<Json>()])), z.record(z.string(), z.custom<Json>())]).default({}),
});

/** `/api/commands`: the available commands, and the check of a set of values. Nothing starts here. */
export function commandsApi(context: WebContext): Hono {
  const app = new Hono();
  const all = () => context.rules().commands;
  app.get("/", (c) => answerMasked(c, context, [...all().values()].map(listed)));
  app.get("/:id{.+}", (c) => {
    const command = all().get(c.req.param("id"));
    return command === undefined ? absent(c, context) : answerMasked(c, context, command);
  });
  app.post("/:id{.+}/check", async (c) => {
    const command = all().get(c.req.param("id"));
    if (command === undefined) return absent(c, context);
    const given = (await bodyOf(c, CHECK)).with;
    const pairs: Pairs = Array.isArray(given) ? given : Object.entries(given);
    const { argv = null, complete, problems } = checkSet(command, pairs, { completes: true });
    const said = problems.map((problem) => ({ ...problem, says: sayProblem(problem) }));
    return answerMasked(c, context, { argv, complete, problems: said } satisfies CommandChecked);
  });
  return app;
}

function absent(c: Context, context: WebContext): Response {
  return answerRefusal(c, context, 404, `There is no command "${c.req.param("id")}"`);
}

function listed(command: Command): CommandListing {
  const { id, name, help, file, program, root } = command;
  return {
    id,
    ...name !== undefined && { name },
    ...help !== undefined && { help },
    file,
    program,
    root,
    inputs: settable(command),
  };
}
