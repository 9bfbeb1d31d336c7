import { watch as watchFolder } from "chokidar";
import { join } from "node:path";
import { sleepUntil } from "../host/clock.ts";
import { messageOf } from "../model/errors.ts";
import { keepGoing } from "./timetable.ts";
import { defineTrigger, type Detach } from "./trigger.ts";
import type { FilePattern } from "./watch_files.ts";
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
  const touch = (path: string) => {
    touched.add(path);
    loop.wake();
  };
  // Changes before this moment were not reported.
  const onReady = () => {
    nextFull = -Infinity;
    loop.wake();
  };
  const close = watchPattern(watching.pattern, touch, onReady, (error) => {
    context.log.warn(`${context.trigger.id} is checked only once a minute: ${messageOf(error)}`);
  });
  return async () => {
    await Promise.all([close(), loop.detach()]);
  };
}

/**
 * Watches the files that match a pattern.
 * @param onChange gets the path of a file that may have changed
 * @param onReady called once, when changes begin to be reported
 * @param onError called if the operating system reports no changes
 * @returns stops watching
 */
export function watchPattern(
  { base, depth, matches }: FilePattern,
  onChange: (path: string) => void,
  onReady: () => void,
  onError: (error: unknown) => void,
): () => Promise<void> {
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
  watcher.on("ready", onReady);
  watcher.on("error", onError);
  return () => watcher.close();
}
