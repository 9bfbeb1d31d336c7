import { join } from "node:path";
import type { Disk } from "../../host/disk.ts";
import { type CheckpointFile, openCheckpoint, parseCheckpointName } from "./checkpoint_file.ts";
import { DamagedError } from "./damage.ts";
import { Database } from "./database.ts";
import { letGo } from "./let_go.ts";
import { replay, type SegmentBytes } from "./replay.ts";
import { SCHEMA_VERSION } from "./schema.ts";
import { parseSegmentName, type Segment } from "./segment.ts";

export interface RecoverOptions {
  disk: Disk;
  folder: string;
  mask: (text: string) => string;
  onWarning: (message: string) => void;
  now: number;
}

/** A store as it was found. */
export interface Recovered {
  database: Database;
  /** The last frame in it. */
  seq: number;
  segments: Segment[];
  /** Newest first. */
  checkpoints: CheckpointFile[];
  /** Of the newest checkpoint. */
  checkpointBytes: number;
  /** True where the tables were brought to a newer version; a checkpoint has to follow. */
  migrated: boolean;
}

/**
 * Brings back the last commit. A torn last frame is dropped. Where anything else does not check, the checkpoint before
 * is tried with its segments; then all is set aside and the store is empty. Never half.
 * @throws NewerSchemaError, or the disk's error where a file cannot be read
 */
export async function recover(options: RecoverOptions): Promise<Recovered> {
  const { disk, folder, onWarning } = options;
  await disk.mkdir(folder);
  const names = await disk.list(folder);
  for (const name of names) if (name.endsWith(".sqlite.tmp")) await disk.remove(join(folder, name));
  const checkpoints = names.flatMap((name) => parseCheckpointName(name) ?? []).sort((a, b) => b.seq - a.seq);
  const segments = names.flatMap((name) => {
    const firstSeq = parseSegmentName(name);
    return firstSeq === undefined ? [] : [{ name, firstSeq }];
  }).sort((a, b) => a.firstSeq - b.firstSeq);
  if (checkpoints.length === 0 && segments.length === 0) return empty(options);

  const read = cachedReader(disk, folder);
  const broken: CheckpointFile[] = [];
  const reasons: string[] = [];
  // The last attempt is the first day: without a checkpoint, if the journal goes back that far.
  for (const base of [...checkpoints, undefined]) {
    if (!base && segments.length === 0) break;
    try {
      const recovered = await attempt(base, segments, read, options);
      if (reasons.length > 0) {
        onWarning(`The store had to be recovered from ${base?.name ?? "its journal alone"}: ${reasons.join("; ")}`);
        await setAside(broken.map((file) => file.name), options);
      }
      return { ...recovered, checkpoints: checkpoints.filter((file) => !broken.includes(file)) };
    } catch (error) {
      if (!(error instanceof DamagedError)) throw error;
      reasons.push(error.message);
      if (base) broken.push(base);
    }
  }
  const aside = await setAside([...checkpoints, ...segments].map((file) => file.name), options);
  onWarning(
    `THE STORE IS DAMAGED AND WAS SET ASIDE, starting empty: ${reasons.join("; ")}. Its files are in ${aside}`,
  );
  return empty(options);
}

async function empty({ mask }: RecoverOptions): Promise<Recovered> {
  const database = await Database.live(mask);
  database.migrate(0, SCHEMA_VERSION);
  return { database, seq: 0, segments: [], checkpoints: [], checkpointBytes: 0, migrated: false };
}

async function attempt(
  base: CheckpointFile | undefined,
  all: Omit<Segment, "bytes">[],
  read: (name: string) => Promise<Uint8Array>,
  options: RecoverOptions,
): Promise<Omit<Recovered, "checkpoints">> {
  const database = await Database.live(options.mask);
  try {
    let progress = { seq: 0, schema: 0 };
    let checkpointBytes = 0;
    if (base) {
      const bytes = await read(base.name);
      progress = { seq: base.seq, schema: await load(database, base, bytes) };
      checkpointBytes = bytes.length;
      letGo(bytes);
    }
    const needed = all.filter((_, at) => (all[at + 1]?.firstSeq ?? Infinity) > progress.seq + 1);
    const files: SegmentBytes[] = [];
    for (const file of needed) files.push({ ...file, bytes: await read(file.name) });
    const { seq, schema, end } = replay(database, progress, files);
    database.migrate(schema, SCHEMA_VERSION);
    const segments: Segment[] = [];
    for (const file of all) segments.push({ ...file, bytes: (await read(file.name)).length });
    await cutTail(segments, seq, end, options);
    return { database, seq, segments, checkpointBytes, migrated: schema < SCHEMA_VERSION };
  } catch (error) {
    database.close();
    throw error;
  }
}

/** Copies a checkpoint into the live database. @returns its schema version */
async function load(database: Database, base: CheckpointFile, bytes: Uint8Array): Promise<number> {
  const { database: source, schema } = await openCheckpoint(base, bytes);
  try {
    await database.copyFrom(source);
  } finally {
    source.close();
  }
  return schema;
}

/**
 * Cuts a torn frame off the last segment, and removes the segment where no frame is left in it. Not without a word: a write
 * that was cut had been promised to nobody, but damage to the last frame looks the same.
 */
async function cutTail(
  segments: Segment[],
  seq: number,
  end: number,
  { disk, folder, onWarning }: RecoverOptions,
): Promise<void> {
  const last = segments.at(-1);
  if (!last) return;
  if (last.bytes > end) {
    onWarning(
      `The last ${
        last.bytes - end
      } bytes of ${last.name} are no whole commit and were dropped: a write that was cut short, which ` +
        "nobody was told of, or damage",
    );
  }
  if (last.firstSeq > seq) {
    await disk.remove(join(folder, last.name));
    segments.pop();
  } else if (last.bytes > end) {
    await disk.truncate(join(folder, last.name), end);
    last.bytes = end;
  }
}

/** Moves files into a folder of their own. @returns its path */
async function setAside(names: string[], { disk, folder, now }: RecoverOptions): Promise<string> {
  const aside = join(folder, `set-aside-${new Date(now).toISOString().replaceAll(/[:.]/g, "-")}`);
  if (names.length === 0) return aside;
  await disk.mkdir(aside);
  for (const name of names) await disk.rename(join(folder, name), join(aside, name));
  await disk.syncFolder(aside);
  await disk.syncFolder(folder);
  return aside;
}

/** Reads each file once. A sector that cannot be read is damage; anything else (permissions) is the caller's to see. */
function cachedReader(disk: Disk, folder: string): (name: string) => Promise<Uint8Array> {
  const known = new Map<string, Uint8Array>();
  return async (name) => {
    let bytes = known.get(name);
    if (bytes === undefined) {
      try {
        bytes = await disk.read(join(folder, name));
      } catch (error) {
        if ((error as { code?: string }).code !== "EIO") throw error;
        throw new DamagedError(`${name} cannot be read: ${(error as Error).message}`, { cause: error });
      }
      known.set(name, bytes);
    }
    return bytes;
  };
}
