import { createHmac } from "node:crypto";
import type { Clock } from "../host/clock.ts";
import { realDisk } from "../host/disk.ts";
import { acquireLock } from "../host/lock.ts";
import { dataFolderKey } from "../host/private_file.ts";
import { chooseDisk } from "../host/test_disk.ts";
import { UsageError } from "../model/errors.ts";
import type { Secrets } from "../rule/secrets.ts";
import { openStore } from "../store/open.ts";
import type { Store } from "../store/store.ts";
import { CauseSigner } from "./cause.ts";

/** The mark of a store that a whenthen has worked on. */
const BEGUN = { rule: "", trigger: "begun" };

/** A data folder in the hands of this program. */
export interface DataFolder {
  store: Store;
  signer: CauseSigner;
  /** This folder's own key for one purpose: what is signed with it means nothing anywhere else. */
  keyFor(purpose: string): Uint8Array;
  /** True where no whenthen has worked on this store: nothing is known of earlier passes. */
  isNew(): Promise<boolean>;
  /** From here on it is not new any more. */
  begin(): Promise<void>;
  /** Closes the store and gives the folder back. */
  close(): Promise<void>;
}

/** What a data folder is opened with. */
export interface DataFolderOptions {
  path: string;
  clock: Clock;
  /** What they mask never reaches the folder. */
  secrets: Secrets;
  /** What `WHENTHEN_TEST_DISK` says. */
  testDisk: string | undefined;
  onWarning: (message: string) => void;
}

/**
 * Takes a data folder: one program at a time.
 * @throws UsageError where another program holds it, or it cannot be made
 */
export async function openDataFolder(options: DataFolderOptions): Promise<DataFolder> {
  const { path, clock, secrets, testDisk, onWarning } = options;
  const disk = chooseDisk(realDisk, testDisk);
  await disk.mkdir(path).catch((error) => {
    throw new UsageError(`Cannot make the data folder ${path}: ${(error as Error).message}; name another with --data`);
  });
  const release = acquireLock(path);
  if (release === undefined) {
    throw new UsageError(
      `Cannot use the data folder ${path}: another whenthen is running on it; stop it, or choose another with --data`,
    );
  }
  try {
    const mask = (text: string) => secrets.mask(text);
    const store = await openStore({ folder: path, disk, mask, onWarning, now: clock.now() });
    const key = await dataFolderKey(path, disk);
    const signer = new CauseSigner(key);
    return {
      store,
      signer,
      keyFor: (purpose) => createHmac("sha256", key).update(purpose).digest(),
      isNew: async () => await store.getMark(BEGUN) === undefined,
      async begin() {
        const now = clock.now();
        await store.accept([], [{ ...BEGUN, mark: now }], now);
      },
      async close() {
        await store.close();
        release();
      },
    };
  } catch (error) {
    release();
    throw error;
  }
}
