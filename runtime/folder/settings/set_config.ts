import type { Clock } from "../../host/clock.ts";
import type { RuleConfig, UpperValue } from "../../model/config.ts";
import { isAmong, type Person } from "../../model/form.ts";
import type { Json } from "../../model/json.ts";
import { messageOf } from "../../model/errors.ts";
import type { ConfigChanged, ConfigStore, PageValue } from "../../store/store.ts";
import { OPERATORS } from "../../ingest/start_rule.ts";
import type { Loaded } from "../loaded.ts";
import { problemsOfSet } from "./config_layers.ts";

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
