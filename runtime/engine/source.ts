import { dirname, join } from "node:path";
import { actions } from "../actions/index.ts";
import { newId } from "../model/id.ts";
import type { Json, JsonObject } from "../model/json.ts";
import type { Rule } from "../model/rule.ts";
import { parseArgs } from "../language/checker/check.ts";
import type { RunnerOptions } from "./runner_options.ts";
import { servicesFor } from "./services.ts";
import { GRACE, withTimeout } from "./timeout.ts";

/**
 * Performs a step outside a run, as the source of a poll: `{ http, … }`, `{ run, … }` or `{ call }`. There is one
 * attempt within the kind's timeout, and nothing is recorded; the poll decides how to handle a failure. Templates were
 * resolved with the trigger.
 * @param input added to the arguments of a called function (its cursor)
 * @returns the step's output
 */
export async function performSource(
  options: Pick<RunnerOptions, "services" | "store" | "isolates" | "clock" | "folder" | "standIn">,
  rule: Rule,
  trigger: string,
  source: JsonObject,
  input: JsonObject,
  signal: AbortSignal,
): Promise<Json> {
  const kind = Object.keys(source).find((key) => Object.hasOwn(actions, key));
  if (kind === undefined) {
    throw new Error(`Cannot poll ${JSON.stringify(source)}: expected one of "http", "run", "call"`);
  }
  const raw = kind === "call" ? { ...source, with: { ...source.with as JsonObject, ...input } } : source;
  const action = options.standIn?.({ kind, path: trigger }) ?? actions[kind];
  const parsed = parseArgs(action, raw);
  if ("problems" in parsed) throw new Error(`Cannot poll ${kind}: ${parsed.problems.join("; ")}`);
  const { clock, folder } = options;
  const now = clock.now();
  const time = new Date(now).toISOString();
  const event = { id: trigger, source: `/rules/${rule.id}/${trigger}`, type: "poll", time, data: null };
  const limit = { what: `The poll's ${kind}`, ms: action.defaults.timeout, grace: GRACE };
  const outcome = await withTimeout(clock, limit, signal, (makeSignal) =>
    action.perform(parsed.args, {
      run: { id: newId(now), rule: rule.id, event },
      path: kind,
      attempt: 1,
      signal: makeSignal(),
      folder,
      ruleFolder: join(folder, dirname(rule.file)),
      services: servicesFor(rule, options),
    }));
  return outcome.output;
}
