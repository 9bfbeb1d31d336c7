import { createHash, randomUUID } from "node:crypto";
import { mkdir, readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { readExactJson, writeExactJson, writeRecordJson } from "../formats/exact_json.ts";
import { checkAction, type CheckedRule, checkRule, type Known } from "../language/checker/check_rule.ts";
import type { Origin } from "../language/checker/checking.ts";
import { callTargets } from "../language/expressions/check_expression.ts";
import type { SourceText } from "../language/fields/field_value.ts";
import { readFields } from "../language/fields/read_fields.ts";
import type { Kinds } from "../language/kind.ts";
import type { RuleConfig, UpperValue } from "../model/config.ts";
import type { Json, JsonObject } from "../model/json.ts";
import { guarded, isError, type Position, type Problem } from "../model/problem.ts";
import type { CalledAction, Field, Rule } from "../model/rule.ts";
import type { SecretFault } from "../secrets/secrets.ts";
import { type Call, callsInCode, callsInRaw, placeCalls } from "./calls.ts";
import { type ConfigFile, configOf } from "./settings/config_files.ts";
import { editorsOf, layConfig, lowerValues, warningOf } from "./settings/config_layers.ts";
import { type ActionSource, idOfPath, type RuleSource } from "./source_file.ts";

/** The inputs of a check besides the file, the same for all files of a load. */
export interface Surroundings {
  configs: ConfigFile[];
  /** Config values above those of the files, by rule. */
  upper: ReadonlyMap<string, UpperValue[]>;
  secretFault: (name: string) => SecretFault | undefined;
  /** Ids of people and names of groups. */
  people: string[];
  /** Names of connections. */
  connections: string[];
  /** Whether a source sets config values. */
  hasConfigSource: boolean;
  previous: ReadonlyMap<string, Rule>;
  previousConfigs: ReadonlyMap<string, RuleConfig>;
}

export interface RuleCheck {
  /** Absent if the file has errors. */
  rule?: CheckedRule;
  /** Absent if the rule has no config, or the check itself failed. */
  config?: RuleConfig;
  calls: Call[];
  problems: Problem[];
}

export interface ActionCheck {
  action?: CalledAction;
  calls: Call[];
  problems: Problem[];
}

/** The secrets that a check asked for, with the answers: its result depends on them. */
type Asked = [name: string, answer: string | null][];

/** The result of a check with all that it depends on, besides the file. */
interface Memo<T> {
  /** The config and the people that it was checked with. */
  given: string;
  asked: Asked;
  result: T;
}

/** Checks rules and actions. A file that is unchanged is not checked again with the same config, people and secrets. */
export class Checks {
  readonly #checkedRules = new WeakMap<RuleSource, Memo<RuleCheck>>();
  readonly #checkedActions = new WeakMap<ActionSource, Memo<ActionCheck>>();

  /** @param env the values of `env.X` in `when` */
  constructor(
    private readonly kinds: Kinds,
    private readonly env: Record<string, string | undefined>,
    private readonly now: () => number,
  ) {}

  rule(source: RuleSource, surroundings: Surroundings): RuleCheck {
    return guarded(source.file, () => this.#rule(source, surroundings), (problem) => failed(source, problem));
  }

  action(
    source: ActionSource,
    surroundings: Pick<Surroundings, "secretFault" | "people" | "connections">,
  ): ActionCheck {
    return guarded(source.file, () => this.#action(source, surroundings), (problem) => failed(source, problem));
  }

  /** The result of a rule's last check, or undefined. */
  memoOf(source: RuleSource): Memo<RuleCheck> | undefined {
    return this.#checkedRules.get(source);
  }

  /** From now on the rule counts as checked. */
  remember(source: RuleSource, memo: Memo<RuleCheck>): void {
    this.#checkedRules.set(source, memo);
  }

  #rule(source: RuleSource, surroundings: Surroundings): RuleCheck {
    const { secretFault, people, connections, hasConfigSource } = surroundings;
    const { config, values, enabled, missing, problems } = configFor(source, surroundings);
    const checked = recall(
      this.#checkedRules,
      source,
      writeExactJson([values, enabled, people, connections, hasConfigSource]),
      secretFault,
      (ask) => {
        const known = {
          id: idOfPath(source.file),
          config: values,
          ...(enabled !== undefined && { enabled }),
          env: this.env,
          secretFault: ask,
          people,
          connections,
          hasConfigSource,
          now: this.now(),
        };
        const check = this.#checkAt(source, source.origin, known);
        if (check.problems.length === 0 || source.exactOrigin === undefined) return check;
        return this.#checkAt(source, source.exactOrigin(), known);
      },
    );
    if (config === undefined && missing.length + problems.length === 0) return checked;
    const { rule, calls } = checked;
    return {
      ...(rule && missing.length === 0 && { rule }),
      ...config && { config },
      calls,
      problems: [...checked.problems, ...problems],
    };
  }

  #checkAt(source: RuleSource, origin: Origin, known: Known): RuleCheck {
    const { rule, problems, testProblems } = checkRule(source.raw, origin, this.kinds, known);
    const inRaw = callsInRaw(source.raw, origin);
    const calls = rule ? placeCalls(callTargets(rule, this.kinds), inRaw) : inRaw;
    if (origin.language === "typescript") calls.push(...callsInCode(source.text, source.origin.at([], "value")));
    const found = together(source.problems, problems);
    const ofTests = together(source.problems, testProblems).slice(source.problems.length);
    return { ...(rule && !found.some(isError) && { rule }), calls, problems: [...found, ...ofTests] };
  }

  #action(
    source: ActionSource,
    { secretFault, people, connections }: Pick<Surroundings, "secretFault" | "people" | "connections">,
  ): ActionCheck {
    return recall(this.#checkedActions, source, JSON.stringify([people, connections]), secretFault, (ask) => {
      const checked = checkAction(source.raw, source.origin, this.kinds, {
        env: this.env,
        secretFault: ask,
        people,
        connections,
        now: this.now(),
      });
      const problems = together(source.problems, checked.problems);
      const inRaw = callsInRaw(source.raw, source.origin);
      const action = problems.some(isError) ? undefined : checked.action;
      return {
        ...(action && { action }),
        calls: checked.action ? placeCalls(callTargets(checked.action, this.kinds), inRaw) : inRaw,
        problems,
      };
    });
  }
}

