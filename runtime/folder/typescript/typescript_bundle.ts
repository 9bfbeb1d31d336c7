import type { BuildFailure, BuildOptions, Loader, Location, Message } from "esbuild";
import { Buffer } from "node:buffer";
import { realpath } from "node:fs/promises";
import type { SourceMapPayload } from "node:module";
import { dirname, join, relative, resolve } from "node:path";
import { env } from "node:process";
import { pathToFileURL } from "node:url";
import { embedded } from "../../host/embedded.ts";
import { IrregularFileError, readRegularFile, readRegularText } from "../../host/regular_file.ts";
import { unpack } from "../../host/unpack.ts";
import { messageOf } from "../../model/errors.ts";
import type { Problem } from "../../model/problem.ts";
import { isPackage, specifierOf } from "../../model/target.ts";
import { MAP_COMMENT } from "../../workers/user_code.ts";
import { findTsconfig, mappedFiles, NO_TSCONFIG, type Tsconfig } from "./tsconfig.ts";
import {
  explainUnresolved,
  findRefused,
  irregularPackages,
  mayUseRefused,
  packagesOf,
  refusedDefines,
  ruleImports,
} from "./typescript_imports.ts";

/** A TypeScript file with all that it imports, as one ESM text with an inline source map. */
export interface Bundle {
  /** Empty if there are errors. */
  code: string;
  /** Every file that it consists of, or that was imported but not found; absolute. */
  inputs: string[];
  /** Errors and warnings. */
  problems: Problem[];
  /** The packages in it, with their versions. */
  packages: Record<string, string>;
}

/**
 * Bundles a TypeScript or JavaScript file. `whenthen` and Node's modules stay external; paths in it are relative to the
 * folder, so that the same files give the same code everywhere.
 * @param file relative to the folder, with forward slashes; or the key of a package, whose bundle has all that it exports
 * @param place what the code takes for its folder, if that is another one
 */
export async function bundle(file: string, folder: string, esbuild: Esbuild, place?: string): Promise<Bundle> {
  const root = await realpath(folder);
  const entry = join(root, entryName(file));
  const seen = new Set(isPackage(file) ? [] : [entry]);
  const inputs = () => [...seen].map((path) => underFolder(path, root, folder));
  const contents = isPackage(file) ? entryOfPackage(file) : await readEntry(entry);
  if (typeof contents !== "string") {
    const problem: Problem = { severity: "error", file, at: START, message: contents.text };
    return { code: "", inputs: inputs(), problems: [problem], packages: {} };
  }
  let tsconfig: Tsconfig;
  try {
    tsconfig = isPackage(file) ? NO_TSCONFIG : findTsconfig(dirname(entry), root);
  } catch (error) {
    const message = `cannot read tsconfig.json: ${messageOf(error)}`;
    return { code: "", inputs: inputs(), problems: [{ severity: "error", file, at: START, message }], packages: {} };
  }
  for (const path of tsconfig.inputs) seen.add(path);
  const options = buildOptions({ root, entry, contents, seen, known: join(place ?? root, file), tsconfig });
  const explain = (message: Message, severity: Problem["severity"]) =>
    problemOf(message, severity, file, (name) => {
      const files = mappedFiles(tsconfig, name);
      for (const path of files) seen.add(path);
      return files[0] && `paths in ${relative(root, tsconfig.path!)} name ${relative(root, files[0])}`;
    });
  try {
    const result = await esbuild.build(options);
    for (const path of Object.keys(result.metafile.inputs)) {
      if (!path.startsWith("whenthen:") && path !== entryName(file)) seen.add(resolve(root, path));
    }
    const code = withOwnSource(result.outputFiles[0].text, file);
    const warnings = result.warnings.map((message) => explain(message, "warning"));
    const refused = mayUseRefused(code) ? await refusedUses(options, root, esbuild) : [];
    const packages = packagesOf(seen, root);
    return { code: refused.length > 0 ? "" : code, inputs: inputs(), problems: [...refused, ...warnings], packages };
  } catch (failure) {
    if (!isBuildFailure(failure)) throw failure;
    const { errors, warnings } = failure;
    const problems = [
      ...errors.map((message) => explain(message, "error")),
      ...warnings.map((message) => explain(message, "warning")),
    ];
    return { code: "", inputs: inputs(), problems, packages: {} };
  }
}

