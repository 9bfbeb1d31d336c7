import type { Disk, DiskFile } from "../../runtime/host/disk.ts";
import { realMedium, SimulatedDisk } from "./simulated_disk.ts";

/**
 * A disk for black-box tests, selected by `WHENTHEN_TEST_DISK`; undefined or empty leaves the disk unchanged.
 *
 * - `hold:1000` delays each sync of a file for that many milliseconds
 * - `forget:42` keeps unsynced data in this process, so that killing it is a power cut; the number seeds the early
 *   back early
 * @throws Error for another value
 */
export function chooseDisk(disk: Disk, wish: string | undefined): Disk {
  if (!wish) return disk;
  const [, kind, number] = /^(hold|forget):(\d+)$/.exec(wish) ?? [];
  if (kind === "hold") return holdSyncs(disk, Number(number));
  if (kind === "forget") return new SimulatedDisk(realMedium, sometimes(Number(number)));
  throw new Error(`Cannot use WHENTHEN_TEST_DISK ${JSON.stringify(wish)}: expected "hold:<ms>" or "forget:<seed>"`);
}

function holdSyncs(disk: Disk, ms: number): Disk {
  const held = (file: DiskFile): DiskFile => ({
    ...file,
    async sync() {
      await new Promise((resolve) => setTimeout(resolve, ms));
      await file.sync();
    },
  });
  return {
    ...disk,
    create: async (path) => held(await disk.create(path)),
    append: async (path) => held(await disk.append(path)),
  };
}

/** Mostly 0, else anything up to 1: a machine writes back now and then. */
function sometimes(seed: number): () => number {
  let state = seed;
  // mulberry32, by Tommy Ettinger: small, and good enough for a test.
  const random = () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  return () => random() < 0.7 ? 0 : random();
}
