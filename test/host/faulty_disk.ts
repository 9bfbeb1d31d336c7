import { dirname } from "node:path";
import type { Disk, DiskFile } from "../../runtime/host/disk.ts";

interface Inode {
  data: Uint8Array;
  /** How much of it would survive a power cut. */
  synced: number;
  /** After a failed sync the kernel forgets what was dirty: later syncs succeed and keep nothing of it. */
  lost: boolean;
}

type FolderChange = (entries: Map<string, Inode>) => void;

/** A disk in memory that can lose its power, fill up, and fail to sync, as pessimistic as POSIX allows. */
export class FaultyDisk implements Disk {
  /** Set to have every write fail, after half of its bytes. */
  failWrites: "ENOSPC" | "EIO" | undefined;
  /** Set to have every sync fail. */
  failSyncs: "ENOSPC" | "EIO" | undefined;
  /** Awaited before each sync of a file. */
  beforeSync: () => Promise<void> | void = () => {};
  /** Files synced since it was made. */
  syncs = 0;

  #entries = new Map<string, Inode>();
  #durable = new Map<string, Inode>();
  /** Changes of folders that are not synced, in order. */
  #pending: { folder: string; change: FolderChange }[] = [];
  #power = {};

  mkdir(): Promise<void> {
    return Promise.resolve();
  }

  list(folder: string): Promise<string[]> {
    const names = [...this.#entries.keys()].filter((path) => dirname(path) === folder);
    return Promise.resolve(names.map((path) => path.slice(folder.length + 1)));
  }

  async read(path: string): Promise<Uint8Array> {
    return (await this.#inode(path)).data.slice();
  }

  async create(path: string): Promise<DiskFile> {
    await Promise.resolve();
    if (this.#entries.has(path)) throw failure("EEXIST", path);
    const inode: Inode = { data: new Uint8Array(), synced: 0, lost: false };
    this.#change(dirname(path), (entries) => entries.set(path, inode));
    const power = this.#power;
    const check = async () => {
      await Promise.resolve();
      if (power !== this.#power) throw failure("EIO", `${path}: the power was cut`);
    };
    return {
      write: async (bytes) => {
        await check();
        const written = this.failWrites ? bytes.subarray(0, bytes.length >> 1) : bytes;
        inode.data = concat(inode.data, written);
        if (this.failWrites) throw failure(this.failWrites, path);
      },
      sync: async () => {
        await this.beforeSync();
        await check();
        this.syncs++;
        if (this.failSyncs) {
          inode.lost = true;
          throw failure(this.failSyncs, path);
        }
        if (!inode.lost) inode.synced = inode.data.length;
      },
      close: check,
    };
  }

  async truncate(path: string, length: number): Promise<void> {
    const inode = await this.#inode(path);
    inode.data = inode.data.slice(0, length);
    inode.synced = Math.min(inode.synced, length);
  }

  async rename(from: string, to: string): Promise<void> {
    const inode = await this.#inode(from);
    this.#change(dirname(to), (entries) => {
      entries.delete(from);
      entries.set(to, inode);
    });
  }

  async remove(path: string): Promise<void> {
    await this.#inode(path);
    this.#change(dirname(path), (entries) => entries.delete(path));
  }

  syncFolder(folder: string): Promise<void> {
    const mine = this.#pending.filter((pending) => pending.folder === folder);
    this.#pending = this.#pending.filter((pending) => pending.folder !== folder);
    for (const { change } of mine) change(this.#durable);
    return Promise.resolve();
  }

  /**
   * Takes the power away: what was not synced is gone, or survives in part. Open files are dead.
   * @param part how much of an unsynced tail, or of unsynced changes of folders, survives: 0 to 1 each time it is asked
   */
  cut(part: () => number = () => 0): void {
    for (const { change } of this.#pending.slice(0, Math.round(part() * this.#pending.length))) change(this.#durable);
    this.#pending = [];
    for (const inode of new Set(this.#durable.values())) {
      const tail = inode.lost ? 0 : Math.round(part() * (inode.data.length - inode.synced));
      inode.data = inode.data.slice(0, inode.synced + tail);
      inode.synced = inode.data.length;
    }
    this.#entries = new Map(this.#durable);
    this.#power = {};
  }

  /** A second disk with the same durable and visible contents, to be damaged on its own. */
  copy(): FaultyDisk {
    const copy = new FaultyDisk();
    for (const [path, { data }] of this.#entries) copy.put(path, data);
    return copy;
  }

  /** Paths of all files, sorted. */
  paths(): string[] {
    return [...this.#entries.keys()].sort();
  }

  /** Puts a file onto the disk, durably. */
  put(path: string, data: Uint8Array): void {
    const inode = { data: data.slice(), synced: data.length, lost: false };
    this.#entries.set(path, inode);
    this.#durable.set(path, inode);
  }

  #inode(path: string): Promise<Inode> {
    const inode = this.#entries.get(path);
    return inode ? Promise.resolve(inode) : Promise.reject(failure("ENOENT", path));
  }

  #change(folder: string, change: FolderChange): void {
    change(this.#entries);
    this.#pending.push({ folder, change });
  }
}

function failure(code: string, path: string): Error {
  return Object.assign(new Error(`${code}: ${path}`), { code });
}

function concat(head: Uint8Array, tail: Uint8Array): Uint8Array {
  const whole = new Uint8Array(head.length + tail.length);
  whole.set(head);
  whole.set(tail, head.length);
  return whole;
}
