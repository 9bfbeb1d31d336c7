import { spawnSync } from "node:child_process";
import { closeSync, openSync, rmSync, statfsSync, writeSync } from "node:fs";
import { join } from "node:path";
import { temporaryFolder } from "../program.ts";

/** A file system of a few megabytes that can be filled, and made read-only. */
export interface SmallDisk extends AsyncDisposable {
  path: string;
  /** Leaves so many bytes free, also while others write to it. */
  fill(free: number): void;
  /** Frees the space that `fill` used. */
  empty(): void;
  /** Makes it writable or read-only from here on. */
  mayWrite(may: boolean): void;
}

/** Mounts one; undefined if that is not allowed: it needs root. */
export async function mountSmallDisk(megabytes: number): Promise<SmallDisk | undefined> {
  const folder = await temporaryFolder();
  const { path } = folder;
  const run = (...command: string[]) => spawnSync(command[0], command.slice(1)).status === 0;
  if (!run("mount", "-t", "tmpfs", "-o", `size=${megabytes}m`, "tmpfs", path)) {
    await folder[Symbol.asyncDispose]();
    return undefined;
  }
  const filling = join(path, "filling");
  return {
    path,
    fill(free) {
      const file = openSync(filling, "w");
      const surplus = () => {
        const { bavail, bsize } = statfsSync(path);
        return bavail * bsize - free;
      };
      try {
        for (let bytes = surplus(); bytes > 0; bytes = surplus()) writeSync(file, new Uint8Array(bytes));
      } catch (error) {
        // Others took the rest since it was measured.
        if ((error as NodeJS.ErrnoException).code !== "ENOSPC") throw error;
      } finally {
        closeSync(file);
      }
    },
    empty: () => rmSync(filling),
    mayWrite: (may) => void run("mount", "-o", `remount,${may ? "rw" : "ro"}`, path),
    async [Symbol.asyncDispose]() {
      run("umount", "-l", path);
      await folder[Symbol.asyncDispose]();
    },
  };
}
