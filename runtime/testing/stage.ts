import { logCode } from "../engine/run_log.ts";
import { fieldsOf } from "../folder/checks.ts";
import { editorsOf, layConfig } from "../folder/settings/config_layers.ts";
import type { Connection } from "../connections/connection.ts";
import { type RuleSource, versionOfData } from "../folder/source_file.ts";
import { checkRule, type RuleFound } from "../language/checker/check_rule.ts";
import { secretsOfRule } from "../language/expressions/check_expression.ts";
import type { Kinds } from "../language/kind.ts";
import type { RuleConfig, UpperValue } from "../model/config.ts";
import type { Person } from "../model/form.ts";
import type { JsonObject } from "../model/json.ts";
import { formatProblem, isError } from "../model/problem.ts";
import type { Rule } from "../model/rule.ts";
import type { TestWorld } from "../model/test.ts";
import { Secrets } from "../secrets/secrets.ts";
import { openIsolates } from "../workers/open_workers.ts";
import type { Isolates } from "../workers/workers.ts";
import { TestFailed } from "./activity.ts";
import { madeUpSecret } from "./run_entry.ts";
import type { Stubs } from "./stubs.ts";
import { World } from "./world.ts";

/**
 * Milliseconds after which code that does not answer counts as an endless loop: tests run one at a time.
 */
const BLOCKED_AFTER = 2_000;

/** What a stage needs. */
export interface StageOptions {
  /** Absolute. */
  folder: string;
  kinds: Kinds;
  /** The people of `whenthen.yaml`. */
  people: Person[];
  /** Its connections: tests use them without tokens. */
  connections: Connection[];
  /** Rule code must reach nothing outside; the reason is in each error. */
  sealed?: string;
  /** Rule code has read a secret. */
  onSecret?: (name: string) => void;
}

/** Where tests are executed, one at a time: the workers see the secrets and the environment of the current test. */
export class Stage {
  readonly isolates: Isolates;
  #test: { world: TestWorld; secrets: Secrets; lines: string[]; now: () => number } | undefined;

  constructor(private readonly options: StageOptions) {
    this.isolates = openIsolates({
      secrets: () => this.#test?.secrets.all() ?? {},
      onSecret: (name) => {
        this.#test?.secrets.get(name);
        options.onSecret?.(name);
      },
      env: () => this.#test?.world.env ?? {},
      now: () => this.#test?.now(),
      // Output of test code is for the person who runs it; it is not a log of the rule.
      onLog: ({ level, message, file, run }) => {
        if (/\.test\.ts$/.test(file)) logCode(level, message, file, run);
        else this.#test?.lines.push(message);
      },
      blockedAfter: BLOCKED_AFTER,
      sealed: options.sealed,
    });
  }

  /**
   * Runs something in its own world.
   * @param recorded answers from recorded runs instead of the test's stubs, for a dry run
   * @throws TestFailed if the rule does not load with the test's settings
   */
  async inWorld<T>(
    loaded: LoadedRule,
    test: TestWorld,
    execute: (world: World) => Promise<T>,
    recorded?: Stubs,
  ): Promise<T> {
    const { folder, kinds } = this.options;
    const rule = ruleFor(loaded, test, kinds);
    const configured = (set: UpperValue[]) => configuredFor(loaded, test, kinds, set);
    const secrets = secretsFor(rule, test, kinds);
    const lines: string[] = [];
    this.#test = { world: test, secrets, lines, now: () => test.now };
    const people = peopleOf(test, this.options.people);
    const { isolates, options: { connections } } = this;
    const world = await World.open({
      rule,
      configured,
      test,
      secrets,
      folder,
      isolates,
      people,
      connections,
      logs: lines,
      recorded,
    });
    this.#test.now = () => world.clock.now();
    try {
      return await execute(world);
    } finally {
      await world.close();
      this.#test = undefined;
    }
  }

  async close(): Promise<void> {
    await this.isolates.close();
  }
}

/** The people of a test: the members of its groups, with name and address from `whenthen.yaml`, else made up. */
function peopleOf({ people: groups }: TestWorld, known: Person[]): Person[] {
  if (groups === undefined) return known;
  const ids = [...new Set(Object.values(groups).flat())];
  return ids.map((id) => {
    const person = known.find((each) => each.id === id) ?? { id, name: id, email: `${id}@example.org` };
    const own = Object.entries(groups).filter(([, members]) => members.includes(id)).map(([group]) => group);
    return { ...person, groups: own };
  });
}

/** A loaded rule, and the file that it was read from. */
export interface LoadedRule {
  rule: Rule;
  config?: RuleConfig;
  source: RuleSource;
}

/**
 * Checks a file with the config and the environment of a test. An operator's settings do not apply, so that they cannot
 * fail a rule's test; only a field without a default has the value in force, and what `--set` says applies.
 */
export function checkFor(
  loaded: LoadedRule,
  { config, env, now }: Pick<TestWorld, "config" | "now"> & { env: Record<string, string | undefined> },
  kinds: Kinds,
): RuleFound {
  const { rule: { id }, source } = loaded;
  const known = { id, config: configFor(loaded, config), enabled: true, env, now };
  return checkRule(source.raw, source.origin, kinds, known);
}

/** The config of a test, without defaults. */
function configFor({ rule, source, config: inForce }: LoadedRule, own: JsonObject): JsonObject {
  const fields = fieldsOf(source.raw.config);
  const set = new Set(inForce?.entries.filter(({ from }) => from === "--set").map(({ key }) => key));
  const needed = Object.entries(rule.config).filter(([key]) => fields[key]?.default === undefined || set.has(key));
  return { ...Object.fromEntries(needed), ...own };
}

/**
 * The rule for a test.
 * @throws TestFailed if it does not load with the test's config and environment
 */
function ruleFor(loaded: LoadedRule, test: TestWorld, kinds: Kinds): Rule {
  const { rule: checked, problems } = checkFor(loaded, test, kinds);
  if (checked === undefined) {
    const said = problems.filter(isError).map(formatProblem).join("\n");
    throw new TestFailed(`The rule does not load with the config and the environment of this test:\n${said}`);
  }
  const { version, actions, commands, definitions, modules } = loaded.rule;
  // A worker holds one version, with its secrets and its environment, so these are part of the version here.
  const own = versionOfData([version, checked.config, test.secrets, test.env]);
  return { ...checked, actions, ...commands && { commands }, ...definitions && { definitions }, modules, version: own };
}

/** The rule for a test, and its config, after people have set it. */
function configuredFor(loaded: LoadedRule, test: TestWorld, kinds: Kinds, set: UpperValue[]) {
  const { source: { id, raw, file, origin } } = loaded;
  const fields = fieldsOf(raw.config, (path) => origin.written?.(["config", ...path]));
  const files = Object.entries(configFor(loaded, test.config)).map((
    [key, value],
  ) => [key, { value, from: "config.yaml" }]);
  const { values, entries, refused } = layConfig(fields, Object.fromEntries(files), set);
  const config: RuleConfig = { rule: id, file, fields, editors: editorsOf(raw.editors), entries, refused };
  return { rule: ruleFor(loaded, { ...test, config: values }, kinds), config };
}

/** The secrets of a test: those that it sets, and made-up ones for all others that the rule names. */
function secretsFor(rule: Rule, { secrets: given }: TestWorld, kinds: Kinds): Secrets {
  const names = secretsOfRule(rule, kinds);
  const environment = { ...Object.fromEntries(names.map((name) => [name, madeUpSecret(name)])), ...given };
  const secrets = new Secrets({ environment, files: [], folders: [] });
  secrets.use(names);
  return secrets;
}
