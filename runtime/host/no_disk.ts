import type { Disk } from "./disk.ts";

/** A disk that is always empty and discards all writes: for a store in memory only. */
export const noDisk: Disk = {
  mkdir: () => Promise.resolve(),
  list: () => Promise.resolve([]),
  read: nothing,
  open: nothing,
  create: () => Promise.resolve({ write: done, sync: done, close: done }),
  append: (path) => Promise.reject(new Error(`Cannot append to ${path}: nothing is kept`)),
  truncate: done,
  rename: done,
  remove: done,
  syncFolder: done,
};

function done(): Promise<void> {
  return Promise.resolve();
}

function nothing(path: string): Promise<never> {
  return Promise.reject(new Error(`Cannot read ${path}: nothing is kept`));
}
