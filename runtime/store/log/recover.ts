import type { Buffer } from "node:buffer";
import { join } from "node:path";
import type { Disk } from "../../host/disk.ts";
import { UsageError } from "../../model/errors.ts";
import { readBlocks } from "./blocks.ts";
import {
  type BaseFile,
  basesToTry,
  type CheckedFile,
  DamagedError,
  findOlderStore,
  type Generation,
  generationOf,
  lastKnownSeq,
  leftovers,
  OlderStoreError,
  readChecked,
  readWhole,
  type Sized,
  sortFiles,
  type StoreFiles,
} from "./files.ts";
import { type HistoryKind, isDrop, type Line, lines, rowNameOf, type Span, visitFrame } from "./log_frame.ts";
import { readSegment, type Segment } from "./segment_log.ts";

/** Receives the state in the order of the frames. Anything that it throws counts as damage. */
export interface RecoverySink {
  /** @param json JSON; its bytes are valid only until this returns */
  put(table: string, key: string, json: Span): void;
  drop(table: string, key: string): void;
  /** An identity of a frame that is not folded yet. */
  id(hash: string, json: string): void;
  /** History of a frame that is not folded yet. */
  history(kind: HistoryKind, header: string, text: string, seq: number): void;
}

/** Where the files are. */
interface FilesOptions {
  disk: Disk;
  folder: string;
  onWarning: (message: string) => void;
}

export interface RecoverOptions<S extends RecoverySink> extends FilesOptions {
  /** In ms; part of the name of the folder for files that are set aside. */
  now: number;
  /** Called for each attempt. */
  begin: () => S;
  /**
   * Reads an ids file with a valid checksum. Older files come first, while rows are read.
   * @throws DamagedError; any other error ends the recovery and leaves the store unchanged
   */
  readIds: (bytes: Uint8Array, sink: S) => void | Promise<void>;
  /** The place where the files are durable, if that is not the disk. A damaged store is not set aside there. */
  elsewhere?: string;
}

/** A store as it was found. */
export interface Recovered<S> {
  sink: S;
  /** The last frame. */
  seq: number;
  /** The last frame that is folded. */
  folded: number;
  /** The segments after that frame, in order: to be folded. */
  segments: Segment[];
  base: Sized | undefined;
  /** The deltas after the base, in order. */
  deltas: Sized[];
  /** The parts on disk, in order. */
  parts: CheckedFile[];
}

/** Bytes per read at a start; a smaller file is read in one go. */
const CHUNK = 1024 * 1024;

/**
 * Restores the state of the last commit. Drops a torn last frame. If anything else is damaged, tries the previous base with all
 * files after it, then all deltas and segments without a base. If that fails too, sets all files aside and starts with an empty
 * store. It never restores half a state.
 * @throws OlderStoreError, NewerFormatError, UsageError if it is damaged elsewhere, or the disk's error if a file cannot be read
 */
export async function recover<S extends RecoverySink>(options: RecoverOptions<S>): Promise<Recovered<S>> {
  const { disk, folder, onWarning } = options;
  await disk.mkdir(folder);
  const names = await disk.list(folder);
  const older = findOlderStore(names);
  if (older !== undefined) throw new OlderStoreError(folder, older);
  const files = sortFiles(names);
  const broken: BaseFile[] = [];
  const reasons: string[] = [];
  for (const base of basesToTry(files)) {
    try {
      const attempt = await recoverFrom(base, files, options);
      if (reasons.length > 0) {
        onWarning(`The store had to be recovered from ${base?.name ?? "its deltas and log"}: ${reasons.join("; ")}`);
        await setAside([...broken, ...idsOfBroken(files, broken, attempt.generation)], options);
      }
      return await settle(attempt, options);
    } catch (error) {
      if (!(error instanceof DamagedError)) throw error;
      reasons.push(error.message);
      if (base) broken.push(base);
    }
  }
  if (options.elsewhere !== undefined) {
    const remedy = "restore a backup, or use another database";
    throw new UsageError(`The store in ${options.elsewhere} is damaged: ${reasons.join("; ")}; ${remedy}`);
  }
  // In this order, a start after a kill halfway through notices that files are missing, and completes the move.
  const aside = await setAside([files.bases, files.deltas, files.segments, files.ids, files.parts].flat(), options);
  onWarning(
    `THE STORE IS DAMAGED AND WAS SET ASIDE, starting empty: ${reasons.join("; ")}. Its files are in ${aside}`,
  );
  return await settle(await recoverFrom(undefined, sortFiles(await disk.list(folder)), options), options);
}

