import { commandRules } from "../commands/command_rule.ts";
import { taskRules } from "./task_rule.ts";
import { logLines } from "../host/log_line.ts";
import type { About, OwnEvents } from "../ingest/emit_own_events.ts";
import type { Ingest } from "../ingest/ingest.ts";
import type { UpperValue } from "../model/config.ts";
import { writeExactJson } from "../formats/exact_json.ts";
import { messageOf } from "../model/errors.ts";
import { escapeControls, formatProblem, type Problem } from "../model/problem.ts";
import type { Rule } from "../model/rule.ts";
import type { Store } from "../store/store.ts";
import { hookOf } from "../triggers/webhook.ts";
import type { Attachments } from "./attachments.ts";
import type { Loaded } from "./loaded.ts";
import type { Loader } from "./loader.ts";
import { setOnPages } from "./settings/config_layers.ts";
import { CONFIG_SOURCE } from "./settings/config_source.ts";

/** What the rules in force work with. */
export interface LiveRulesOptions {
  loader: Loader;
  store: Store;
  ingest: Ingest;
  attachments: Attachments;
  /** Called with the loaded rules before they take effect: secrets and limits must be those of the new rules. */
  onLoaded: (loaded: Loaded) => void | Promise<void>;
  /** A trigger could not be attached. */
  onFailure: (rule: string, trigger: string, message: string) => void;
}

/** The rules in force: a reload takes them from the folder and swaps them as one consistent set. */
export class LiveRules {
  #loaded: Loaded | undefined;
  #paused: Record<string, string> = {};
  #versions: string[] = [];
  #startable: ReadonlyMap<string, Rule> = new Map();
  /** The config values above those of the files, as JSON, as of the last load. */
  #upper = "";

  constructor(private readonly options: LiveRulesOptions) {}

  /** The result of the last reload, or undefined before the first. */
  get loaded(): Loaded | undefined {
    return this.#loaded;
  }

  /** The rules by id. */
  get rules(): ReadonlyMap<string, Rule> {
    return this.#loaded?.rules ?? new Map();
  }

  /** The rules by id, together with those that start a command by itself, or send a task by hand. */
  get startable(): ReadonlyMap<string, Rule> {
    return this.#startable;
  }

  /**
   * The versions that a run may be pinned to: those in force, those about to be, and those just replaced, which may still
   * decide an event.
   */
  get versions(): string[] {
    return this.#versions;
  }

  /** The reason of each paused rule, by rule id. */
  get paused(): Readonly<Record<string, string>> {
    return this.#paused;
  }

  /** Folder → rules in force. Unchanged rules are not touched; a file that does not load keeps its last good version. */
  async reload(): Promise<void> {
    const { loader, ingest, attachments, onLoaded, onFailure } = this.options;
    const before = this.#loaded;
    const upper = await this.#upperConfig();
    this.#upper = writeExactJson(upper);
    const loaded = await loader.load(before, upper);
    if (before === undefined) await this.#keepFromBefore(loaded);
    await onLoaded(loaded);
    // Runs can be pinned only to stored versions. Set this before the versions are stored: upkeep may look in between.
    const startable = new Map([
      ...commandRules(loaded.commands.values()),
      ...taskRules(loaded.fleets.values()),
      ...loaded.rules,
    ]);
    this.#versions = [this.#startable, startable].flatMap((rules) => [...rules.values()].map(({ version }) => version));
    await this.#putVersions(before && this.#startable, startable);
    if (before === undefined) await this.#readPaused();
    this.#loaded = loaded;
    this.#startable = startable;
    ingest.setRules(startable);
    await ingest.batches.rulesChanged();
    for (const { rule, trigger, error } of await attachments.swap(loaded.rules)) {
      onFailure(rule.id, trigger.id, messageOf(error));
    }
    logReload(before, loaded);
  }

  /** Pauses a rule with a reason, so that its events start nothing; null resumes it. */
  async pause(rule: string, reason: string | null): Promise<void> {
    await this.options.store.setPaused(rule, reason);
    await this.#readPaused();
    await this.options.ingest.batches.rulesChanged();
  }

