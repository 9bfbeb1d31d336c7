import { join } from "node:path";
import { crc32 } from "node:zlib";
import type { Disk, OpenFile } from "../../host/disk.ts";
import { DamagedError } from "./errors.ts";
import type { CheckedFile } from "./files.ts";

/**
 * Reads a file.
 * @throws DamagedError if a sector cannot be read; other errors of the disk (permissions) unchanged
 */
export async function readWhole(disk: Disk, folder: string, name: string): Promise<Uint8Array> {
  return await damagedIfUnreadable(name, disk.read(join(folder, name)));
}

/**
 * Reads a part or an ids file.
 * @throws DamagedError if its bytes do not match the checksum in its name
 */
export async function readChecked(disk: Disk, folder: string, { name, crc }: CheckedFile): Promise<Uint8Array> {
  const bytes = await readWhole(disk, folder, name);
  if (crc32(bytes) !== crc) throw new DamagedError(`${name} is damaged: its checksum differs`);
  return bytes;
}

/**
 * Reads part of an open file.
 * @throws DamagedError if the file ends before that, or cannot be read
 */
export async function readPiece(file: OpenFile, name: string, at: number, length: number): Promise<Uint8Array> {
  const bytes = await damagedIfUnreadable(name, file.read(at, length));
  if (bytes.length < length) throw new DamagedError(`${name} ends within byte ${at + bytes.length}`);
  return bytes;
}

async function damagedIfUnreadable<T>(name: string, reading: Promise<T>): Promise<T> {
  try {
    return await reading;
  } catch (error) {
    if ((error as { code?: string }).code !== "EIO") throw error;
    throw new DamagedError(`${name} cannot be read: ${(error as Error).message}`, { cause: error });
  }
}
