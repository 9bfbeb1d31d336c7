import { join } from "node:path";
import process from "node:process";
import type { Disk } from "../../runtime/host/disk.ts";
import { DamagedError } from "../../runtime/store/log/files.ts";

/** Tasks for the tests of the background. */
export const fixtureTasks = {
  async list(disk: Disk, folder: string, prefix: string) {
    return { result: (await disk.list(folder)).filter((name) => name.startsWith(prefix)).sort() };
  },
  /** Adds one to each byte. */
  add(_disk: Disk, _folder: string, buffer: ArrayBuffer) {
    const sums = new Uint8Array(buffer).map((byte) => byte + 1).buffer;
    return Promise.resolve({ result: sums, transfer: [sums] });
  },
  async read(disk: Disk, folder: string, name: string) {
    return { result: (await disk.read(join(folder, name))).length };
  },
  fail(_disk: Disk, _folder: string, message: string): Promise<{ result: undefined }> {
    return Promise.reject(new DamagedError(message));
  },
  die(): Promise<{ result: undefined }> {
    process.exit(3);
  },
  hang(): Promise<{ result: undefined }> {
    return new Promise(() => {});
  },
};
