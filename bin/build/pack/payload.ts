import { Buffer } from "node:buffer";
import { createHash, randomUUID } from "node:crypto";
import { appendFile, copyFile, type FileHandle, open, rename, rm } from "node:fs/promises";

/*
 * A packed file is the program, then the payload, then a trailer: a mark, the payload's length (64 bits, big-endian), its
 * SHA-256. The program ignores what is appended to it: bun keeps its own data in a section of the executable.
 */
const MARK = Buffer.from("whenthen packed\n");
const TRAILER = MARK.length + 8 + 32;

/** The payload differs from what was packed. */
export class DamagedError extends Error {
  override name = "DamagedError";
}

/**
 * Reads the payload of a program's file.
 * @returns undefined if there is none
 * @throws DamagedError if it is incomplete
 */
export async function readPayload(path: string): Promise<Buffer | undefined> {
  await using file = await open(path);
  const { size } = await file.stat();
  const end = await endOf(file);
  if (size === end) return undefined;
  const damaged = (what: string) =>
    new DamagedError(
      `Cannot start ${path}: the folder packed into it is damaged (${what}); copy the file again, or pack it again`,
    );
  if (size < end + TRAILER) throw damaged("its end is missing");
  const trailer = await read(file, size - TRAILER, TRAILER);
  const length = Number(trailer.readBigUInt64BE(MARK.length));
  if (!trailer.subarray(0, MARK.length).equals(MARK)) throw damaged("its end is missing");
  if (length !== size - TRAILER - end) throw damaged(`it is ${size - TRAILER - end} bytes long, not ${length}`);
  const payload = await read(file, end, length);
  if (!sha256(payload).equals(trailer.subarray(MARK.length + 8))) throw damaged("its SHA-256 differs");
  return payload;
}

/** Writes a copy of a program with this payload, replacing an earlier one; the file appears atomically. */
export async function writePacked(program: string, payload: Buffer, path: string): Promise<void> {
  const draft = `${path}.${randomUUID()}.tmp`;
  try {
    await copyFile(program, draft);
    await using file = await open(draft, "r+");
    const end = await endOf(file);
    await file.truncate(end);
    const length = Buffer.alloc(8);
    length.writeBigUInt64BE(BigInt(payload.length));
    await appendFile(draft, Buffer.concat([payload, MARK, length, sha256(payload)]));
    await file.chmod(0o755);
    await file.sync();
    await rename(draft, path);
  } catch (error) {
    await rm(draft, { force: true });
    throw error;
  }
}

export function sha256(bytes: Uint8Array): Buffer {
  return createHash("sha256").update(bytes).digest();
}

async function endOf(file: FileHandle): Promise<number> {
  return executableEnd(await read(file, 0, HEAD));
}

async function read(file: FileHandle, position: number, length: number): Promise<Buffer> {
  const bytes = Buffer.alloc(length);
  for (let done = 0; done < length;) {
    const { bytesRead } = await file.read(bytes, done, length - done, position + done);
    if (bytesRead === 0) throw new Error(`Cannot read ${length} bytes at ${position}: the file is shorter`);
    done += bytesRead;
  }
  return bytes;
}

/** How much of the start of a file is needed to find the end of its executable. */
const HEAD = 64 * 1024;

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
  throw new Error("it is not a program for this system");
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
