import type { Clock } from "../../host/clock.ts";
import { OPERATORS } from "../../ingest/start_rule.ts";
import { people } from "../../language/arg_types.ts";
import { checkValues, type FieldProblem, sayProblem } from "../../language/fields/check_values.ts";
import { checkValue, valueOfText } from "../../language/fields/field_value.ts";
import { relationsOf } from "../../language/fields/relations.ts";
import { hintAtUnknown } from "../../language/hints.ts";
import {
  type ConfigEntry,
  type ConfigValue,
  type RefusedValue,
  type RuleConfig,
  UPPER_LAYERS,
  type UpperValue,
} from "../../model/config.ts";
import { messageOf } from "../../model/errors.ts";
import { isAmong, type Person } from "../../model/form.ts";
import type { Json, JsonObject } from "../../model/json.ts";
import type { Problem } from "../../model/problem.ts";
import type { Field } from "../../model/rule.ts";
import type { ConfigChanged, ConfigStore, PageValue } from "../../store/store.ts";
import type { Loaded } from "../loaded.ts";

/** The config of a rule, of all layers. */
export interface Layered {
  /** What is set, without defaults. */
  values: JsonObject;
  entries: ConfigEntry[];
  refused: RefusedValue[];
}

/** A value of an upper layer that fits its field. */
interface Fitting {
  key: string;
  value: ConfigValue;
}

/**
 * Puts the upper layers of a rule's config on the values of its files. A value that is unknown, does not fit, or contradicts the
 * others costs only itself: the layer below applies.
 * @param files the value in force of each key that the files set
 * @param upper those of this rule
 */
export function layConfig(
  fields: Record<string, Field>,
  files: Record<string, ConfigValue>,
  upper: readonly UpperValue[],
): Layered {
  const refused: RefusedValue[] = [];
  let stacks = files;
  for (const layer of UPPER_LAYERS) {
    const given = upper.filter(({ from }) => from === layer);
    if (given.length === 0) continue;
    const fitting = given.flatMap((each) => fit(fields, each, refused));
    stacks = settle(fields, stacks, fitting, (value, reason) => {
      const { key } = value;
      const { value: _, ...about } = given.findLast((each) => each.key === key)!;
      refused.push({ ...about, value: value.value.value, reason });
    });
  }
  const values = valuesOf(stacks);
  const { values: effective } = checkValues(fields, values);
  const entries = Object.keys(fields).map((key) => ({ key, ...entryOf(fields[key], stacks[key], effective[key]) }));
  return { values, entries, refused };
}

/** The values of the top of each stack. */
function valuesOf(stacks: Record<string, ConfigValue>): JsonObject {
  return Object.fromEntries(Object.entries(stacks).map(([key, { value }]) => [key, value]));
}

/** @param effective the value in force; a default yields to what it conflicts with, and is null then */
function entryOf(field: Field, stack: ConfigValue | undefined, effective: Json = null): ConfigValue {
  if (stack === undefined) return { value: effective, from: "default" };
  return field.default === undefined ? stack : above(stack, { value: field.default, from: "default" });
}

/** A stack on top of one more value. */
function above(stack: ConfigValue, bottom: ConfigValue): ConfigValue {
  return { ...stack, below: stack.below ? above(stack.below, bottom) : bottom };
}

/** The value if it fits its field. */
function fit(fields: Record<string, Field>, upper: UpperValue, refused: RefusedValue[]): Fitting[] {
  const { key, from, by, at } = upper;
  const { value: given, ...about } = upper;
  if (!Object.hasOwn(fields, key)) {
    refused.push({ ...about, ...unknownKey(key, Object.keys(fields)) });
    return [];
  }
  const value = "is" in given ? given.is : valueOfText(fields[key], given.text);
  // Null from a source: it has no value.
  if (value === null) return [];
  const checked = checkValue({ ...fields[key], default: undefined, required: true }, value);
  if ("value" in checked) {
    return [{
      key,
      value: { value: checked.value, from, ...by !== undefined && { by }, ...at !== undefined && { at } },
    }];
  }
  refused.push({ ...about, ...value !== undefined && { value }, reason: checked.problem });
  return [];
}

function unknownKey(key: string, known: string[]): { reason: string; hint: string } {
  return { reason: `the rule declares no "${key}"`, hint: hintAtUnknown(key, known) };
}

