import { createHash } from "node:crypto";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { readRegularFile } from "../../host/regular_file.ts";
import { codeOf } from "../../model/errors.ts";
import { faultOf } from "../../model/problem.ts";
import { InterruptedError, type Isolates } from "../../workers/workers.ts";
import { isSettled, type Mark, markFile } from "../folder_files.ts";
import { type LoadedTypeScript, loadTypeScript } from "./typescript.ts";
import { bundle, esbuild, stopEsbuild } from "./typescript_bundle.ts";

/** What bundling and describing TypeScript files needs. */
export interface TypeScriptFilesOptions {
  /** Absolute. */
  folder: string;
  cacheFolder: string;
  isolates: Isolates;
  /** Files that are already bundled. */
  prebuilt?: Prebuilt;
  /** Milliseconds after which a load continues without files that are not ready; called for each load. */
  loadTimeout: () => number;
  /** Called when a file is ready that a load continued without. */
  onLate: () => void;
}

interface Entry {
  /** Hashes of the result's inputs, by absolute path; absent while it is being made. */
  inputs?: Map<string, string>;
  /** Hash and time of the file itself when bundling it began. */
  text: string;
  savedAt: number;
  result: Promise<LoadedTypeScript>;
  settled?: LoadedTypeScript;
  /** A load continued without it. */
  late: boolean;
}

/** How many bundles are made at the same time; a module that hangs occupies a slot until its isolate's timeout. */
const AT_ONCE = 8;
/** If a file was saved less than this before it was bundled, or later, it is unknown which state is in the bundle. */
const FRESH = 10;

/**
 * The TypeScript files that rules and `call:` consist of. Unchanged contents are not bundled again. A module that is slow
 * to evaluate delays a load no longer than its timeout.
 */
export class TypeScriptFiles {
  readonly #entries = new Map<string, Entry>();
  readonly #hashes = new FileHashes();
  #running = 0;
  readonly #queue: (() => void)[] = [];

  constructor(private readonly options: TypeScriptFilesOptions) {}

