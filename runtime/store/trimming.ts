import { join } from "node:path";
import type { Disk } from "../host/disk.ts";
import type { Json } from "../model/json.ts";
import type { Background } from "./background.ts";
import type { Catalogue } from "./history/catalogue.ts";
import type { History } from "./history/history.ts";
import type { Trimming } from "./history/trim.ts";
import type { Ledger } from "./ledger/ledger.ts";
import { ordered } from "./ledger/ordered.ts";
import type { Rows } from "./ledger/rows.ts";
import type { storeTasks } from "./tasks.ts";
import { readKept } from "./transitions/counters.ts";

/** Options of `trimHistory`. */
export interface TrimmingOptions {
  disk: Disk;
  folder: string;
  background: Background<typeof storeTasks>;
  ledger: Ledger;
  rows: Rows;
  history: History;
  onWarning: (message: string) => void;
}

/**
 * Removes the oldest part of history if history is too large. If the part has a rule's last run or its last verdict of a kind,
 * the part is reduced to these instead.
 * @param bytes that history may use
 * @returns whether there may be more to remove
 */
export async function trimHistory(options: TrimmingOptions, bytes: number): Promise<boolean> {
  const { ledger, rows, history } = options;
  // Decided on durable state, in turn with the transitions.
  const next = await ledger.add("read", () => history.nextToTrim(bytes, () => readKept(rows)));
  if (next === undefined) return false;
  const thinned = next.ids.length > 0 ? await thin(next, options) : undefined;
  if (thinned === undefined) await removePart(next.part, options);
  else await replacePart(next.part, thinned, options);
  return true;
}

/** @returns the new part; undefined if the old one has nothing to keep, or cannot be read */
async function thin({ part, ids }: Trimming, options: TrimmingOptions): Promise<Catalogue | undefined> {
  const thinned = await options.background.run("thin", { file: part.file, ids });
  if (thinned.kind === "thinned") return thinned.catalogue;
  if (thinned.kind === "damaged") {
    options.onWarning(
      `Cannot read ${part.file}, which is removed from history with all that is in it: ${thinned.reason}`,
    );
  }
}

async function removePart(part: Catalogue, { ledger, rows, history, disk, folder }: TrimmingOptions): Promise<void> {
  history.removePart(part);
  await ledger.add("change", () => rows.drop("part", ordered(part.first)));
  await disk.remove(join(folder, part.file)).catch(() => {});
}

/** After a crash in between there are two files of one range: see `catalogues.ts`. */
async function replacePart(part: Catalogue, thinned: Catalogue, options: TrimmingOptions): Promise<void> {
  const { ledger, rows, history, disk, folder } = options;
  history.addPart(thinned);
  if (thinned.file !== part.file) await disk.remove(join(folder, part.file)).catch(() => {});
  await ledger.add("change", () => rows.put("part", ordered(thinned.first), thinned as unknown as Json));
}
