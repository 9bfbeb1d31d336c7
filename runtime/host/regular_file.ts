import { Buffer } from "node:buffer";
import { closeSync, constants, openSync, readSync, type Stats, statSync } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";

/** Bytes that a file of the rules folder may have: files for people to read are far smaller, and what is not must not stall a reload. */
export const LARGEST_FILE = 5_000_000;

/** What is at a path cannot be read as a file; the message says what it is. */
export class IrregularFileError extends Error {
  override name = "IrregularFileError";
}

/** A named pipe has no writer, and is then waited for; whatever may take its place behind the back of a look, too. */
const FLAGS = constants.O_RDONLY | (constants.O_NONBLOCK ?? 0);
/** Bytes read at a time of a file that grows meanwhile, or that does not say how large it is. */
const PIECE = 65_536;

/**
 * Reads a file that may be anything, without ever waiting for it: a named pipe would wait for its writer, a device has no
 * end.
 * @throws IrregularFileError where it is no regular file, or larger than 5 MB
 */
export async function readRegularFile(path: string): Promise<Buffer> {
  const size = sizeOf(path);
  const file = await open(path, FLAGS);
  try {
    return await readWhole(file, size);
  } finally {
    await file.close();
  }
}

/**
 * Reads a file of text.
 * @throws IrregularFileError as readRegularFile() does, and where it is not UTF-8
 */
export async function readRegularText(path: string): Promise<string> {
  const bytes = await readRegularFile(path);
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw new IrregularFileError("this file is not text in UTF-8");
  }
}

/** The bytes of a file as readRegularFile() gives them, at once, for what cannot wait. */
export function readRegularFileSync(path: string): Buffer {
  const buffer = Buffer.alloc(Math.min(sizeOf(path), LARGEST_FILE) + 1);
  const file = openSync(path, FLAGS);
  try {
    let length = 0;
    for (let read = -1; read !== 0 && length < buffer.length; length += read) {
      read = readSync(file, buffer, length, buffer.length - length, null);
    }
    return buffer.subarray(0, length);
  } finally {
    closeSync(file);
  }
}

/**
 * Refuses what cannot be read as a file.
 * @throws IrregularFileError
 */
export function assertRegular(path: string): void {
  sizeOf(path);
}

/** Looked at before it is opened: opening a device may do something. */
function sizeOf(path: string): number {
  const facts = statSync(path);
  if (!facts.isFile()) throw new IrregularFileError(`expected a regular file, got ${kindOf(facts)}`);
  if (facts.size > LARGEST_FILE) throw tooLarge(`${facts.size}`);
  return facts.size;
}

async function readWhole(file: FileHandle, expected: number): Promise<Buffer> {
  const pieces: Buffer[] = [];
  let length = 0;
  for (let size = expected + 1;;) {
    const { bytesRead, buffer } = await file.read(Buffer.alloc(size), 0, size, null);
    if (bytesRead === 0) return Buffer.concat(pieces);
    length += bytesRead;
    if (length > LARGEST_FILE) throw tooLarge("more");
    pieces.push(buffer.subarray(0, bytesRead));
    // The look for its end is usually one byte: a whole piece for each file would be 64 MB for a folder of 1,000 rules.
    size = bytesRead < size ? size - bytesRead : PIECE;
  }
}

function tooLarge(size: string): IrregularFileError {
  return new IrregularFileError(`a file may have ${LARGEST_FILE} bytes, not ${size}`);
}

function kindOf(facts: Stats): string {
  if (facts.isDirectory()) return "a folder";
  if (facts.isFIFO()) return "a named pipe";
  return facts.isSocket() ? "a socket" : "a device";
}
