import { env as environment } from "node:process";
import { secretsOfRule } from "../language/expressions/check_expression.ts";
import type { Loaded } from "../folder/loaded.ts";
import { refuseUnusedSet } from "../folder/rule_configs.ts";
import { type Loading, type LoadingOptions, openLoading, withoutKey, withoutSecrets } from "../folder/open_folder.ts";
import { logCode } from "../engine/run_log.ts";
import { stepKinds } from "../engine/steps/index.ts";
import type { UpperValue } from "../model/config.ts";
import type { Person } from "../model/form.ts";
import type { Problem } from "../model/problem.ts";
import type { TestWorld } from "../model/test.ts";
import { Secrets } from "../secrets/secrets.ts";
import { triggerKinds } from "../triggers/index.ts";
import { type LoadedRule, Stage } from "./stage.ts";

/** A rules folder; all paths are absolute. */
export type TestFolder = Pick<LoadingOptions, "folder" | "data" | "cache" | "env" | "set" | "prebuilt">;

/** One rule of a folder with a stage for it. */
export type OpenFolder =
  | { kind: "unknown"; known: string[] }
  | { kind: "broken"; problems: Problem[] }
  | {
    kind: "open";
    loaded: LoadedRule;
    stage: Stage;
    /** The secrets and the environment of this process. */
    world: Pick<TestWorld, "secrets" | "env">;
    canMail: boolean;
    people: Person[];
    /** The secrets that the rule names and that are not set here: their values cannot be masked. */
    missing: string[];
    /** Replaces the values of secrets by `***`. */
    mask<T>(value: T): T;
    close(): Promise<void>;
  };

/** The rule of a folder does not load, or there is none with the id. */
export type NotOpen = Exclude<OpenFolder, { kind: "open" }>;

/** Why rule code must not send, start and write anything. */
export const SEALED = "a dry run sends, starts and writes nothing";

export const kinds = { triggers: triggerKinds, steps: stepKinds };

/**
 * Loads a folder and opens a stage for one of its rules, on which code cannot send, start and write anything by itself.
 * @param upper config values that were set on pages or come from a source
 * @throws UsageError if a value of `set` cannot be used
 */
export async function openFolder(
  { upper = [], ...options }: TestFolder & { upper?: UpperValue[] },
  id: string,
): Promise<OpenFolder> {
  const { folder } = options;
  const secrets = new Secrets({ environment, files: [], folders: [] });
  const loading = openLoading({
    ...options,
    environment,
    stepKinds,
    secrets,
    now: Date.now,
    onLog: logCode,
    sealed: SEALED,
  });
  const loaded = await loadAll(loading.loader, upper).catch(async (error) => {
    await loading.close();
    throw error;
  });
  const { rules, configs, problems, settings, broken, secretNames } = loaded;
  const rule = rules.get(id);
  if (rule === undefined) {
    await loading.close();
    const [file] = [...broken].find(([, each]) => each === id) ?? [];
    if (file === undefined) return { kind: "unknown", known: [...rules.keys()].sort() };
    return { kind: "broken", problems: problems.filter((problem) => problem.file === file) };
  }
  secrets.refresh({ environment, ...settings.secrets });
  secrets.use(secretNames);
  // Which ones code reads by a name that it computes is only known when it does, and steps are not executed here.
  if (Object.values(rule.modules).some((code) => /\bsecrets\b/.test(code))) secrets.useStored();
  const source = loading.loader.ruleSources().get(rule.file)!;
  const stage = new Stage({
    folder,
    kinds,
    people: settings.people,
    connections: settings.connections,
    sealed: SEALED,
    onSecret: (name) => void secrets.get(name),
  });
  return {
    kind: "open",
    loaded: { rule, source, config: configs.get(id) },
    stage,
    world: { secrets: withoutKey(secrets)(), env: withoutSecrets(environment, secrets) },
    canMail: settings.smtp !== undefined,
    people: settings.people,
    missing: secretsOfRule(rule, kinds).filter((name) => secrets.peek(name) === undefined),
    mask: (value) => secrets.maskJson(value),
    close: async () => void await Promise.all([loading.close(), stage.close()]),
  };
}

async function loadAll(loader: Loading["loader"], upper: UpperValue[]): Promise<Loaded> {
  const loaded = await loader.load(undefined, upper);
  refuseUnusedSet(loaded.refused);
  return loaded;
}
