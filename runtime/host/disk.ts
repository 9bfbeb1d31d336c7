import { constants, writeSync } from "node:fs";
import * as fs from "node:fs/promises";
import { dirname, resolve } from "node:path";
import process from "node:process";
import { openScratchFile, type ScratchFile } from "./scratch_file.ts";

/** The few things the store does with files: one seam, so that tests can cut the power, fill the disk or hold a sync. */
export interface Disk {
  /** Creates a folder and those above it, durably. */
  mkdir(path: string): Promise<void>;
  /** Names in a folder, in no order. */
  list(folder: string): Promise<string[]>;
  read(path: string): Promise<Uint8Array>;
  /** Opens a file, to be read piece by piece. */
  open(path: string): Promise<OpenFile>;
  /** Makes a new file, for appending. @throws where the path exists */
  create(path: string): Promise<DiskFile>;
  /** Opens a file to append to it. @throws if there is none */
  append(path: string): Promise<DiskFile>;
  /** Shortens a file and syncs it. */
  truncate(path: string, length: number): Promise<void>;
  rename(from: string, to: string): Promise<void>;
  remove(path: string): Promise<void>;
  /** Makes creations, renames and removals in a folder durable. */
  syncFolder(folder: string): Promise<void>;
  /** Makes a file for what is in no memory; absent where everything is to stay there. */
  scratch?(path: string): ScratchFile;
}

/** A file that is being appended to. */
export interface DiskFile {
  write(bytes: Uint8Array): Promise<void>;
  /** Resolves once all that was written is on disk. */
  sync(): Promise<void>;
  close(): Promise<void>;
}

/** A file that is being read. */
export interface OpenFile {
  /** Its length when it was opened. */
  readonly size: number;
  /** Up to `length` bytes from `at` on; fewer only at the end of the file. */
  read(at: number, length: number): Promise<Uint8Array>;
  close(): Promise<void>;
}

/** The machine's disk. */
export const realDisk: Disk = {
  async mkdir(path) {
    const first = await fs.mkdir(path, { recursive: true, mode: 0o700 });
    if (first === undefined) return;
    // Each folder that was made is an entry of the one above it.
    const top = dirname(resolve(first));
    for (let folder = resolve(path); folder !== top;) await realDisk.syncFolder(folder = dirname(folder));
  },
  list: (folder) => fs.readdir(folder),
  read: (path) => fs.readFile(path),
  async open(path) {
    const handle = await fs.open(path, constants.O_RDONLY);
    const { size } = await handle.stat();
    return { size, read: (at, length) => readFrom(handle, at, length), close: () => handle.close() };
  },
  create: async (path) => appendTo(await fs.open(path, "ax", 0o600)),
  append: async (path) => appendTo(await fs.open(path, constants.O_WRONLY | constants.O_APPEND)),
  async truncate(path, length) {
    await using file = await fs.open(path, "r+");
    await file.truncate(length);
    await file.sync();
  },
  rename: (from, to) => fs.rename(from, to),
  remove: (path) => fs.unlink(path),
  async syncFolder(folder) {
    // Windows cannot open folders; its file system keeps entries in order by itself.
    if (process.platform === "win32") return;
    await using handle = await fs.open(folder, constants.O_RDONLY);
    await handle.sync();
  },
  scratch: openScratchFile,
};

async function readFrom(handle: fs.FileHandle, at: number, length: number): Promise<Uint8Array> {
  const bytes = new Uint8Array(length);
  let done = 0;
  while (done < length) {
    const { bytesRead } = await handle.read(bytes, done, length - done, at + done);
    if (bytesRead === 0) break;
    done += bytesRead;
  }
  return bytes.subarray(0, done);
}

const PIECE = 256 * 1024;

function appendTo(handle: fs.FileHandle): DiskFile {
  return {
    async write(bytes) {
      // A frame gets into the page cache in less time than a busy event loop takes to come back from another thread.
      let done = bytes.length <= PIECE ? writeSync(handle.fd, bytes) : 0;
      // More in pieces, as Deno copies on the calling thread; and a write may be short, near a full disk above all.
      while (done < bytes.length) {
        done += (await handle.write(bytes, done, Math.min(bytes.length - done, PIECE))).bytesWritten;
      }
    },
    sync: () => handle.datasync(),
    close: () => handle.close(),
  };
}
