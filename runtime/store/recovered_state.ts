import { join } from "node:path";
import type { Disk } from "../host/disk.ts";
import { UsageError } from "../model/errors.ts";
import type { Background, storeTasks } from "./background.ts";
import { PackedIdentities, readIds } from "./history/ids_file.ts";
import { release } from "./history/sqlite.ts";
import { Unfolded } from "./history/unfolded.ts";
import type { Identities } from "./ledger/identities.ts";
import { loadIdentity, unescapeKey } from "./ledger/ledger.ts";
import { Rows } from "./ledger/rows.ts";
import { Shelf } from "./ledger/shelf.ts";
import type { HistoryKind, Span } from "./log/log_frame.ts";
import { recover, type Recovered, type RecoverySink } from "./log/recover.ts";

/** Bytes of an ids file from which on they are read in a thread that ends then: the memory of SQLite would stay. */
const LARGE_IDS = 256 * 1024;

/** The state that recovery fills. */
export class RecoveredState implements RecoverySink {
  readonly rows: Rows;
  readonly recent = new Unfolded();
  /** The keys of catalogues that were dropped. */
  readonly droppedParts = new Set<string>();

  constructor(shelf: Shelf | undefined) {
    this.rows = new Rows(undefined, shelf);
  }

  put(table: string, key: string, json: Span): void {
    this.rows.load(table, unescapeKey(key), json);
  }

  drop(table: string, key: string): void {
    if (table === "part") this.droppedParts.add(key);
    this.rows.load(table, unescapeKey(key), undefined);
  }

  id(hash: string, json: string): void {
    loadIdentity(this.rows, hash, json);
  }

  history(kind: HistoryKind, header: string, text: string, seq: number): void {
    this.recent.add(seq, kind, header, text);
  }
}

/** Options of `recoverState`. */
export interface RecoverStateOptions {
  folder: string;
  disk: Disk;
  now: number;
  onWarning: (message: string) => void;
  /** The place where the files are durable, if that is not the disk. */
  elsewhere?: string | undefined;
  reads: Background<typeof storeTasks>;
}

/** Reads the state from the files, in one or more attempts. */
export async function recoverState(
  { folder, disk, now, onWarning, elsewhere, reads }: RecoverStateOptions,
): Promise<Recovered<RecoveredState>> {
  const shelves = new Shelves(disk, join(folder, "scratch"));
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
    ...elsewhere !== undefined && { elsewhere },
  });
}

/** Makes a shelf for each attempt to recover a store; the last one is in use. */
class Shelves {
  #last: Shelf | undefined;

  constructor(private readonly disk: Disk, private readonly path: string) {}

  open(): Shelf | undefined {
    this.#last?.close();
    const file = this.disk.scratch?.(this.path);
    return this.#last = file && new Shelf(file);
  }
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
