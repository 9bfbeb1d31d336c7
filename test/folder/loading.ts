import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import type { Description, Isolates } from "../../runtime/workers/workers.ts";
import type { Loaded } from "../../runtime/folder/loaded.ts";
import { Loader, type LoaderOptions } from "../../runtime/folder/loader.ts";
import { formatProblem } from "../../runtime/model/problem.ts";
import { stepKinds } from "../../runtime/engine/steps/index.ts";
import { triggerKinds } from "../../runtime/triggers/index.ts";

/** Workers that describe every module with `description`; tests that need real ones pass them. */
function noIsolates(description: () => Promise<Description>): Isolates {
  return { describe: description } as unknown as Isolates;
}

/** A rules folder for a test, with a loader. */
export class TestFolder implements AsyncDisposable {
  loader!: Loader;
  loaded: Loaded | undefined;

  private constructor(readonly path: string, readonly options: Partial<LoaderOptions>) {
    this.reopen();
  }

  static async with(files: Record<string, string>, options: Partial<LoaderOptions> = {}): Promise<TestFolder> {
    const folder = new TestFolder(await mkdtemp(join(tmpdir(), "whenthen-load-")), options);
    await folder.write(files);
    return folder;
  }

  /** A new loader, as after a restart. */
  reopen(options: Partial<LoaderOptions> = this.options): void {
    this.loader = new Loader({
      folder: this.path,
      dataFolder: join(this.path, ".whenthen"),
      cacheFolder: join(this.path, ".whenthen", "cache"),
      triggerKinds,
      stepKinds,
      isolates: noIsolates(() => Promise.resolve({ exports: [] } as unknown as Description)),
      environment: {},
      now: () => Date.parse("2026-11-21T08:00:00Z"),
      ...options,
    });
  }

  async write(files: Record<string, string>): Promise<void> {
    for (const [path, text] of Object.entries(files)) {
      await mkdir(dirname(join(this.path, path)), { recursive: true });
      await writeFile(join(this.path, path), text, { mode: 0o600 });
    }
  }

  async remove(path: string): Promise<void> {
    await rm(join(this.path, path), { recursive: true });
  }

  /** Loads on top of what was loaded before. */
  async load(): Promise<Loaded> {
    return this.loaded = await this.loader.load(this.loaded);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.path, { recursive: true });
  }
}

export function shown(loaded: Loaded): string[] {
  return loaded.problems.map(formatProblem);
}

/** The first lines of the problems: place and message. */
export function heads(loaded: Loaded): string[] {
  return shown(loaded).map((text) => text.split("\n")[0]);
}
