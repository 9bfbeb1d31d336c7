import type { FoldEnd } from "../fold_order.ts";
import type { Rows } from "../ledger/rows.ts";

/** A replica has done what it was ordered to do, or cannot do it. Without effect if the order is no longer the newest one. */
export function endFold(rows: Rows, { id, end }: { id: string; end: FoldEnd }): void {
  const order = rows.fact("fold");
  if (order?.id === id) rows.putFact("fold", { ...order, end });
}
