#!/usr/bin/env -S deno run -A
import { Command, Option } from "commander";
import { stop } from "esbuild";
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { copyFile, mkdir, mkdtemp, readdir, rename, rm, writeFile } from "node:fs/promises";
import { dirname, join, relative, resolve } from "node:path";
import { execPath, stdout, umask } from "node:process";
import { pipeline } from "node:stream/promises";
import { fileURLToPath } from "node:url";
import manifest from "../../../package.json" with { type: "json" };
import { describeProgram } from "../../cli/main.ts";
import { runTool } from "../npm_package.ts";
import { binaryFile, HOST, type Target, TARGETS } from "../targets.ts";
import { packDebian } from "./debian.ts";
import { manPage } from "./man_page.ts";
import { packMain, packPlatform } from "./npm.ts";

const ROOT = fileURLToPath(new URL("../../../", import.meta.url));

/** The time of all files if no commit says one: npm gives it to the files in its packages, too. */
const NO_TIME = 499_162_500;

const SUMS = "SHA256SUMS";

interface Options {
  target: Target[];
  binary?: string;
  out: string;
}

/** Builds everything that is handed out into a folder, which appears only when it is complete. */
async function packAll({ target: targets, binary, ...options }: Options): Promise<string[]> {
  const out = resolve(options.out);
  // Packages hold the modes of their files.
  umask(0o022);
  await assertReplaceable(out);
  await mkdir(dirname(out), { recursive: true });
  const draft = await mkdtemp(`${out}-draft-`);
  try {
    const done = join(draft, "done");
    await mkdir(done);
    const time = await timeOfCommit();
    const program = await describeProgram();
    const page = manPage(program, {
      version: manifest.version,
      date: new Date(time * 1000).toISOString().slice(0, 10),
    });
    await writeFile(join(done, "whenthen.1"), page);
    const folder = async (name: string) => {
      await mkdir(join(draft, name));
      return join(draft, name);
    };
    await packMain(targets, page, await folder("main"), done);
    for (const target of targets) {
      const file = target === HOST && binary !== undefined ? resolve(binary) : await compiled(target);
      if (target === HOST) await assertVersion(file);
      const { debian } = TARGETS[target];
      await Promise.all([
        copyFile(file, join(done, `whenthen-${target}`)),
        packPlatform(target, file, await folder(target), done),
        debian && packDebian(debian, { binary: file, manPage: page, program, time }, await folder(debian), done),
      ]);
    }
    const names = (await readdir(done)).sort();
    const sums = await Promise.all(names.map(async (name) => `${await sha256(join(done, name))}  ${name}\n`));
    await writeFile(join(done, SUMS), sums.join(""));
    await rm(out, { recursive: true, force: true });
    await rename(done, out);
    return [...names, SUMS];
  } finally {
    await rm(draft, { recursive: true, force: true });
    await stop();
  }
}

/** A folder named by mistake is not emptied. */
async function assertReplaceable(folder: string): Promise<void> {
  const names: string[] = await readdir(folder).catch(() => []);
  if (names.length === 0 || names.includes(SUMS)) return;
  throw new Error(`Cannot replace ${folder}: it holds no packages; name another folder with --out, or empty it`);
}

async function compiled(target: Target): Promise<string> {
  await runTool(execPath, ["run", "-A", "bin/build/compile.ts", "--target", target], ROOT);
  return join(ROOT, binaryFile(target));
}

/** A binary of another version would be installed under a wrong name. */
async function assertVersion(binary: string): Promise<void> {
  const version = (await runTool(binary, ["--version"], ROOT)).split(" ")[0];
  if (version === manifest.version) return;
  throw new Error(
    `Cannot pack ${binary}: it is version ${version}, the project ${manifest.version}; compile it: deno task compile`,
  );
}

/** Seconds since 1970: of the last commit, so that two builds of it are equal. */
async function timeOfCommit(): Promise<number> {
  return await runTool("git", ["log", "-1", "--format=%ct"], ROOT).then(Number, () => NO_TIME);
}

async function sha256(path: string): Promise<string> {
  const hash = createHash("sha256");
  await pipeline(createReadStream(path), hash);
  return hash.digest("hex");
}

const options = new Command("packages").description("Builds the packages that are handed out")
  .addOption(
    new Option("--target <target...>", "the machines that they are for").choices(Object.keys(TARGETS)).default([HOST]),
  )
  .option("--binary <file>", "the binary of this machine, instead of compiling it")
  .option("--out <folder>", "where they go; what is there is replaced", join(ROOT, "dist"))
  .parse().opts<Options>();
for (const name of await packAll(options)) stdout.write(`${relative("", join(options.out, name))}\n`);