/** Puts the values of one layer on the stacks, without those that make a new contradiction. */
function settle(
  fields: Record<string, Field>,
  stacks: Record<string, ConfigValue>,
  fitting: Fitting[],
  refuse: (value: Fitting, reason: string) => void,
): Record<string, ConfigValue> {
  const put = (values: Fitting[]) => {
    const result = { ...stacks };
    for (const { key, value } of values) {
      // The last one of a key counts.
      result[key] = { ...value, ...stacks[key] && { below: stacks[key] } };
    }
    return result;
  };
  let left = fitting;
  if (relationsOf(fields) === undefined) return put(left);
  const before = new Set(problemsOf(fields, valuesOf(stacks)).map(sayProblem));
  for (;;) {
    const found = problemsOf(fields, valuesOf(put(left))).filter((problem) => !before.has(sayProblem(problem)));
    if (found.length === 0) return put(left);
    // The value that the problem is shown at, else the one that came last.
    const culprit = left.find(({ key }) => found.some((problem) => problem.key === key)) ??
      left.reduce((last, each) => (each.value.at ?? 0) >= (last.value.at ?? 0) ? each : last);
    const problem = found.find(({ key }) => key === culprit.key) ?? found[0];
    refuse(culprit, sayProblem(problem));
    left = left.filter(({ key }) => key !== culprit.key);
  }
}

function problemsOf(fields: Record<string, Field>, values: JsonObject): FieldProblem[] {
  return checkValues(fields, values).problems;
}

/**
 * Checks values that somebody sets on a rule's page. Returns the problems by key: values that do not fit, and contradictions that
 * they cause.
 * @param set null removes a value
 */
export function problemsOfSet(
  fields: Record<string, Field>,
  entries: readonly ConfigEntry[],
  set: Record<string, Json>,
): Record<string, string> {
  const problems: Record<string, string> = {};
  const after: JsonObject = {};
  const before: JsonObject = {};
  for (const entry of entries) {
    if (entry.from !== "default") before[entry.key] = entry.value;
    const value = topOf(entry, Object.hasOwn(set, entry.key) ? set[entry.key] : undefined);
    if (value !== undefined) after[entry.key] = value;
  }
  for (const [key, value] of Object.entries(set)) {
    if (!Object.hasOwn(fields, key)) {
      const { reason, hint } = unknownKey(key, Object.keys(fields));
      // A value that is no longer declared can still be removed.
      if (value !== null) problems[key] = `${reason}; ${hint}`;
    } else if (value !== null) {
      const checked = checkValue({ ...fields[key], default: undefined, required: true }, value);
      if ("problem" in checked) problems[key] = `${key}: ${checked.problem}`;
    }
  }
  if (Object.keys(problems).length > 0) return problems;
  const known = new Set(problemsOf(fields, before).map(sayProblem));
  for (const problem of problemsOf(fields, after)) {
    if (!known.has(sayProblem(problem))) problems[problem.key] ??= sayProblem(problem);
  }
  return problems;
}

/** The value in force after a change on the page; undefined if only the default is left. @param set undefined: no change */
function topOf(entry: ConfigEntry, set: Json | undefined): Json | undefined {
  if (set === undefined) return entry.from === "default" ? undefined : entry.value;
  for (let layer: ConfigValue | undefined = entry; layer !== undefined; layer = layer.below) {
    if (layer.from === "--set") return layer.value;
    if (set !== null) return set;
    if (layer.from !== "page") return layer.from === "default" ? undefined : layer.value;
  }
  return undefined;
}

/** What applies without the upper layers: the last good value of the files, or the default. */
export function lowerValues(entries: readonly ConfigEntry[]): JsonObject {
  const values: JsonObject = {};
  for (const entry of entries) {
    let layer: ConfigValue | undefined = entry;
    while (layer !== undefined && isUpper(layer)) layer = layer.below;
    if (layer !== undefined) values[entry.key] = layer.value;
  }
  return values;
}

export function isUpper({ from }: Pick<ConfigValue, "from">): boolean {
  return UPPER_LAYERS.some((layer) => layer === from);
}

/** Who may set a rule's config besides operators, as its file says; none if that is not valid. */
export function editorsOf(declared: Json | undefined): string[] {
  return EDITORS.safeParse(declared).data ?? [];
}

const EDITORS = people();

/** The warning about a refused value. */
export function warningOf(refused: RefusedValue, file: string, at: Problem["at"]): Problem {
  const { hint } = refused;
  return { severity: "warning", file, at, message: sayRefused(refused), ...hint !== undefined && { hint } };
}

/** A refused value as one sentence that names who set it. */
export function sayRefused({ rule, key, from, by, reason }: Omit<RefusedValue, "value">): string {
  const who = from === "page"
    ? `set by ${by} at /config/${rule}`
    : from === "--set"
    ? "given with --set"
    : `given by the source of config${by === undefined ? "" : ` (${by})`}`;
  return `${key} of ${rule}, ${who}, is not used: ${reason}`;
}

