import type { UpperValue } from "../model/config.ts";
import type { Json } from "../model/json.ts";

/** A value that somebody set on the page of a rule's config; null if they removed it. */
export interface SetValue {
  value: Json;
  by: string;
  /** Milliseconds since the epoch. */
  at: number;
}

/** The last value that was set for a key of a rule's config, and those before it. */
export interface PageValue extends SetValue {
  rule: string;
  key: string;
  /** The last {@link MOST_EARLIER}, newest first. */
  earlier: SetValue[];
}

/** How many earlier values of a key are kept. */
export const MOST_EARLIER = 20;

/** Values to set for one rule, all or none. */
export interface ConfigChange {
  rule: string;
  /** Null removes a value. */
  set: Record<string, Json>;
  by: string;
  /** When the last change was made that its author knew of; without it, nothing is too late. */
  seen?: number;
}

/** The outcome of a change; `stale` if somebody has changed one of its keys meanwhile, and then nothing is set. */
export type ConfigChanged =
  | { kind: "changed"; at: number }
  | { kind: "stale"; key: string; by: string; at: number };

/** The part of the store for config that is not in files. */
export interface ConfigStore {
  /** Sets or removes values, as a person does on a page. */
  setConfig(change: ConfigChange, now: number): Promise<ConfigChanged>;
  /** What was set so: of all rules, or of one. */
  listConfig(rule?: string): Promise<PageValue[]>;
  /** Keeps the values that the source of the config last gave. */
  keepSourced(values: UpperValue[]): Promise<void>;
  getSourced(): Promise<UpperValue[]>;
}
