import { readOnlyDisk } from "../../host/disk.ts";
import type { FolderLostError } from "../../host/lock.ts";
import { partReader } from "../background.ts";
import type { Elsewhere } from "../elsewhere.ts";
import { findCatalogues } from "../find_catalogues.ts";
import { History } from "../history/history.ts";
import { ordered } from "../ledger/keys.ts";
import type { LedgerStoreParts } from "../ledger_store.ts";
import type { StoreHost } from "../open_decider.ts";
import { type RecoveredState, recoverState } from "../recovered_state.ts";
import type { Change } from "../shared_store.ts";
import { endFold } from "../transitions/end_fold.ts";
import { FoldWorker } from "./fold_worker.ts";
import { Follower, type FollowerOptions } from "./follower.ts";

/** Options of `openFollower`, besides those of the store. */
export interface FollowingOptions {
  elsewhere: Elsewhere;
  onChange: (change: Change) => void;
  onLost: (error: FolderLostError) => void;
  onUnwanted: FollowerOptions["onUnwanted"];
  intakeTimeout: number;
}

/** The parts of a store that another program decides on. */
export interface FollowingParts extends LedgerStoreParts {
  deciding: Follower;
  state: RecoveredState;
}

/** Reads the state as it was loaded, then follows: nothing on disk is changed. */
export async function openFollower(
  host: StoreHost,
  { elsewhere, onChange, onLost, onUnwanted, intakeTimeout }: FollowingOptions,
): Promise<FollowingParts> {
  const { folder, reads, settings, onWarning } = host;
  const disk = { ...readOnlyDisk(host.disk), ...host.disk.scratch && { scratch: host.disk.scratch } };
  const found = await recoverState({ ...host, disk, elsewhere: elsewhere.name }).finally(() => reads.rest());
  const { rows, recent } = found.sink;
  const secret = rows.fact("secret");
  if (secret !== undefined) rows.identities.keyBy(secret);
  const folds = new FoldWorker({
    background: host.orderedFolds,
    elsewhere,
    onEnd: (id, end) => {
      // A replica that is lost or stops has nothing more to tell.
      deciding.decide("change", endFold, { id, end }, 0).catch(() => {});
    },
  });
  const deciding: Follower = new Follower({
    elsewhere,
    folds,
    state: found.sink,
    seq: found.seq,
    settings,
    onWarning,
    onChange,
    onLost,
    onUnwanted,
    intakeTimeout,
  });
  const readPart = partReader(reads);
  const { droppedParts } = found.sink;
  const catalogues = await findCatalogues({
    rows,
    parts: found.parts,
    readPart,
    disk,
    folder,
    onWarning,
    // Its row comes with a later frame.
    isNew: ({ first, last }) => last === found.folded && !droppedParts.has(ordered(first)),
  });
  const history = new History({
    readPart,
    catalogues,
    recent,
    syncedSeq: () => deciding.seq,
    onWarning,
    isFollowing: true,
  });
  deciding.start(history);
  return { rows, deciding, state: found.sink, history, reads, settings, onWarning, replica: elsewhere.exchange.me };
}
