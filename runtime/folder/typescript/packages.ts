import { existsSync, readdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { readRegularFileSync } from "../../host/regular_file.ts";

/** How deep below the rules folder a package can lie. */
const DEEPEST = 4;

/** The folder below the rules folder whose `package.json` has this name, absolute. */
export function findLocalPackage(root: string, name: string, depth = DEEPEST): string | undefined {
  const entries = readFolder(root);
  if (entries.some((entry) => entry.name === "package.json") && readPackage(root)?.name === name) return root;
  if (depth === 0) return undefined;
  for (const entry of entries) {
    if (!entry.isDirectory() || entry.name === "node_modules" || entry.name.startsWith(".")) continue;
    const found = findLocalPackage(join(root, entry.name), name, depth - 1);
    if (found !== undefined) return found;
  }
  return undefined;
}

function readFolder(path: string) {
  try {
    return readdirSync(path, { withFileTypes: true });
  } catch {
    return [];
  }
}

interface Manifest {
  name?: string;
  version?: string;
}

function readPackage(folder: string): Manifest | undefined {
  try {
    return JSON.parse(readRegularFileSync(join(folder, "package.json")).toString()) as Manifest;
  } catch {
    return undefined;
  }
}

/**
 * The packages that a bundle consists of, with their versions. A folder below the rules folder is one if its `package.json`
 * has a name.
 * @param inputs the files of the bundle, absolute
 * @param root the rules folder; its own `package.json` says what the rules need, and is no package
 */
export function packagesOf(inputs: Iterable<string>, root: string): Record<string, string> {
  const folders = new Set<string>();
  for (const path of inputs) {
    const folder = packageFolder(path, root);
    if (folder !== undefined) folders.add(folder);
  }
  const found = [...folders].flatMap((folder): [string, string][] => {
    const { name, version } = readPackage(folder) ?? {};
    return name === undefined ? [] : [[name, version ?? ""]];
  });
  return Object.fromEntries(found.sort(([a], [b]) => a < b ? -1 : 1));
}

function packageFolder(path: string, root: string): string | undefined {
  const inModules = /^(.*\/node_modules\/(?:@[^/]+\/)?[^/]+)\//.exec(path)?.[1];
  if (inModules !== undefined) return inModules;
  let folder = dirname(path);
  for (let up = 0; up < DEEPEST && folder !== root && folder !== dirname(folder); up++, folder = dirname(folder)) {
    if (existsSync(join(folder, "package.json"))) return folder;
  }
  return undefined;
}
