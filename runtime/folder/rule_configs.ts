import type { RefusedValue, RuleConfig, UpperLayer, UpperValue } from "../model/config.ts";
import { UsageError } from "../model/errors.ts";
import { guarded, type Problem } from "../model/problem.ts";
import { hintAtUnknown } from "../language/hints.ts";
import type { Candidate } from "./assemble.ts";
import { fieldsOf } from "./checks.ts";
import type { Unready } from "./loaded.ts";
import { checkConfigNames, type ConfigFile, type Configurable } from "./settings/config_files.ts";
import { warningOf } from "./settings/config_layers.ts";

/** Where values of rules that do not exist are reported. */
const PLACES: Record<UpperLayer, string> = { source: "whenthen.yaml", page: "/config", "--set": "--set" };

/**
 * Settles the config of each rule; a rule whose file cannot be checked keeps its previous one. Reports values in config files and
 * upper layers for rules that do not exist.
 */
export function settleConfigs(
  candidates: Candidate[],
  unready: Unready,
  { files, upper, previous, problems }: {
    files: ConfigFile[];
    upper: UpperValue[];
    previous: ReadonlyMap<string, RuleConfig> | undefined;
    problems: Problem[];
  },
): { configs: Map<string, RuleConfig>; refused: RefusedValue[] } {
  const configs = new Map<string, RuleConfig>();
  for (const id of [...unready.broken.values(), ...unready.late.values()]) {
    const before = previous?.get(id);
    if (before) configs.set(id, before);
  }
  for (const { check: { config } } of candidates) if (config) configs.set(config.rule, config);
  const refused = [...configs.values()].flatMap((each) => each.refused);
  if (files.length + upper.length === 0) return { configs, refused };
  const known = configurables(candidates, unready);
  const unknown = refuseUnknown(upper, known);
  problems.push(...unknown.map((each) => warningOf(each, PLACES[each.from], { line: 1, column: 1 })));
  for (const each of files) {
    problems.push(...guarded(each.file, () => checkConfigNames(each, known), (problem) => [problem]));
  }
  return { configs, refused: [...refused, ...unknown] };
}

function refuseUnknown(upper: UpperValue[], known: Configurable[]): RefusedValue[] {
  const ids = new Set(known.map(({ id }) => id));
  return upper.filter(({ rule }) => !ids.has(rule)).map(({ value: _, ...about }) => {
    return { ...about, reason: "there is no such rule", hint: hintAtUnknown(about.rule, [...ids].sort()) };
  });
}

/**
 * For commands that end by themselves: a mistake in a value of the command line is the caller's.
 * @throws UsageError that names the values of `--set` that are not used
 */
export function refuseUnusedSet(refused: readonly RefusedValue[]): void {
  const unused = refused.filter(({ from }) => from === "--set").map(({ rule, key, reason, hint }) =>
    `Cannot set ${rule}.${key}: ${reason}${hint === undefined ? "" : `; ${hint}`}`
  );
  if (unused.length > 0) throw new UsageError(unused.join("\n"));
}

function configurables(candidates: Candidate[], { broken, late }: Unready): Configurable[] {
  const readable = candidates.map(({ source: { id, file, raw } }) =>
    guarded<Configurable>(file, () => ({ id, fields: fieldsOf(raw.config) }), () => ({ id }))
  );
  return [...readable, ...[...broken.values(), ...late.values()].map((id) => ({ id }))];
}
