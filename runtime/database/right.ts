import type { FolderLostError } from "../host/lock.ts";

/** The right of a program to change the database: as the one that decides, or as a replica that nobody has declared dead. */
export interface Right {
  /** Set from when it is known to be lost. */
  readonly lost: FolderLostError | undefined;
  /** A statement that finds a row as long as the right is held, and keeps it until the end of the transaction. */
  readonly proof: string;
  /** @throws FolderLostError if it is lost */
  assertHeld(): void;
  /** It was found to be lost. @throws FolderLostError */
  lose(): never;
}
