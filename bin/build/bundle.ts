import { build, type Plugin } from "esbuild";
import { isBuiltin } from "node:module";
import { fileURLToPath } from "node:url";
import type { Embedded } from "../../runtime/host/embedded.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));

/** The folder from which a compiled program reads the files that it was built with. */
export const INSIDE = "/$bunfs/root";

/** The entry of the program. */
export const PROGRAM = "bin/whenthen.ts";

/** The packages of the `Deno` namespace for rule code. */
const DENO_SHIM = /\/(@deno\/shim-deno(-test)?|which|isexe)\//;

/** The entries of workers. The program finds each next to itself, by its file name. */
const WORKERS = [
  "runtime/workers/rule_thread.ts",
  "runtime/fleet/fleet_thread.ts",
  "runtime/store/store_worker.ts",
  "runtime/workers/parse_worker.ts",
];

/**
 * Bundles the program, one file for each entry.
 * @param program its entry
 * @returns the files, the program first; and what they were made of, relative to the project
 */
export async function bundleProgram(
  program: string,
  outdir: string,
  embedded: Embedded,
): Promise<{ files: string[]; inputs: string[] }> {
  const entries = [program, ...WORKERS];
  const { metafile } = await build({
    absWorkingDir: ROOT,
    entryPoints: entries,
    entryNames: "[name]",
    outdir,
    bundle: true,
    format: "esm",
    platform: "node",
    target: "esnext",
    minifySyntax: true,
    define: { __dirname: JSON.stringify(INSIDE), __filename: JSON.stringify(`${INSIDE}/program`) },
    metafile: true,
    logLevel: "warning",
    plugins: [embed(embedded), leaveOut(), loadLate(), evaluateLate()],
  });
  const outputs = Object.entries(metafile.outputs);
  const files = entries.map((entry) => outputs.find(([, output]) => output.entryPoint === entry)![0]);
  return { files, inputs: Object.keys(metafile.inputs) };
}

/** Replaces the module of a program without embedded data by the data of this binary. */
function embed(embedded: Embedded): Plugin {
  return {
    name: "embedded",
    setup({ onLoad }) {
      const contents = `export const embedded = ${JSON.stringify(embedded)};`;
      onLoad({ filter: /runtime\/host\/embedded\.ts$/ }, () => ({ contents, loader: "js" }));
    },
  };
}

/**
 * Parts of packages that are unused here, but loaded with the rest: zod's messages in 50 languages would take 3 ms of each start.
 */
function leaveOut(): Plugin {
  return {
    name: "leave out",
    setup({ onLoad }) {
      onLoad({ filter: /zod\/v4\/locales\/index\.js$/ }, () => ({ contents: "", loader: "js" }));
    },
  };
}

/**
 * Loads Node's network modules only when the module that imports them runs. In a single file, the imports of lazily loaded
 * modules are hoisted to the top with all others: nodemailer, which most programs never use, would cost each start 10 ms
 * and 5 MB. So for all modules of Node that the `Deno` namespace for rule code uses: 0.4 MB in each worker.
 */
function loadLate(): Plugin {
  return {
    name: "load late",
    setup({ onResolve, onLoad }) {
      onResolve({ filter: /^(node:)?(http|https|tls|net|dns)$/ }, ({ path }) => ({ path, namespace: "late" }));
      onResolve({ filter: /^(node:)?[a-z_]+(\/promises)?$/ }, ({ path, importer }) => {
        return isBuiltin(path) && DENO_SHIM.test(importer) ? { path, namespace: "late" } : undefined;
      });
      onLoad({ filter: /./, namespace: "late" }, ({ path }) => {
        return { contents: `module.exports = process.getBuiltinModule(${JSON.stringify(path)});`, loader: "js" };
      });
    },
  };
}

/** Packages whose modules do much work when they are evaluated: CEL makes its tables of operators, which takes 9 ms. */
const LATE_PACKAGES = /^@marcbachmann\/cel-js(\/evaluator)?$/;

/** Evaluates such a package when one of its exports is first used, not when a module that imports it is evaluated. */
function evaluateLate(): Plugin {
  return {
    name: "evaluate late",
    setup({ onResolve, onLoad }) {
      onResolve({ filter: LATE_PACKAGES }, ({ path, namespace }) => {
        return namespace === "late package" ? undefined : { path, namespace: "late package" };
      });
      onLoad({ filter: /./, namespace: "late package" }, async ({ path }) => {
        const names = JSON.stringify(Object.keys(await import(path)));
        const contents = `let real;
          const load = () => real ??= require(${JSON.stringify(path)});
          for (const name of ${names}) Object.defineProperty(exports, name, { enumerable: true, get: () => load()[name] });`;
        return { contents, loader: "js", resolveDir: ROOT };
      });
    },
  };
}
