import type { SmtpSettings } from "../actions/mailer.ts";
import type { Connection } from "../connections/connection.ts";
import type { Fleet } from "../model/fleet.ts";
import type { Person } from "../model/form.ts";
import type { RefusedValue, RuleConfig } from "../model/config.ts";
import type { ConfigSourceRule, ConfigSourceSettings } from "./settings/config_source.ts";
import type { Problem } from "../model/problem.ts";
import type { Command, Rule } from "../model/rule.ts";

/** The result of one reload: a consistent set of rules, and all problems. */
export interface Loaded {
  /** The rules in force, by id: those that loaded, and the last good versions of those that did not. */
  rules: Map<string, Rule>;
  /** The commands by id, like the rules. */
  commands: Map<string, Command>;
  /** The fleets by id: those that loaded, and the last good versions of those that did not. */
  fleets: ReadonlyMap<string, Fleet>;
  /** Ids of files that do not load and may be fleets, without a last good version; undefined if a folder cannot be read, so that there may be more. */
  unreadFleets: ReadonlySet<string> | undefined;
  /** All problems of all files, in order of file, line and column. */
  problems: Problem[];
  /** Rule files that do not load, each with the id of its rule: the last good version is kept. */
  broken: Map<string, string>;
  /** TypeScript files that are still being evaluated, each with the id of its rule; kept like broken ones. */
  late: Map<string, string>;
  /** The config of each rule that has one, by id, with where each value comes from; also of rules that do not load. */
  configs: Map<string, RuleConfig>;
  /** Config values above those of the files that are not used, of all rules. */
  refused: RefusedValue[];
  /** Reads config values from a platform; absent if none is set, or it does not load and never did. */
  configSource?: ConfigSourceRule;
  settings: Settings;
  /** Names of the secrets that the rules use. */
  secretNames: string[];
  /** Files outside the folder that rules import, absolute: they are watched too. */
  outside: string[];
}

/** The fleets of a load. */
export type LoadedFleets = Pick<Loaded, "fleets" | "unreadFleets"> & { settings: Pick<Settings, "places"> };

/** The settings of `whenthen.yaml`, with defaults for what it does not set. */
export interface Settings {
  port?: number;
  host?: string;
  retention: { bytes: number; identities: number };
  /** Requests per destination host: `api.example.org: 10/s`. */
  limits: Record<string, { count: number; per: number }>;
  /** Replicas differ by at most so many devices; milliseconds between two looks at that. */
  places: { difference: number; every: number };
  /** Where secrets come from besides the environment: env files and mounted folders, absolute. */
  secrets: { files: string[]; folders: string[] };
  /** Where people reach the program, without a trailing slash; absent if that is the address that it listens on. */
  url?: string;
  smtp?: SmtpSettings;
  /** Where config values are read from besides the files. */
  config?: ConfigSourceSettings;
  people: Person[];
  connections: Connection[];
}

/** Rule files that cannot be checked. */
export type Unready = Pick<Loaded, "broken" | "late">;

/** Whether an unreadable file is meant to be a rule, and not an action or a helper. */
export function looksLikeRule(path: string, text: string): boolean {
  if (path.endsWith(".ts")) return /\brule\s*\(/.test(text);
  return /^\s*["']?when["']?\s*:/m.test(text) || !/^["']?(inputs|output|command|devices)["']?\s*:/m.test(text);
}

/** The rule id of each file, so that its last good version is found even if the file can no longer be read. */
export function idsByFile(previous: Loaded | undefined): Map<string, string> {
  const ids = new Map<string, string>([...previous?.broken ?? [], ...previous?.late ?? []]);
  for (const { id, file } of previous?.rules.values() ?? []) ids.set(file, id);
  return ids;
}
