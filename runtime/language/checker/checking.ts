import type { Json } from "../../model/json.ts";
import type { Problem } from "../../model/problem.ts";
import type { Kinds } from "../kind.ts";
import { nearest } from "../nearest.ts";
import type { Origin } from "./origin.ts";
import { formatPath } from "../expressions/references.ts";
import type { SchemaProblem } from "./sentences.ts";
import { hintAtUnknownKey } from "./unknown_key.ts";
import type { SecretFault } from "../../secrets/secrets.ts";

export type Path = (string | number)[];

/** One check of one file: collects all that is wrong with it. */
export class Checking {
  readonly problems: Problem[] = [];

  constructor(readonly origin: Origin, readonly kinds: Kinds, readonly context: CheckContext) {}

  /** Something is wrong with the key or the value at a path. */
  error(path: Path, part: "key" | "value", message: string, hint?: string): void {
    this.#add("error", path, this.origin.at(path, part), message, hint);
  }

  /** Something is wrong with a part of the text at a path. */
  errorWithin(path: Path, part: { offset: number; length: number }, message: string, hint?: string): void {
    this.#add("error", path, this.origin.within(path, part.offset, part.length), message, hint);
  }

  /** Something is odd about a part of the text at a path; the rule loads all the same. */
  warnWithin(path: Path, part: { offset: number; length: number }, message: string, hint?: string): void {
    this.#add("warning", path, this.origin.within(path, part.offset, part.length), message, hint);
  }

  /** Something is odd about the value at a path; the rule loads all the same. */
  warn(path: Path, message: string, hint?: string): void {
    this.#add("warning", path, this.origin.at(path, "value"), message, hint);
  }

  /** What a schema found below a path. */
  addAll(path: Path, problems: SchemaProblem[]): void {
    for (const { path: below, part, message, hint } of problems) this.error([...path, ...below], part, message, hint);
  }

  /** Whether there were no errors so far; warnings do not count. */
  get ok(): boolean {
    return this.problems.every(({ severity }) => severity !== "error");
  }

  /**
   * Reports keys that mean nothing, and those with nothing behind them: `channel: #deals` is a comment.
   * @returns keys that need no second problem because they are missing: they are empty, or misspelt
   */
  checkKeys(raw: Record<string, unknown>, path: Path, known: string[], mayBeEmpty: string[] = []): string[] {
    const excused: string[] = [];
    for (const [key, value] of Object.entries(raw)) {
      if (!known.includes(key)) {
        const close = nearest(key, known);
        if (close) excused.push(close);
        this.error([...path, key], "key", `unknown key ${JSON.stringify(key)}`, hintAtUnknownKey(key, known));
      } else if (value === null && !mayBeEmpty.includes(key)) {
        excused.push(key);
        const hint = "give it a value or take it out; a value that starts with # must stand in quotes";
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
  ): void {
    const { file, language } = this.origin;
    const says = language === "yaml" ? message : withPath(path, message);
    this.problems.push({ severity, file, at, message: says, ...(hint !== undefined && { hint }) });
  }
}

/** Everything wrong with a declaration in TypeScript stands at the rule call, so the message says which part it is about. */
function withPath(path: Path, message: string): string {
  const named = message.includes(JSON.stringify(path.at(-1)));
  const part = formatPath((named ? path.slice(0, -1) : path).map(String));
  return part === "" ? message : `${part}: ${message}`;
}

/** What a check knows beside the file. */
export interface CheckContext {
  /** Values of `config` in force, once they are known; undefined in an action, which has none. */
  config?: Record<string, Json>;
  env: Record<string, string | undefined>;
  secretFault?: (name: string) => SecretFault | undefined;
  /** Ids of people and names of groups, where they are known. */
  people?: string[];
  now: number;
}
