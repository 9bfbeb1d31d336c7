import * as fs from "node:fs";
import { dirname, join } from "node:path";
import type { Disk, DiskFile, OpenFile } from "../../runtime/host/disk.ts";

/** Storage that survives a power cut. Each call is atomic, and they take effect in order. */
export interface Medium {
  mkdir(folder: string): void;
  list(folder: string): string[];
  read(path: string): Uint8Array;
  create(path: string): void;
  append(path: string, bytes: Uint8Array): void;
  truncate(path: string, length: number): void;
  rename(from: string, to: string): void;
  remove(path: string): void;
}

/** The machine's disk as a medium: a killed program leaves there what a power cut would leave. */
export const realMedium: Medium = {
  mkdir: (folder) => void fs.mkdirSync(folder, { recursive: true, mode: 0o700 }),
  list: (folder) => fs.readdirSync(folder),
  read: (path) => fs.readFileSync(path),
  create: (path) => fs.writeFileSync(path, "", { flag: "wx", mode: 0o600 }),
  append: (path, bytes) => fs.appendFileSync(path, bytes),
  truncate: (path, length) => fs.truncateSync(path, length),
  rename: (from, to) => fs.renameSync(from, to),
  remove: (path) => fs.unlinkSync(path),
};

interface File {
  /** Its path on the medium; undefined while no synced folder names it. */
  at?: string;
  /** Synced bytes, as long as the file has no path on the medium. */
  synced: Uint8Array;
  dirty: Uint8Array;
  /** How many zeros are on the medium in place of dirty bytes. */
  zeros: number;
}

/** A change of a folder, visible at once; `keep` applies it to the medium. */
interface Change {
  folder: string;
  keep: () => void;
}

const NOTHING = new Uint8Array();

/**
 * A disk that loses as much as POSIX allows: unsynced changes never reach the medium, be it bytes or the creation,
 * renaming and removal of files; except for early writeback.
 */
export class SimulatedDisk implements Disk {
  readonly #medium: Medium;
  readonly #early: () => number;
  #files = new Map<string, File>();
  #known = new Set<string>();
  #changes: Change[] = [];
  #power = {};

  /** @param early the share of unsynced data that reaches the medium after a write: 0 to 1 at each call */
  constructor(medium: Medium, early: () => number = () => 0) {
    this.#medium = medium;
    this.#early = early;
  }

  mkdir(path: string): Promise<void> {
    this.#medium.mkdir(path);
    return Promise.resolve();
  }

  list(folder: string): Promise<string[]> {
    this.look(folder);
    const paths = [...this.#files.keys()].filter((path) => dirname(path) === folder);
    return Promise.resolve(paths.map((path) => path.slice(folder.length + 1)));
  }

  async read(path: string): Promise<Uint8Array> {
    await Promise.resolve();
    return this.#content(this.#find(path));
  }

  async open(path: string): Promise<OpenFile> {
    const bytes = await this.read(path);
    const check = this.#checkPower(path);
    return {
      size: bytes.length,
      read: async (at, length, into) => {
        await check();
        const piece = bytes.slice(at, at + length);
        into?.set(piece);
        return into?.subarray(0, piece.length) ?? piece;
      },
      close: check,
    };
  }

  async create(path: string): Promise<DiskFile> {
    await Promise.resolve();
    this.look(dirname(path));
    if (this.#files.has(path)) throw diskError("EEXIST", path);
    const file: File = { synced: NOTHING, dirty: NOTHING, zeros: 0 };
    this.#files.set(path, file);
    this.#change(dirname(path), () => this.#place(file, path));
    return this.#appendTo(file, path);
  }

  async append(path: string): Promise<DiskFile> {
    await Promise.resolve();
    return this.#appendTo(this.#find(path), path);
  }

  #appendTo(file: File, path: string): DiskFile {
    const check = this.#checkPower(path);
    return {
      write: async (bytes) => {
        await check();
        file.dirty = concat(file.dirty, bytes);
        this.writeBack(this.#early);
      },
      sync: async () => {
        await check();
        this.#keep(file, file.dirty.length);
      },
      close: check,
    };
  }

  async truncate(path: string, length: number): Promise<void> {
    await Promise.resolve();
    const file = this.#find(path);
    this.#keep(file, file.dirty.length);
    if (file.at === undefined) file.synced = file.synced.slice(0, length);
    else this.#medium.truncate(file.at, length);
  }

  async rename(from: string, to: string): Promise<void> {
    await Promise.resolve();
    const file = this.#find(from);
    this.look(dirname(to));
    const replaced = this.#files.get(to);
    this.#files.delete(from);
    this.#files.set(to, file);
    this.#change(dirname(to), () => {
      if (replaced !== undefined) this.#drop(replaced);
      if (file.at === undefined) return this.#place(file, to);
      this.#medium.rename(file.at, to);
      file.at = to;
    });
  }

