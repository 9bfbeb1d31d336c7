import type { Json } from "../../model/json.ts";
import { isError, type Position, type Problem } from "../../model/problem.ts";
import type { Field } from "../../model/rule.ts";
import type { SecretFault } from "../../secrets/secrets.ts";
import { formatPath } from "../expressions/references.ts";
import { hintAtUnknownKey, nearest, wordFor } from "../hints.ts";
import type { Kind, Kinds } from "../kind.ts";
import type { SourceText } from "../fields/field_value.ts";
import type { SchemaProblem } from "./sentences.ts";

export type Path = (string | number)[];

/** One check of one file: collects all its problems. */
export class Checking {
  readonly problems: Problem[] = [];

  constructor(readonly origin: Origin, readonly kinds: Kinds, readonly context: CheckContext) {}

  /** Reports an error of the key or the value at a path. */
  error(path: Path, part: "key" | "value", message: string, hint?: string): void {
    this.#add("error", path, this.origin.at(path, part), message, hint);
  }

  /** Reports an error in a part of the text at a path. */
  errorWithin(path: Path, part: { offset: number; length: number }, message: string, hint?: string): void {
    this.#add("error", path, this.origin.within(path, part.offset, part.length), message, hint);
  }

  /** Reports a warning about a part of the text at a path; the rule still loads. */
  warnWithin(
    path: Path,
    part: { offset: number; length: number },
    message: string,
    hint?: string,
    hidden?: true,
  ): void {
    this.#add("warning", path, this.origin.within(path, part.offset, part.length), message, hint, hidden);
  }

  /**
   * Reports a warning about the value at a path; the rule still loads.
   * @param hidden whether the value must not be shown
   */
  warn(path: Path, message: string, hint?: string, hidden?: true): void {
    this.#add("warning", path, this.origin.at(path, "value"), message, hint, hidden);
  }

  /** Adds the problems that a schema found below a path. */
  addAll(path: Path, problems: SchemaProblem[]): void {
    for (const { path: below, part, message, hint, hidden } of problems) {
      const at = [...path, ...below];
      this.#add("error", at, this.origin.at(at, part), message, hint, hidden);
    }
  }

  /** The hint in the language of the file. */
  hint(of: Record<Origin["language"], string>): string {
    return of[this.origin.language];
  }

  /** The source text of scalars below a path. */
  sourceBelow(path: Path): SourceText {
    return (below) => this.origin.written?.([...path, ...below]);
  }

  /** Whether there are no errors so far; warnings do not count. */
  get ok(): boolean {
    return !this.problems.some(isError);
  }

  /**
   * Reports unknown keys, and keys without a value: in `channel: #deals`, the value is a comment. Keys of a file that
   * begin with `x-` are for other programs.
   * @returns keys that must not also be reported as missing: they are empty, or misspelt
   */
  checkKeys(raw: Record<string, unknown>, path: Path, known: string[], mayBeEmpty: string[] = []): string[] {
    const excused: string[] = [];
    for (const [key, value] of Object.entries(raw)) {
      if (path.length === 0 && key.startsWith("x-")) continue;
      if (!known.includes(key)) {
        const close = wordFor(key, known) ?? nearest(key, known);
        if (close) excused.push(close);
        this.error([...path, key], "key", `unknown key ${JSON.stringify(key)}`, hintAtUnknownKey(key, known));
      } else if (value === null && !mayBeEmpty.includes(key)) {
        excused.push(key);
        const hint = this.hint({
          yaml: "give it a value or remove it; a value that starts with # must be in quotes",
          typescript: "give it a value or remove it",
        });
        this.error([...path, key], "key", `${JSON.stringify(key)} has no value`, hint);
      }
    }
    return excused;
  }

