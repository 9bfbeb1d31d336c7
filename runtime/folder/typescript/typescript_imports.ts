import type { OnResolveArgs, OnResolveResult, Plugin, PluginBuild } from "esbuild";
import { builtinModules } from "node:module";
import { dirname, join, resolve } from "node:path";
import { assertRegular, IrregularFileError } from "../../host/regular_file.ts";
import { protocol, PROTOCOL_KEY } from "../../sdk/protocol.ts";
import { REFUSED_MODULES } from "./typescript_refused.ts";

/** Resolves the imports of rule files. `seen` collects all files that were asked for, found or not: they are watched. */
export function ruleImports(seen: Set<string>): Plugin {
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

/** Explains an import that esbuild cannot resolve by what the user can do. */
export function explainUnresolved(specifier: string): { message: string; hint: string } {
  if (/^[./]/.test(specifier)) {
    return { message: `cannot find ${JSON.stringify(specifier)}`, hint: "the path is relative to this file" };
  }
  const name = specifier.split("/").slice(0, specifier.startsWith("@") ? 2 : 1).join("/");
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
