import type { Buffer } from "node:buffer";
import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { Worker } from "node:worker_threads";
import { type Disk, noDisk, readOnlyDisk, realDisk } from "../host/disk.ts";
import { collectGarbage } from "../host/large_work.ts";
import { type FolderLock, lockedDisk } from "../host/lock.ts";
import { DAY } from "../model/duration.ts";
import { UsageError } from "../model/errors.ts";
import { Background, partReader, storeTasks } from "./background.ts";
import type { Elsewhere } from "./elsewhere.ts";
import { Folding } from "./folding.ts";
import type { Catalogue } from "./ledger/tables.ts";
import { History, unreadable } from "./history/history.ts";
import { PackedIdentities, readIds } from "./history/ids_file.ts";
import type { ReadPart } from "./history/part_reader.ts";
import { release } from "./history/sqlite.ts";
import { Unfolded } from "./history/unfolded.ts";
import type { Identities } from "./ledger/identities.ts";
import { Ids, ordered } from "./ledger/keys.ts";
import { Ledger, loadIdentity, unescapeKey } from "./ledger/ledger.ts";
import { Rows } from "./ledger/rows.ts";
import { Shelf } from "./ledger/shelf.ts";
import { LedgerStore } from "./ledger_store.ts";
import type { CheckedFile } from "./log/files.ts";
import type { HistoryKind } from "./log/log_frame.ts";
import { recover, type Recovered, type RecoverySink } from "./log/recover.ts";
import { SegmentLog } from "./log/segment_log.ts";
import type { Retention, Store } from "./store.ts";

/** Options of `openStore`. */
export interface StoreOptions {
  /** The folder of its files; created if missing. */
  folder: string;
  /** @default the machine's disk */
  disk?: Disk;
  /** The lock of the folder. After it is lost, every change fails. */
  lock?: Pick<FolderLock, "assertHeld" | "lost">;
  /** Where the files are durable, if that is not the disk. */
  elsewhere?: Elsewhere;
  /** Called with problems that an operator must know about: a store set aside, failed writes. */
  onWarning: (message: string) => void;
  /** Keeps the store in memory only; it is lost when the program ends. @default false */
  volatile?: boolean;
  /** Only reads the files: all changes stay in memory and are lost. @default false */
  readOnly?: boolean;
  /** Milliseconds since the epoch; part of the name of the folder for a damaged store that is set aside. */
  now: number;
}

/** 1 GB of history, 30 days, 256 MB of live state. */
const DEFAULT_RETENTION: Retention = {
  bytes: 1024 * 1024 * 1024,
  identities: 30 * DAY,
  live: 256 * 1024 * 1024,
};

/** Bytes of rows and identities above which a start leaves much garbage. */
const LARGE = 16 * 1024 * 1024;

/** Bytes of an ids file from which on they are read in a thread that ends then: the memory of SQLite would stay. */
const LARGE_IDS = 256 * 1024;

/** The state that recovery fills. */
class RecoveredState implements RecoverySink {
  readonly rows: Rows;
  readonly recent = new Unfolded();

  constructor(shelf: Shelf | undefined) {
    this.rows = new Rows(undefined, shelf);
  }

  put(table: string, key: string, text: Buffer): void {
    this.rows.load(table, unescapeKey(key), text);
  }

  drop(table: string, key: string): void {
    this.rows.load(table, unescapeKey(key), undefined);
  }

  id(hash: string, json: string): void {
    loadIdentity(this.rows, hash, json);
  }

  history(kind: HistoryKind, header: string, text: string, seq: number): void {
    this.recent.add(seq, kind, header, text);
  }
}

/**
 * Opens the embedded store of a data folder in the state of its last durable frame.
 * @throws UsageError if an older or newer version of the program wrote it
 */
export async function openStore(options: StoreOptions): Promise<Store> {
  const { folder, lock, elsewhere, onWarning, now, readOnly = false, disk: given = realDisk } = options;
  const volatile = options.volatile || readOnly;
  const base = readOnly ? readOnlyDisk(given) : volatile ? noDisk : given;
  const disk = lock ? lockedDisk(base, lock) : base;
  const assertHeld = () => lock?.assertHeld();
  const background = () => {
    // The copy of a store that is durable elsewhere is on the machine's disk.
    const place = elsewhere ? realDisk : base;
    return new Background({ disk: place, folder, assertHeld, tasks: storeTasks, startWorker, elsewhere });
  };
  // Folds take long, so reads have a separate thread.
  const [folds, reads] = [background(), background()];
  const found = await recoverState(options, disk, reads).finally(() => reads.rest());
  const { rows, recent } = found.sink;
  // Without this, the garbage of recovery would stay in memory for hours.
  if (rows.bytes + rows.identities.bytes > LARGE) collectGarbage();
  const ids = prepare(rows);
  const log = new SegmentLog(found.seq, found.segments, {
    disk,
    folder,
    onWarning,
    onSealed: (segment) => folding.add(segment),
    onRefused: () => ledger.refuseIntake(),
    ...elsewhere && { elsewhere },
  });
  const ledger: Ledger = new Ledger({
    rows,
    log,
    onHistory: (seq, history) => {
      for (const { kind, header, text } of history) recent.add(seq, kind, header, text);
    },
  });
  const readPart = partReader(reads);
  const history = new History({
    readPart,
    catalogues: await findCatalogues({ rows, parts: found.parts, readPart, disk, folder, onWarning }),
    recent,
    syncedSeq: () => log.lastSeq,
    onWarning,
  });
  const folding: Folding = new Folding({
    disk,
    folder,
    log,
    background: folds,
    ledger,
    rows,
    history,
    base: found.base,
    deltas: found.deltas,
    retention: DEFAULT_RETENTION,
    onWarning,
    volatile,
    now,
  });
  for (const segment of [...log.sealed]) folding.add(segment);
  return new LedgerStore({ rows, ids, ledger, history, folding, reads, retention: DEFAULT_RETENTION, onWarning });
}

