import { sep } from "node:path";
import type { Isolates } from "../workers/workers.ts";
import { guarded, type Problem } from "../model/problem.ts";
import type { RuleConfig, UpperValue } from "../model/config.ts";
import type { Command, Rule } from "../model/rule.ts";
import type { Kind, Kinds } from "../language/kind.ts";
import { keepFor } from "../language/expressions/expression.ts";
import { Secrets } from "../secrets/secrets.ts";
import { secretChoices, secretsOfRule } from "../language/expressions/check_expression.ts";
import type { TriggerKind } from "../triggers/trigger.ts";
import { arrange, type FolderFile, FolderReader, scopeOf } from "./folder_files.ts";
import { assemble, type Candidate, findUncalled, type FinishedRules, settleActions, taskProblems } from "./assemble.ts";
import type { LoadedCommand } from "./follow_calls.ts";
import { CallableFinder } from "./callable_finder.ts";
import { canKeep, type CheckedFile, CheckedRules, Checks } from "./checks.ts";
import { assembleConfigSource, checkConfigSource } from "./settings/config_source.ts";
import { type ConfigFile, readConfig } from "./settings/config_files.ts";
import { assembleFleets, fleetSecrets, unreadFleets } from "./assemble_fleets.ts";
import { checkFleet } from "./fleet_file.ts";
import { CommandReader, commandsById } from "./command_files.ts";
import { settleConfigs } from "./rule_configs.ts";
import { idsByFile, type Loaded, looksLikeRule, type Settings, type Unready } from "./loaded.ts";
import { checkConnections } from "./settings/connection_settings.ts";
import { checkSecretsFiles, checkSmtpPassword, namesOf, readSettings } from "./settings/settings.ts";
import {
  type ActionSource,
  idOfPath,
  type RuleSource,
  type Source,
  sourceOfKnown,
  sourceOfTypeScript,
  sourceOfYaml,
} from "./source_file.ts";
import { type Prebuilt, TypeScriptFiles } from "./typescript/typescript_files.ts";
import type { LoadedTypeScript } from "./typescript/typescript.ts";
import { knownYaml, parseYaml, unread, type YamlFile } from "./yaml/yaml.ts";

/** Options of a loader. */
export interface LoaderOptions {
  /** The rules folder, absolute. */
  folder: string;
  /** The data folder, absolute: never read as rules. */
  dataFolder: string;
  /** What TypeScript files declare, and the results of checks, are cached here; absolute. */
  cacheFolder: string;
  /** Identifies the code of this program; without it, check results are not kept for the next start. */
  build?: string;
  /** Name of the environment: `config.<env>.yaml` overrides `config.yaml`. */
  env?: string;
  /** Config values from the command line. */
  set?: UpperValue[];
  triggerKinds: Record<string, TriggerKind>;
  stepKinds: Record<string, Kind>;
  isolates: Isolates;
  /** TypeScript files that are already bundled. */
  prebuilt?: Prebuilt;
  /** The process's environment: `env.X` in `when`, and the first source of secrets. */
  environment: Record<string, string | undefined>;
  now: () => number;
  /**
   * Milliseconds that a load waits for TypeScript files that are slow to evaluate. After that it continues without them,
   * their last good versions stay, and `onLate` reports when another load would find them. The first load waits 10 s at
   * least.
   * @default Infinity
   */
  loadTimeout?: number;
  onLate?: () => void;
}

/** The first load has no last good versions: an event that comes before its rule is loaded would be lost. */
const FIRST_LOAD_TIMEOUT = 10_000;

/** The settings of the program, in the rules folder. */
export const SETTINGS_FILE = "whenthen.yaml";
const CONFIG_FILE = /^config(\.[^/]+)?\.yaml$/;

interface Parsed {
  /** Absent if the file cannot be read. */
  text?: string;
  yaml: YamlFile;
  source: Source;
}

/**
 * Turns the rules folder into rules. Each load returns one consistent set for the whole folder, but reads and checks only
 * files that have changed.
 */
export class Loader {
  readonly #folder: FolderReader;
  readonly #kinds: Kinds;
  readonly #checks: Checks;
  readonly #typescript: TypeScriptFiles;
  readonly #callables: CallableFinder;
  #parsed = new Map<string, Parsed>();
  readonly #configs = new Map<string, ConfigFile>();
  readonly #bundled = new WeakMap<LoadedTypeScript, Source>();
  readonly #checkedRules: CheckedRules;
  /** Results of the previous start; empty after the first load. */
  #checked = new Map<string, CheckedFile>();
  readonly #finished: FinishedRules = new WeakMap();
  readonly #secretNames = new WeakMap<Rule, string[]>();
  #ruleSources: ReadonlyMap<string, RuleSource> = new Map();
  #commands: ReadonlyMap<string, LoadedCommand> = new Map();
  #loadTimeout = Infinity;

