import { watch } from "chokidar";
import type { Clock } from "../../host/clock.ts";
import { isIgnored } from "../folder.ts";
import { SlowPass } from "./slow_pass.ts";

/** How a folder is watched. */
export interface WatchOptions {
  clock: Clock;
  /** Absolute paths below which nothing matters: the data folder. */
  ignore: string[];
  /** What goes wrong with watching itself, e.g. too few inotify watches; the slow pass goes on. */
  onWarning: (message: string) => void;
}

const FILE_EVENTS = new Set(["add", "change", "unlink"]);

/** A folder under watch. */
export interface Watch {
  /** Replaces the set of files outside the folder that are watched too. */
  outside(files: string[]): void;
  close(): Promise<void>;
}

/**
 * Calls back when something in the folder may have changed; whether it did is the loader's to find out.
 * Resolves once every change from now on is seen.
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
