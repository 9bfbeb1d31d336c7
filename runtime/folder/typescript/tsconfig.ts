import { existsSync, readFileSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { assertRegular } from "../../host/regular_file.ts";

/** The `tsconfig.json` of a file: esbuild obeys its `paths`, its kind of decorators and the like, as editors and `tsc` do. */
export interface Tsconfig {
  /** Absolute; absent if there is none. */
  path?: string;
  /** Files on which its choice and content depend, whether they exist or not; absolute. */
  inputs: string[];
  /** Each pattern of `paths`, with the absolute paths that it stands for. */
  paths: [pattern: string, targets: string[]][];
}

/** Without one, esbuild would look for one itself, and wait for the writer of a named pipe. */
export const NO_TSCONFIG: Tsconfig = { inputs: [], paths: [] };

/**
 * Finds the nearest `tsconfig.json` in the folder of a file or above.
 * @param root the rules folder; a file that appears in it later is noticed
 * @throws IrregularFileError if one of its files cannot be read safely
 */
export function findTsconfig(folder: string, root: string): Tsconfig {
  const inputs: string[] = [];
  for (let at = folder;; at = dirname(at)) {
    const path = join(at, "tsconfig.json");
    if (existsSync(path)) return { path, ...readChain(path, inputs) };
    if (!relative(root, at).startsWith("..")) inputs.push(path);
    if (at === dirname(at)) return { inputs, paths: [] };
  }
}

const EXTENDS = /"extends"\s*:\s*(\[[^\]]*\]|"[^"]*")/;
const TEXTS = /"([^"]*)"/g;
/** `"@lib/*": ["./lib/*"]`, and other lists, which no import matches. */
const LISTS = /"([^"]+)"\s*:\s*\[([^\]]*)\]/g;

/** Reads the file and those that it extends. Only esbuild parses them; the names found here are for watching and for error messages. */
function readChain(first: string, before: string[]): Pick<Tsconfig, "inputs" | "paths"> {
  const inputs = [...before];
  const paths: Tsconfig["paths"] = [];
  const open = [first];
  for (let path = open.pop(); path !== undefined; path = open.pop()) {
    if (inputs.includes(path)) continue;
    inputs.push(path);
    if (!existsSync(path)) continue;
    assertRegular(path);
    const text = readFileSync(path, "utf8");
    const base = resolve(dirname(path), /"baseUrl"\s*:\s*"([^"]*)"/.exec(text)?.[1] ?? ".");
    for (const [, pattern, targets] of text.matchAll(LISTS)) {
      paths.push([pattern, [...targets.matchAll(TEXTS)].map(([, target]) => resolve(base, target))]);
    }
    for (const [, name] of (EXTENDS.exec(text)?.[1] ?? "").matchAll(TEXTS)) {
      // Packages are not watched, here as elsewhere.
      if (/^[./]/.test(name)) open.push(resolve(dirname(path), name.endsWith(".json") ? name : `${name}.json`));
    }
  }
  return { inputs, paths };
}

/** Endings that esbuild tries for a path without extension. */
const ENDINGS = ["", ".tsx", ".ts", ".jsx", ".js", ".json", "/index.ts", "/index.js"];

/** The files that an import may mean by `paths`; absolute, the likely one first. */
export function mappedFiles({ paths }: Tsconfig, specifier: string): string[] {
  return paths.flatMap(([pattern, targets]) => {
    const [head, tail] = pattern.split("*", 2);
    const isMatch = tail === undefined
      ? specifier === pattern
      : specifier.length >= head.length + tail.length && specifier.startsWith(head) && specifier.endsWith(tail);
    if (!isMatch) return [];
    const middle = tail === undefined ? "" : specifier.slice(head.length, specifier.length - tail.length);
    return targets.flatMap((target) => ENDINGS.map((ending) => target.replace("*", () => middle) + ending));
  });
}
