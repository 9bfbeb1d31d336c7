import { join } from "node:path";
import { crc32 } from "node:zlib";
import type { Disk, OpenFile } from "../../host/disk.ts";
import { DamagedError } from "./errors.ts";
import type { SeqRange } from "./sinks.ts";

/** A segment: frames from `first` on. */
export interface SegmentFile {
  name: string;
  first: number;
}

/** A base: all live rows up to the frame `last`. */
export interface BaseFile {
  name: string;
  last: number;
}

/** A delta: the last put or drop of each live key of one segment. */
export interface DeltaFile extends SeqRange {
  name: string;
}

/** A part or an ids file, with the CRC32 of its bytes in its name. */
export interface CheckedFile extends SeqRange {
  name: string;
  crc: number;
}

/** A file with its size. */
export interface Sized {
  name: string;
  bytes: number;
}

/** The files of a store, each kind sorted by its frames. */
export interface StoreFiles {
  segments: SegmentFile[];
  bases: BaseFile[];
  deltas: DeltaFile[];
  ids: CheckedFile[];
  parts: CheckedFile[];
  /** Files that were being written when the program ended. */
  drafts: string[];
}

/** `log-000000000042` */
export function segmentName(first: number): string {
  return `log-${seqText(first)}`;
}

/** `base-000000000042` */
export function baseName(last: number): string {
  return `base-${seqText(last)}`;
}

/** `delta-000000000042-000000000057` */
export function deltaName({ first, last }: SeqRange): string {
  return `delta-${seqText(first)}-${seqText(last)}`;
}

/** `part-000000000042-000000000057-1a2b3c4d.sqlite` */
export function partName(range: SeqRange, crc: number): string {
  return `part-${checked(range, crc)}`;
}

/** `ids-000000000042-000000000057-1a2b3c4d.sqlite` */
export function idsName(range: SeqRange, crc: number): string {
  return `ids-${checked(range, crc)}`;
}

/** The name of a file while it is being written. */
export function draftName(name: string): string {
  return `${name}.tmp`;
}

/** Sorts the names in a folder by kind. Ignores files that are not the store's. */
export function sortFiles(names: string[]): StoreFiles {
  const files: StoreFiles = { segments: [], bases: [], deltas: [], ids: [], parts: [], drafts: [] };
  for (const name of names.toSorted()) addFile(files, name);
  files.segments.sort((a, b) => a.first - b.first);
  files.bases.sort((a, b) => a.last - b.last);
  for (const kind of [files.deltas, files.ids, files.parts]) kind.sort((a, b) => a.last - b.last);
  return files;
}

const NAME = /^(log|base|delta|part|ids)-(\d{12,})(?:-(\d{12,}))?(?:-([0-9a-f]{8})\.sqlite)?(\.tmp)?$/;

function addFile(files: StoreFiles, name: string): void {
  const [, kind, one, two, digits, draft] = NAME.exec(name) ?? [];
  if (kind === undefined) return;
  if (draft) return void files.drafts.push(name);
  const [first, last, crc] = [Number(one), Number(two), parseInt(digits, 16)];
  // The kind alone is not enough: a base must have one number, a delta two, a part and an ids file also a CRC.
  switch (`${kind} ${(two ? 1 : 0) + (digits ? 1 : 0)}`) {
    case "log 0":
      return void files.segments.push({ name, first });
    case "base 0":
      return void files.bases.push({ name, last: first });
    case "delta 1":
      return void files.deltas.push({ name, first, last });
    case "part 2":
      return void files.parts.push({ name, first, last, crc });
    case "ids 2":
      return void files.ids.push({ name, first, last, crc });
  }
}

/** A file of a store from before the format had a version, or undefined. */
export function findOlderStore(names: string[]): string | undefined {
  return names.toSorted().find((name) => /^(checkpoint-.*\.sqlite|journal-\d+)$/.test(name));
}

function checked({ first, last }: SeqRange, crc: number): string {
  return `${seqText(first)}-${seqText(last)}-${crc.toString(16).padStart(8, "0")}.sqlite`;
}

function seqText(seq: number): string {
  return String(seq).padStart(12, "0");
}

/**
 * Reads a file.
 * @throws DamagedError if a sector cannot be read; other errors of the disk (permissions) unchanged
 */
export async function readWhole(disk: Disk, folder: string, name: string): Promise<Uint8Array> {
  return await damagedIfUnreadable(name, disk.read(join(folder, name)));
}

/**
 * Reads a part or an ids file.
 * @throws DamagedError if its bytes do not match the checksum in its name
 */
export async function readChecked(disk: Disk, folder: string, { name, crc }: CheckedFile): Promise<Uint8Array> {
  const bytes = await readWhole(disk, folder, name);
  if (crc32(bytes) !== crc) throw new DamagedError(`${name} is damaged: its checksum differs`);
  return bytes;
}

/**
 * Reads part of an open file.
 * @throws DamagedError if the file ends before that, or cannot be read
 */
export async function readPiece(file: OpenFile, name: string, at: number, length: number): Promise<Uint8Array> {
  const bytes = await damagedIfUnreadable(name, file.read(at, length));
  if (bytes.length < length) throw new DamagedError(`${name} ends within byte ${at + bytes.length}`);
  return bytes;
}

async function damagedIfUnreadable<T>(name: string, reading: Promise<T>): Promise<T> {
  try {
    return await reading;
  } catch (error) {
    if ((error as { code?: string }).code !== "EIO") throw error;
    throw new DamagedError(`${name} cannot be read: ${(error as Error).message}`, { cause: error });
  }
}