/**
 * Finds the files of a store whose state is in memory already. Like {@link recover}, it cuts off a torn last frame and removes files that
 * are no longer needed.
 * @param sink the state
 * @param seq the last frame in it
 * @throws DamagedError if the log does not end with that frame, or is damaged
 */
export async function findFiles<S>(sink: S, seq: number, options: FilesOptions): Promise<Recovered<S>> {
  const files = sortFiles(await options.disk.list(options.folder));
  const generation = generationOf(files, files.bases.at(-1));
  const log = await readSegments(generation, files, () => {}, options);
  if (log.seq !== seq) throw new DamagedError(`the log ends at frame ${log.seq} instead of frame ${seq}`);
  return await settle({ sink, generation, ...log }, options);
}

/** The log after a generation. */
interface FoundLog {
  /** The last frame. */
  seq: number;
  segments: Segment[];
  /** The last segment: where its last frame ends, and whether it has any frame. */
  tail: { name: string; bytes: number; end: number; isEmpty: boolean } | undefined;
}

/** A valid generation, with the segments after it. */
interface Attempt<S> extends FoundLog {
  sink: S;
  generation: Generation;
}

/** Reads everything; changes nothing on disk. */
async function recoverFrom<S extends RecoverySink>(
  base: BaseFile | undefined,
  files: StoreFiles,
  options: RecoverOptions<S>,
): Promise<Attempt<S>> {
  const generation = generationOf(files, base);
  const sink = options.begin();
  const readings = await Promise.allSettled([
    readRows(generation, sink, options),
    readIdsFiles(generation, sink, options),
  ]);
  for (const reading of readings) if (reading.status === "rejected") throw reading.reason;
  const replay = (payload: Buffer, seq: number) => replayFrame(payload, seq, sink);
  const log = await readSegments(generation, files, replay, options);
  const known = lastKnownSeq(files);
  if (log.seq < known) {
    throw new DamagedError(`the log ends at frame ${log.seq}, but frames up to ${known} were written`);
  }
  return { sink, generation, ...log };
}

async function readRows<S extends RecoverySink>(
  { base, deltas }: Generation,
  sink: S,
  { disk, folder }: RecoverOptions<S>,
): Promise<void> {
  for (const { name } of [...base ? [base] : [], ...deltas]) {
    const file = await disk.open(join(folder, name));
    try {
      for await (const { body } of readBlocks(file, name, CHUNK)) {
        asDamage(name, () => {
          for (const line of lines(body)) applyRow(line, body, sink);
        });
      }
    } finally {
      await file.close();
    }
  }
}

async function readIdsFiles<S extends RecoverySink>(
  { ids }: Generation,
  sink: S,
  { disk, folder, readIds }: RecoverOptions<S>,
): Promise<void> {
  for (const file of ids) {
    const bytes = await readChecked(disk, folder, file);
    await readIds(bytes, sink);
  }
}

/** @param onFrame called with the content of each frame; what it throws counts as damage */
async function readSegments(
  generation: Generation,
  files: StoreFiles,
  onFrame: (payload: Buffer, seq: number) => void,
  { disk, folder }: FilesOptions,
): Promise<FoundLog> {
  const left = files.segments.filter(({ first }) => first > generation.last);
  const log: FoundLog = { seq: generation.last, segments: [], tail: undefined };
  for (const [at, { name, first }] of left.entries()) {
    if (first !== log.seq + 1) {
      throw new DamagedError(`frame ${log.seq + 1} is missing, ${name} is the next file of the log`);
    }
    const bytes = await readWhole(disk, folder, name);
    // A segment ends before the first frame of the next one. Bytes after that come from a failed write.
    const last = at + 1 < left.length ? left[at + 1].first - 1 : undefined;
    const { frames, end } = readSegment(name, bytes, first, last);
    for (const { payload, seq } of frames) asDamage(name, () => onFrame(payload, seq));
    log.seq += frames.length;
    const isEmpty = frames.length === 0;
    if (!isEmpty) log.segments.push({ name, firstSeq: first, lastSeq: log.seq, bytes: end });
    if (last === undefined) log.tail = { name, bytes: bytes.length, end, isEmpty };
  }
  return log;
}

