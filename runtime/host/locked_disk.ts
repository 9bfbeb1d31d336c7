import type { Disk, DiskFile } from "./disk.ts";
import type { FolderLock } from "./lock.ts";

/**
 * A disk that makes no changes if the folder is no longer the locked one. It checks before each change of the folder. An append to
 * an open file goes to the locked inode, and fails only after the folder is known to be lost.
 */
export function lockedDisk(disk: Disk, lock: Pick<FolderLock, "assertHeld" | "lost">): Disk {
  const held = <A extends unknown[], R>(act: (...args: A) => Promise<R>) => async (...args: A): Promise<R> => {
    lock.assertHeld();
    return await act(...args);
  };
  const appending = (file: DiskFile): DiskFile => ({
    async write(bytes) {
      if (lock.lost) throw lock.lost;
      await file.write(bytes);
    },
    sync: () => file.sync(),
    close: () => file.close(),
  });
  return {
    list: (folder) => disk.list(folder),
    read: (path) => disk.read(path),
    open: (path) => disk.open(path),
    syncFolder: (folder) => disk.syncFolder(folder),
    ...disk.scratch && {
      scratch: (path) => {
        lock.assertHeld();
        return disk.scratch!(path);
      },
    },
    mkdir: held((path) => disk.mkdir(path)),
    create: held(async (path) => appending(await disk.create(path))),
    append: held(async (path) => appending(await disk.append(path))),
    truncate: held((path, length) => disk.truncate(path, length)),
    rename: held((from, to) => disk.rename(from, to)),
    remove: held((path) => disk.remove(path)),
  };
}
