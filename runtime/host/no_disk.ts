import type { Disk } from "./disk.ts";

/** A disk that is always empty and takes everything: for a store that is to live in memory only. */
export const noDisk: Disk = {
  mkdir: () => Promise.resolve(),
  list: () => Promise.resolve([]),
  read: (path) => Promise.reject(new Error(`Cannot read ${path}: nothing is kept`)),
  create: () => Promise.resolve({ write: done, sync: done, close: done }),
  truncate: done,
  rename: done,
  remove: done,
  syncFolder: done,
};

function done(): Promise<void> {
  return Promise.resolve();
}
