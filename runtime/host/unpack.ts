import { randomUUID } from "node:crypto";
import { chmod, lstat, mkdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { messageOf, UsageError } from "../model/errors.ts";
import type { EmbeddedFile } from "./embedded.ts";

/**
 * Unpacks an executable from the binary to disk, so that it can be started. Its name contains the hash of its content, so that
 * versions of the program do not affect each other. It appears by rename, so that several processes can unpack at once.
 * @param cacheFolder see {@link intoCache}
 * @returns its path
 */
export async function unpack(name: string, file: EmbeddedFile, cacheFolder: string): Promise<string> {
  return await intoCache(`${name}, which TypeScript needs`, cacheFolder, async (folder) => {
    return await put(join(folder, `${name}-${file.hash}`), file.path);
  });
}

/**
 * Unpacks into the user's cache (`XDG_CACHE_HOME`), else into `cacheFolder`. If neither is writable, for example because everything
 * is mounted read-only, unpacks into a private temporary folder.
 * @param what the name of the content, for the message
 * @param put writes the content into the folder
 * @throws UsageError if no folder is writable
 */
export async function intoCache<T>(what: string, cacheFolder: string, put: (folder: string) => Promise<T>): Promise<T> {
  const home = process.env.XDG_CACHE_HOME;
  const folders = [...home ? [join(home, "whenthen")] : [], cacheFolder];
  const failures: string[] = [];
  for (const choose of [...folders.map((folder) => () => make(folder)), privateTemporary]) {
    try {
      return await put(await choose());
    } catch (error) {
      failures.push(messageOf(error));
    }
  }
  throw new UsageError(
    `Cannot unpack ${what}: ${failures.join("; ")}; set XDG_CACHE_HOME to a writable folder`,
  );
}

async function put(path: string, from: string): Promise<string> {
  const there = await stat(path).catch(() => undefined);
  if (there?.isFile()) return path;
  const draft = `${path}.${randomUUID()}.tmp`;
  try {
    await writeFile(draft, await readFile(from), { flag: "wx" });
    await chmod(draft, 0o700);
    await rename(draft, path);
  } catch (error) {
    await rm(draft, { force: true });
    throw error;
  }
  return path;
}

async function make(folder: string): Promise<string> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  return folder;
}

/** Checks the owner: another user could create a folder of this name first, and put a program into it. */
async function privateTemporary(): Promise<string> {
  const user = process.getuid?.() ?? 0;
  const folder = await make(join(tmpdir(), `whenthen-${user}`));
  const { uid, mode } = await lstat(folder);
  if (uid !== user || (mode & 0o022) !== 0) throw new Error(`${folder} can be written by others`);
  return folder;
}