  /** Config values above those of the files. */
  async #upperConfig(): Promise<UpperValue[]> {
    const { store } = this.options;
    const [sourced, onPages] = await Promise.all([store.getSourced(), store.listConfig()]);
    return [...sourced, ...setOnPages(onPages)];
  }

  /**
   * Adopts what other replicas have changed: which rules are paused.
   * @returns whether config values have changed, too, so that a reload is due
   */
  async adoptChanges(): Promise<boolean> {
    const before = JSON.stringify(this.#paused);
    await this.#readPaused();
    if (JSON.stringify(this.#paused) !== before) await this.options.ingest.batches.rulesChanged();
    return writeExactJson(await this.#upperConfig()) !== this.#upper;
  }

  /** A file that was broken while the program was down keeps the version that was in force before. */
  async #keepFromBefore({ rules, broken, late }: Loaded): Promise<void> {
    const missing = [...broken.values(), ...late.values()].filter((id) => !rules.has(id));
    if (missing.length === 0) return;
    for (const rule of await this.options.store.getInForce(missing)) rules.set(rule.id, rule);
  }

  async #putVersions(before: ReadonlyMap<string, Rule> | undefined, rules: ReadonlyMap<string, Rule>): Promise<void> {
    const { store } = this.options;
    if (before === undefined) return await store.putVersions([...rules.values()]);
    const changed = [...rules.values()].filter(({ id, version }) => before.get(id)?.version !== version);
    const gone = [...before.keys()].filter((id) => !rules.has(id));
    if (changed.length + gone.length > 0) await store.changeVersions(changed, gone);
  }

  async #readPaused(): Promise<void> {
    this.#paused = await this.options.store.listPaused();
    this.options.ingest.setPaused(this.#paused);
  }
}

/** What a reload changes for each rule, by id. `Loaded.rules` contains kept rules too: it is what is in force. */
export interface Reload {
  /** New, or in another version: its triggers are swapped. */
  loaded: string[];
  /** Its file does not load; its last good version continues. */
  kept: string[];
  /** Its file does not load and there is no good version to keep. */
  failed: string[];
  /** Its file was removed. */
  removed: string[];
  unchanged: string[];
}

/** One log line about one rule. */
interface ReloadLine {
  rule: string;
  what: "loaded" | "kept" | "failed" | "late" | "removed";
  file: string;
  /** One line, or several if it shows problems. */
  text: string;
}

/** Compares two loads. */
export function diff(previous: Loaded | undefined, next: Loaded): Reload {
  const reload: Reload = { loaded: [], kept: [], failed: [], removed: [], unchanged: [] };
  const broken = new Set(next.broken.values());
  for (const [id, rule] of next.rules) {
    if (broken.has(id)) reload.kept.push(id);
    else if (previous?.rules.get(id)?.version === rule.version) reload.unchanged.push(id);
    else reload.loaded.push(id);
  }
  for (const id of broken) if (!next.rules.has(id)) reload.failed.push(id);
  for (const id of previous?.rules.keys() ?? []) {
    if (!next.rules.has(id) && !broken.has(id)) reload.removed.push(id);
  }
  return reload;
}

/**
 * One line for each rule that the reload affects. A rule that is still broken in the same way, or still late, is not
 * repeated.
 */
export function describeReload(previous: Loaded | undefined, next: Loaded): ReloadLine[] {
  const reload = diff(previous, next);
  const lines: ReloadLine[] = [];
  for (const rule of reload.loaded) {
    const { file, triggers, enabled } = next.rules.get(rule)!;
    const kinds = triggers.map(({ id }) => id.trim().replace(/\s+/g, " ")).join(", ");
    const text = `loaded ${escapeControls(rule)} (${escapeControls(kinds)})${enabled ? "" : ", disabled"}${
      listed(problemsOf(next, file))
    }`;
    lines.push({ rule, what: "loaded", file, text });
  }
  for (const what of ["kept", "failed"] as const) {
    for (const rule of reload[what]) {
      const file = fileOf(next, rule);
      const problems = listed(problemsOf(next, file));
      if (previous && previous.broken.has(file) && listed(problemsOf(previous, file)) === problems) continue;
      const says = what === "kept" ? "the last good version stays live" : "it does not load";
      lines.push({ rule, what, file, text: `${what} ${escapeControls(rule)}: ${says}${problems}` });
    }
  }
  for (const [file, rule] of next.late) {
    if (previous?.late.has(file)) continue;
    const meanwhile = next.rules.has(rule) ? "the last good version stays live" : "its events start nothing";
    const text = `late ${escapeControls(rule)}: its code is still being evaluated; until then ${meanwhile}`;
    lines.push({ rule, what: "late", file, text });
  }
  for (const rule of reload.removed) {
    lines.push({
      rule,
      what: "removed",
      file: previous!.rules.get(rule)!.file,
      text: `removed ${escapeControls(rule)}`,
    });
  }
  return lines;
}

function fileOf(loaded: Loaded, rule: string): string {
  for (const [file, id] of loaded.broken) if (id === rule) return file;
  return loaded.rules.get(rule)?.file ?? rule;
}

function problemsOf(loaded: Loaded, file: string): Problem[] {
  return loaded.problems.filter((problem) => problem.file === file);
}

function listed(problems: Problem[]): string {
  return problems.map((problem) => `\n${formatProblem(problem)}`).join("");
}

/** The log level of each line. */
const LEVELS: Record<ReloadLine["what"], "info" | "warn" | "error"> = {
  loaded: "info",
  kept: "error",
  failed: "error",
  late: "warn",
  removed: "info",
};

/** Logs a reload: a line for each affected rule, then the problems that these lines do not show. */
function logReload(before: Loaded | undefined, after: Loaded): void {
  const lines = describeReload(before, after);
  for (const { rule, what, file, text } of lines) {
    logLines(LEVELS[what], text.split("\n"), { rule, what, file });
  }
  const shown = new Set(lines.map(({ file }) => file));
  const known = new Set(before?.problems.map(formatProblem));
  for (const problem of after.problems) {
    const text = formatProblem(problem);
    if (shown.has(problem.file) || known.has(text)) continue;
    logLines(problem.severity === "error" ? "error" : "warn", text.split("\n"), { file: problem.file });
  }
}

/** Begins the program's own events about files that do not load and config values that are refused, and ends those that are over. */
export function updateOwnEvents(loaded: Loaded, ownEvents: Pick<OwnEvents, "begin" | "forget">): void {
  updateBroken(loaded, ownEvents);
  updateRefused(loaded, ownEvents);
  const exists = ({ rule, trigger }: About) =>
    rule === CONFIG_SOURCE.rule || loaded.fleets.has(rule) ||
    loaded.rules.get(rule)?.triggers.some(({ id }) => id === trigger) === true;
  for (const kind of ["poll", "capped"] as const) ownEvents.forget(kind, exists);
  const paths = new Set(
    [...loaded.rules.values()].flatMap(({ triggers }) => triggers.map((each) => hookOf(each)?.webhook)),
  );
  ownEvents.forget("hook", ({ path }) => paths.has(path));
}

function updateBroken({ broken, problems }: Loaded, ownEvents: Pick<OwnEvents, "begin" | "forget">): void {
  for (const file of broken.keys()) {
    const found = problems.filter((problem) => problem.file === file).map(({ message }) => message);
    ownEvents.begin("broken", { file }, found[0] ?? "It does not load", { problems: found });
  }
  ownEvents.forget("broken", ({ file }) => broken.has(file));
}

/** The events of a rule that cannot be checked stay as they are. */
function updateRefused(
  { refused, configs, broken, late }: Loaded,
  ownEvents: Pick<OwnEvents, "begin" | "forget">,
): void {
  for (const { rule, key, reason, from, by } of refused) {
    ownEvents.begin("config", { rule, key }, reason, { from, ...by !== undefined && { by } });
  }
  const unchecked = new Set([...broken.values(), ...late.values()].filter((id) => !configs.has(id)));
  const isRefused = (about: About) => refused.some(({ rule, key }) => rule === about.rule && key === about.key);
  ownEvents.forget("config", (about) => unchecked.has(about.rule) || isRefused(about));
}