  #add(
    severity: Problem["severity"],
    path: Path,
    at: Problem["at"],
    message: string,
    hint: string | undefined,
    hidden?: true,
  ): void {
    const { file, language } = this.origin;
    const says = language === "yaml" ? message : withPath(path, message);
    this.problems.push({
      severity,
      file,
      at,
      message: says,
      ...(hint !== undefined && { hint }),
      ...hidden && { hidden },
    });
  }
}

/** All problems of a declaration in TypeScript have the position of the rule call, so the message names the part. */
function withPath(path: Path, message: string): string {
  const named = message.includes(JSON.stringify(path.at(-1)));
  const part = formatPath((named ? path.slice(0, -1) : path).map(String));
  return part === "" ? message : `${part}: ${message}`;
}

/** The context of a check besides the file. */
export interface CheckContext {
  /** Values of `config` in force, after they are known; undefined in an action, which has none. */
  config?: Record<string, Json>;
  /** The config fields, if others than the operators set their values: the rule's editors, or a source. */
  editable?: Record<string, Field>;
  env: Record<string, string | undefined>;
  secretFault?: (name: string) => SecretFault | undefined;
  /** Ids of people and names of groups, if known. */
  people?: string[];
  /** Names of the connections in `whenthen.yaml`, if known. */
  connections?: string[];
  now: number;
}

/** The positions of the parts of a raw value in its file. YAML has ranges, TypeScript only the position of the rule call. */
export interface Origin {
  /** Path relative to the rules folder, with forward slashes. */
  file: string;
  language: "yaml" | "typescript";
  /** The position of the key or the value at a path. For a path that does not exist: that of the nearest parent. */
  at(path: (string | number)[], part: "key" | "value"): Position;
  /** The position of a part of a scalar's text; that of the scalar if the part cannot be located (escapes, folded lines). */
  within(path: (string | number)[], offset: number, length: number): Position;
  /** The plain scalar at a path as it is written, such as `1.10`; absent for TypeScript. */
  written?(path: (string | number)[]): string | undefined;
}

/**
 * Finds the key of an entry that names its kind. A key that is also an option of another kind present, or of all kinds, is not
 * the kind there: `every` next to `poll`, `if` on any step.
 */
export function findKind(
  checking: Checking,
  path: Path,
  raw: Record<string, unknown>,
  kinds: Record<string, Kind>,
  common: string[],
): Kind | undefined {
  const keys = Object.keys(raw);
  const present = keys.filter((key) => Object.hasOwn(kinds, key));
  const named = present.filter((key) => {
    return !present.some((other) =>
      other !== key && (common.includes(key) || Object.hasOwn(kinds[other].options, key))
    );
  });
  if (named.length === 1) return kinds[named[0]];
  const names = Object.keys(kinds);
  if (named.length > 1) {
    const message = `expected one kind, got ${named.map((key) => JSON.stringify(key)).join(" and ")}`;
    const hint = checking.hint({ yaml: "make it two entries, each with its own -", typescript: "make it two entries" });
    checking.error([...path, named[1]], "key", message, hint);
    return undefined;
  }
  const expected = `expected one of ${names.map((name) => JSON.stringify(name)).join(", ")}`;
  const misspelt = keys.find((key) => !common.includes(key) && (wordFor(key, names) ?? nearest(key, names))) ??
    keys.find((key) => !common.includes(key));
  if (misspelt === undefined) {
    const got = keys.length > 0 ? `only ${keys.map((key) => JSON.stringify(key)).join(", ")}` : "nothing";
    const hint = checking.hint({
      yaml: "write its kind, as in - http: POST https://example.org/",
      typescript: 'write its kind, as in { http: "POST https://example.org/" }',
    });
    checking.error(path, "value", `${expected}, got ${got}`, hint);
    return undefined;
  }
  const word = wordFor(misspelt, names) ?? nearest(misspelt, names);
  const hint = word === undefined ? "each entry has one key that is its kind" : hintAtUnknownKey(misspelt, names);
  checking.error([...path, misspelt], "key", `${expected}, got ${JSON.stringify(misspelt)}`, hint);
  return undefined;
}
