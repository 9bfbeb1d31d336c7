import { Buffer } from "node:buffer";
import { createHash, randomUUID } from "node:crypto";
import { readdirSync, readFileSync, statSync } from "node:fs";
import {
  appendFile,
  chmod,
  copyFile,
  type FileHandle,
  mkdir,
  open,
  readdir,
  rename,
  rm,
  writeFile,
} from "node:fs/promises";
import { dirname, join } from "node:path";
import { execPath } from "node:process";
import { gunzipSync, gzipSync } from "node:zlib";
import type { Prebuilt } from "../../runtime/folder/typescript/typescript_files.ts";
import { embedded } from "../../runtime/host/embedded.ts";
import { codeOf } from "../../runtime/model/errors.ts";
import { intoCache } from "../../runtime/host/unpack.ts";

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
export function encodeFolder(folder: PackedFolder): Buffer {
  return gzipSync(JSON.stringify(folder), { level: 9 });
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
  return own ??= readOwnFolder();
}

async function readOwnFolder(): Promise<OwnFolder | undefined> {
  const payload = embedded && await readPayload(execPath);
  return payload &&
    { ...JSON.parse(gunzipSync(payload).toString()), hash: sha256(payload).toString("hex").slice(0, 16) };
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

/** Whether exactly these files exist, with their content. Synchronous, as a start has nothing else to do meanwhile. */
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

function ignoreAbsent(error: unknown): void {
  if (codeOf(error) !== "ENOENT") throw error;
}

/*
 * A packed file is the program, then the payload, then a trailer: a mark, the payload's length (64 bits, big-endian), its
 * SHA-256. The program ignores what is appended to it: bun keeps its own data in a section of the executable.
 */
const MARK = Buffer.from("whenthen packed\n");
const TRAILER = MARK.length + 8 + 32;

/** The payload differs from what was packed. */
export class DamagedError extends Error {
  override name = "DamagedError";
}

/**
 * Reads the payload of a program's file.
 * @returns undefined if there is none
 * @throws DamagedError if it is incomplete
 */
export async function readPayload(path: string): Promise<Buffer | undefined> {
  await using file = await open(path);
  const { size } = await file.stat();
  const end = await endOf(file);
  if (size === end) return undefined;
  const damaged = (what: string) =>
    new DamagedError(
      `Cannot start ${path}: the folder packed into it is damaged (${what}); copy the file again, or pack it again`,
    );
  if (size < end + TRAILER) throw damaged("its end is missing");
  const trailer = await readPart(file, size - TRAILER, TRAILER);
  const length = Number(trailer.readBigUInt64BE(MARK.length));
  if (!trailer.subarray(0, MARK.length).equals(MARK)) throw damaged("its end is missing");
  if (length !== size - TRAILER - end) throw damaged(`it is ${size - TRAILER - end} bytes long, not ${length}`);
  const payload = await readPart(file, end, length);
  if (!sha256(payload).equals(trailer.subarray(MARK.length + 8))) throw damaged("its SHA-256 differs");
  return payload;
}

/** Writes a copy of a program with this payload, replacing an earlier one; the file appears atomically. */
export async function writePacked(program: string, payload: Buffer, path: string): Promise<void> {
  const draft = `${path}.${randomUUID()}.tmp`;
  try {
    await copyFile(program, draft);
    await using file = await open(draft, "r+");
    const end = await endOf(file);
    await file.truncate(end);
    const length = Buffer.alloc(8);
    length.writeBigUInt64BE(BigInt(payload.length));
    await appendFile(draft, Buffer.concat([payload, MARK, length, sha256(payload)]));
    await file.chmod(0o755);
    await file.sync();
    await rename(draft, path);
  } catch (error) {
    await rm(draft, { force: true });
    throw error;
  }
}

function sha256(bytes: Uint8Array): Buffer {
  return createHash("sha256").update(bytes).digest();
}

async function endOf(file: FileHandle): Promise<number> {
  return executableEnd(await readPart(file, 0, HEAD));
}

async function readPart(file: FileHandle, position: number, length: number): Promise<Buffer> {
  const bytes = Buffer.alloc(length);
  for (let done = 0; done < length;) {
    const { bytesRead } = await file.read(bytes, done, length - done, position + done);
    if (bytesRead === 0) throw new Error(`Cannot read ${length} bytes at ${position}: the file is shorter`);
    done += bytesRead;
  }
  return bytes;
}

/** How much of the start of a file is needed to find the end of its executable. */
const HEAD = 64 * 1024;

const ELF = 0x7f454c46;
const MACH_O = 0xfeedfacf;
const SEGMENT = 0x19;

/**
 * The offset at which an executable ends; anything after it was appended. It is read from the executable's own headers, so
 * that a truncated payload is detected even if nothing recognisable is left of it.
 * @param head the file's first {@link HEAD} bytes
 * @throws Error if it is neither a 64-bit ELF nor a Mach-O file
 */
export function executableEnd(head: Buffer): number {
  if (head.readUInt32BE(0) === ELF) return endOfElf(head);
  if (head.readUInt32LE(0) === MACH_O) return endOfMachO(head);
  throw new Error("it is not a program for this system");
}

/** The table of sections is the last part of the file (ELF-64: e_shoff, e_shentsize, e_shnum). */
function endOfElf(head: Buffer): number {
  return Number(head.readBigUInt64LE(0x28)) + head.readUInt16LE(0x3a) * head.readUInt16LE(0x3c);
}

/** The end of the last segment (`mach-o/loader.h`: mach_header_64, segment_command_64); a segment contains the signature. */
function endOfMachO(head: Buffer): number {
  let end = 0;
  let at = 32;
  for (let count = head.readUInt32LE(16); count > 0; count--) {
    if (head.readUInt32LE(at) === SEGMENT) {
      end = Math.max(end, Number(head.readBigUInt64LE(at + 40) + head.readBigUInt64LE(at + 48)));
    }
    at += head.readUInt32LE(at + 4);
  }
  return end;
}
