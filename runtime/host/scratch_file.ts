import { closeSync, openSync, readSync, unlinkSync, writeSync } from "node:fs";
import process from "node:process";

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
