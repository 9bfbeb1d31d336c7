import { watch } from "chokidar";
import type { Clock } from "../../host/clock.ts";
import { isIgnored } from "../folder.ts";
import { SlowPass } from "./slow_pass.ts";

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
    if (FILE_EVENTS.has(event)) slow.told(path);
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