const START = { line: 1, column: 1 };

function isBuildFailure(failure: unknown): failure is BuildFailure {
  return failure instanceof Error && "errors" in failure && Array.isArray(failure.errors);
}

/** The virtual entry file of a package's bundle. */
function entryName(file: string): string {
  return isPackage(file) ? `${file.replaceAll(/[:/]/g, "_")}.ts` : file;
}

/** Exports all that the package exports, also if it is CommonJS. */
function entryOfPackage(file: string): string {
  return `export * as __package from ${JSON.stringify(specifierOf(file))};\n`;
}

/** The file's text, or why it cannot be passed to esbuild. */
async function readEntry(path: string): Promise<string | { text: string }> {
  try {
    const contents = await readRegularText(path);
    return irregularPackages(dirname(path))[0] ?? contents;
  } catch (error) {
    if (error instanceof IrregularFileError) return { text: error.message };
    throw error;
  }
}

interface Building {
  root: string;
  entry: string;
  contents: string;
  seen: Set<string>;
  known: string;
  tsconfig: Tsconfig;
}

function buildOptions(of: Building) {
  return {
    // Passed as text under the name that the user knows: by path, esbuild would follow a symbolic link and name its target.
    stdin: { contents: of.contents, resolveDir: dirname(of.entry), sourcefile: of.entry, loader: loaderOf(of.entry) },
    absWorkingDir: of.root,
    bundle: true,
    write: false,
    metafile: true,
    format: "esm",
    platform: "node",
    target: "es2024",
    charset: "utf8",
    sourcemap: "inline",
    sourcesContent: true,
    legalComments: "none",
    logLevel: "silent",
    ...of.tsconfig.path === undefined ? { tsconfigRaw: {} } : { tsconfig: of.tsconfig.path },
    plugins: [ruleImports(of.seen, of.root)],
    define: locationDefines(of.known),
  } satisfies BuildOptions;
}

/** Of the sources in its map, a bundle keeps only that of the rule itself: people read it, and packages are large. */
function withOwnSource(code: string, file: string): string {
  const start = code.lastIndexOf(MAP_COMMENT) + MAP_COMMENT.length;
  const map: SourceMapPayload = JSON.parse(Buffer.from(code.slice(start), "base64").toString());
  if (map.sources.length === 1) return code;
  const sourcesContent = map.sources.map((source, index) => source === file ? map.sourcesContent[index] : null);
  return `${code.slice(0, start)}${Buffer.from(JSON.stringify({ ...map, sourcesContent })).toString("base64")}\n`;
}

/** If the folder itself is a symbolic link, its files keep the name that the user gave it. */
function underFolder(path: string, root: string, folder: string): string {
  const inside = relative(root, path);
  return inside.startsWith("..") ? path : join(folder, inside);
}

/** The code runs from a `data:` URL, which has no location; `import.meta` and the like give that of the rule's file. */
function locationDefines(entry: string): Record<string, string> {
  const [url, file, folder] = [pathToFileURL(entry).href, entry, dirname(entry)].map((text) => JSON.stringify(text));
  return {
    "import.meta.url": url,
    "import.meta.filename": file,
    "import.meta.dirname": folder,
    __filename: file,
    __dirname: folder,
  };
}

function loaderOf(file: string): Loader {
  const extension = /\.[cm]?([jt]sx?)$/.exec(file)?.[1];
  return LOADERS.find((loader) => loader === extension) ?? "ts";
}

const LOADERS = ["js", "jsx", "ts", "tsx"] as const;

async function refusedUses(
  options: ReturnType<typeof buildOptions>,
  root: string,
  esbuild: Esbuild,
): Promise<Problem[]> {
  const marked = await esbuild.build({ ...options, define: { ...options.define, ...refusedDefines() } });
  return await Promise.all(
    findRefused(marked.outputFiles[0].text).map(async ({ name, hint, place }): Promise<Problem> => {
      const { file, line, column } = place;
      const at = { line, column, length: name.length };
      const sourceLine = await readLine(join(root, file), line);
      return { severity: "error", file, at, message: `rule code cannot use ${name}`, hint, sourceLine };
    }),
  );
}