/** Gives the content of a frame to a sink. @throws DamagedError, and what the sink throws */
export function replayFrame(payload: Buffer, seq: number, sink: RecoverySink): void {
  visitFrame(payload, {
    row: (line) => applyRow(line, payload, sink),
    id: (hash, text) => sink.id(hash, text),
    history: (kind, header, text) => sink.history(kind, header, text.toString(), seq),
  });
}

function applyRow(line: Line, bytes: Buffer, sink: RecoverySink): void {
  const { table, key } = rowNameOf(bytes, line);
  if (isDrop(line)) sink.drop(table, key);
  else sink.put(table, key, line);
}

/** Turns any error of a sink into a DamagedError of the file. */
function asDamage(name: string, read: () => void): void {
  try {
    read();
  } catch (error) {
    throw new DamagedError(`${name} cannot be read: ${String(error)}`, { cause: error });
  }
}

/** Cuts off a torn frame, syncs what a kill left unsynced, and removes files that are no longer needed. */
async function settle<S>(attempt: Attempt<S>, options: FilesOptions): Promise<Recovered<S>> {
  const { disk, folder } = options;
  const { sink, generation, seq, segments } = attempt;
  const { base, deltas } = generation;
  if (attempt.tail) await cutTail(attempt.tail, options);
  // A rename or a new segment may be visible but not durable yet. Everything from here on depends on it.
  await disk.syncFolder(folder);
  for (const name of leftovers(sortFiles(await disk.list(folder)))) await disk.remove(join(folder, name));
  return {
    sink,
    seq,
    folded: generation.last,
    segments,
    base: base && (await withSizes([base], options))[0],
    deltas: await withSizes(deltas, options),
    parts: sortFiles(await disk.list(folder)).parts,
  };
}

/** Warns, because a torn write, which was never acknowledged, and damage to the last frame look the same. */
async function cutTail(
  { name, bytes, end, isEmpty }: NonNullable<FoundLog["tail"]>,
  { disk, folder, onWarning }: FilesOptions,
): Promise<void> {
  if (end < bytes) {
    const why = "either a torn write, which was never acknowledged, or damage";
    onWarning(`The last ${bytes - end} bytes of ${name} are not a whole commit and were dropped: ${why}`);
  }
  if (isEmpty) await disk.remove(join(folder, name));
  // This also syncs: the program may have been killed between a write and its sync.
  else await disk.truncate(join(folder, name), end);
}

async function withSizes(
  files: { name: string }[],
  { disk, folder }: FilesOptions,
): Promise<Sized[]> {
  return await Promise.all(files.map(async ({ name }) => {
    const file = await disk.open(join(folder, name));
    await file.close();
    return { name, bytes: file.size };
  }));
}

/** The ids files of bases that are set aside, unless a delta has the same range. */
function idsOfBroken({ ids }: StoreFiles, bases: BaseFile[], used: Generation): CheckedFile[] {
  const theirs = ids.filter(({ first, last }) => first === 1 && bases.some((base) => base.last === last));
  return theirs.filter((file) => !used.ids.includes(file));
}

/** Moves files into a new folder. @returns its path */
async function setAside<S extends RecoverySink>(
  files: { name: string }[],
  { disk, folder, now }: RecoverOptions<S>,
): Promise<string> {
  const aside = join(folder, `set-aside-${new Date(now).toISOString().replaceAll(/[:.]/g, "-")}`);
  if (files.length === 0) return aside;
  await disk.mkdir(aside);
  for (const { name } of files) await disk.rename(join(folder, name), join(aside, name));
  await disk.syncFolder(aside);
  await disk.syncFolder(folder);
  return aside;
}
