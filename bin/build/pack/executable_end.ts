import type { Buffer } from "node:buffer";

/** How much of a file's beginning tells where the executable in it ends. */
export const HEAD = 64 * 1024;

const ELF = 0x7f454c46;
const MACH_O = 0xfeedfacf;
const SEGMENT = 0x19;

/**
 * Where an executable ends; what stands behind it was appended. Told from its own headers, so that what was appended
 * can be missed also when nothing of it is left that could be recognised.
 * @param head the file's first {@link HEAD} bytes
 * @throws Error where it is neither a 64-bit ELF nor Mach-O file
 */
export function executableEnd(head: Buffer): number {
  if (head.readUInt32BE(0) === ELF) return endOfElf(head);
  if (head.readUInt32LE(0) === MACH_O) return endOfMachO(head);
  throw new Error("it is no program of this system");
}

/** The table of sections is the last thing in the file (ELF-64: e_shoff, e_shentsize, e_shnum). */
function endOfElf(head: Buffer): number {
  return Number(head.readBigUInt64LE(0x28)) + head.readUInt16LE(0x3a) * head.readUInt16LE(0x3c);
}

/** The end of the last segment (`mach-o/loader.h`: mach_header_64, segment_command_64); the signature is in one. */
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
