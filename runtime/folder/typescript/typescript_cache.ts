import { createHash, randomUUID } from "node:crypto";
import { mkdir, readdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Description } from "../../workers/workers.ts";
import { PROTOCOL_KEY } from "../../sdk/protocol.ts";
import { readExactJson, writeRecordJson } from "../../formats/exact_json.ts";

/** Raised when the descriptions of unchanged code change. */
const FORMAT = "1";
const KEEP = 500;

/** The name under which a bundle's description is kept. */
export function contentHash(code: string): string {
  return createHash("sha256").update(`${PROTOCOL_KEY} ${FORMAT}\n${code}`).digest("hex").slice(0, 32);
}

/** The cached description of the code, or undefined. A damaged entry counts as absent. */
export async function readCached(folder: string, hash: string): Promise<Description | undefined> {
  try {
    return readExactJson(await readFile(join(folder, `${hash}.json`), "utf8")) as Description;
  } catch {
    return undefined;
  }
}

/** Keeps a description. By rename, so that another process never reads half of it; the oldest beyond 500 are removed. */
export async function writeCached(folder: string, hash: string, description: Description): Promise<void> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const temporary = join(folder, `${hash}.${randomUUID()}.tmp`);
  await writeFile(temporary, writeRecordJson(description), { mode: 0o600 });
  await rename(temporary, join(folder, `${hash}.json`));
  await prune(folder);
}

async function prune(folder: string): Promise<void> {
  // Other files in this folder are not ours: in the single binary, its unpacked files.
  const names = (await readdir(folder)).filter((name) => name.endsWith(".json"));
  if (names.length <= KEEP) return;
  // Another process may be pruning, too: a file that it has removed sorts first and is removed in vain.
  const age = async (name: string) => (await stat(join(folder, name)).catch(() => undefined))?.mtimeMs ?? 0;
  const aged = await Promise.all(names.map(async (name) => ({ name, at: await age(name) })));
  const oldest = aged.sort((a, b) => a.at - b.at).slice(0, names.length - KEEP / 2);
  await Promise.all(oldest.map(({ name }) => rm(join(folder, name), { force: true })));
}
