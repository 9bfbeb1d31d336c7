import type { FoldTask, UploadedFile } from "./fold_order.ts";

/** A place where the store is durable, while the disk only has a copy. Several programs may share it. */
export interface Elsewhere {
  /** For messages: `the database postgres://…`. */
  name: string;
  /** Makes a frame of the log durable. */
  append(seq: number, frame: Uint8Array): Promise<void>;
  /** Makes durable what a task has written to the disk, and what a replica has uploaded. Only for who decides. */
  publish(uploaded?: UploadedFile[]): Promise<void>;
  /** Copies a part of history to the disk, if it is not there. */
  fetch(part: string): Promise<void>;
  /** Copies the files that a task reads to the disk, if they are not there. */
  fetchStore(task: FoldTask["name"]): Promise<void>;
  /**
   * Brings the files that a task reads to the state of the place, with the segment to fold. Only for a replica that follows.
   * @throws Error if the segment is folded already, or its frames are gone
   */
  prepareFold(task: FoldTask, signal: AbortSignal): Promise<void>;
  /** Copies what a task has written since {@link prepareFold} to the place. It counts once it is published there. */
  upload(signal: AbortSignal): Promise<UploadedFile[]>;
  /**
   * Repeats work that fails because this place cannot be reached. It must be such that it may be repeated.
   * @throws FolderLostError once this program may not go on with the store; else what the work throws, if a repetition would not help
   */
  outlast<T>(work: () => Promise<T>, outage: Outage): Promise<T>;
  exchange: Exchange;
}

/** What happens while a place cannot be reached. */
export interface Outage {
  /** Work is not repeated any more once it is aborted. */
  signal: AbortSignal;
  /** Called with the reason of the first failure. */
  onOutage: (reason: string) => void;
}

/** How a program that shares its store with others exchanges messages with them. */
export interface Exchange {
  /** This replica. */
  readonly me: string;
  /**
   * Sends a batch of calls to the one that decides. A crash may lose the batch until the frame with its decision is durable, so it must be
   * sent again until then. @throws FolderLostError once this replica is fenced
   */
  send(seq: number, calls: string): Promise<void>;
  /** Waits for batches beyond these cursors, of all replicas, those of one in order. An empty list is possible. */
  receive(cursors: ReadonlyMap<string, number>, signal: AbortSignal): Promise<Batch[]>;
  /** Batches of one replica beyond a cursor, without waiting: after it was fenced. */
  rest(replica: string, cursor: number): Promise<Batch[]>;
  /** Removes the decided batches of replicas, up to these cursors. */
  forget(cursors: ReadonlyMap<string, number>): Promise<void>;
  /** The frames after `seq`, in order, as they come. @throws MissingFramesError if the next one is gone */
  tail(seq: number, signal: AbortSignal): AsyncIterable<LoggedFrame[]>;
  /** The next frames after `seq`, in order, or an empty list: it does not wait. @throws MissingFramesError if the next one is gone */
  framesAfter(seq: number): Promise<LoggedFrame[]>;
  /** What this replica has applied, told with its next beat. */
  applied(seq: number): void;
  /** The replicas that follow, are alive and serve, and have the version of this one. The oldest comes first. */
  followers(): Promise<FollowerState[]>;
}

/** A replica that follows. */
export interface FollowerState {
  id: string;
  /** The last frame that it has applied, as it last told. */
  applied: number;
}

/** Calls that one replica has sent at once. */
export interface Batch {
  replica: string;
  /** Numbered from 1 on, for each replica, without a gap. */
  seq: number;
  /** As they were sent. */
  calls: string;
}

/** A frame of the log, as it was appended. */
export interface LoggedFrame {
  seq: number;
  frame: Uint8Array;
}

/** Frames that this replica has not applied are no longer there: it must begin anew. */
export class MissingFramesError extends Error {
  override name = "MissingFramesError";
}
