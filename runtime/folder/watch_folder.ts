import { watch } from "chokidar";
import type { Cancel, Clock } from "../host/clock.ts";
import { ABSENT, type FolderScope, isIgnored, type Mark, markFile, markFiles, markFolder } from "./folder_files.ts";

/** How a folder is watched. */
export interface WatchOptions {
  clock: Clock;
  /** Absolute paths whose contents are ignored: the data folder. */
  ignore: string[];
  /** Called if watching itself fails, e.g. because of too few inotify watches; the slow pass continues. */
  onWarning: (message: string) => void;
}

const FILE_EVENTS = new Set(["add", "change", "unlink"]);

/** A watched folder. */
export interface Watch {
  /** Replaces the set of files outside the folder that are watched too. */
  outside(files: string[]): void;
  close(): Promise<void>;
}

/**
 * Calls back when something in the folder may have changed; the loader finds out whether it did.
 * Resolves when all later changes will be seen.
 * @param folder absolute
 */
export async function watchFolder(folder: string, options: WatchOptions, onChange: () => void): Promise<Watch> {
  let outside: string[] = [];
  const slow = new SlowPass({ folder, ignore: options.ignore }, options, onChange);
  const events = watch(folder, {
    ignoreInitial: true,
    atomic: false,
    ignored: (path) => path !== folder && isIgnored(path, options.ignore),
  });
  events.on("all", (event, path) => {
    if (FILE_EVENTS.has(event)) slow.noteEvent(path);
    onChange();
  });
  events.on("error", (error) => options.onWarning(`Cannot watch ${folder} fully: ${String(error)}`));
  await new Promise<void>((resolve) => events.once("ready", resolve));
  await slow.start();
  return {
    outside(files) {
      events.unwatch(outside.filter((file) => !files.includes(file)));
      events.add(files.filter((file) => !outside.includes(file)));
      slow.outside = outside = files;
    },
    async close() {
      slow.stop();
      await events.close();
    },
  };
}

/** Milliseconds between two passes. */
const PERIOD = 30_000;

/** Checks every file periodically, for file systems that send no events: network shares, some containers. */
export class SlowPass {
  /** Files outside the folder that are checked too, absolute. */
  outside: string[] = [];
  #folder = new Map<string, Mark>();
  #outside = new Map<string, Mark>();
  #cancel = () => {};
  #stopped = false;

  constructor(
    private readonly scope: FolderScope,
    private readonly options: { clock: Clock; onWarning: (message: string) => void },
    private readonly onChange: () => void,
  ) {}

  /** Records the present state; resolves when that is done. */
  async start(): Promise<void> {
    this.#folder = await markFolder(this.scope);
    this.#plan();
  }

  /** An event already reported this file: the next pass does not report the change again. */
  noteEvent(path: string): void {
    const mark = markFile(path);
    if (!path.startsWith(`${this.scope.folder}/`)) this.#outside.set(path, mark);
    else if (mark.state === ABSENT) this.#folder.delete(path);
    else this.#folder.set(path, mark);
  }

  stop(): void {
    this.#stopped = true;
    this.#cancel();
  }

  #plan(): void {
    const { clock } = this.options;
    if (!this.#stopped) this.#cancel = clock.after(PERIOD, () => void this.#pass());
  }

  async #pass(): Promise<void> {
    try {
      const folder = await markFolder(this.scope);
      const outside = await markFiles(this.outside);
      // A file outside that is checked for the first time has just been read by the load that found it.
      const changed = folder.size !== this.#folder.size || differs(folder, this.#folder) ||
        differs(outside, new Map([...outside, ...this.#outside]));
      [this.#folder, this.#outside] = [folder, outside];
      if (changed && !this.#stopped) this.onChange();
    } catch (error) {
      this.options.onWarning(`Cannot look through ${this.scope.folder}: ${String(error)}`);
    }
    this.#plan();
  }
}

function differs(now: Map<string, Mark>, before: Map<string, Mark>): boolean {
  return [...now].some(([path, { state }]) => before.get(path)?.state !== state);
}

/** Milliseconds that a load waits for further file events, because one save often causes several. */
const SETTLE = 5;

/**
 * Turns bursts of changes into few loads: the first change loads at once, changes within `gap` after a load's start become
 * one trailing load, and two loads never overlap.
 */
export class Coalescer {
  #wanted = false;
  #due = 0;
  #lastStart = -Infinity;
  #timer: Cancel | undefined;
  readonly #forgetClock: Cancel;
  #running: Promise<void> | undefined;
  #closed = false;

  /**
   * @param load must not throw; it sees every change that was requested before it started
   * @param gap milliseconds between the starts of two loads
   */
  constructor(
    private readonly load: () => Promise<void>,
    private readonly clock: Clock,
    private readonly gap: number = 1_000,
  ) {
    this.#forgetClock = clock.onRollback(() => this.#plan());
  }

  /** Something changed. */
  request(): void {
    if (!this.#wanted) this.#due = Math.max(this.#lastStart + this.gap, this.clock.now() + SETTLE);
    this.#wanted = true;
    this.#plan();
  }

  /**
   * Runs work that must not overlap with a load, such as the first load; changes in the meantime cause a load
   * afterwards.
   */
  async alone(work: () => Promise<void>): Promise<void> {
    while (this.#running) await this.#running;
    await this.#run(work);
  }

  /** Starts no further load; resolves when none is running. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#forgetClock();
    this.#timer?.();
    await this.#running;
  }

  #plan(): void {
    if (this.#closed || this.#running || !this.#wanted) return;
    // A clock rollback must not postpone the load until the old time is reached again.
    this.#due = Math.min(this.#due, this.clock.now() + this.gap);
    this.#timer?.();
    this.#timer = this.clock.at(this.#due, () => void this.#run(this.load));
  }

  #run(work: () => Promise<void>): Promise<void> {
    this.#timer?.();
    this.#wanted = false;
    this.#lastStart = this.clock.now();
    const done = work().finally(() => {
      this.#running = undefined;
      this.#plan();
    });
    // A failure is reported to the caller of `work`, not to those who wait for its end.
    this.#running = done.catch(() => {});
    return done;
  }
}
