import { access } from "node:fs/promises";
import { resolve } from "node:path";
import { isUse } from "../commands/read_command.ts";
import { IrregularFileError, readRegularText } from "../host/regular_file.ts";
import type { Problem } from "../model/problem.ts";
import { isModule, isPackage } from "../model/target.ts";
import { type Call, calleeOf } from "./calls.ts";
import { type CallableAction, type Callables } from "./follow_calls.ts";
import type { ActionCheck } from "./checks.ts";
import type { FolderFile } from "./folder_files.ts";
import type { CommandReader } from "./command_files.ts";
import { type ActionSource, type CommandSource, type Source, sourceOfYaml } from "./source_file.ts";
import type { TypeScriptFiles } from "./typescript/typescript_files.ts";
import type { LoadedTypeScript } from "./typescript/typescript.ts";
import { parseYaml } from "./yaml/yaml.ts";

/** Where to look for call targets. */
export interface Search {
  /** The actions of the folder: checked even if nothing calls them. */
  actions: ActionSource[];
  /** The commands of the folder. */
  commands: CommandSource[];
  /** The rules. */
  callers: { file: string; calls: Call[] }[];
  files: FolderFile[];
  /** YAML files that cannot be checked, so that their kind is unknown. */
  unreadable: string[];
  /** The TypeScript files of the folder that are ready. */
  ready: Map<string, LoadedTypeScript>;
  check: (source: ActionSource) => ActionCheck;
  /** Receives the problems of the actions. */
  problems: Problem[];
}

/** Finds everything that rules and actions call, also outside of the folder. */
export class CallableFinder {
  /** Files outside of the folder that were looked for, absolute. */
  outside: string[] = [];
  readonly #read = new Map<string, { text: string; source: Source }>();

  constructor(
    private readonly folder: string,
    private readonly typescript: TypeScriptFiles,
    private readonly commands: CommandReader,
  ) {}

  async find(search: Search): Promise<Callables> {
    const paths = new Set(search.files.map(({ path }) => path));
    const callables: Callables = {
      folder: this.folder,
      actions: new Map(),
      commands: new Map(),
      fleets: new Map(),
      modules: new Map(),
      others: paths,
    };
    const commands = new Map<string, CommandSource>();
    this.outside = [];
    const modules = new Set<string>();
    const queue = [...search.callers];
    const add = (source: ActionSource) => {
      const { action, calls, problems } = search.check(source);
      search.problems.push(...problems);
      const callable: CallableAction = { calls, origin: source.origin, ...(action && { action }) };
      callables.actions.set(source.file, callable);
      queue.push({ file: source.file, calls });
    };
    const addCommand = (source: CommandSource) => {
      commands.set(source.file, source);
      const { command } = source.raw;
      if (isUse(command)) queue.push({ file: source.file, calls: [{ target: command, at: { line: 1, column: 1 } }] });
    };
    for (const source of search.commands) addCommand(source);
    for (const file of search.unreadable) callables.actions.set(file, { calls: [] });
    for (const source of search.actions) add(source);
    for (let caller = queue.shift(); caller; caller = queue.shift()) {
      for (const { target } of caller.calls) {
        const { path } = calleeOf(this.folder, caller.file, target);
        if (path === "") continue;
        if (isModule(path)) modules.add(path);
        else if (!paths.has(path) && !callables.actions.has(path) && !commands.has(path)) {
          const source = await this.#readOutside(path);
          if (source?.kind === "action") add(source);
          else if (source?.kind === "command") addCommand(source);
          else if (source) {
            callables.actions.set(path, { calls: [] });
            search.problems.push(...source.problems);
          }
        }
      }
    }
    callables.commands = this.commands.readAll(commands);
    for (const { problems, imports } of callables.commands.values()) {
      search.problems.push(...problems);
      if (imports !== undefined) this.outside.push(imports);
    }
    await this.#addModules(callables, modules, search);
    return callables;
  }

  async #addModules({ modules }: Callables, called: Set<string>, { files, ready }: Search): Promise<void> {
    const inFolder = files.map(({ path }) => path).filter(isModule);
    for (const path of inFolder) modules.set(path, ready.get(path));
    const present: string[] = [];
    for (const path of called) {
      if (modules.has(path)) continue;
      if (isPackage(path)) {
        present.push(path);
        continue;
      }
      const absolute = resolve(this.folder, path);
      this.outside.push(absolute);
      if (await access(absolute).then(() => true, () => false)) present.push(path);
      else modules.set(path, "absent");
    }
    this.typescript.keep(new Set([...inFolder, ...present]));
    const loaded = await this.typescript.load(present);
    for (const path of present) modules.set(path, loaded.get(path));
  }

  async #readOutside(path: string): Promise<Source | undefined> {
    const absolute = resolve(this.folder, path);
    this.outside.push(absolute);
    const text = await readRegularText(absolute).catch((error) => error);
    if (text instanceof IrregularFileError) {
      const { message } = text;
      const problem: Problem = { severity: "error", file: path, at: { line: 1, column: 1 }, message };
      return { kind: "unreadable", file: path, problems: [problem] };
    }
    if (typeof text !== "string") return undefined;
    const known = this.#read.get(path);
    if (known?.text === text) return known.source;
    const source = sourceOfYaml(parseYaml(text, path));
    this.#read.set(path, { text, source });
    return source;
  }
}
