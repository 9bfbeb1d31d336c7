import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { cp, mkdir, readFile, symlink } from "node:fs/promises";
import { join } from "node:path";
import process from "node:process";
import { promisify } from "node:util";
import { temporaryFolder } from "../e2e/program.ts";
import { BINARY, binaryTest } from "./binary.ts";

const ROOT = new URL("../..", import.meta.url).pathname;

binaryTest("README: the binary's commands run, in order", async () => {
  const readme = await readFile(join(ROOT, "README.md"), "utf8");
  const blocks = [...readme.matchAll(/^```sh\n(.*?)^```$/gms)].flatMap(([, text]) => text.split("\n"));
  const commands = blocks.filter((line) => line.startsWith("bin/whenthen"));
  assert.ok(commands.some((line) => line.startsWith("bin/whenthen pack ")), commands.join("\n"));

  await using project = await temporaryFolder();
  for (const name of ["rules", "examples"]) await cp(join(ROOT, name), join(project.path, name), { recursive: true });
  await mkdir(join(project.path, "bin"));
  await symlink(BINARY, join(project.path, "bin/whenthen"));
  for (const command of commands) {
    await promisify(execFile)("sh", ["-c", command], { cwd: project.path, env: { PATH: process.env.PATH } });
  }
});