/** Reads the state from the files, in one or more attempts. */
async function recoverState(
  { folder, now, onWarning, elsewhere }: StoreOptions,
  disk: Disk,
  reads: Background<typeof storeTasks>,
): Promise<Recovered<RecoveredState>> {
  const shelves = new Shelves(disk, folder);
  const begin = () => new RecoveredState(shelves.open());
  let isLarge = false;
  const readPacked = async (bytes: Uint8Array, { rows }: RecoveredState) => {
    isLarge ||= bytes.length > LARGE_IDS;
    loadIds(rows.identities, isLarge ? await readInThread(bytes, reads) : await readIds(bytes));
  };
  return await recover({
    disk,
    folder,
    now,
    onWarning,
    begin,
    readIds: readPacked,
    ...elsewhere && { elsewhere: elsewhere.name },
  });
}

/** Makes a shelf for each attempt to recover a store; the last one is in use. */
class Shelves {
  #last: Shelf | undefined;

  constructor(private readonly disk: Disk, private readonly folder: string) {}

  open(): Shelf | undefined {
    this.#last?.close();
    const file = this.disk.scratch?.(join(this.folder, "scratch"));
    return this.#last = file && new Shelf(file);
  }
}

function startWorker(): Worker {
  return new Worker(new URL("./store_worker.ts", import.meta.url));
}

async function readInThread(bytes: Uint8Array, thread: Background<typeof storeTasks>): Promise<Uint8Array> {
  // A copy, as a buffer of the host may not be transferable.
  const { buffer } = new Uint8Array(bytes);
  release(bytes);
  try {
    return new Uint8Array(await thread.run("ids", buffer, [buffer]));
  } catch (error) {
    // An error loses its class on its way from the thread.
    throw error instanceof Error && error.name === "NewerFormatError" ? new UsageError(error.message) : error;
  }
}

function loadIds(identities: Identities, bytes: Uint8Array): void {
  const packed = new PackedIdentities(bytes);
  const hash = new Uint32Array(4);
  identities.reserve(packed.count);
  for (let index = 0; index < packed.count; index++) {
    for (let word = 0; word < 4; word++) hash[word] = packed.hashWord(index, word);
    const { event, at, within, runs, flags } = packed.get(index);
    identities.load(hash, event, at, within ?? NaN, runs, flags);
  }
  release(bytes);
}

/** Adds the facts that a new store needs, and returns the generator of event keys and run ids. */
function prepare(rows: Rows): Ids {
  let secret = rows.fact("secret");
  if (secret === undefined) {
    secret = randomBytes(16).toString("hex");
    rows.putFact("secret", secret);
    rows.keep();
  }
  rows.identities.keyBy(secret);
  return new Ids(rows.fact("last")?.key ?? 0, secret);
}

/** The sources of catalogues. */
interface CatalogueSources {
  rows: Rows;
  /** The part files on disk. */
  parts: CheckedFile[];
  readPart: ReadPart;
  disk: Disk;
  folder: string;
  onWarning: (message: string) => void;
}

/**
 * The catalogues of the parts on disk. They are live rows. If a crash lost one, it is read from its part, and the rows are
 * updated to match the files. A crash while a part was thinned leaves two files of one range: both are complete, and the one
 * that the row names stays.
 */
async function findCatalogues({ rows, parts, ...sources }: CatalogueSources): Promise<Catalogue[]> {
  const known = new Map(rows.all("part"));
  const byRange = Map.groupBy(parts, ({ first }) => ordered(first));
  for (const [key, { file }] of known) {
    if (byRange.has(key)) continue;
    // Retention drops the row first, then the file.
    sources.onWarning(`Cannot find ${file}, a part of history: its history is no longer shown`);
    rows.drop("part", key);
  }
  const catalogues: Catalogue[] = [];
  for (const [key, files] of byRange) {
    const names = files.map(({ name }) => name);
    const row = known.get(key);
    const isNamed = row !== undefined && names.includes(row.file);
    const catalogue = isNamed ? row : await readFirst(names, sources);
    if (catalogue === undefined) continue;
    catalogues.push(catalogue);
    if (!isNamed) rows.put("part", key, catalogue);
    const others = names.filter((name) => name !== catalogue.file);
    for (const name of others) await sources.disk.remove(join(sources.folder, name)).catch(() => {});
  }
  rows.keep();
  return catalogues;
}

/** The catalogue of the first file that can be read. */
async function readFirst(
  names: string[],
  { readPart, onWarning }: Pick<CatalogueSources, "readPart" | "onWarning">,
): Promise<Catalogue | undefined> {
  for (const file of names) {
    const answer = await readPart({ file, read: "catalogue", args: {} });
    if (answer.kind === "read") return answer.result;
    if (answer.kind !== "missing") onWarning(unreadable(file, answer.reason));
  }
}
