import { randomBytes } from "node:crypto";
import { type Disk } from "../host/disk.ts";
import { collectGarbage } from "../host/large_work.ts";
import { type Background, partReader, type storeTasks } from "./background.ts";
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
import { recoverState } from "./recovered_state.ts";

/** Bytes of rows and identities above which a start leaves much garbage. */
const LARGE = 16 * 1024 * 1024;

/** What a store is opened with. */
export interface StoreHost {
  folder: string;
  disk: Disk;
  elsewhere?: Elsewhere;
  /** For folds, which take long. */
  folds: Background<typeof storeTasks>;
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

/**
 * Reads the state of the last durable frame, to continue it.
 * @param scratch see {@link recoverState}
 */
export async function openDecider(host: StoreHost, scratch?: string): Promise<DecidingParts> {
  const { folder, disk, elsewhere, reads, settings, onWarning, volatile } = host;
  const found = await recoverState({
    ...host,
    ...elsewhere ? { elsewhere: elsewhere.name } : { elsewhere: undefined },
    ...scratch !== undefined && { scratch },
  }).finally(() => reads.rest());
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
