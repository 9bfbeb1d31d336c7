import { execFile } from "node:child_process";
import { mkdir, mkdtemp, rename, rm, stat } from "node:fs/promises";
import { basename, join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const CACHE = fileURLToPath(new URL("../../node_modules/.cache/whenthen/", import.meta.url));

/**
 * Fetches a package of the npm registry, once. It is no dependency of the project: npm installs only what fits the machine,
 * and every clone that only runs from source would have to load 200 MB.
 * @returns the folder of the package
 */
export async function npmPackage(name: string, version: string): Promise<string> {
  const folder = join(CACHE, `${name.replace("/", "+")}@${version}`);
  if (await exists(folder)) return folder;
  await mkdir(CACHE, { recursive: true });
  const draft = await mkdtemp(join(CACHE, "draft-"));
  try {
    const packed = await runTool("npm", ["pack", `${name}@${version}`, "--silent", "--pack-destination", draft], draft);
    await runTool("tar", ["-xzf", basename(packed.trim().split("\n").at(-1)!)], draft);
    await rename(join(draft, "package"), folder).catch(async (error) => {
      // Another build was faster.
      if (!await exists(folder)) throw error;
    });
  } finally {
    await rm(draft, { recursive: true, force: true });
  }
  return folder;
}

async function exists(path: string): Promise<boolean> {
  return await stat(path).then(() => true, () => false);
}

/**
 * Runs a program on the build machine.
 * @param env variables beside those of this process
 * @returns its output
 * @throws Error with its output as the reason if it fails
 */
export async function runTool(program: string, args: string[], cwd: string, env = {}): Promise<string> {
  try {
    const options = { cwd, maxBuffer: 2 ** 26, env: { ...process.env, ...env } };
    const { stdout } = await promisify(execFile)(program, args, options);
    return stdout;
  } catch (error) {
    const { stderr, stdout, message } = error as { stderr?: string; stdout?: string; message: string };
    const reason = [stdout, stderr].join("").trim() || message;
    throw new Error(`Cannot run ${program} ${args.join(" ")}: ${reason}`, { cause: error });
  }
}
