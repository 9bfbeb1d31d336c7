import { stat } from "node:fs/promises";
import type { Clock } from "../host/clock.ts";
import { codeOf } from "../model/errors.ts";

/** Milliseconds between two looks at a place. */
const PERIOD = 1_000;

/** A watcher of the folder or file at a path. */
export interface Watcher {
  open(): void;
  close(): Promise<void>;
}

/** The places that are watched, by path. Those of a clock are of one program. */
const places = new WeakMap<Pick<Clock, "after">, Map<string, Place>>();

/**
 * Opens a watcher of the folder or file at a path, and opens it anew when another one is there: it was removed, replaced or created, or a
 * link to it names another one. What the system reports is of the folder itself, wherever it is moved.
 * @returns closes the watcher
 */
export function watchPlace(path: string, clock: Pick<Clock, "after">, watcher: Watcher): () => Promise<void> {
  let ofClock = places.get(clock);
  if (ofClock === undefined) places.set(clock, ofClock = new Map());
  let place = ofClock.get(path);
  if (place === undefined) ofClock.set(path, place = new Place(path, clock));
  const { watchers } = place;
  place.add(watcher);
  return async () => {
    await place.remove(watcher);
    if (watchers.size === 0 && ofClock.get(path) === place) ofClock.delete(path);
  };
}

/**
 * One path with its watchers. They share what the system reports of it (chokidar does so), and would go on to share that of the old
 * folder. So all of them are closed before one is opened anew.
 */
class Place {
  readonly watchers = new Set<Watcher>();
  #working = Promise.resolve();
  /** Counts the times that watching began or ended: looks of an earlier time stop. */
  #era = 0;
  #cancel = () => {};

  constructor(private readonly path: string, private readonly clock: Pick<Clock, "after">) {}

  add(watcher: Watcher): void {
    this.watchers.add(watcher);
    if (this.watchers.size === 1) void this.#look(++this.#era, undefined);
    void this.#inTurn(() => this.watchers.has(watcher) ? watcher.open() : undefined);
  }

  async remove(watcher: Watcher): Promise<void> {
    this.watchers.delete(watcher);
    if (this.watchers.size === 0) {
      this.#era++;
      this.#cancel();
    }
    await this.#inTurn(() => watcher.close());
  }

  /** A watcher that fails does not stop those after it. */
  #inTurn(work: () => Promise<void> | void): Promise<void> {
    const done = this.#working.then(work);
    this.#working = done.catch(() => {});
    return done;
  }

  /** A look is one system call, and works on file systems that report no changes. */
  async #look(era: number, before: string | undefined): Promise<void> {
    const now = await identityOf(this.path);
    if (era === this.#era && before !== undefined && now !== before) await this.#inTurn(() => this.#reopen());
    if (era === this.#era) this.#cancel = this.clock.after(PERIOD, () => void this.#look(era, now));
  }

  async #reopen(): Promise<void> {
    const watchers = [...this.watchers];
    await Promise.allSettled(watchers.map((watcher) => watcher.close()));
    for (const watcher of watchers) if (this.watchers.has(watcher)) watcher.open();
  }
}

/** A folder that is made anew may get the inode of the one that was removed, so the time of its creation counts, too. */
async function identityOf(path: string): Promise<string> {
  try {
    const { dev, ino, birthtimeMs } = await stat(path);
    return `${dev} ${ino} ${birthtimeMs}`;
  } catch (error) {
    return codeOf(error) ?? "unknown";
  }
}
