import { join } from "node:path";
import { crc32 } from "node:zlib";
import type { Disk, OpenFile } from "../../host/disk.ts";
import { codeOf, messageOf, UsageError } from "../../model/errors.ts";

/** Frames from `first` to `last`, both included. */
export interface SeqRange {
  first: number;
  last: number;
}

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
interface DeltaFile extends SeqRange {
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
 * Reads part of an open file, as many bytes as there is room for.
 * @throws DamagedError if the file ends before that, or cannot be read
 */
export async function readPiece(file: OpenFile, name: string, at: number, into: Uint8Array): Promise<void> {
  const { length } = await damagedIfUnreadable(name, file.read(at, into.length, into));
  if (length < into.length) throw new DamagedError(`${name} ends within byte ${at + length}`);
}

async function damagedIfUnreadable<T>(name: string, reading: Promise<T>): Promise<T> {
  try {
    return await reading;
  } catch (error) {
    if (codeOf(error) !== "EIO") throw error;
    throw new DamagedError(`${name} cannot be read: ${messageOf(error)}`, { cause: error });
  }
}

/** A base, or none, with the files that continue it: together the live state up to the frame `last`. */
export interface Generation {
  base?: BaseFile;
  /** Older first, without a gap. */
  deltas: DeltaFile[];
  /** Older first: one for the base, one for each delta. */
  ids: CheckedFile[];
  last: number;
}

/** How many bases are kept, so that a damaged one can be skipped. */
const BASES = 2;

/**
 * The generation that begins with a base, or with nothing.
 * @throws DamagedError if a file is missing
 */
export function generationOf(files: StoreFiles, base: BaseFile | undefined): Generation {
  const generation: Generation = { deltas: [], ids: [], last: base?.last ?? 0, ...base && { base } };
  if (base) generation.ids.push(idsOf(files, { first: 1, last: base.last }));
  for (const delta of files.deltas) {
    if (delta.last <= generation.last) continue;
    if (delta.first !== generation.last + 1) {
      throw new DamagedError(`frames ${generation.last + 1} to ${delta.first - 1} are missing`);
    }
    generation.deltas.push(delta);
    generation.ids.push(idsOf(files, delta));
    generation.last = delta.last;
  }
  return generation;
}

/** The bases to try, the newest first, then none. */
export function basesToTry(files: StoreFiles): (BaseFile | undefined)[] {
  return [...files.bases.toReversed(), undefined];
}

/** The last frame that is in a base or a delta. */
export function foldedSeq({ bases, deltas }: StoreFiles): number {
  return Math.max(0, bases.at(-1)?.last ?? 0, deltas.at(-1)?.last ?? 0);
}

/** The bases, deltas and ids files that merges have superseded. */
export function superseded(files: StoreFiles): string[] {
  const bases = files.bases.slice(-BASES);
  const last = bases.length === BASES ? bases[0].last : 0;
  const deltas = files.deltas.filter((delta) => delta.last > last);
  const ranges = [...bases.map(({ last }) => ({ first: 1, last })), ...deltas];
  return [
    ...without(files.bases, bases),
    ...without(files.deltas, deltas),
    ...without(files.ids, files.ids.filter((ids) => ranges.some((range) => isSame(ids, range)))),
  ];
}

/** All files that are no longer needed at a start. Folds and merges leave them if the program is killed. */
export function leftovers(files: StoreFiles): string[] {
  const folded = foldedSeq(files);
  return [
    ...files.drafts,
    ...superseded(files),
    ...files.segments.filter(({ first }) => first <= folded).map(({ name }) => name),
    ...files.parts.filter(({ last }) => last > folded).map(({ name }) => name),
  ];
}

/** The last frame that was written, according to the names of all files. */
export function lastKnownSeq({ bases, deltas, ids, parts }: StoreFiles): number {
  return Math.max(0, ...[bases, deltas, ids, parts].map((kind) => kind.at(-1)?.last ?? 0));
}

/** The ids file of a range. There may be two after a merge that failed; each of them is whole. */
function idsOf({ ids }: StoreFiles, range: SeqRange): CheckedFile {
  const found = ids.find((file) => isSame(file, range));
  if (!found) throw new DamagedError(`the ids file of the frames ${range.first} to ${range.last} is missing`);
  return found;
}

function isSame(a: SeqRange, b: SeqRange): boolean {
  return a.first === b.first && a.last === b.last;
}

function without(all: { name: string }[], kept: { name: string }[]): string[] {
  return all.filter((file) => !kept.includes(file)).map(({ name }) => name);
}

/** The version of the formats of segments and block files. */
export const FORMAT_VERSION = 1;

/** A file of the store is damaged. */
export class DamagedError extends Error {
  override name = "DamagedError";
}

/** A newer program wrote the store; it is left unchanged. */
export class NewerFormatError extends UsageError {
  override name = "NewerFormatError";
  constructor(version: number) {
    super(
      `Cannot open the store: it has format version ${version}, this program knows versions up to ${FORMAT_VERSION}; ` +
        "use the newer program, or another --data folder",
    );
  }
}

/** The store was written before the format had a version; it is left unchanged. */
export class OlderStoreError extends UsageError {
  override name = "OlderStoreError";
  constructor(folder: string, name: string) {
    const why = `${name} is from an earlier version of whenthen, whose stores this one cannot read`;
    const help = "move the folder away, or start with another --data folder";
    super(`Cannot open the store in ${JSON.stringify(folder)}: ${why}; ${help}`);
  }
}
