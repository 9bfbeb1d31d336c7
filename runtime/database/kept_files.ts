/** What is of this machine, or not finished: it is not kept in the database. Frames of the log are, in a table of their own. */
const LOCAL = new RegExp(
  [
    "^(?:lock|address|probe|scratch)\\b",
    "^cache/",
    "^log-",
    // Drafts, in their places only: a run may save a file of any name.
    "^[^/]*\\.(?:new|tmp)$",
    "^files/\\.private/",
    "^files/(?:\\.uploads/)?[^/]+/(?:[0-9a-f]{16}|owners\\.json)\\.new$",
  ].join("|"),
);

/** Whether a file of a data folder is kept in the database. */
export function isKept(path: string): boolean {
  return !LOCAL.test(path);
}

/** Parts of history are many, and are downloaded when somebody looks at them. */
export const LATE = /^part-/;
/** Identities of events. */
export const OF_IDENTITIES = /^ids-/;
/** Files of the store: only who decides changes them, and they have the same content for ever. */
export const OF_STORE = /^(?:base|delta|ids|part)-\d/;
/** The folder of the files that came with events. */
export const UPLOADS = "files/.uploads";
/** Files of runs and uploads: each replica adds and reads some. */
export const OF_RUNS = /^files\//;
