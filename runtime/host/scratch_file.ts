import { closeSync, openSync, readSync, unlinkSync, writeSync } from "node:fs";
import process from "node:process";

/** A file for what is in no memory; nothing of it is needed after a start. */
export interface ScratchFile {
  /** @throws where not all can be written */
  write(at: number, bytes: Uint8Array): void;
  /** Fills the buffer; what lies behind the end of the file stays as it is. */
  read(at: number, into: Uint8Array): void;
  close(): void;
}

/** Makes a file that goes with the process, even where that is killed. One that is left from before is written anew. */
export function openScratchFile(path: string): ScratchFile {
  const file = openSync(path, "w+", 0o600);
  // Windows removes no file that is open.
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
