#!/usr/bin/env -S deno run -A
import { Command, Option } from "commander";
import { stop } from "esbuild";
import { createHash } from "node:crypto";
import { copyFile, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, relative, resolve } from "node:path";
import { stdout } from "node:process";
import { fileURLToPath } from "node:url";
import manifest from "../../package.json" with { type: "json" };
import { bundleAssets } from "../../runtime/web/console/assets.ts";
import { bundleProgram, INSIDE, PROGRAM } from "./bundle.ts";
import { packLicenses } from "./licenses.ts";
import { npmPackage, runTool } from "./npm_package.ts";
import { editorTypes } from "./editor_types.ts";
import { binaryFile, HOST, type Target, TARGETS } from "./targets.ts";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));

/** Files that are read when they are used, so that they take no memory before. */
const ASSETS = ["esbuild", "sql-wasm.wasm", "console.js", "console.css", "editor_types.json", "licenses.json.gz"];

/**
 * How many times as often as usual code runs before it is compiled to machine code, until the program calls `endReluctance`.
 * Without it, a fourth of the processor time of a start is the compiler's.
 */
const RELUCTANCE = 10;

/** The program for tests: its clock and its disk can be made to fail. */
const WITH_FAULTS = "test/faults/whenthen.ts";

/**
 * Builds the single binary: esbuild bundles the program, bun compiles it.
 * @param program its entry
 */
async function compile(program: string, target: Target, outfile: string): Promise<void> {
  const { bun, esbuild } = TARGETS[target];
  const version = { bun: manifest.config.bun, esbuild: manifest.dependencies.esbuild };
  const [compiler, base, native] = await Promise.all([
    npmPackage(TARGETS[HOST].bun, version.bun),
    npmPackage(bun, version.bun),
    npmPackage(esbuild, version.esbuild),
  ]);
  const folder = await mkdtemp(join(tmpdir(), "whenthen-compile-"));
  try {
    await copyFile(join(native, "bin/esbuild"), join(folder, "esbuild"));
    await copyFile(join(ROOT, "node_modules/sql.js/dist/sql-wasm.wasm"), join(folder, "sql-wasm.wasm"));
    const { script, style } = await bundleAssets();
    await writeFile(join(folder, "console.js"), script);
    await writeFile(join(folder, "console.css"), style);
    await writeFile(join(folder, "editor_types.json"), JSON.stringify(Object.fromEntries(await editorTypes())));
    const hash = createHash("sha256").update(await readFile(join(folder, "esbuild"))).digest("hex").slice(0, 16);
    const { files: bundles, inputs } = await bundleProgram(program, folder, {
      commit: await commit(),
      target,
      esbuild: { path: `${INSIDE}/esbuild`, hash },
      sqlite: `${INSIDE}/sql-wasm.wasm`,
      console: { script: `${INSIDE}/console.js`, style: `${INSIDE}/console.css` },
      editorTypes: `${INSIDE}/editor_types.json`,
      licenses: `${INSIDE}/licenses.json.gz`,
    });
    await writeFile(join(folder, "licenses.json.gz"), await packLicenses(inputs));
    const args = [
      ...["build", "--compile", `--target=bun-${target}`, `--compile-executable-path=${join(base, "bin/bun")}`],
      ...["--bytecode", "--format=esm", "--minify", "--keep-names", `--compile-jit-policy=${RELUCTANCE}`],
      ...["--no-compile-autoload-dotenv", "--no-compile-autoload-bunfig"],
      ...ASSETS.flatMap((file) => ["--asset", file]),
      ...["--outfile", outfile, ...bundles.map((file) => resolve(ROOT, file))],
    ];
    await runTool(join(compiler, "bin/bun"), args, folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
    await stop();
  }
}

async function commit(): Promise<string> {
  const git = (...args: string[]) => runTool("git", args, ROOT);
  try {
    const hash = (await git("rev-parse", "--short=10", "HEAD")).trim();
    return await git("status", "--porcelain", "--untracked-files=no") === "" ? hash : `${hash}-dirty`;
  } catch {
    return "unknown";
  }
}

const options = new Command("compile").description("Builds the single binary")
  .addOption(new Option("--target <target>", "what it is for").choices(Object.keys(TARGETS)).default(HOST))
  .option("--faults", "build the program for tests, whose clock and disk can be made to fail")
  .parse().opts<{ target: Target; faults?: true }>();
const outfile = join(ROOT, binaryFile(options.target, options.faults && "whenthen-with-faults"));
await compile(options.faults ? WITH_FAULTS : PROGRAM, options.target, outfile);
stdout.write(`${relative("", outfile)}\n`);
