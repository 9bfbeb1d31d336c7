import type { Disk, DiskFile } from "../../../runtime/host/disk.ts";
import type { FaultyDisk } from "../../faults/faulty_disk.ts";

/** The error of a disk without power. */
export class PowerCut extends Error {
  override message = "the power was cut";
}

/** A disk whose power is cut before a given step: a write, sync, creation, rename or removal. */
export class CuttingDisk implements Disk {
  /** Steps so far. */
  steps = 0;

  /** @param survives how much of the unsynced data survives, see `SimulatedDisk.writeBack` */
  constructor(readonly disk: FaultyDisk, readonly cutBefore = Infinity, readonly survives: () => number = () => 0) {}

  list = (folder: string) => this.disk.list(folder);
  read = (path: string) => this.disk.read(path);
  open = (path: string) => this.disk.open(path);
  mkdir = (path: string) => this.#step(() => this.disk.mkdir(path));
  truncate = (path: string, length: number) => this.#step(() => this.disk.truncate(path, length));
  rename = (from: string, to: string) => this.#step(() => this.disk.rename(from, to));
  remove = (path: string) => this.#step(() => this.disk.remove(path));
  removeFolder = (path: string) => this.#step(() => this.disk.removeFolder(path));
  syncFile = () => this.#step(() => this.disk.syncFile());
  syncFolder = (folder: string) => this.#step(() => this.disk.syncFolder(folder));

  create = async (path: string) => this.#cutting(await this.#step(() => this.disk.create(path)));
  append = async (path: string) => this.#cutting(await this.#step(() => this.disk.append(path)));

  #cutting(file: DiskFile): DiskFile {
    return {
      write: (bytes: Uint8Array) => this.#step(() => file.write(bytes)),
      sync: () => this.#step(() => file.sync()),
      close: () => file.close(),
    };
  }

  #step<T>(work: () => Promise<T>): Promise<T> {
    if (this.steps === this.cutBefore) this.disk.cut(this.survives);
    if (this.steps++ >= this.cutBefore) return Promise.reject(new PowerCut());
    return work();
  }
}
