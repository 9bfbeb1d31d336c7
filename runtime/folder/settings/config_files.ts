import { asWritten, checkValue, type SourceText } from "../../language/fields/field_value.ts";
import { didYouMean, hintAtUnknown } from "../../language/hints.ts";
import type { ConfigValue } from "../../model/config.ts";
import { isObject, type Json, type JsonObject } from "../../model/json.ts";
import { guarded, type Problem } from "../../model/problem.ts";
import type { Field } from "../../model/rule.ts";
import type { YamlFile } from "../yaml/yaml.ts";

/** One of `config.yaml` and `config.<env>.yaml`: a block for all rules and one for each rule id. */
export interface ConfigFile {
  /** Path relative to the folder. */
  file: string;
  yaml: YamlFile;
  blocks: Record<string, JsonObject>;
}

/** What an operator may set for one rule. */
export interface Configurable {
  id: string;
  /** Undefined if unknown, because the rule's file does not load. */
  fields?: Record<string, Field>;
}

/** The settings of the config files for one rule. */
export interface FileConfig {
  /** The value in force of each key, with those that it overrides. */
  values: Record<string, ConfigValue>;
  enabled?: boolean;
  /** Keys with a bad value and no known good one: the rule cannot be loaded with certainty. */
  missing: string[];
}

const ALL = "all";
const ENABLED = "enabled";

/**
 * Splits a config file into blocks.
 * @param last the last good state of the same file; used if the new one has a syntax error
 */
export function readConfig(
  yaml: YamlFile,
  last: ConfigFile | undefined,
): { config?: ConfigFile; problems: Problem[] } {
  const otherwise = (problem: Problem) => ({ ...(last && { config: last }), problems: [...yaml.problems, problem] });
  return guarded(yaml.origin.file, () => readBlocks(yaml, last), otherwise);
}

function readBlocks(yaml: YamlFile, last: ConfigFile | undefined): ReturnType<typeof readConfig> {
  const { origin, value, problems } = yaml;
  const { file } = origin;
  if (value === undefined) return { ...(last && { config: last }), problems };
  if (value === null) return { config: { file, yaml, blocks: {} }, problems };
  const found = [...problems];
  const report = (path: string[], message: string) =>
    found.push({ severity: "error", file, at: origin.at(path, "value"), message, hint: SHAPE });
  if (!isObject(value)) {
    report([], "expected a block for each rule");
    return { ...(last && { config: last }), problems: found };
  }
  const blocks: Record<string, JsonObject> = {};
  for (const [id, block] of Object.entries(value)) {
    if (isObject(block)) blocks[id] = block;
    else if (block !== null && !id.startsWith(FREE)) report([id], `expected the settings of "${id}"`);
    // A malformed block is ignored, so the previous one stays in force.
    if (!isObject(block) && block !== null && last?.blocks[id]) blocks[id] = last.blocks[id];
  }
  return { config: { file, yaml, blocks }, problems: found };
}

/** Keys at the top that begin so are left alone: they hold blocks that others share. */
const FREE = "x-";
/** Longer lists of names would hide the problem. */
const MOST_LISTED = 12;

const SHAPE = "write a rule id, or all, and below it the values by key";

/** Finds blocks of rules that do not exist, and keys that no rule declares. */
export function checkConfigNames({ file, yaml, blocks }: ConfigFile, rules: Configurable[]): Problem[] {
  const problems: Problem[] = [];
  const report = (path: string[], message: string, hint: string | undefined) =>
    problems.push({ severity: "error", file, at: yaml.origin.at(path, "key"), message, ...(hint && { hint }) });
  const byId = new Map(rules.map((rule) => [rule.id, rule]));
  const certain = rules.every((rule) => rule.fields !== undefined);
  const everyKey = [...new Set(rules.flatMap((rule) => Object.keys(rule.fields ?? {})))];
  for (const [id, block] of Object.entries(blocks)) {
    const fields = byId.get(id)?.fields;
    if (id !== ALL && !byId.has(id)) {
      if (id.startsWith(FREE)) continue;
      report([id], `there is no rule "${id}"`, suggest(id, [...byId.keys(), ALL]));
      continue;
    }
    const known = id === ALL ? (certain ? everyKey : undefined) : fields && Object.keys(fields);
    for (const key of Object.keys(block)) {
      if (key === ENABLED || known === undefined || known.includes(key)) continue;
      const message = id === ALL ? `no rule declares "${key}"` : `the rule declares no "${key}"`;
      report([id, key], message, suggest(key, [...known, ENABLED]));
    }
  }
  return problems;
}

/**
 * The values for one rule: `all` first, then the rule's block; a later file overrides an earlier one. If a value is bad,
 * the rule keeps its last good one.
 */
export function configOf(
  rule: Required<Configurable>,
  files: ConfigFile[],
  previous: { config: JsonObject; enabled: boolean } | undefined,
): FileConfig & { problems: Problem[] } {
  const result: FileConfig & { problems: Problem[] } = { values: {}, missing: [], problems: [] };
  for (const [setting, ...overridden] of settingsFor(rule, files)) {
    const { file, id, key, value, at } = setting;
    const report = (message: string) =>
      result.problems.push({ severity: "error", file, at: at(), message: `${key} of ${id}: ${message}` });
    if (key === ENABLED) {
      if (typeof value === "boolean") result.enabled = value;
      else {
        report(`expected true or false, got ${JSON.stringify(value)}`);
        if (previous) result.enabled = previous.enabled;
        else result.missing.push(key);
      }
      continue;
    }
    const field = rule.fields[key];
    const below = overridden.map((each) => read(field, each)).filter((each) => "value" in each)
      .reduceRight<ConfigValue | undefined>((below, each) => ({ ...each, ...below && { below } }), undefined);
    const use = (value: Json) => result.values[key] = { value, from: file, ...below && { below } };
    const found = read(field, setting);
    if ("value" in found) {
      use(found.value);
      continue;
    }
    report(found.problem);
    const kept = previous?.config[key];
    if (kept !== undefined && "value" in checkValue(field, kept)) use(kept);
    else result.missing.push(key);
  }
  return result;
}

/** The value of a setting as its field reads it, or what is wrong with it. */
function read(field: Field, { file, value, source }: Setting): { value: Json; from: string } | { problem: string } {
  const written = asWritten(field, value, source);
  const checked = checkValue(field, written);
  return "value" in checked ? { value: written, from: file } : checked;
}

interface Setting {
  file: string;
  id: string;
  key: string;
  value: Json;
  at: () => Problem["at"];
  source: SourceText;
}

/** The settings of each key with their positions: that in force first, then those that it overrides. */
function settingsFor(rule: Required<Configurable>, files: ConfigFile[]): Iterable<Setting[]> {
  const byKey = new Map<string, Setting[]>();
  for (const id of [ALL, rule.id]) {
    for (const { file, yaml, blocks } of files) {
      for (const [key, value] of Object.entries(blocks[id] ?? {})) {
        if (key !== ENABLED && !Object.hasOwn(rule.fields, key)) continue;
        const path = [id, key];
        const at = () => yaml.origin.at(path, "value");
        const source: SourceText = (below) => yaml.origin.written?.([...path, ...below]);
        // Null removes the values of earlier files.
        if (value === null) byKey.delete(key);
        else byKey.set(key, [{ file, id, key, value, at, source }, ...byKey.get(key) ?? []]);
      }
    }
  }
  return byKey.values();
}

function suggest(word: string, candidates: string[]): string | undefined {
  if (candidates.length > 0 && candidates.length <= MOST_LISTED) return hintAtUnknown(word, candidates);
  return didYouMean(word, candidates);
}
