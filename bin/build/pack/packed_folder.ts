import { Buffer } from "node:buffer";
import { randomUUID } from "node:crypto";
import { readdirSync, readFileSync, statSync } from "node:fs";
import { chmod, mkdir, readdir, rename, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { execPath } from "node:process";
import { gunzipSync, gzipSync } from "node:zlib";
import type { Prebuilt } from "../../../runtime/folder/typescript/prebuilt.ts";
import { embedded } from "../../../runtime/host/embedded.ts";
import { intoCache } from "../../../runtime/host/unpack.ts";
import { readPayload, sha256 } from "./payload.ts";

/** A rules folder as packed into the program. */
export interface PackedFolder {
  files: PackedFile[];
  /** Its TypeScript files, bundled. */
  prebuilt: Prebuilt;
}

export interface PackedFile {
  /** Relative to the folder, with forward slashes. */
  path: string;
  executable: boolean;
  /** In base64. */
  content: string;
}

/** Encodes a folder as a payload. */
export function encode(folder: PackedFolder): Buffer {
  return gzipSync(JSON.stringify(folder), { level: 9 });
}

export function decode(payload: Uint8Array): PackedFolder {
  return JSON.parse(gunzipSync(payload).toString());
}

/** The folder packed into this program, with its hash. */
export interface OwnFolder extends PackedFolder {
  hash: string;
}

let own: Promise<OwnFolder | undefined> | undefined;

/**
 * The folder packed into the running program; undefined if there is none. Read once.
 * @throws DamagedError if it is incomplete
 */
export function ownFolder(): Promise<OwnFolder | undefined> {
  return own ??= read();
}

async function read(): Promise<OwnFolder | undefined> {
  const payload = embedded && await readPayload(execPath);
  return payload && { ...decode(payload), hash: sha256(payload).toString("hex").slice(0, 16) };
}

/**
 * Unpacks the folder inside the program, so that its files can be read and its commands started. It is read-only and named
 * by the hash of its content. It appears by rename, so that several programs can do this at once. An existing folder is
 * compared, and replaced if it differs from what was packed.
 * @param cacheFolder where to unpack it if the user has no cache folder
 * @returns its path
 */
export async function unpackFolder({ hash, files }: OwnFolder, cacheFolder: string): Promise<string> {
  return await intoCache("the folder packed into the program", cacheFolder, async (cache) => {
    const path = join(cache, `folder-${hash}`);
    if (!holds(path, files)) await put(path, files);
    return path;
  });
}

async function put(path: string, files: PackedFile[]): Promise<void> {
  const draft = `${path}.${randomUUID()}.tmp`;
  const old = `${path}.${randomUUID()}.old`;
  try {
    await write(draft, files);
    await rename(path, old).catch(ignoreAbsent);
    await rename(draft, path);
  } catch (error) {
    // Another program was faster.
    if (!holds(path, files)) throw error;
  } finally {
    await Promise.all([remove(draft), remove(old)]);
  }
}

async function write(folder: string, files: PackedFile[]): Promise<void> {
  await mkdir(folder, { mode: 0o700 });
  for (const { path, executable, content } of files) {
    const file = join(folder, path);
    await mkdir(dirname(file), { recursive: true });
    await writeFile(file, Buffer.from(content, "base64"));
    await chmod(file, modeOf(executable));
  }
  await setFolderModes(folder, 0o555);
}

/** Whether exactly these files exist, with their content. Synchronous: at a start there is nothing else to do. */
function holds(folder: string, files: PackedFile[]): boolean {
  try {
    const found = readdirSync(folder, { recursive: true, withFileTypes: true });
    if (found.filter((entry) => !entry.isDirectory()).length !== files.length) return false;
    return files.every(({ path, executable, content }) => {
      const file = join(folder, path);
      return readFileSync(file, "base64") === content && (statSync(file).mode & 0o777) === modeOf(executable);
    });
  } catch {
    return false;
  }
}

function modeOf(executable: boolean): number {
  return executable ? 0o555 : 0o444;
}

/** Only root can remove files from a read-only folder, so make it writable first. */
async function remove(folder: string): Promise<void> {
  await setFolderModes(folder, 0o700).catch(ignoreAbsent);
  await rm(folder, { recursive: true, force: true });
}

async function setFolderModes(folder: string, mode: number): Promise<void> {
  const entries = await readdir(folder, { withFileTypes: true });
  for (const entry of entries) if (entry.isDirectory()) await setFolderModes(join(folder, entry.name), mode);
  await chmod(folder, mode);
}

function ignoreAbsent(error: NodeJS.ErrnoException): void {
  if (error.code !== "ENOENT") throw error;
}
