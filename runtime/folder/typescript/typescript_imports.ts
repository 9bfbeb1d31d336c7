import type { OnResolveArgs, OnResolveResult, Plugin, PluginBuild } from "esbuild";
import { existsSync, readdirSync } from "node:fs";
import { builtinModules } from "node:module";
import { dirname, join, resolve } from "node:path";
import { assertRegular, IrregularFileError, readRegularFileSync } from "../../host/regular_file.ts";
import { protocol, PROTOCOL_KEY } from "../../sdk/protocol.ts";
import { UserCode } from "../../workers/user_code.ts";
import type { CodePlace } from "../../workers/workers.ts";

/** Resolves the imports of rule files. `seen` collects all files that were asked for, found or not: they are watched. */
export function ruleImports(seen: Set<string>, root: string): Plugin {
  return {
    name: "whenthen",
    setup(build) {
      provideWhenthen(build);
      build.onResolve({ filter: /^\.\.?\// }, (args) => {
        if (isInPackage(args)) return undefined;
        const path = resolve(args.resolveDir, args.path);
        seen.add(path);
        return { errors: irregularPackages(dirname(path)) };
      });
      build.onLoad({ filter: /.*/, namespace: "file" }, ({ path }) => ({ errors: irregularFile(path) }));
      build.onResolve({ filter: /^(npm|jsr):/ }, (args) => resolvePrefixed(build, args));
      build.onResolve(
        { filter: /^(@[\w.~-]+\/)?[A-Za-z0-9_][\w.~-]*(\/|$)/ },
        (args) => resolveLocal(build, args, root),
      );
      build.onResolve({ filter: /^https?:/ }, (args) => ({
        errors: [
          refusal(`cannot import ${JSON.stringify(args.path)}`, "install the package with npm and import it by name"),
        ],
      }));
      build.onResolve({ filter: refusedFilter() }, (args) => {
        if (isInPackage(args)) return undefined;
        const hint = REFUSED_MODULES[args.path.replace(/^node:/, "")];
        return { errors: [refusal(`rule code cannot use ${JSON.stringify(args.path)}`, hint)] };
      });
    },
  };
}

/** `import … from "whenthen"` reads what the worker provides, so that a stored bundle outlives the program's version. */
function provideWhenthen(build: PluginBuild): void {
  const names = Object.keys(protocol).join(", ");
  const contents = `export const { ${names} } = globalThis[Symbol.for(${JSON.stringify(PROTOCOL_KEY)})];`;
  build.onResolve({ filter: /^whenthen$/ }, () => ({ path: "whenthen", namespace: "whenthen" }));
  build.onLoad({ filter: /.*/, namespace: "whenthen" }, () => ({ contents, loader: "js" }));
}

/** `npm:x@1/sub` and `jsr:@a/b@1/sub`, from a node_modules folder in or above the rule's. */
async function resolvePrefixed(build: PluginBuild, args: OnResolveArgs): Promise<OnResolveResult> {
  const match = /^(npm|jsr):\/?((?:@[^/]+\/)?[^@/]+)(@[^/]+)?(\/.*)?$/.exec(args.path);
  if (!match) return { errors: [refusal(`cannot import ${JSON.stringify(args.path)}`, 'write it like "npm:name@1"')] };
  const [, registry, name, version = "", path = ""] = match;
  const { kind, importer, resolveDir } = args;
  const found = await build.resolve(name + path, { kind, importer, resolveDir });
  if (found.errors.length === 0) return { path: found.path, external: found.external, sideEffects: found.sideEffects };
  const command = registry === "npm" ? `npm install ${name}${version}` : `npx jsr add ${name}${version}`;
  return { errors: [refusal(`cannot find the package ${JSON.stringify(args.path)}`, command)] };
}

/** Marks a resolution that this plugin requests itself: esbuild answers it. */
const PLAIN = "plain";

/** A package that is not installed may be a folder below the rules folder. */
async function resolveLocal(
  build: PluginBuild,
  args: OnResolveArgs,
  root: string,
): Promise<OnResolveResult | undefined> {
  const { path, pluginData, kind, importer, resolveDir } = args;
  if (pluginData === PLAIN || path === "whenthen" || isInPackage(args)) return undefined;
  const plain = { kind, importer, pluginData: PLAIN };
  if ((await build.resolve(path, { ...plain, resolveDir })).errors.length === 0) return undefined;
  const name = packageIn(path);
  const folder = findLocalPackage(root, name);
  if (folder === undefined) return undefined;
  // Within its folder a package with `exports` can be imported by its own name.
  const own = await build.resolve(path, { ...plain, resolveDir: folder });
  const found = own.errors.length === 0
    ? own
    : await build.resolve(`./${path.slice(name.length + 1)}`, { ...plain, resolveDir: folder });
  if (found.errors.length > 0) return undefined;
  return { path: found.path, external: found.external, sideEffects: found.sideEffects };
}

/** The name of the package in `@a/b/sub`. */
function packageIn(specifier: string): string {
  return specifier.split("/").slice(0, specifier.startsWith("@") ? 2 : 1).join("/");
}

