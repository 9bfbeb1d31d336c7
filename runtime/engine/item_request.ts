import type { ActionContext } from "../actions/action.ts";
import { actions } from "../actions/index.ts";
import { parseArgs } from "../language/checker/check.ts";
import { evaluate, type Scope } from "../language/expressions/expression.ts";
import { recordArgs } from "../language/expressions/recorded_args.ts";
import { resolveArgs } from "../language/expressions/template.ts";
import { TerminalError } from "../model/errors.ts";
import type { Json, JsonObject } from "../model/json.ts";

const MISSING = [404, 410];

/**
 * Sends the request for one item of a poll: `one` or `update` of its trigger.
 * @param scope what its templates see, with `key` and `patch`
 * @returns what its `value` says of the answer, by default its body; null if `one` finds no item
 */
export async function requestItem(
  request: JsonObject,
  scope: Scope,
  context: ActionContext<unknown>,
  method: "one" | "update" = "one",
): Promise<Json> {
  const { value = "body", ...sent } = request;
  const { http } = actions;
  const resolved = resolveArgs(http, sent, scope);
  const parsed = parseArgs(http, { ...method === "one" && { ok: MISSING }, ...resolved });
  if ("problems" in parsed) throw new TerminalError(`Cannot send ${String(sent.http)}: ${parsed.problems.join("; ")}`);
  const recorded = recordArgs(http, sent, scope, {});
  const { output } = await http.execute(parsed.args, { ...context, recorded });
  const answer = output as JsonObject;
  return MISSING.includes(answer.status as number) ? null : evaluate(String(value), answer);
}
