import { randomBytes } from "node:crypto";
import { type Disk } from "../host/disk.ts";
import { collectGarbage } from "../host/large_work.ts";
import { type Background, partReader, type StoreTasks, type storeTasks } from "./background.ts";
import { Decider, type StoreSettings } from "./decider.ts";
import type { Elsewhere } from "./elsewhere.ts";
import { findCatalogues } from "./find_catalogues.ts";
import { Folding } from "./folding.ts";
import { History } from "./history/history.ts";
import { Ids } from "./ledger/keys.ts";
import { Ledger } from "./ledger/ledger.ts";
import type { Rows } from "./ledger/rows.ts";
import type { LedgerStoreParts } from "./ledger_store.ts";
import { SegmentLog } from "./log/segment_log.ts";
import { findFiles, type Recovered } from "./log/recover.ts";
import { type RecoveredState, recoverState } from "./recovered_state.ts";

/** Bytes of rows and identities above which a start leaves much garbage. */
const LARGE = 16 * 1024 * 1024;

/** What a store is opened with. */
export interface StoreHost {
  folder: string;
  disk: Disk;
  elsewhere?: Elsewhere;
  /** For folds, which take long. */
  folds: StoreTasks;
  /** For folds that another program has ordered, on the files of this machine. */
  orderedFolds: StoreTasks;
  /** Reads parts of history. */
  reads: Background<typeof storeTasks>;
  settings: StoreSettings;
  onWarning: (message: string) => void;
  /** Nothing is kept. */
  volatile: boolean;
  /** Milliseconds since the epoch. */
  now: number;
}

/** The parts of a store that decides. */
export interface DecidingParts extends LedgerStoreParts {
  deciding: Decider;
  folding: Folding;
}

/** The state in memory of a program that has followed another one. */
export interface FollowedState {
  state: RecoveredState;
  /** The last frame in it. */
  seq: number;
}

/**
 * Reads the state of the last durable frame, to continue it.
 * @param followed the state, if this program has it already
 */
export async function openDecider(host: StoreHost, followed?: FollowedState): Promise<DecidingParts> {
  const { folder, disk, elsewhere, reads, settings, onWarning, volatile } = host;
  const found = followed ? await findFiles(followed.state, followed.seq, host) : await readState(host);
  const { rows, recent } = found.sink;
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
    background: host.folds,
    ledger,
    rows,
    history,
    base: found.base,
    deltas: found.deltas,
    retention: settings.retention,
    onWarning,
    volatile,
    isShared: elsewhere !== undefined,
    now: host.now,
  });
  for (const segment of [...log.sealed]) folding.add(segment);
  const deciding = new Decider(rows, ids, ledger, settings);
  return { rows, deciding, history, folding, reads, settings, onWarning };
}

async function readState(host: StoreHost): Promise<Recovered<RecoveredState>> {
  const { elsewhere, reads } = host;
  const place = { elsewhere: elsewhere?.name };
  const found = await recoverState({ ...host, ...place }).finally(() => reads.rest());
  const { rows } = found.sink;
  // Without this, the garbage of recovery would stay in memory for hours.
  if (rows.bytes + rows.identities.bytes > LARGE) collectGarbage();
  return found;
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
