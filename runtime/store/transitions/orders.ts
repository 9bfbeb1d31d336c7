import type { TaskResult } from "../../model/fleet.ts";
import { join, ordered, SEPARATOR } from "../ledger/keys.ts";
import type { Rows } from "../ledger/rows.ts";
import type { DeviceOrder, OrderProgress, OrderRow } from "../places.ts";

/** See {@link PlaceStore.putOrder}. */
export function putOrder(rows: Rows, { id, order }: { id: string; order: DeviceOrder }): void {
  rows.put("order", id, { ...order, id });
}

/** See {@link PlaceStore.listOrders}. */
export function listOrders(rows: Rows, to: string): OrderRow[] {
  return rows.range("order", "open", join(to, ""));
}

/** See {@link PlaceStore.addResults}. */
export function addResults(rows: Rows, { id, results }: { id: string; results: TaskResult[] }): boolean {
  const order = rows.get("order", id);
  if (order === undefined || order.isDone) return false;
  rows.put("result", join(id, ordered(lastOf(rows, id) + 1)), results);
  return true;
}

/** See {@link PlaceStore.endOrder}. */
export function endOrder(rows: Rows, { id, error }: { id: string; error?: string }): void {
  const order = rows.get("order", id);
  if (order !== undefined) rows.put("order", id, { ...order, isDone: true, ...error !== undefined && { error } });
}

/** See {@link PlaceStore.getOrder}. */
export function getOrder(rows: Rows, id: string, after: number): OrderProgress | undefined {
  const order = rows.get("order", id);
  if (order === undefined) return undefined;
  const prefix = join(id, "");
  const slices = rows.range("result", "order", prefix, Infinity, prefix + ordered(after));
  const { isDone = false, error } = order;
  return { results: slices.flat(), last: lastOf(rows, id), isDone, ...error !== undefined && { error } };
}

/** See {@link PlaceStore.dropOrder}. */
export function dropOrder(rows: Rows, { id }: { id: string }): void {
  rows.drop("order", id);
  rows.dropRange("result", "order", join(id, ""));
}

/** A replica has ended: what it ordered is forgotten, what it was to do is over. */
export function endOrdersOf(rows: Rows, replica: string): void {
  for (const [id, { from, to }] of [...rows.all("order")]) {
    if (from === replica) dropOrder(rows, { id });
    else if (to === replica) endOrder(rows, { id });
  }
}

function lastOf(rows: Rows, id: string): number {
  const last = rows.index("result", "order").last(join(id, ""));
  return last === undefined ? 0 : Number(last[0].split(SEPARATOR)[1]);
}