/** The config of a rule from all layers. */
function configFor(source: RuleSource, { configs, upper, previous, previousConfigs }: Surroundings) {
  const { id, file, raw, origin, exactOrigin } = source;
  const fields = fieldsOf(raw.config, (path) => origin.written?.(["config", ...path]));
  const last = previous.get(id);
  const before = previousConfigs.get(id);
  const known = last && { enabled: last.enabled, config: before ? lowerValues(before.entries) : last.config };
  const { values: fromFiles, enabled, missing, problems } = configOf({ id, fields }, configs, known);
  const given = upper.get(id) ?? [];
  if (Object.keys(fields).length + given.length === 0) return { values: {}, enabled, missing, problems };
  const { values, entries, refused } = layConfig(fields, fromFiles, given);
  for (const each of refused) {
    problems.push(warningOf(each, file, (exactOrigin?.() ?? origin).at(["config", each.key], "key")));
  }
  const named = typeof raw.name === "string" ? { name: raw.name } : {};
  const config: RuleConfig = { rule: id, ...named, file, fields, editors: editorsOf(raw.editors), entries, refused };
  return { config, values, enabled, missing, problems };
}

function failed({ problems }: RuleSource | ActionSource, problem: Problem): { calls: Call[]; problems: Problem[] } {
  return { calls: [], problems: [...problems, problem] };
}

/** At a position with a YAML problem, the checker's problems are only consequences and are dropped. */
function together(slips: Problem[], checked: Problem[]): Problem[] {
  const places = new Set(slips.map(({ at }) => `${at.line}:${at.column}`));
  return [...slips, ...checked.filter(({ at }) => !places.has(`${at.line}:${at.column}`))];
}

/** The config fields that a rule declares; the checker reports problems in them. */
export function fieldsOf(declared: Json | undefined, source?: SourceText): Record<string, Field> {
  return declared === undefined ? {} : readFields(declared, { source }).fields;
}

function recall<S extends object, T>(
  memos: WeakMap<S, Memo<T>>,
  source: S,
  given: string,
  secretFault: (name: string) => SecretFault | undefined,
  check: (ask: (name: string) => SecretFault | undefined) => T,
): T {
  const memo = memos.get(source);
  const answerTo = (name: string) => secretFault(name)?.message ?? null;
  const same = memo?.given === given && memo.asked.every(([name, answer]) => answerTo(name) === answer);
  if (same) return memo.result;
  const asked: Asked = [];
  const result = check((name) => {
    asked.push([name, answerTo(name)]);
    return secretFault(name);
  });
  memos.set(source, { given, asked, result });
  return result;
}

/** A rule file without problems, as it was read and checked. */
export interface CheckedFile {
  value: JsonObject;
  idAt: Position;
  memo: Memo<RuleCheck>;
}

/** The file's name. Its first line is the hash of the second. */
const FILE = "rules.checked";
/** Characters of a value: YAML aliases make small files large. */
const LARGEST = 100_000;

/**
 * The check results of a folder's YAML rules from the previous start, so that a start reads and checks only those that have
 * changed. A file counts as unchanged if its path, its text and the program are the same. Nothing is kept of a file with
 * problems, which would need its positions, or of one that may read the environment or the clock, on which the check would
 * depend.
 */
export class CheckedRules {
  /**
   * @param folder the cache folder
   * @param build names the code of this program; without it nothing is kept
   */
  constructor(private readonly folder: string, private readonly build: string | undefined) {}

  /** By {@link keyOf}; a damaged file counts as absent. */
  async read(): Promise<Map<string, CheckedFile>> {
    if (this.build === undefined) return new Map();
    try {
      const text = await readFile(join(this.folder, FILE), "utf8");
      const [hash] = text.split("\n", 1);
      const json = text.slice(hash.length + 1);
      return new Map(hash === hashOf(json) ? readExactJson(json) as [string, CheckedFile][] : []);
    } catch {
      return new Map();
    }
  }

  keyOf(path: string, text: string): string {
    return hashOf(`${this.build}\n${path}\n${text}`);
  }

  /**
   * Keeps exactly these, by rename, so that another process never reads half of the file. Does nothing without a data
   * folder or disk space.
   */
  async write(files: ReadonlyMap<string, CheckedFile>): Promise<void> {
    if (this.build === undefined) return;
    try {
      await mkdir(this.folder).catch(() => {});
      const temporary = join(this.folder, `${FILE}.${randomUUID()}.tmp`);
      const json = writeRecordJson([...files]);
      await writeFile(temporary, `${hashOf(json)}\n${json}`, { mode: 0o600 });
      await rename(temporary, join(this.folder, FILE));
    } catch {
      // The next start checks everything, as this one did.
    }
  }
}

/** Whether the check depends only on the file, the program and the contents of the memo, and its result is small. */
export function canKeep(value: JsonObject, { result }: Memo<RuleCheck>): boolean {
  if (result.rule === undefined || result.problems.length > 0) return false;
  const text = writeExactJson(value);
  return text.length <= LARGEST && !/env|now|"at":/.test(text);
}

function hashOf(text: string): string {
  return createHash("sha256").update(text).digest("base64url");
}
