import { type FSWatcher, watch as watchFolder } from "chokidar";
import { join } from "node:path";
import { type Clock, sleepUntil } from "../host/clock.ts";
import { messageOf } from "../model/errors.ts";
import { keepGoing } from "./timetable.ts";
import { defineTrigger, type Detach } from "./trigger.ts";
import type { FilePattern } from "./watch_files.ts";
import { watchPlace } from "./watch_place.ts";
import { schemas, type WatchContext, Watching } from "./watch_pass.ts";

/** Network folders and containers do not report changes, so all files are checked this often. */
export const SLOW_PASS = 60_000;

/**
 * Files: added, changed, removed, also while the program was down. `data` = `{path, name, old, new}`: `path` is absolute; `old`
 * and `new` are `{size, modified}` or null. With `format` there is also `content`; if that cannot be read, it is null, with an
 * `error`.
 */
export const watch = defineTrigger({
  ...schemas,
  summary: "Watches files by a pattern such as ./inbox/*.csv",
  address: (args) => `watch ${args.watch}`,
  check: ({ charset, format }) =>
    charset !== undefined && format === undefined ? [`"charset" has no use without "format"`] : [],
  attach,
  async pass(context) {
    const watching = new Watching(context);
    const { clock, signal, args } = context;
    // A file that is still being written after this time is left to the next pass.
    const settledBy = clock.now() + 3 * args.settle;
    for (let next = await watching.look(); next !== undefined && next <= settledBy; next = await watching.look([])) {
      await sleepUntil(clock, next, signal);
      if (signal.aborted) return;
    }
    context.report(null);
  },
});

function attach(context: WatchContext): Detach {
  const watching = new Watching(context);
  const touched = new Set<string>();
  let nextFull = -Infinity;
  const loop = keepGoing(context, async () => {
    const now = context.clock.now();
    // A full look further away than SLOW_PASS was planned before the clock jumped back.
    const all = now >= nextFull || nextFull > now + SLOW_PASS;
    const paths = [...touched];
    touched.clear();
    if (all) nextFull = now + SLOW_PASS;
    try {
      const next = await watching.look(all ? undefined : paths);
      context.report(null);
      return Math.min(next ?? Infinity, nextFull);
    } catch (error) {
      nextFull = -Infinity;
      throw error;
    }
  });
  const close = watchPattern(watching.pattern, context.clock, {
    onChange(path) {
      touched.add(path);
      loop.wake();
    },
    onReady() {
      nextFull = -Infinity;
      loop.wake();
    },
    onError(error) {
      context.log.warn(`${context.trigger.id} is checked only once a minute: ${messageOf(error)}`);
    },
  });
  return async () => {
    await Promise.all([close(), loop.detach()]);
  };
}

/** After a folder was opened the system may miss changes for a moment (seen on Deno 2.9), so it is looked at once more. */
const ONCE_MORE = 1_000;

/** What a watcher of a pattern tells. */
export interface PatternListener {
  /** A file may have changed. */
  onChange(path: string): void;
  /** All files must be looked at: changes begin to be reported, or another folder is at the path of the pattern. */
  onReady(): void;
  /** The operating system reports no changes. */
  onError(error: unknown): void;
}

/**
 * Watches the files that match a pattern, also if their folder is removed, replaced or made later.
 * @returns stops watching
 */
export function watchPattern(
  pattern: FilePattern,
  clock: Pick<Clock, "after">,
  listener: PatternListener,
): () => Promise<void> {
  let watcher: FSWatcher | undefined;
  let cancel = () => {};
  return watchPlace(pattern.base, clock, {
    open() {
      watcher = watchFolderOf(pattern, listener);
      watcher.on("ready", () => {
        listener.onReady();
        cancel = clock.after(ONCE_MORE, listener.onReady);
      });
    },
    async close() {
      cancel();
      await watcher?.close();
    },
  });
}

function watchFolderOf({ base, depth, matches }: FilePattern, { onChange, onError }: PatternListener): FSWatcher {
  const watcher = watchFolder(base, {
    ignoreInitial: true,
    ignorePermissionErrors: true,
    ...(depth !== Infinity && { depth }),
    ignored: (path, stats) => stats?.isFile() === true && !matches(path),
  });
  watcher.on("all", (_event, path) => onChange(path));
  // A change that keeps the modification time is reported only by this event.
  watcher.on("raw", (_event, name, details) => {
    const { watchedPath = base } = details as { watchedPath?: string };
    for (const path of [watchedPath, join(watchedPath, name ?? "")]) if (matches(path)) onChange(path);
  });
  watcher.on("error", onError);
  return watcher;
}
