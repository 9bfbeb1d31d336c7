import { join } from "node:path";
import type { Disk, DiskFile } from "../../host/disk.ts";
import { draftName, type Sized } from "./files.ts";

/**
 * Bytes written between two syncs. A sync of the log waits for all data that the file system has yet to write; a whole file
 * would delay the requests that wait for the log.
 */
const PIECE = 1024 * 1024;

/** A file that appears under its name only when it is complete and synced. */
class Draft {
  readonly #disk: Disk;
  readonly #folder: string;
  readonly #file: DiskFile;
  #unsynced = 0;
  readonly name: string;
  /** Written so far. */
  bytes = 0;

  private constructor(disk: Disk, folder: string, name: string, file: DiskFile) {
    this.#disk = disk;
    this.#folder = folder;
    this.#file = file;
    this.name = name;
  }

  /** Creates the file; replaces what an earlier attempt left. */
  static async create(disk: Disk, folder: string, name: string): Promise<Draft> {
    const path = join(folder, draftName(name));
    if ((await disk.list(folder)).includes(draftName(name))) await disk.remove(path);
    return new Draft(disk, folder, name, await disk.create(path));
  }

  /** Writes in pieces, with a sync after each 1 MB. */
  async write(bytes: Uint8Array): Promise<void> {
    for (let at = 0; at < bytes.length;) {
      const piece = bytes.subarray(at, at + PIECE - this.#unsynced);
      await this.#file.write(piece);
      at += piece.length;
      this.bytes += piece.length;
      this.#unsynced += piece.length;
      if (this.#unsynced === PIECE) await this.#sync();
    }
  }

  /** Gives the file its name and replaces any file of that name. Durable when this resolves. */
  async publish(): Promise<Sized> {
    await this.#sync();
    await this.#file.close();
    const path = join(this.#folder, this.name);
    await this.#disk.rename(join(this.#folder, draftName(this.name)), path);
    try {
      await this.#disk.syncFolder(this.#folder);
    } catch (error) {
      // It may not survive a power cut, so it must not be taken for a durable file.
      await this.#disk.remove(path).catch(() => {});
      throw error;
    }
    return { name: this.name, bytes: this.bytes };
  }

  /** Abandons the file. Never throws: the next start removes what is left. */
  async discard(): Promise<void> {
    await this.#file.close().catch(() => {});
    await this.#disk.remove(join(this.#folder, draftName(this.name))).catch(() => {});
  }

  async #sync(): Promise<void> {
    await this.#file.sync();
    this.#unsynced = 0;
  }
}

/** Writes a file, all or nothing. `fill` writes the content. */
export async function writeDraft(
  disk: Disk,
  folder: string,
  name: string,
  fill: (draft: Draft) => Promise<void>,
): Promise<Sized> {
  const draft = await Draft.create(disk, folder, name);
  try {
    await fill(draft);
    return await draft.publish();
  } catch (error) {
    await draft.discard();
    throw error;
  }
}

/** Writes a whole file. */
export function writeBytes(disk: Disk, folder: string, name: string, bytes: Uint8Array): Promise<Sized> {
  return writeDraft(disk, folder, name, (draft) => draft.write(bytes));
}
