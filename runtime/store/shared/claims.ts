import type { Rows } from "../ledger/rows.ts";
import type { ClaimedRun, Receipt } from "../store.ts";
import { readEvent } from "../transitions/event_rows.ts";
import { readSteps, readWaits, toRun } from "../transitions/run_rows.ts";

/**
 * A claimed run in an answer. Its row, its event and its steps are live rows, so who applies the frame has them, and the frame
 * need not have them twice.
 */
interface Claim extends Omit<ClaimedRun, "run" | "steps"> {
  run: string;
}

/** The result of a transition for an answer: claimed runs only by their ids. */
export function shorten(name: string, result: unknown): unknown {
  if (name === "claimRuns") return (result as ClaimedRun[]).map(toClaim);
  if (name !== "accept") return result;
  return (result as Receipt[]).map((receipt) =>
    receipt.claimed === undefined ? receipt : { ...receipt, claimed: receipt.claimed.map(toClaim) }
  );
}

/** Reverses {@link shorten}, with the rows as they are after the frame: they may have later changes of the same frame. */
export function complete(name: string, result: unknown, rows: Rows): unknown {
  const read = (claims: Claim[]) => claims.flatMap((claim) => readClaimed(rows, claim) ?? []);
  if (name === "claimRuns") return read(result as Claim[]);
  if (name !== "accept") return result;
  return (result as (Receipt & { claimed?: Claim[] })[]).map(({ claimed, ...receipt }): Receipt =>
    claimed === undefined ? receipt : { ...receipt, claimed: read(claimed) }
  );
}

function toClaim({ run: { id }, steps: _steps, ...rest }: ClaimedRun): Claim {
  return { run: id, ...rest };
}

/** @returns undefined if it has ended in the same frame */
function readClaimed(rows: Rows, { run: id, ...rest }: Claim): ClaimedRun | undefined {
  const row = rows.get("run", id);
  return row &&
    { run: toRun(row, readEvent(rows, row.event), readWaits(rows, id)), steps: readSteps(rows, id), ...rest };
}
