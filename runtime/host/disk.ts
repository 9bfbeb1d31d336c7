import { closeSync, constants, openSync, readSync, unlinkSync, writeSync } from "node:fs";
import * as fs from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import process from "node:process";

/** The file operations of the store. Tests implement it to simulate a power cut, a full disk or a slow sync. */
export interface Disk {
  /** Creates a folder and its parents, durably. */
  mkdir(path: string): Promise<void>;
  /** Names in a folder, in no order. */
  list(folder: string): Promise<string[]>;
  read(path: string): Promise<Uint8Array>;
  /** Opens a file for reading in pieces. */
  open(path: string): Promise<OpenFile>;
  /** Creates a file for appending. @throws if the path exists */
  create(path: string): Promise<DiskFile>;
  /** Opens a file for appending. @throws if it does not exist */
  append(path: string): Promise<DiskFile>;
  /** Shortens a file and syncs it. */
  truncate(path: string, length: number): Promise<void>;
  rename(from: string, to: string): Promise<void>;
  remove(path: string): Promise<void>;
  /** Removes a folder with all that is in it; does nothing if there is none. */
  removeFolder(path: string): Promise<void>;
  /** Makes creations, renames and removals in a folder durable. */
  syncFolder(folder: string): Promise<void>;
  /** Makes a file durable that another program has written. */
  syncFile(path: string): Promise<void>;
  /** Bytes of the file system of a folder: those that are free, and all. Absent if there is no real one. */
  space?(folder: string): Promise<{ free: number; total: number }>;
  /** Creates a scratch file for data outside of memory; absent if all data stay in memory. */
  scratch?(path: string): ScratchFile;
}

/** A file that is being appended to. */
export interface DiskFile {
  write(bytes: Uint8Array): Promise<void>;
  /** Resolves when everything written so far is on disk. */
  sync(): Promise<void>;
  close(): Promise<void>;
}

/** A file that is being read. */
export interface OpenFile {
  /** Its length when it was opened. */
  readonly size: number;
  /**
   * Up to `length` bytes from `at` on; fewer only at the end of the file.
   * @param into receives them, so that a large file can be read without much garbage. @default new memory
   */
  read(at: number, length: number, into?: Uint8Array): Promise<Uint8Array>;
  close(): Promise<void>;
}

/** The machine's disk. */
export const realDisk: Disk = {
  async mkdir(path) {
    const first = await fs.mkdir(path, { recursive: true, mode: 0o700 });
    if (first === undefined) return;
    // Each new folder is an entry of its parent, which must be synced.
    const top = dirname(resolve(first));
    for (let folder = resolve(path); folder !== top;) await realDisk.syncFolder(folder = dirname(folder));
  },
  list: (folder) => fs.readdir(folder),
  async space(folder) {
    const { bavail, blocks, bsize } = await fs.statfs(folder);
    return { free: bavail * bsize, total: blocks * bsize };
  },
  read: (path) => fs.readFile(path),
  async open(path) {
    const handle = await fs.open(path, constants.O_RDONLY);
    const { size } = await handle.stat();
    return { size, read: (at, length, into) => readFrom(handle, at, length, into), close: () => handle.close() };
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
  removeFolder: (path) => fs.rm(path, { recursive: true, force: true }),
  async syncFolder(folder) {
    // Windows cannot open folders; its file system orders changes of entries itself.
    if (process.platform === "win32") return;
    await using handle = await fs.open(folder, constants.O_RDONLY);
    await handle.sync();
  },
  async syncFile(path) {
    await using file = await fs.open(path, "r+");
    await file.sync();
  },
  scratch: openScratchFile,
};

async function readFrom(
  handle: fs.FileHandle,
  at: number,
  length: number,
  bytes: Uint8Array = new Uint8Array(length),
): Promise<Uint8Array> {
  let done = 0;
  while (done < length) {
    const { bytesRead } = await handle.read(bytes, done, length - done, at + done);
    if (bytesRead === 0) break;
    done += bytesRead;
  }
  return bytes.subarray(0, done);
}

/** The most bytes of one write. */
const PIECE = 256 * 1024;

function appendTo(handle: fs.FileHandle): DiskFile {
  return {
    async write(bytes) {
      // A small write to the page cache takes less time than the way through another thread and a busy event loop.
      let done = bytes.length <= PIECE ? writeSync(handle.fd, bytes) : 0;
      // A large one goes in pieces, as Deno copies on the calling thread. A write may be short, above all on a nearly full disk.
      while (done < bytes.length) {
        done += (await handle.write(bytes, done, Math.min(bytes.length - done, PIECE))).bytesWritten;
      }
    },
    sync: () => handle.datasync(),
    close: () => handle.close(),
  };
}

/**
 * Replaces a file of a folder all or nothing: after a kill or a power cut it has the old or the new content. Resolves when the new
 * content is on disk.
 */
export async function replaceFile(disk: Disk, folder: string, name: string, content: Uint8Array): Promise<void> {
  const draftName = `${name}.new`;
  const draft = join(folder, draftName);
  // An interrupted write has left its draft.
  if ((await disk.list(folder)).includes(draftName)) await disk.remove(draft);
  const file = await disk.create(draft);
  try {
    await file.write(content);
    await file.sync();
  } finally {
    await file.close();
  }
  await disk.rename(draft, join(folder, name));
  await disk.syncFolder(folder);
}

/** A file for data outside of memory. It is not needed after a restart. */
export interface ScratchFile {
  /** @throws if not all bytes can be written */
  write(at: number, bytes: Uint8Array): void;
  /** Fills the buffer. Bytes beyond the end of the file leave the buffer unchanged. */
  read(at: number, into: Uint8Array): void;
  close(): void;
}

/** Creates a file that is removed with the process, even if that is killed. Overwrites a file left from before. */
export function openScratchFile(path: string): ScratchFile {
  const file = openSync(path, "w+", 0o600);
  // Windows cannot remove an open file.
  if (process.platform !== "win32") unlinkSync(path);
  return {
    write(at, bytes) {
      for (let done = 0; done < bytes.length;) {
        done += writeSync(file, bytes, done, bytes.length - done, at + done);
      }
    },
    read(at, into) {
      for (let done = 0; done < into.length;) {
        const count = readSync(file, into, done, into.length - done, at + done);
        if (count === 0) return;
        done += count;
      }
    },
    close: () => closeSync(file),
  };
}

/** A disk that is always empty and discards all writes: for a store in memory only. */
export const noDisk: Disk = {
  mkdir: () => Promise.resolve(),
  list: () => Promise.resolve([]),
  read: nothing,
  open: nothing,
  create: () => Promise.resolve({ write: done, sync: done, close: done }),
  append: (path) => Promise.reject(new Error(`Cannot append to ${path}: nothing is kept`)),
  truncate: done,
  rename: done,
  remove: done,
  removeFolder: done,
  syncFolder: done,
  syncFile: done,
};

/** A disk whose files are only read: changes are discarded. For a look at a store that no program uses meanwhile. */
export function readOnlyDisk(disk: Disk): Disk {
  return {
    ...noDisk,
    list: (folder) => disk.list(folder),
    read: (path) => disk.read(path),
    open: (path) => disk.open(path),
    append: noDisk.create,
  };
}

function done(): Promise<void> {
  return Promise.resolve();
}

function nothing(path: string): Promise<never> {
  return Promise.reject(new Error(`Cannot read ${path}: nothing is kept`));
}