/** One line of a file, counted from 1; undefined if there is none. */
export async function readLine(path: string, line: number): Promise<string | undefined> {
  const text = await readRegularFile(path).then(String, () => "");
  return text.split(/\r?\n/)[line - 1];
}

/** @param mapped how `tsconfig.json` maps an import that was not found */
function problemOf(
  message: Message,
  severity: Problem["severity"],
  file: string,
  mapped: (specifier: string) => string | undefined,
): Problem {
  const { location } = message;
  const unresolved = /^Could not resolve "(.+)"$/.exec(message.text);
  const notes = message.notes.map((note) => note.text);
  const absent = /^No matching export in ".*" for import "(.+)"$/.exec(message.text);
  const isMissing = unresolved !== null && !notes.some((note) => note.includes("not exported"));
  const hint = location?.suggestion ? `write ${location.suggestion}` : notes[0];
  const explained = isMissing
    ? explainUnresolved(unresolved[1], mapped(unresolved[1]))
    : missingComma(message) ?? duplicateKey(message) ??
      { message: absent ? `there is no "${absent[1]}" to import` : lowerFirst(message.text), hint };
  return {
    severity,
    file: location?.file ?? file,
    at: location ? positionOf(location) : START,
    message: explained.message,
    ...(explained.hint !== undefined && { hint: explained.hint }),
    ...(location && { sourceLine: location.lineText }),
  };
}

/** Where one more entry begins, esbuild expects the end of the list, the object or the arguments. */
function missingComma({ text }: Message): { message: string; hint: string } | undefined {
  const [, end, found] = /^Expected "([)}\]])" but found (?!end of file)(.+)$/.exec(text) ?? [];
  // esbuild puts names and punctuation in quotes. Of punctuation, only what can begin an entry counts.
  if (end === undefined || !/^(?:[\w$]|"(?:\\"|["'`\w$[{(]|\.{3}))/.test(found)) return undefined;
  return {
    message: `expected "," or "${end}" but found ${found}`,
    hint: `put a comma before it, or close what stands before it with ${end}`,
  };
}

/** A key that is twice in an object. */
function duplicateKey({ text, notes: [note] }: Message): { message: string; hint: string } | undefined {
  const [, key] = /^Duplicate key (".*") in object literal$/.exec(text) ?? [];
  if (key === undefined || !note?.location) return undefined;
  return { message: `${key} is here twice: first in line ${note.location.line}`, hint: "keep one of them" };
}

/** esbuild counts bytes from 0; people count characters from 1. */
function positionOf({ line, column, length, lineText }: Location): Problem["at"] {
  const bytes = Buffer.from(lineText);
  const before = bytes.subarray(0, column).toString().length;
  const within = bytes.subarray(column, column + length).toString().length;
  return { line, column: before + 1, length: Math.max(1, within) };
}

function lowerFirst(text: string): string {
  return /^[A-Z][a-z]/.test(text) ? text[0].toLowerCase() + text.slice(1) : text;
}

export type Esbuild = typeof import("esbuild");

/** esbuild reads this variable while it is imported. */
const EXECUTABLE = "ESBUILD_BINARY_PATH";

let loading: Promise<Esbuild> | undefined;

/**
 * Loads esbuild when the first TypeScript file is found: most folders need none. In the single binary its executable is
 * unpacked first.
 * @param cacheFolder where to unpack it if the user has no cache folder
 */
export async function esbuild(cacheFolder: string): Promise<Esbuild> {
  loading ??= load(cacheFolder);
  try {
    return await loading;
  } catch (error) {
    // A full disk may have room the next time.
    loading = undefined;
    throw error;
  }
}

/** Ends esbuild's service process, which starts with the first load. Call it at shutdown; a later load starts it anew. */
export async function stopEsbuild(): Promise<void> {
  await (await loading?.catch(() => undefined))?.stop();
}

async function load(cacheFolder: string): Promise<Esbuild> {
  if (!embedded) return await import("esbuild");
  const before = env[EXECUTABLE];
  env[EXECUTABLE] = await unpack("esbuild", embedded.esbuild, cacheFolder);
  try {
    return await import("esbuild");
  } finally {
    // Children and rule code inherit the environment.
    if (before === undefined) delete env[EXECUTABLE];
    else env[EXECUTABLE] = before;
  }
}
