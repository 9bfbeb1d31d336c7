import { z } from "zod";
import { parseDuration } from "../../model/duration.ts";
import type { JsonObject } from "../../model/json.ts";
import { guarded, isError, type Problem } from "../../model/problem.ts";
import type { Rule } from "../../model/rule.ts";
import { type CheckedRule, checkRule, type Known } from "../../language/checker/check_rule.ts";
import type { Origin } from "../../language/checker/checking.ts";
import type { Kinds } from "../../language/kind.ts";
import { isTarget } from "../../model/target.ts";
import { type Call, callsInRaw } from "../calls.ts";
import { type Callables, follow } from "../follow_calls.ts";
import { versionOfData } from "../source_file.ts";
import type { YamlFile } from "../yaml/yaml.ts";

const EXPECTED = "expected where config values come from, such as { call: ./config.ts#read, every: 5m }";

/** `config` in `whenthen.yaml`: the platform that config values are read from. */
export const configSourceSchema = z.strictObject({
  call: z.string({ error: "expected a function or a source, such as ./config.ts#read" })
    .refine((text) => isTarget(text) && !/\.ya?ml$/.test(text), {
      error: "expected a function or a source, such as ./config.ts#read or package#export",
    }),
  with: z.record(z.string(), z.custom<JsonObject[string]>()).optional(),
  auth: z.custom<JsonObject[string]>().optional(),
  every: z.string({ error: "expected a duration such as 5m" })
    .refine((text) => parseDuration(text) !== undefined, { error: "expected a duration such as 5m" }).default("5m"),
}, { error: EXPECTED });

export type ConfigSourceSettings = z.infer<typeof configSourceSchema>;

/**
 * The source of the config, wrapped in a rule with a poll that calls it, so that it is checked, resolved and bundled like any poll.
 * The rule itself never runs: only the source of its poll is called.
 */
export interface ConfigSourceRule {
  rule: Rule;
  /** Milliseconds between two looks. */
  every: number;
}

/** The names of its rule and trigger, in events and failures. */
export const CONFIG_SOURCE = { rule: "whenthen.yaml", trigger: "config" };

/** A source whose calls are not followed yet. */
export interface CheckedConfigSource {
  checked?: CheckedRule;
  calls: Call[];
  origin: Origin;
  every: number;
  problems: Problem[];
}

/** Checks the source; problems have their positions in `whenthen.yaml`. */
export function checkConfigSource(
  { every, ...source }: ConfigSourceSettings,
  { origin }: YamlFile,
  kinds: Kinds,
  known: Omit<Known, "id" | "config">,
): CheckedConfigSource {
  const raw = { when: { poll: source as JsonObject, every, name: CONFIG_SOURCE.trigger }, then: [{ log: "read" }] };
  const own: Origin = {
    ...origin,
    at: (path, part) => origin.at(placeOf(path), part),
    within: (path, offset, length) => origin.within(placeOf(path), offset, length),
    written: (path) => origin.written?.(placeOf(path)),
  };
  const result = { origin: own, every: parseDuration(every)! };
  return guarded<CheckedConfigSource>(origin.file, () => {
    const { rule, problems } = checkRule(raw, own, kinds, { ...known, id: CONFIG_SOURCE.rule, config: {} });
    return { ...result, ...rule && { checked: rule }, calls: callsInRaw(raw as JsonObject, own), problems };
  }, (problem) => ({ ...result, calls: [], problems: [problem] }));
}

/** The path in `whenthen.yaml` of a path in the rule that wraps the source. */
function placeOf(path: (string | number)[]): (string | number)[] {
  return ["config", ...path.slice(path[1] === "poll" ? 2 : 1)];
}

/** Adds the code that the source calls. @returns undefined if it does not load; `problems` receives the reasons */
export function assembleConfigSource(
  { checked, calls, origin, every, problems: found }: CheckedConfigSource,
  callables: Callables,
  problems: Problem[],
): ConfigSourceRule | undefined {
  problems.push(...found);
  const { modules, definitions, problems: ofCalls, late } = follow(origin.file, calls, callables, origin);
  problems.push(...ofCalls);
  if (checked === undefined || late || [...found, ...ofCalls].some(isError)) {
    return undefined;
  }
  const whole = { ...checked, actions: {}, modules, definitions };
  const version = versionOfData(whole);
  return { rule: { ...whole, version }, every };
}