  /**
   * @param files relative to the folder
   * @returns the loaded files, by path; a file that is not ready is absent
   */
  async load(files: string[]): Promise<Map<string, LoadedTypeScript>> {
    const look = this.#hashes.look();
    const entries = await Promise.all(files.map(async (file) => [file, await this.#entry(file, look)] as const));
    await settledWithin(entries.map(([, entry]) => entry.result), this.options.loadTimeout());
    const ready = new Map<string, LoadedTypeScript>();
    for (const [file, entry] of entries) {
      if (entry.settled) ready.set(file, entry.settled);
      else entry.late = true;
    }
    return ready;
  }

  /** Forgets all other files. */
  keep(files: Set<string>): void {
    for (const file of this.#entries.keys()) if (!files.has(file)) this.#entries.delete(file);
    this.#hashes.keep(new Set([...[...files].map((file) => join(this.options.folder, file)), ...this.inputs()]));
  }

  /** The files that are ready, by path relative to the folder. */
  ready(): Map<string, LoadedTypeScript> {
    const ready = new Map<string, LoadedTypeScript>();
    for (const [file, { settled }] of this.#entries) if (settled) ready.set(file, settled);
    return ready;
  }

  /** All files that they consist of, absolute. */
  inputs(): string[] {
    return [...this.#entries.values()].flatMap(({ settled }) => settled?.inputs ?? []);
  }

  async #entry(file: string, look: Look): Promise<Entry> {
    const { hash: text, savedAt } = await look(join(this.options.folder, file));
    const known = this.#entries.get(file);
    if (known && await isCurrent(known, text, savedAt, look)) return known;
    const entry: Entry = { text, savedAt, late: false, result: this.#make(file) };
    this.#entries.set(file, entry);
    const startedAt = Date.now();
    entry.result = entry.result.then(async (result) => {
      entry.inputs = await contentsSince(result.inputs, startedAt, this.#hashes.look());
      entry.settled = result;
      if (entry.late && this.#entries.get(file) === entry) this.options.onLate();
      return result;
    });
    // The file was removed while it was read, or the program stops: the next call starts anew.
    entry.result.catch(() => this.#entries.get(file) === entry && this.#entries.delete(file));
    return entry;
  }

  async #make(file: string): Promise<LoadedTypeScript> {
    const { folder, isolates, cacheFolder, prebuilt = {} } = this.options;
    if (Object.hasOwn(prebuilt, file)) return prebuilt[file];
    if (this.#running >= AT_ONCE) await new Promise<void>((resolve) => this.#queue.push(resolve));
    this.#running++;
    try {
      return await loadTypeScript({ folder, file, isolates, cacheFolder });
    } catch (error) {
      if (error instanceof InterruptedError || codeOf(error) === "ENOENT") throw error;
      return { kind: "problems", problems: [faultOf(file, error)], inputs: [join(folder, file)], warnings: [] };
    } finally {
      this.#running--;
      this.#queue.shift()?.();
    }
  }
}

/** True if loading it again would give the same. A failed file is tried again even if it was only saved again. */
async function isCurrent(entry: Entry, text: string, savedAt: number, look: Look): Promise<boolean> {
  if (entry.text !== text) return false;
  if (!entry.settled) return true;
  // A package is no file, so its problems are determined anew at each load.
  const again = entry.savedAt !== savedAt || entry.savedAt === 0;
  if (!entry.inputs || (entry.settled.kind === "problems" && again)) return false;
  for (const [path, before] of entry.inputs) if ((await look(path)).hash !== before) return false;
  return true;
}

/** Hashes of the inputs; undefined if one was saved while the bundle was made. Missing files count too. */
async function contentsSince(inputs: string[], startedAt: number, look: Look): Promise<Entry["inputs"]> {
  const hashes = new Map<string, string>();
  for (const path of inputs) {
    const { hash, savedAt } = await look(path);
    if (savedAt > startedAt - FRESH) return undefined;
    hashes.set(path, hash);
  }
  return hashes;
}

async function settledWithin(results: Promise<unknown>[], loadTimeout: number): Promise<void> {
  const all = Promise.allSettled(results);
  if (!Number.isFinite(loadTimeout)) return void await all;
  let timer: ReturnType<typeof setTimeout> | undefined;
  await Promise.race([all, new Promise((resolve) => timer = setTimeout(resolve, loadTimeout))]);
  clearTimeout(timer);
}

/** A file's content by its hash. */
export interface Content {
  /** For a missing or unreadable file, the hash of its mark. */
  hash: string;
  /** When it was last changed, by its file system's clock. */
  savedAt: number;
}

/** Reads a file's hash, by its absolute path. */
type Look = (path: string) => Promise<Content>;

/** Hashes of files. Files whose mark is unchanged are not read again. */
class FileHashes {
  readonly #known = new Map<string, { mark: Mark; hash: string }>();

  /** Reads each file only once, however often it is asked for. */
  look(): Look {
    const contents = new Map<string, Promise<Content>>();
    return (path) => {
      const content = contents.get(path) ?? this.#read(path);
      contents.set(path, content);
      return content;
    };
  }

  /** Forgets all other files. */
  keep(paths: Set<string>): void {
    for (const path of this.#known.keys()) if (!paths.has(path)) this.#known.delete(path);
  }

  async #read(path: string): Promise<Content> {
    const lookedAt = Date.now();
    const mark = markFile(path);
    const known = this.#known.get(path);
    if (known?.mark.state === mark.state) return { hash: known.hash, savedAt: mark.savedAt };
    const hash = await readRegularFile(path).then(hashOf, () => mark.state);
    if (isSettled(mark, lookedAt)) this.#known.set(path, { mark, hash });
    else this.#known.delete(path);
    return { hash, savedAt: mark.savedAt };
  }
}

function hashOf(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

/** TypeScript files that were bundled and described in advance, by path relative to their folder. */
export type Prebuilt = Record<string, LoadedTypeScript>;

/** Replaces the folder's path in bundles until its place is known. */
const SOMEWHERE = "/__whenthen_folder__";

/**
 * Makes the files loaded from a folder independent of its place: bundles without traces of this machine.
 * @param loaded the files by path, without problems
 */
export async function prebuild(
  folder: string,
  loaded: Map<string, LoadedTypeScript>,
  cacheFolder: string,
): Promise<Prebuilt> {
  const prebuilt: Prebuilt = {};
  try {
    for (const [file, result] of loaded) {
      if (result.kind === "problems") continue;
      const { code } = await bundle(file, folder, await esbuild(cacheFolder), SOMEWHERE);
      prebuilt[file] = { ...result, code, inputs: [] };
    }
  } finally {
    await stopEsbuild();
  }
  return prebuilt;
}

/** Sets the folder's place. */
export function placePrebuilt(prebuilt: Prebuilt, folder: string): Prebuilt {
  const url = pathToFileURL(folder).href;
  const path = JSON.stringify(folder).slice(1, -1);
  return Object.fromEntries(
    Object.entries(prebuilt).map(([file, result]) => {
      if (result.kind === "problems") return [file, result];
      const code = result.code.replaceAll(`file://${SOMEWHERE}`, () => url).replaceAll(SOMEWHERE, () => path);
      return [file, { ...result, code }];
    }),
  );
}
