import { existsSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { readRegularFileSync } from "../host/regular_file.ts";
import { base64Spellings, spellings } from "./spellings.ts";
import { looksLikeToken } from "./tokens.ts";

/** The sources of secrets; an earlier source wins. */
export interface SecretSources {
  environment: Record<string, string | undefined>;
  /** `.env` files, absolute. */
  files: string[];
  /** Mounted folders with one file per secret, absolute. */
  folders: string[];
}

/** Shorter values would mask ordinary text. */
export const SHORTEST_MASKED = 4;
/** Shorter base64 would match across the ends and beginnings of ordinary lines. */
const SHORTEST_WRAPPED = 8;
/** Minimum lengths of good secrets: shorter ones also mask ordinary words and numbers. `letters`: if it has only letters. */
const SHORTEST_GOOD = { any: 8, letters: 12 };

/** What to do with a value that stands where the name of a secret belongs. */
export const NAMED = "put the value into the environment, .env or a mounted folder, and its name here";

/** A problem of a secret. */
export interface SecretFault {
  message: string;
  hint: string;
  /** Whether the name is rather a value, which must not be shown. */
  hidden?: true;
}

/** The secrets in use. Masks their values in all output; data in use and in the store is never masked. */
export class Secrets {
  #sources: SecretSources;
  #fromFiles: Record<string, string> | undefined;
  #used = new Map<string, string>();
  #masked = new Set<string>();
  /** The values of secrets that were in use at any time: old ones stay masked. */
  #everUsed = new Set<string>();
  /** Masked values that are not from the sources, by the name under which they were given. */
  #hidden = new Map<string, string[]>();
  #pattern: RegExp | undefined;
  /** Spellings that may be broken across lines. */
  #wrapped = new Set<string>();
  #wrappedPattern: RegExp | undefined;

  constructor(sources: SecretSources) {
    this.#sources = sources;
  }

  /** The value, or undefined if no source has it. From now on the secret counts as used and its value is masked. */
  get(name: string): string | undefined {
    const value = this.#used.get(name) ?? this.#find(name);
    if (value !== undefined && !this.#used.has(name)) {
      this.#used.set(name, value);
      this.#everUsed.add(value);
      this.#addMask(value);
    }
    return value;
  }

  /** The value of a setting that is kept with the secrets but is not secret, such as an OAuth client id; it is not masked. */
  peek(name: string): string | undefined {
    return this.#used.get(name) ?? this.#find(name);
  }

  /** Masks these values, too, instead of those given before under the same name; they may change often. */
  hide(name: string, values: string[]): void {
    const before = this.#hidden.get(name) ?? [];
    if (before.join("\n") === values.join("\n")) return;
    this.#hidden.set(name, values);
    this.#masked.clear();
    this.#wrapped.clear();
    for (const value of [...this.#everUsed, ...[...this.#hidden.values()].flat()]) this.#addMask(value);
  }

  /** Reads these secrets, so that their values are masked before anything uses them. */
  use(names: Iterable<string>): void {
    for (const name of names) this.get(name);
  }

  /** The problem if a secret is missing or weak; does not count as use. */
  fault(name: string): SecretFault | undefined {
    const value = this.#used.get(name) ?? this.#find(name);
    const hint = "use a longer value, or config: if it is not a secret";
    if (value === undefined && looksLikeToken(name)) {
      return { message: "this looks like the value of a secret, not like its name", hint: NAMED, hidden: true };
    }
    if (value === undefined) {
      const message = `the secret ${name} is not set`;
      return { message, hint: "set it in the environment, in .env or in a mounted folder" };
    }
    const { length } = value;
    if (length < SHORTEST_MASKED) {
      return { message: `the secret ${name} has under ${SHORTEST_MASKED} characters: it is not masked`, hint };
    }
    const masksToo = "any equal text is shown as ***, even ordinary words";
    if (length < SHORTEST_GOOD.any) {
      return { message: `the secret ${name} has under ${SHORTEST_GOOD.any} characters: ${masksToo}`, hint };
    }
    if (length >= SHORTEST_GOOD.letters || !/^\p{L}+$/u.test(value)) return undefined;
    return { message: `the secret ${name} is a word of under ${SHORTEST_GOOD.letters} letters: ${masksToo}`, hint };
  }

  /** Makes the next use read all sources again, for example after a rotation. Old values stay masked. */
  refresh(sources: SecretSources = this.#sources): void {
    this.#sources = sources;
    this.#fromFiles = undefined;
    this.#used.clear();
  }

  /** The `secrets` of expressions: a map that reads, uses and masks a secret on access. */
  scope(): unknown {
    return new SecretsView((name) => this.get(name));
  }

  /** Names of the secrets in use. */
  get names(): string[] {
    return [...this.#used.keys()];
  }

  /** Names and values of all secrets in the sources, in use or not. */
  all(): Record<string, string> {
    const names = new Set([...Object.keys(this.#sources.environment), ...this.#stored()]);
    const entries = [...names].map((name) => [name, this.#find(name)] as const);
    return Object.fromEntries(entries.filter((entry): entry is [string, string] => entry[1] !== undefined));
  }

  /** Reads all secrets of `.env` files and mounted folders, so that they are masked, but not those that also mask ordinary text. */
  useStored(): void {
    this.use(this.#stored().filter((name) => this.fault(name) === undefined));
  }

  #stored(): string[] {
    const inFolders = this.#sources.folders.filter(existsSync).flatMap((folder) =>
      readdirSync(folder).filter((name) => statSync(join(folder, name), { throwIfNoEntry: false })?.isFile())
    );
    return [...Object.keys(this.#files()), ...inFolders];
  }

  /** Names and values of the secrets in use. */
  snapshot(): Record<string, string> {
    return Object.fromEntries(this.#used);
  }

  /** Replaces every value in use by `***`, in any of its {@link spellings}. */
  mask(text: string): string {
    if (this.#masked.size === 0) return text;
    this.#pattern ??= patternOf(this.#masked);
    const masked = text.replace(this.#pattern, "***");
    // Not the newline that a log line ends with.
    if (this.#wrapped.size === 0 || !/(?:\n|\\n)[^]/.test(masked)) return masked;
    this.#wrappedPattern ??= patternOf(this.#wrapped);
    return replaceAcrossLines(masked, this.#wrappedPattern, "***");
  }

  /** Masks all texts, keys and numbers in plain data. */
  maskJson<T>(value: T): T {
    return this.#masked.size === 0 ? value : this.#maskDeep(value) as T;
  }

  #maskDeep(value: unknown): unknown {
    if (typeof value === "string") return this.mask(value);
    if (typeof value === "number" || typeof value === "bigint") {
      return this.mask(String(value)) === String(value) ? value : "***";
    }
    if (Array.isArray(value)) return value.map((item) => this.#maskDeep(item));
    if (typeof value !== "object" || value === null) return value;
    return Object.fromEntries(Object.entries(value).map(([key, part]) => [this.mask(key), this.#maskDeep(part)]));
  }

  #addMask(value: string): void {
    if (value.length < SHORTEST_MASKED) return;
    for (const spelling of spellings(value)) this.#masked.add(spelling);
    for (const spelling of base64Spellings(value)) if (spelling.length >= SHORTEST_WRAPPED) this.#wrapped.add(spelling);
    this.#pattern = this.#wrappedPattern = undefined;
  }

  #files(): Record<string, string> {
    const { files } = this.#sources;
    return this.#fromFiles ??= Object.assign({}, ...files.toReversed().map(readEnvFile));
  }

  #find(name: string): string | undefined {
    const { environment, folders } = this.#sources;
    if (environment[name]) return environment[name];
    const fromFiles = this.#files();
    if (Object.hasOwn(fromFiles, name)) return fromFiles[name];
    // A name must not lead out of the folder.
    if (!/^[\w.-]+$/.test(name) || /^\.+$/.test(name)) return undefined;
    const path = folders.map((folder) => join(folder, name)).find(existsSync);
    // Files written with an editor or `echo` end in a newline that is not part of the secret.
    return path === undefined ? undefined : read(path)?.replace(/\r?\n$/, "");
  }
}

class SecretsView extends Map<string, string> {
  #read: (name: string) => string | undefined;

  constructor(read: (name: string) => string | undefined) {
    super();
    this.#read = read;
  }

  override get(name: string): string | undefined {
    return this.#read(name);
  }
}
// The evaluator recognises maps by this.
SecretsView.prototype.constructor = Map;

function readEnvFile(path: string): Record<string, string> {
  return parseEnvFile(read(path) ?? "");
}

/** The content of a file; undefined if it cannot be read, which the loader reports. */
function read(path: string): string | undefined {
  try {
    return readRegularFileSync(path).toString();
  } catch {
    return undefined;
  }
}

/** A pattern that matches any of the texts. */
export function patternOf(masked: Iterable<string>): RegExp {
  // The longest first, as a value may contain another.
  const longestFirst = [...masked].sort((a, b) => b.length - a.length);
  return new RegExp(longestFirst.map((text) => text.replace(/[.*+?^${}()|[\]\\/-]/g, "\\$&")).join("|"), "g");
}

/**
 * Parses a `.env` file: `NAME=value`, `export NAME=value`, `# comments`. Values in single quotes are literal; in double quotes
 * `\n`, `\"` and `\\` are escapes; both may span several lines. Nothing is expanded.
 */
export function parseEnvFile(text: string): Record<string, string> {
  const line =
    /^[ \t]*(?:export[ \t]+)?([A-Za-z_][\w.-]*)[ \t]*=[ \t]*(?:'([^']*)'|"((?:[^"\\]|\\[\s\S])*)"|([^\r\n]*?))[ \t]*(?:(?<=\s)#.*)?$/gm;
  const values: Record<string, string> = {};
  for (const [, name, literal, quoted, bare] of text.matchAll(line)) {
    values[name] = literal ?? (quoted === undefined ? bare : unescape(quoted));
  }
  return values;
}

function unescape(text: string): string {
  return text.replace(
    /\\([\s\S])/g,
    (_all, char) => char === "n" ? "\n" : char === "r" ? "\r" : char === "t" ? "\t" : char,
  );
}

/** A line break in a text, or in a text that is JSON; the next line may be indented. */
const BREAK = /(?:\r|\\r)?(?:\n|\\n)[ \t]*/g;

/**
 * Replaces matches of a pattern across line breaks, as base64 is broken in mails and keys. Matches within one line stay
 * unchanged.
 * @param pattern global; matches texts without line breaks
 */
function replaceAcrossLines(text: string, pattern: RegExp, replacement: string): string {
  const breaks = [...text.matchAll(BREAK)];
  if (breaks.length === 0) return text;
  // How many characters were removed before each position of the joined lines.
  const gaps: { at: number; gone: number }[] = [];
  let gone = 0;
  for (const { index, 0: { length } } of breaks) gaps.push({ at: index - gone, gone: gone += length });
  let result = "";
  let done = 0;
  let gap = 0;
  for (const { index, 0: { length } } of text.replace(BREAK, "").matchAll(pattern)) {
    while (gap < gaps.length && gaps[gap].at <= index) gap++;
    const start = index + (gap === 0 ? 0 : gaps[gap - 1].gone);
    while (gap < gaps.length && gaps[gap].at < index + length) gap++;
    const end = index + length + (gap === 0 ? 0 : gaps[gap - 1].gone);
    if (end - start === length) continue;
    result += text.slice(done, start) + replacement;
    done = end;
  }
  return result + text.slice(done);
}