  async remove(path: string): Promise<void> {
    await Promise.resolve();
    const file = this.#find(path);
    this.#files.delete(path);
    this.#change(dirname(path), () => this.#drop(file));
  }

  /** Folders are removed when nothing refers to them: that it may not be durable yet changes nothing. */
  async removeFolder(path: string): Promise<void> {
    await fs.promises.rm(path, { recursive: true, force: true });
  }

  /** What another program has written is not on this disk. */
  syncFile(): Promise<void> {
    return Promise.resolve();
  }

  syncFolder(folder: string): Promise<void> {
    const mine = this.#changes.filter((change) => change.folder === folder);
    this.#changes = this.#changes.filter((change) => change.folder !== folder);
    for (const { keep } of mine) keep();
    return Promise.resolve();
  }

  /**
   * Writes back part of the unsynced data: the first changes of folders, the beginning of each file's dirty bytes;
   * a file may have grown already, with zeros where the rest belongs.
   * @param share 0 to 1 at each call
   */
  writeBack(share: () => number): void {
    const early = this.#changes.splice(0, Math.round(share() * this.#changes.length));
    for (const { keep } of early) keep();
    for (const file of new Set(this.#files.values())) {
      this.#keep(file, Math.round(share() * file.dirty.length));
      if (file.at === undefined || file.dirty.length === 0 || file.zeros > 0 || share() <= 0.5) continue;
      this.#medium.append(file.at, new Uint8Array(file.dirty.length));
      file.zeros = file.dirty.length;
    }
  }

  /**
   * Cuts the power. Open files fail from then on.
   * @param share how much of the unsynced data survives, see {@link writeBack}
   */
  cut(share: () => number = () => 0): void {
    this.writeBack(share);
    this.#files = new Map();
    this.#changes = [];
    this.#power = {};
    const known = this.#known;
    this.#known = new Set();
    for (const folder of known) this.look(folder);
  }

  /** The visible state of the folders used so far. */
  contents(): Map<string, Uint8Array> {
    return new Map([...this.#files].map(([path, file]) => [path, this.#content(file)]));
  }

  /** A folder's content is read from the medium at its first use. */
  look(folder: string): void {
    if (this.#known.has(folder)) return;
    this.#known.add(folder);
    for (const name of this.#medium.list(folder)) {
      const at = join(folder, name);
      this.#files.set(at, { at, synced: NOTHING, dirty: NOTHING, zeros: 0 });
    }
  }

  /** Throws once the power has been cut. */
  #checkPower(path: string): () => Promise<void> {
    const power = this.#power;
    return async () => {
      await Promise.resolve();
      if (power !== this.#power) throw diskError("EIO", `${path}: the power was cut`);
    };
  }

  #find(path: string): File {
    this.look(dirname(path));
    const file = this.#files.get(path);
    if (file === undefined) throw diskError("ENOENT", path);
    return file;
  }

  #content({ at, synced, dirty, zeros }: File): Uint8Array {
    const kept = at === undefined ? synced : this.#medium.read(at);
    return concat(kept.subarray(0, kept.length - zeros), dirty);
  }

  #change(folder: string, keep: () => void): void {
    this.#changes.push({ folder, keep });
    this.writeBack(this.#early);
  }

  /** Appends the first dirty bytes to the synced ones. */
  #keep(file: File, count: number): void {
    if (count === 0) return;
    const { at, synced, dirty, zeros } = file;
    if (at === undefined) file.synced = concat(synced, dirty.subarray(0, count));
    else {
      if (zeros > 0) this.#medium.truncate(at, this.#medium.read(at).length - zeros);
      this.#medium.append(at, dirty.subarray(0, count));
    }
    file.zeros = 0;
    file.dirty = dirty.slice(count);
  }

  /** Gives a file a path on the medium, unless an earlier synced rename has given it one. */
  #place(file: File, path: string): void {
    if (file.at !== undefined) return;
    this.#medium.create(path);
    this.#medium.append(path, file.synced);
    file.at = path;
    file.synced = NOTHING;
  }

  #drop(file: File): void {
    if (file.at !== undefined) this.#medium.remove(file.at);
    file.at = undefined;
  }
}

/** An error like that of the system. */
export function diskError(code: string, path: string): Error {
  return Object.assign(new Error(`${code}: ${path}`), { code });
}

/** Concatenated bytes. */
export function concat(head: Uint8Array, tail: Uint8Array): Uint8Array {
  const whole = new Uint8Array(head.length + tail.length);
  whole.set(head);
  whole.set(tail, head.length);
  return whole;
}
