import { Buffer } from "node:buffer";
import { closeSync, constants, openSync, readSync, type Stats, statSync } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";

/** Maximum bytes of a file in the rules folder. Hand-written files are far smaller, and others must not stall a reload. */
export const LARGEST_FILE = 5_000_000;

/** The path is not a readable regular file; the message says what it is. */
export class IrregularFileError extends Error {
  override name = "IrregularFileError";
}

/** Without O_NONBLOCK, opening a named pipe waits for a writer. One may replace the file after the check. */
const FLAGS = constants.O_RDONLY | (constants.O_NONBLOCK ?? 0);
/** Bytes read at a time from a file that grows meanwhile, or whose size is not known. */
const PIECE = 65_536;

/**
 * Reads a file without ever blocking. Its path may be that of a named pipe, which waits for a writer, or of an endless device.
 * @throws IrregularFileError if it is not a regular file, or larger than 5 MB
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
 * @throws IrregularFileError as readRegularFile() does, and if it is not UTF-8
 */
export async function readRegularText(path: string): Promise<string> {
  const bytes = await readRegularFile(path);
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw new IrregularFileError("this file is not text in UTF-8");
  }
}

/** The synchronous version of readRegularFile(). */
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
 * Checks that a path is a readable regular file.
 * @throws IrregularFileError
 */
export function assertRegular(path: string): void {
  sizeOf(path);
}

/** Checks the file before it is opened, as opening a device may have side effects. */
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
    // Usually one byte, to detect the end: a whole piece for each of 1,000 rules would take 64 MB.
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