/** A value of `--set rule.key=value`: the key is what follows the last dot before the equals sign. */
export function readSet(text: string): UpperValue | undefined {
  const [, rule, key, value] = /^([^=]+)\.([^.=]+)=(.*)$/s.exec(text) ?? [];
  return rule === undefined ? undefined : { rule, key, value: { text: value }, from: "--set" };
}

/** Values for the config of one rule, from a person. */
export interface ConfigSetting {
  /** Absent for an operator, who may set every rule's. */
  person?: Person;
  /** The name that is recorded. */
  by: string;
  /** Null removes a value, so that the layer below applies. */
  set: Record<string, Json>;
  /** When the last change was made that the person saw; without it, later changes are overwritten. */
  seen?: number;
}

/** The outcome. */
export type ConfigSet =
  /** All values are in force for what starts from now on. */
  | { kind: "accepted" }
  /** The values are stored, but not in force, with the reason; `isFault`: the reload itself failed, not the rule. */
  | { kind: "stored"; reason: string; isFault: boolean }
  /** There is no rule with config of that id. */
  | { kind: "unknown" }
  | { kind: "forbidden" }
  /** What is wrong, by key; nothing was set. */
  | { kind: "invalid"; problems: Record<string, string> }
  /** Somebody has changed one of the keys since; nothing was set. */
  | Extract<ConfigChanged, { kind: "stale" }>;

/** Which parts of the rules are not in force after a reload. */
export type Unused =
  & Readonly<Pick<Loaded, "problems" | "refused">>
  & {
    [part in "broken" | "late"]: ReadonlyMap<string, string>;
  };

/** What {@link setConfig} works with. */
export interface SetConfigContext {
  clock: Pick<Clock, "now">;
  store: Pick<ConfigStore, "setConfig">;
  configs: ReadonlyMap<string, RuleConfig>;
  log(message: string): void;
  /** Loads the rules with the new values. @throws if that failed, and everything stayed as it was */
  reload(): Promise<Unused>;
}

/** Sets the config of a rule, from any channel: checks who sets it, and the values as a whole, before anything is stored. */
export async function setConfig(context: SetConfigContext, rule: string, setting: ConfigSetting): Promise<ConfigSet> {
  const { clock, store, configs, reload } = context;
  const { person, by, set, seen } = setting;
  const config = configs.get(rule);
  if (config === undefined) return { kind: "unknown" };
  if (!mayConfigure(config, person)) return { kind: "forbidden" };
  const problems = problemsOfSet(config.fields, config.entries, set);
  if (Object.keys(problems).length > 0) return { kind: "invalid", problems };
  const changed = await store.setConfig({ rule, set, by, ...seen !== undefined && { seen } }, clock.now());
  if (changed.kind === "stale") return changed;
  context.log(`Config of ${rule} set by ${by}: ${Object.keys(set).join(", ")}`);
  let loaded: Unused;
  try {
    loaded = await reload();
  } catch (error) {
    return { kind: "stored", reason: `the reload failed: ${messageOf(error)}`, isFault: true };
  }
  const reason = reasonNotInForce(loaded, config, Object.keys(set));
  return reason === undefined ? { kind: "accepted" } : { kind: "stored", reason, isFault: false };
}

/** Why values are not in force although the folder was loaded with them; undefined if they are. */
function reasonNotInForce(loaded: Unused, { rule, file }: RuleConfig, keys: string[]): string | undefined {
  const { broken, late, problems, refused } = loaded;
  if ([...late.values()].includes(rule)) return `${file} is still being evaluated`;
  if ([...broken.values()].includes(rule)) {
    const problem = problems.find((each) => each.file === file && each.severity === "error");
    return `${file} does not load${problem === undefined ? "" : `: ${problem.message}`}`;
  }
  const unfit = refused.find((each) => each.rule === rule && each.from === "page" && keys.includes(each.key));
  return unfit && `${unfit.key} is not used: ${unfit.reason}`;
}

/** What was set on pages, without what was removed there. */
export function setOnPages(values: PageValue[]): UpperValue[] {
  return values.filter(({ value }) => value !== null).map(({ rule, key, value, by, at }) => {
    return { rule, key, value: { is: value }, from: "page", by, at };
  });
}

/** Whether a person may set a rule's config; operators may set every rule's. */
export function mayConfigure({ editors }: Pick<RuleConfig, "editors">, person: Person | undefined): boolean {
  return person === undefined || person.groups.includes(OPERATORS) || isAmong(editors, person);
}
