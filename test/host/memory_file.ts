import type { ScratchFile } from "../../runtime/host/disk.ts";

/** A scratch file in memory. */
export class MemoryFile implements ScratchFile {
  #bytes = new Uint8Array(0);
  /** Whether it is full. */
  isFull = false;
  reads = 0;

  write(at: number, bytes: Uint8Array): void {
    if (this.isFull) throw new Error("ENOSPC: no space left on device, write");
    if (this.#bytes.length < at + bytes.length) {
      const longer = new Uint8Array(at + bytes.length);
      longer.set(this.#bytes);
      this.#bytes = longer;
    }
    this.#bytes.set(bytes, at);
  }

  read(at: number, into: Uint8Array): void {
    this.reads++;
    into.set(this.#bytes.subarray(at, at + into.length));
  }

  close(): void {}
}
