import { existsSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { readRegularFileSync } from "../host/regular_file.ts";
import type { Json } from "../model/json.ts";
import { parseEnvFile } from "./env_file.ts";
import { spellings } from "./spellings.ts";

/** Where secrets come from; an earlier source wins. */
export interface SecretSources {
  environment: Record<string, string | undefined>;
  /** `.env` files, absolute. */
  files: string[];
  /** Mounted folders with one file for each secret, absolute. */
  folders: string[];
}

/** Shorter values would mask ordinary text. */
const SHORTEST_MASKED = 4;

/** The secrets in use, and the masking of their values in all that is shown or recorded. */
export class Secrets {
  #sources: SecretSources;
  #fromFiles: Record<string, string> | undefined;
  #used = new Map<string, string>();
  #masked = new Set<string>();
  #pattern: RegExp | undefined;

  constructor(sources: SecretSources) {
    this.#sources = sources;
  }

  /** The value, or undefined where no source has it. From now on it counts as used and its value is masked. */
  get(name: string): string | undefined {
    const value = this.#used.get(name) ?? this.#find(name);
    if (value !== undefined && !this.#used.has(name)) {
      this.#used.set(name, value);
      this.#addMask(value);
    }
    return value;
  }

  /** Whether a source has it; does not count as use. */
  has(name: string): boolean {
    return this.#used.has(name) || this.#find(name) !== undefined;
  }

  /**
   * Reads these secrets so that their values are masked before anything is done with them.
   * @returns one warning for each that is not set or too short to be masked
   */
  use(names: Iterable<string>): string[] {
    const warnings: string[] = [];
    for (const name of names) {
      const value = this.get(name);
      if (value === undefined) warnings.push(`the secret ${name} is not set`);
      else if (value.length < SHORTEST_MASKED) {
        warnings.push(
          `the secret ${name} has under ${SHORTEST_MASKED} characters: it is not masked in traces and logs`,
        );
      }
    }
    return warnings;
  }

  /** Reads all sources anew where they are asked next, as after a rotation. Old values stay masked. */
  refresh(sources: SecretSources = this.#sources): void {
    this.#sources = sources;
    this.#fromFiles = undefined;
    this.#used.clear();
  }

  /** What expressions see as `secrets`: a map that reads, uses and masks what it is asked for. */
  scope(): unknown {
    return new SecretsView((name) => this.get(name));
  }

  /** Names of those in use. */
  get names(): string[] {
    return [...this.#used.keys()];
  }

  /** Names and values of all that the sources have, in use or not. */
  all(): Record<string, string> {
    const { environment, folders } = this.#sources;
    const inFolders = folders.filter(existsSync).flatMap((folder) =>
      readdirSync(folder).filter((name) => statSync(join(folder, name), { throwIfNoEntry: false })?.isFile())
    );
    const names = new Set([...Object.keys(environment), ...Object.keys(this.#files()), ...inFolders]);
    const entries = [...names].map((name) => [name, this.#find(name)] as const);
    return Object.fromEntries(entries.filter((entry): entry is [string, string] => entry[1] !== undefined));
  }

  /** Names and values of those in use. */
  snapshot(): Record<string, string> {
    return Object.fromEntries(this.#used);
  }

  /** Replaces every value in use by `***`: raw, JSON-escaped, URL-encoded, in base64 at any alignment. */
  mask(text: string): string {
    if (this.#masked.size === 0) return text;
    this.#pattern ??= patternOf(this.#masked);
    return text.replace(this.#pattern, "***");
  }

  /** Masks all texts, keys and numbers in a value. */
  maskJson<T extends Json>(value: T): T {
    return (this.#masked.size === 0 ? value : this.#maskDeep(value)) as T;
  }

  #maskDeep(value: Json): Json {
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
    this.#pattern = undefined;
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
    // A name is never a way out of the folder.
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
// The evaluator tells maps by this.
SecretsView.prototype.constructor = Map;

function readEnvFile(path: string): Record<string, string> {
  return parseEnvFile(read(path) ?? "");
}

/** Undefined where there is no file that can be read; the loader reports it where there is something else. */
function read(path: string): string | undefined {
  try {
    return readRegularFileSync(path).toString();
  } catch {
    return undefined;
  }
}

function patternOf(masked: Set<string>): RegExp {
  // The longest first: a value may hold another.
  const longestFirst = [...masked].sort((a, b) => b.length - a.length);
  return new RegExp(longestFirst.map((text) => text.replace(/[.*+?^${}()|[\]\\/-]/g, "\\$&")).join("|"), "g");
}