  constructor(private readonly options: LoaderOptions) {
    const { triggerKinds, stepKinds, environment, now, folder, dataFolder, cacheFolder, isolates, onLate = () => {} } =
      options;
    this.#kinds = { triggers: triggerKinds, steps: stepKinds };
    this.#folder = new FolderReader(scopeOf(folder, dataFolder));
    this.#checkedRules = new CheckedRules(cacheFolder, options.build);
    this.#checks = new Checks(this.#kinds, environment, now);
    this.#typescript = new TypeScriptFiles({
      folder,
      cacheFolder,
      isolates,
      prebuilt: options.prebuilt,
      loadTimeout: () => this.#loadTimeout,
      onLate,
    });
    this.#callables = new CallableFinder(folder, this.#typescript, new CommandReader(folder));
  }

  /**
   * Loads the folder's current state. Calls must not overlap.
   * @param previous what is in force: what does not load now keeps its last good version from it
   * @param upper config values above those of the files, besides those from the command line
   * @throws UsageError if the folder cannot be read at all
   */
  async load(previous?: Loaded, upper: UpperValue[] = []): Promise<Loaded> {
    const { environment, loadTimeout = Infinity, set = [] } = this.options;
    this.#loadTimeout = previous === undefined ? Math.max(loadTimeout, FIRST_LOAD_TIMEOUT) : loadTimeout;
    const files = await this.#folder.read();
    if (previous === undefined) this.#checked = await this.#checkedRules.read();
    this.#parseAll(files);
    const problems: Problem[] = files.filter(({ isFolder }) => isFolder).flatMap(failures);
    const settings = this.#readSettings(previous?.settings, problems);
    problems.push(...checkSecretsFiles(settings, this.options.folder));
    const secrets = new Secrets({ environment, ...settings.secrets });
    const settingsFile = this.#parsed.get(SETTINGS_FILE)?.yaml;
    const checkSmtp = () => checkSmtpPassword(settingsFile, settings, (name) => secrets.fault(name));
    problems.push(...guarded(SETTINGS_FILE, checkSmtp, (problem) => [problem]));
    const checkTheirs = () => checkConnections(settingsFile, settings, secrets);
    problems.push(...guarded(SETTINGS_FILE, checkTheirs, (problem) => [problem]));
    const config = this.#readConfigs(problems);
    const given = [...upper.filter(({ from }) => from !== "source" || settings.config !== undefined), ...set];

    const unready: Unready = { broken: new Map(), late: new Map() };
    const { sources, ready } = await this.#sources(files, previous, unready);
    keepFor(sources.length);
    const surroundings = {
      configs: config.files,
      secretFault: (name: string) => secrets.fault(name),
      people: namesOf(settings.people),
      upper: Map.groupBy(given, ({ rule }) => rule),
      connections: settings.connections.map(({ name }) => name),
      hasConfigSource: settings.config !== undefined,
      previous: previous?.rules ?? new Map<string, Rule>(),
      previousConfigs: previous?.configs ?? new Map<string, RuleConfig>(),
    };
    const candidates = sources.filter((source) => source.kind === "rule").map((source): Candidate => {
      const check = this.#checks.rule(source, surroundings);
      return { source, check: config.certain ? check : { ...check, rule: undefined } };
    });
    this.#ruleSources = new Map(candidates.map(({ source }) => [source.file, source]));
    const { configs, refused } = settleConfigs(candidates, unready, {
      files: config.files,
      upper: given,
      previous: previous?.configs,
      problems,
    });
    for (const source of sources) {
      if (source.kind === "helper" || source.kind === "unreadable") problems.push(...source.problems);
    }
    for (const { check } of candidates) problems.push(...check.problems);

    const actions = sources.filter((source) => source.kind === "action");
    const check = (source: ActionSource) => this.#checks.action(source, surroundings);
    const known = { ...surroundings, env: environment, now: this.options.now() };
    const configSource = settings.config && settingsFile &&
      checkConfigSource(settings.config, settingsFile, this.#kinds, known);
    const fleets = sources.filter((source) => source.kind === "fleet")
      .map((source) => checkFleet(source, this.#kinds, known));
    const callers = [
      ...fleets.map(({ source, calls }) => ({ file: source.file, calls })),
      ...candidates.map(({ source, check }) => ({ file: source.file, calls: check.calls })),
      ...configSource ? [{ file: SETTINGS_FILE, calls: configSource.calls }] : [],
    ];
    const unreadable = sources.filter(({ kind, file }) => kind === "unreadable" && !file.endsWith(".ts"));
    const callables = await this.#callables.find({
      actions,
      commands: sources.filter((source) => source.kind === "command"),
      callers,
      files,
      unreadable: unreadable.map(({ file }) => file),
      ready,
      check,
      problems,
    });
    problems.push(...settleActions(callables));
    callables.fleets = assembleFleets(fleets, callables, unreadable, previous?.fleets, problems);
    for (const [file, { action }] of callables.actions) {
      if (action !== undefined) problems.push(...taskProblems(action, { file }, callables));
    }
    // The calls of files that cannot be read are unknown.
    if (unreadable.length + unready.late.size === 0) problems.push(...findUncalled(candidates, callables));
    const assembly = assemble(candidates, unready, callables, surroundings.previous, this.#finished);
    const { rules, broken, late } = assembly;
    const readsConfig = configSource &&
      (assembleConfigSource(configSource, callables, problems) ?? previous?.configSource);
    this.#commands = callables.commands;
    const commands = commandsById(callables, unreadable.map(({ file }) => file), previous);
    const ofRules = this.#secretsOf(
      [
        ...rules.values(),
        ...readsConfig ? [readsConfig.rule] : [],
        ...[...callables.fleets.values()].map(({ inventory }) => inventory),
      ],
      commands.values(),
      settings,
      problems,
    );
    if (previous === undefined) await this.#keepChecked();
    for (const { yaml } of this.#parsed.values()) yaml.origin.forget();
    return {
      rules,
      broken,
      late,
      commands,
      fleets: callables.fleets,
      unreadFleets: unreadFleets(files, [...fleets.map(({ source }) => source), ...unreadable], callables.fleets),
      problems: arrange([...problems, ...assembly.problems], files),
      configs,
      refused,
      ...readsConfig && { configSource: readsConfig },
      settings,
      secretNames: [...new Set([...ofRules, ...fleetSecrets(callables.fleets)])],
      outside: this.#outside(settings),
    };
  }

  /** The TypeScript files that the last load found, bundled, by path relative to the folder. */
  typescript(): Map<string, LoadedTypeScript> {
    return this.#typescript.ready();
  }

  /** The rule files that the last load found, by path relative to the folder. */
  ruleSources(): ReadonlyMap<string, RuleSource> {
    return this.#ruleSources;
  }

  /** The command files that the last load found, by path relative to the folder, with their tests. */
  commands(): ReadonlyMap<string, LoadedCommand> {
    return this.#commands;
  }

  /** Parses changed files and forgets removed ones. */
  #parseAll(files: FolderFile[]): void {
    const parsed = new Map<string, Parsed>();
    for (const file of files) {
      if (!file.isFolder && !file.path.endsWith(".ts")) parsed.set(file.path, this.#parse(file));
    }
    this.#parsed = parsed;
  }

  #parse(file: FolderFile): Parsed {
    const { path, text } = file;
    const known = this.#parsed.get(path);
    if (known && text !== undefined && known.text === text) return known;
    const checked = text === undefined ? undefined : this.#checked.get(this.#checkedRules.keyOf(path, text));
    if (checked !== undefined) {
      const yaml = knownYaml(text!, path, checked.value);
      const source = sourceOfKnown(yaml, checked.idAt);
      this.#checks.remember(source, checked.memo);
      return { text, yaml, source };
    }
    const yaml = text === undefined ? unread(failures(file)[0]) : parseYaml(text, path);
    return { text, yaml, source: sourceOfYaml(yaml) };
  }

  async #keepChecked(): Promise<void> {
    const before = this.#checked;
    this.#checked = new Map();
    const files = new Map<string, CheckedFile>();
    for (const [path, { text, source }] of this.#parsed) {
      const memo = source.kind === "rule" ? this.#checks.memoOf(source) : undefined;
      if (text === undefined || source.kind !== "rule" || memo === undefined || !canKeep(source.raw, memo)) continue;
      files.set(this.#checkedRules.keyOf(path, text), { value: source.raw, idAt: source.idAt, memo });
    }
    const same = before.size === files.size && [...files].every(([key, { memo }]) => before.get(key)?.memo === memo);
    if (!same) await this.#checkedRules.write(files);
  }

  #readSettings(last: Settings | undefined, problems: Problem[]): Settings {
    const read = readSettings(this.#parsed.get(SETTINGS_FILE)?.yaml, this.options.folder, last);
    problems.push(...read.problems);
    return read.settings;
  }

  /** `certain` is false if a file cannot be read and no earlier state of it is known: then no rule can be trusted. */
  #readConfigs(problems: Problem[]): { files: ConfigFile[]; certain: boolean } {
    const names = ["config.yaml", ...(this.options.env ? [`config.${this.options.env}.yaml`] : [])];
    const files: ConfigFile[] = [];
    let certain = true;
    for (const name of names) {
      const yaml = this.#parsed.get(name)?.yaml;
      if (yaml === undefined) {
        this.#configs.delete(name);
        continue;
      }
      const read = readConfig(yaml, this.#configs.get(name));
      problems.push(...read.problems);
      if (read.config) files.push(read.config);
      else certain = false;
      if (read.config) this.#configs.set(name, read.config);
    }
    return { files, certain };
  }

  /** The source of each file of the folder. Rules that cannot be checked are added to `unready`. */
  async #sources(
    files: FolderFile[],
    previous: Loaded | undefined,
    unready: Unready,
  ): Promise<{ sources: Source[]; ready: Map<string, LoadedTypeScript> }> {
    const ids = idsByFile(previous);
    const sources: Source[] = [];
    const code = files.filter(({ path, isFolder }) => !isFolder && path.endsWith(".ts"));
    const ready = await this.#typescript.load(code.filter(({ text }) => text !== undefined).map(({ path }) => path));
    for (const file of code) if (file.text === undefined) ready.set(file.path, unreadableCode(file));
    for (const { path, text, isFolder } of files) {
      if (isSpecial(path)) continue;
      // Rules in a folder that cannot be read may still exist.
      if (isFolder) { for (const [file, id] of ids) if (file.startsWith(`${path}/`)) unready.broken.set(file, id); }
      if (isFolder) continue;
      const bundle = ready.get(path);
      const source = bundle ? this.#bundledSource(path, bundle) : this.#parsed.get(path)?.source;
      const id = ids.get(path) ?? idOfPath(path);
      const isRule = ids.has(path) || text === undefined || looksLikeRule(path, text);
      if (source) sources.push(source);
      else if (isRule) unready.late.set(path, id);
      if (source?.kind === "unreadable" && isRule) unready.broken.set(path, id);
    }
    return { sources, ready };
  }

  #bundledSource(path: string, loaded: LoadedTypeScript): Source {
    const known = this.#bundled.get(loaded);
    if (known) return known;
    const source = sourceOfTypeScript(path, loaded);
    this.#bundled.set(loaded, source);
    return source;
  }

  /** Secrets used by the settings, by the commands, by the rules and by the actions that they call. */
  #secretsOf(rules: Iterable<Rule>, commands: Iterable<Command>, settings: Settings, problems: Problem[]): string[] {
    const { smtp, connections } = settings;
    const names = [...rules].flatMap((rule) => {
      const find = () => secretsOfRule(rule, this.#kinds);
      const known = this.#secretNames.get(rule) ?? guarded(rule.file, find, (problem) => (problems.push(problem), []));
      this.#secretNames.set(rule, known);
      return known;
    });
    const ofCommands = [...commands].flatMap(({ inputs }) => secretChoices(inputs));
    const ofConnections = connections.flatMap((each) => (each.kind === "bearer" ? each.bearer : each.secret) ?? []);
    return [
      ...new Set([...names, ...ofCommands, ...smtp?.password ? [smtp.password] : [], ...ofConnections]),
    ].sort();
  }

  /** The files outside the folder that the rules depend on. */
  #outside(settings: Settings): string[] {
    const { folder } = this.options;
    const all = [
      ...this.#typescript.inputs(),
      ...this.#callables.outside,
      ...settings.secrets.files,
      ...settings.secrets.folders,
    ];
    const inside = (path: string) => path.startsWith(folder + sep);
    return [...new Set(all)].filter((path) => !inside(path) && !path.includes(`${sep}node_modules${sep}`)).sort();
  }
}

function failures({ path: file, failure }: FolderFile): Problem[] {
  return failure === undefined ? [] : [{ severity: "error", file, at: { line: 1, column: 1 }, message: failure }];
}

function unreadableCode(file: FolderFile): LoadedTypeScript {
  return { kind: "problems", problems: failures(file), inputs: [], warnings: [] };
}

function isSpecial(path: string): boolean {
  return path === SETTINGS_FILE || CONFIG_FILE.test(path);
}