/** Explains an import that esbuild cannot resolve by what the user can do. */
export function explainUnresolved(specifier: string, mapped?: string): { message: string; hint: string } {
  if (mapped !== undefined) return { message: `cannot find ${JSON.stringify(specifier)}`, hint: mapped };
  if (/^[./]/.test(specifier)) {
    return { message: `cannot find ${JSON.stringify(specifier)}`, hint: "the path is relative to this file" };
  }
  const name = packageIn(specifier);
  return { message: `cannot find the package ${JSON.stringify(name)}`, hint: `npm install ${name}` };
}

/** Why a file cannot be read. esbuild would wait for the writer of a named pipe, and for the end of a device. */
function irregularFile(path: string): { text: string }[] {
  try {
    assertRegular(path);
    return [];
  } catch (error) {
    // esbuild explains missing files better, and packages may contain larger files.
    if (!(error instanceof IrregularFileError) || isPackaged(path)) return [];
    return [{ text: `cannot read ${JSON.stringify(path)}: ${error.message}` }];
  }
}

/** The same for each `package.json` that esbuild reads on the way to a folder. */
export function irregularPackages(folder: string): { text: string }[] {
  const above = dirname(folder);
  return [...irregularFile(join(folder, "package.json")), ...above === folder ? [] : irregularPackages(above)];
}

/** The hint is passed as a note of esbuild's message. */
function refusal(text: string, hint: string) {
  return { text, notes: [{ text: hint }] };
}

function refusedFilter(): RegExp {
  const names = Object.keys(REFUSED_MODULES).filter((name) => builtinModules.includes(name));
  return new RegExp(`^(node:)?(${names.join("|")})$`);
}

function isInPackage(args: OnResolveArgs): boolean {
  return isPackaged(args.importer);
}

function isPackaged(path: string): boolean {
  return path.replaceAll("\\", "/").includes("/node_modules/");
}

const CHILDREN = "use step.run: the program starts children itself, so that it can end them";
const SERVERS = 'use a webhook trigger: webhook("/path", { auth: … })';

/** Modules that the user's own files may not import, and what to use instead. */
const REFUSED_MODULES: Record<string, string> = {
  child_process: CHILDREN,
  cluster: CHILDREN,
  worker_threads: "rule code runs in a worker already; use step.run for heavy work",
};

/** Parts of Deno that the single binary lacks, or that would affect the whole program. */
const REFUSED_GLOBALS: Record<string, string> = {
  "Deno.serve": SERVERS,
  "Deno.serveHttp": SERVERS,
  "Deno.listen": SERVERS,
  "Deno.listenTls": SERVERS,
  "Deno.upgradeWebSocket": SERVERS,
  "Deno.Command": CHILDREN,
  "Deno.run": CHILDREN,
  "Deno.spawn": CHILDREN,
  "Deno.exit": "use step.stop: it ends the run, not the program",
  "Deno.cron": 'use a cron trigger: cron("0 8 * * *")',
  "Deno.openKv": "use step.state: memory across runs",
  "Deno.networkInterfaces": 'import networkInterfaces from "node:os"',
  "Deno.systemMemoryInfo": 'import freemem and totalmem from "node:os"',
  "Bun.serve": SERVERS,
  "Bun.spawn": CHILDREN,
  "Bun.spawnSync": CHILDREN,
  "Bun.$": CHILDREN,
  "Bun.env": "use env and secrets, which rule functions get",
};

/** A use of something that is not allowed in rule code. */
export interface RefusedUse {
  name: string;
  hint: string;
  place: CodePlace;
}

/** A quick test: true if the code is worth a real search. */
export function mayUseRefused(code: string): boolean {
  return /\b(Deno|Bun)\b/.test(code);
}

/**
 * For esbuild's `define`: only a real, unshadowed use of the global is replaced, none in comments or texts. The resulting
 * bundle is not run, only searched by {@link findRefused}.
 */
export function refusedDefines(): Record<string, string> {
  return Object.fromEntries(Object.keys(REFUSED_GLOBALS).map((name) => [name, mark(name)]));
}

/** Finds refused globals in the user's own files. Packages are exempt: they often only check what exists. */
export function findRefused(markedCode: string): RefusedUse[] {
  const code = new UserCode(markedCode);
  return Object.entries(REFUSED_GLOBALS).flatMap(([name, hint]) =>
    code.placesOfText(mark(name))
      .filter((place) => !place.file.includes("node_modules/"))
      .map((place) => ({ name, hint, place }))
  );
}

function mark(name: string): string {
  return `__whenthen_refused_${name.replace(/\W/g, (char) => `_${char.codePointAt(0)}_`)}__`;
}

/** How deep below the rules folder a package can lie. */
const DEEPEST = 4;

/** The folder below the rules folder whose `package.json` has this name, absolute. */
function findLocalPackage(root: string, name: string, depth = DEEPEST): string | undefined {
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
    return JSON.parse(readRegularFileSync(join(folder, "package.json")).toString());
  } catch {
    return undefined;
  }
}

/**
 * The packages that a bundle consists of, with their versions. A folder below the rules folder is one if its `package.json`
 * has a name.
 * @param inputs the files of the bundle, absolute
 * @param root the rules folder; its own `package.json` lists what the rules need, and does not make it a package
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
