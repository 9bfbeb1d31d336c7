import { execFile, spawn } from "node:child_process";
import { chmod, chown, mkdir } from "node:fs/promises";
import { join } from "node:path";
import process from "node:process";
import { promisify } from "node:util";
import { rulesFolder } from "../e2e/folder.ts";
import { type Finished, Program } from "../e2e/program.ts";

/**
 * The tests of the binary run if the end-to-end suite drives it, as `.ci/run` does:
 * `WHENTHEN_COMMAND=$PWD/bin/whenthen deno test -A test/binary`.
 */
export const BINARY = /\/whenthen$/.test(process.env.WHENTHEN_COMMAND ?? "") ? process.env.WHENTHEN_COMMAND! : "";

/** A test of the binary; ignored if there is none. */
export function binaryTest(name: string, fn: (test: Deno.TestContext) => Promise<void>): void {
  Deno.test({ name, ignore: BINARY === "", fn });
}

/** The user `nobody`, if the tests may change users. */
const OTHER_USER = process.getuid?.() === 0 ? { uid: 65534, gid: 65534 } : {};

/** A copy of the binary alone in a folder, with rules and a folder that another user may write to. */
export async function machine(files: Record<string, string>) {
  const folder = await rulesFolder(files);
  const root = join(folder.rules, "..");
  const paths = { binary: join(root, "whenthen"), home: join(root, "home"), empty: join(root, "empty") };
  // In a separate process: a child that another test starts meanwhile would inherit the open file, and a file open for writing
  // cannot be started (ETXTBSY).
  await promisify(execFile)("cp", [BINARY, paths.binary]);
  await chmod(paths.binary, 0o755);
  for (const path of [paths.home, paths.empty]) await mkdir(path);
  const { uid, gid } = OTHER_USER;
  if (uid !== undefined) await chown(paths.home, uid, gid);
  await chmod(paths.empty, 0o555);
  await chmod(root, 0o755);
  return { ...folder, ...paths, root, data: join(paths.home, "data") };
}

export type Machine = Awaited<ReturnType<typeof machine>>;

/** Starts the binary as another user if that is possible, with no environment but this, in a folder that cannot be written. */
export function launchAlone({ binary, empty }: Machine, args: string[], env: Record<string, string> = {}) {
  return spawn(binary, args, { cwd: empty, env, ...OTHER_USER, stdio: ["ignore", "pipe", "pipe"] });
}

/** Starts `whenthen run` that way. */
export function startAlone(machine: Machine, env: Record<string, string> = {}): Program {
  const args = ["run", machine.rules, "--data", machine.data, "--port", "0", "--log", "json"];
  return new Program(launchAlone(machine, args, env), machine.data);
}

/** Runs one command that way, to its end. */
export async function runAlone(
  machine: Machine,
  args: string[],
  env: Record<string, string> = {},
): Promise<Finished> {
  const program = new Program(launchAlone(machine, args, env), machine.data);
  const code = await program.end();
  return { code, stdout: program.output, stderr: "" };
}
