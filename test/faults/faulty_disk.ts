import { dirname } from "node:path";
import { concat, diskError, type Medium, SimulatedDisk } from "./simulated_disk.ts";
import type { DiskFile } from "../../runtime/host/disk.ts";

type Fault = "ENOSPC" | "EIO";

/** A disk in memory with power cuts, full disk, and failing syncs, as pessimistic as POSIX allows. */
export class FaultyDisk extends SimulatedDisk {
  /** Set to have every write fail, after half of its bytes. */
  failWrites: Fault | undefined;
  /** Set to have every sync fail. */
  failSyncs: Fault | undefined;
  /** Paths of the files that fail. */
  failing = /./;
  /** Awaited before each sync of a file. */
  beforeSync: () => Promise<void> | void = () => {};
  /** Files synced since it was made. */
  syncs = 0;

  constructor(private readonly memory = new MemoryMedium()) {
    super(memory);
  }

  override async create(path: string): Promise<DiskFile> {
    return this.#faulty(await super.create(path), path);
  }

  override async append(path: string): Promise<DiskFile> {
    return this.#faulty(await super.append(path), path);
  }

  #faulty(file: DiskFile, path: string): DiskFile {
    // After a failed sync the kernel drops the dirty pages: later syncs succeed and keep none of them.
    let lost = false;
    return {
      write: async (bytes) => {
        const fault = this.failing.test(path) ? this.failWrites : undefined;
        await file.write(fault ? bytes.subarray(0, bytes.length >> 1) : bytes);
        if (fault) throw diskError(fault, path);
      },
      sync: async () => {
        await this.beforeSync();
        this.syncs++;
        const fault = this.failing.test(path) ? this.failSyncs : undefined;
        lost ||= fault !== undefined;
        if (fault) throw diskError(fault, path);
        await (lost ? file.close() : file.sync());
      },
      close: () => file.close(),
    };
  }

  /** A second disk with the same visible contents, all durable, to be damaged on its own. */
  copy(): FaultyDisk {
    const copy = new FaultyDisk();
    for (const [path, data] of this.contents()) copy.put(path, data);
    return copy;
  }

  /** Paths of all files, sorted. */
  paths(): string[] {
    return [...this.contents().keys()].sort();
  }

  /** Writes a durable file. */
  put(path: string, data: Uint8Array): void {
    this.look(dirname(path));
    this.memory.files.set(path, data.slice());
    this.cut(() => 1);
  }
}

class MemoryMedium implements Medium {
  readonly files = new Map<string, Uint8Array>();

  mkdir(): void {}

  list(folder: string): string[] {
    const paths = [...this.files.keys()].filter((path) => dirname(path) === folder);
    return paths.map((path) => path.slice(folder.length + 1));
  }

  read(path: string): Uint8Array {
    return this.files.get(path)!.slice();
  }

  create(path: string): void {
    this.files.set(path, new Uint8Array());
  }

  append(path: string, bytes: Uint8Array): void {
    this.files.set(path, concat(this.files.get(path)!, bytes));
  }

  truncate(path: string, length: number): void {
    this.files.set(path, this.files.get(path)!.slice(0, length));
  }

  rename(from: string, to: string): void {
    this.files.set(to, this.files.get(from)!);
    this.files.delete(from);
  }

  remove(path: string): void {
    this.files.delete(path);
  }
}
