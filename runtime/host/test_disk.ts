import type { Disk } from "./disk.ts";

/**
 * A disk for black-box tests, by what `WHENTHEN_TEST_DISK` wishes: `hold:1000` holds the first sync for that many
 * milliseconds; undefined or empty leaves the disk as it is.
 * @throws Error where it wishes for something else
 */
export function chooseDisk(disk: Disk, wish: string | undefined): Disk {
  if (!wish) return disk;
  const hold = /^hold:(\d+)$/.exec(wish)?.[1];
  if (hold === undefined) {
    throw new Error(`Cannot use WHENTHEN_TEST_DISK ${JSON.stringify(wish)}: expected "hold:<ms>"`);
  }
  let first = true;
  return {
    ...disk,
    create: async (path) => {
      const file = await disk.create(path);
      return {
        ...file,
        async sync() {
          if (first) {
            first = false;
            await new Promise((resolve) => setTimeout(resolve, Number(hold)));
          }
          await file.sync();
        },
      };
    },
  };
}
