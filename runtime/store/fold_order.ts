import type { Catalogue } from "./ledger/catalogue.ts";
import type { Expiry, Folded } from "./log/fold.ts";
import type { Merged } from "./log/merge.ts";
import type { Segment } from "./log/segment_log.ts";

/** A fold or a merge, as a task of the background: see `background.ts`. */
export type FoldTask = { name: "fold"; args: Segment } | { name: "merge"; args: Expiry };

export function isFoldTask(task: { name: string; args: unknown }): task is FoldTask {
  return task.name === "fold" || task.name === "merge";
}

/** A file that a replica has copied to the place where the store is durable. The one that decides makes it one of the store's files. */
export interface UploadedFile {
  /** Its name in the data folder. */
  path: string;
  /** The name of its content. */
  blob: string;
  bytes: number;
}

/** A task that the one that decides has a replica do. Only the newest order counts. */
export interface FoldOrder {
  id: string;
  /** The replica. */
  to: string;
  task: FoldTask;
  /** Set by the replica when it has ended. */
  end?: FoldEnd;
}

/** How an order has ended. */
export type FoldEnd = { result: Folded<Catalogue> | Merged | undefined; files: UploadedFile[] } | { error: string };
