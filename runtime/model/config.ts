import type { Json } from "./json.ts";
import type { Field } from "./rule.ts";

/** Where config values come from besides the fields' defaults and the config files, lowest first. */
export const UPPER_LAYERS = ["source", "page", "--set"] as const;

export type UpperLayer = typeof UPPER_LAYERS[number];

/** A value of one layer of a rule's config, with the layer below it. */
export interface ConfigValue {
  value: Json;
  /** `default`, the path of a config file, or an upper layer. */
  from: "default" | UpperLayer | (string & Record<never, never>);
  /** Who set it. */
  by?: string;
  /** Milliseconds since the epoch. */
  at?: number;
  /** What applies without it. */
  below?: ConfigValue;
}

/** The value in force of one field of a rule's config. */
export interface ConfigEntry extends ConfigValue {
  key: string;
}

/** A value above the config files, before it is checked. */
export interface UpperValue {
  rule: string;
  key: string;
  /** Text is read by the type of the field. */
  value: { is: Json } | { text: string };
  from: UpperLayer;
  by?: string;
  at?: number;
}

/** A value above the config files that is not used. */
export interface RefusedValue extends Omit<UpperValue, "value"> {
  reason: string;
  hint?: string;
  /** Absent if there is no such rule, or it declares no such field. */
  value?: Json;
}

/** The config of one rule, also of one that does not load. */
export interface RuleConfig {
  rule: string;
  name?: string;
  /** Path relative to the rules folder. */
  file: string;
  fields: Record<string, Field>;
  /** Who may set it besides operators: people, groups and addresses. */
  editors: string[];
  /** In the order of declaration. */
  entries: ConfigEntry[];
  refused: RefusedValue[];
}
