import type { Buffer } from "node:buffer";

/** How much of the start of a file is needed to find the end of its executable. */
export const HEAD = 64 * 1024;

const ELF = 0x7f454c46;
const MACH_O = 0xfeedfacf;
const SEGMENT = 0x19;

/**
 * The offset at which an executable ends; anything after it was appended. It is read from the executable's own headers, so
 * that a truncated payload is detected even if nothing recognisable is left of it.
 * @param head the file's first {@link HEAD} bytes
 * @throws Error if it is neither a 64-bit ELF nor a Mach-O file
 */
export function executableEnd(head: Buffer): number {
  if (head.readUInt32BE(0) === ELF) return endOfElf(head);
  if (head.readUInt32LE(0) === MACH_O) return endOfMachO(head);
  throw new Error("it is no program of this system");
}

/** The table of sections is the last part of the file (ELF-64: e_shoff, e_shentsize, e_shnum). */
function endOfElf(head: Buffer): number {
  return Number(head.readBigUInt64LE(0x28)) + head.readUInt16LE(0x3a) * head.readUInt16LE(0x3c);
}

/** The end of the last segment (`mach-o/loader.h`: mach_header_64, segment_command_64); a segment contains the signature. */
function endOfMachO(head: Buffer): number {
  let end = 0;
  let at = 32;
  for (let count = head.readUInt32LE(16); count > 0; count--) {
    if (head.readUInt32LE(at) === SEGMENT) {
      end = Math.max(end, Number(head.readBigUInt64LE(at + 40) + head.readBigUInt64LE(at + 48)));
    }
    at += head.readUInt32LE(at + 4);
  }
  return end;
}
