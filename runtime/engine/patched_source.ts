import type { ActionContext, PatchedSource } from "../actions/action.ts";
import { call } from "../actions/call.ts";
import { actions } from "../actions/index.ts";
import { parseArgs } from "../language/checker/check_rule.ts";
import { evaluate, type Scope } from "../language/expressions/expression.ts";
import { recordArgs } from "../language/expressions/recorded_args.ts";
import { resolveArgs } from "../language/expressions/template.ts";
import { type Args, readArgs, resolvedArgs } from "../language/kind.ts";
import { TerminalError } from "../model/errors.ts";
import { isObject, type Json, type JsonObject } from "../model/json.ts";
import type { Rule } from "../model/rule.ts";
import { definitionKey, readTarget, type Target } from "../model/target.ts";
import { poll } from "../triggers/poll/poll.ts";
import { keyOfSource, nameOfSource } from "../triggers/poll/poll_args.ts";
import type { RunnerOptions } from "./runner_options.ts";

type PatchingOptions = Pick<RunnerOptions, "store" | "clock" | "surroundings" | "standIn">;

/**
 * The source of the poll that started a run.
 * @throws TerminalError if the run was started by another trigger, or the source cannot read or change one item
 */
export function patchedSource(rule: Rule, options: PatchingOptions, context: ActionContext<unknown>): PatchedSource {
  const { store, clock, standIn } = options;
  const { run, path, folder, ruleFolder, services } = context;
  const trigger = rule.triggers.find(({ id, kind }) => id === run.trigger && kind === "poll");
  if (trigger === undefined) {
    throw new TerminalError(`Cannot patch: the trigger ${run.trigger} is no poll, so there is no item to write to`);
  }
  const scope = { ...options.surroundings(rule.id), config: rule.config, $hosts: rule.hosts, $now: clock.now() };
  const args = readArgs(poll, trigger.args);
  const { poll: source } = resolvedArgs(poll, resolveArgs(poll, { poll: args.poll }, scope));
  const target = calledBy(source, folder, ruleFolder);
  const name = nameOfSource(args.poll);
  const sourceKey = keyOfSource(source, { folder, ruleFolder });
  const called: Partial<Args<typeof call>> = isObject(source) ? resolvedArgs(call, source) : {};
  const { with: inputs = {}, auth } = called;
  const methods = target && rule.definitions?.[definitionKey(target)]?.methods || [];
  const ask = async (method: "one" | "update", more: JsonObject): Promise<Json> => {
    const stub = standIn?.({ kind: method, path });
    if (stub) return (await stub.execute({ ...more }, context as ActionContext)).output;
    // Each has an Idempotency-Key of its own.
    const own = { ...context, path: `${path}/${method}` };
    const request = args[method];
    if (request !== undefined) return await requestItem(request, { ...scope, ...more }, own, method);
    if (!target || !methods.includes(method)) {
      throw new TerminalError(`Cannot patch: ${name} has no "${method}", by which one item is ${VERBS[method]}`);
    }
    return await services.callModule({ ...target, inputs, method, more, ...auth !== undefined && { auth } }, own);
  };
  const key = { rule: rule.id, trigger: trigger.id };
  return {
    trigger: key,
    name,
    sourceKey,
    one: (item) => ask("one", { key: item }),
    update: (item, patch) => ask("update", { key: item, patch }),
    known: async (item) => {
      const [items, writes] = await Promise.all([store.getItems(key, [item]), store.getWrites(key, sourceKey, [item])]);
      return { item: items.get(item), writes };
    },
    begin: (item, sent) => store.beginPatch({ ...key, key: item, run: run.id, path, sent }),
  };
}

const VERBS = { one: "read", update: "changed" };

function calledBy(source: string | JsonObject, folder: string, ruleFolder: string): Target | undefined {
  const call = isObject(source) ? source.call : undefined;
  return typeof call === "string" ? readTarget(folder, ruleFolder, call) : undefined;
}

/** Statuses that mean that there is no such item. */
const MISSING = [404, 410];

/**
 * Sends the request for one item of a poll: `one` or `update` of its trigger.
 * @param scope what its templates see, with `key` and `patch`
 * @returns the value of its expression `value` on the answer, by default the body; null if `one` finds no item
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
  if (!isObject(output)) throw new TypeError("an http step gives an object");
  return MISSING.some((status) => output.status === status) ? null : evaluate(String(value), output);
}
