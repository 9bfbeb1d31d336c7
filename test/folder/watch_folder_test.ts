import assert from "node:assert/strict";
import { mkdir, mkdtemp, realpath, rename, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ManualClock, systemClock } from "../../runtime/host/clock.ts";
import { Coalescer, watchFolder, type WatchOptions } from "../../runtime/folder/watching/watch_folder.ts";
import { FolderReader } from "../../runtime/folder/folder_reader.ts";

/** Counts changes and lets a test wait for the next one. */
class Changes {
  count = 0;
  #wake: (() => void)[] = [];
  readonly add = () => {
    this.count++;
    for (const wake of this.#wake.splice(0)) wake();
  };

  /** Does something, and waits until a change is seen. */
  async after(act: () => Promise<unknown>): Promise<void> {
    const seen = new Promise<void>((resolve) => this.#wake.push(resolve));
    await act();
    await seen;
  }
}

async function temporary(): Promise<string> {
  return await realpath(await mkdtemp(join(tmpdir(), "whenthen-watch-")));
}

async function watching(folder: string, options: Partial<WatchOptions> = {}, onChange = () => {}) {
  const changes = new Changes();
  const onWarning = (message: string) => assert.fail(message);
  const watch = await watchFolder(folder, { clock: systemClock, ignore: [], onWarning, ...options }, () => {
    changes.add();
    onChange();
  });
  return { changes, watch };
}

Deno.test("writing, renaming over, adding in a new folder and removing are changes", async () => {
  const folder = await temporary();
  await writeFile(join(folder, "a.yaml"), "1");
  const { changes, watch } = await watching(folder);
  await changes.after(() => writeFile(join(folder, "a.yaml"), "2"));
  for (const content of ["3", "4"]) {
    await changes.after(async () => {
      await writeFile(join(folder, ".a.yaml.tmp"), content);
      await rename(join(folder, ".a.yaml.tmp"), join(folder, "a.yaml"));
    });
  }
  await changes.after(async () => {
    await mkdir(join(folder, "deep/deeper"), { recursive: true });
    await writeFile(join(folder, "deep/deeper/b.yaml"), "1");
  });
  await changes.after(() => rm(join(folder, "deep"), { recursive: true }));
  await watch.close();
  await rm(folder, { recursive: true });
});

Deno.test("a Kubernetes mount that swaps its link is a change, twice", async () => {
  const folder = await temporary();
  const swapTo = async (version: string, content: string) => {
    await mkdir(join(folder, version));
    await writeFile(join(folder, version, "a.yaml"), content);
    await symlink(version, join(folder, "..data_tmp"));
    await rename(join(folder, "..data_tmp"), join(folder, "..data"));
  };
  await swapTo("..v1", "name: one");
  await symlink("..data/a.yaml", join(folder, "a.yaml"));
  const { changes, watch } = await watching(folder);
  for (const [version, content] of [["..v2", "name: two"], ["..v3", "name: three"]]) {
    await changes.after(() => swapTo(version, content));
    const files = await new FolderReader({ folder, ignore: [] }).read();
    assert.deepEqual(files, [{ path: "a.yaml", text: content }]);
  }
  await watch.close();
  await rm(folder, { recursive: true });
});

Deno.test("ten saves of a file within a second are at most two loads, and the last content is loaded", async () => {
  const folder = await temporary();
  const file = join(folder, "a.yaml");
  await writeFile(file, "0");
  const clock = new ManualClock(0);
  let loads = 0;
  const loadedLast = Promise.withResolvers<void>();
  const coalescer = new Coalescer(async () => {
    loads++;
    const [{ text }] = await new FolderReader({ folder, ignore: [] }).read();
    if (text === "10") loadedLast.resolve();
  }, clock);
  const { changes, watch } = await watching(folder, { clock }, () => coalescer.request());
  for (let save = 1; save <= 10; save++) {
    await changes.after(async () => {
      await writeFile(`${file}.tmp`, String(save));
      await rename(`${file}.tmp`, file);
    });
    await clock.advanceTo(save * 60);
  }
  await clock.advanceTo(1_100);
  await loadedLast.promise;
  assert.ok(loads <= 2, `loaded ${loads} times`);
  await watch.close();
  await coalescer.close();
  await rm(folder, { recursive: true });
});

Deno.test("the data folder, node_modules and hidden files are no changes", async () => {
  const folder = await temporary();
  const { changes, watch } = await watching(folder, { ignore: [join(folder, "data")] });
  for (const path of ["data", "node_modules"]) {
    await mkdir(join(folder, path));
    await writeFile(join(folder, path, "x.yaml"), "1");
  }
  await writeFile(join(folder, ".a.yaml.swp"), "1");
  await changes.after(() => writeFile(join(folder, "a.yaml"), "1"));
  // One or two events for the one file; the others would have caused more.
  assert.ok(changes.count <= 2, `${changes.count} changes`);
  await watch.close();
  await rm(folder, { recursive: true });
});

Deno.test("files outside are watched as long as a rule needs them", async () => {
  const [folder, other] = [await temporary(), await temporary()];
  const file = join(other, "lib.ts");
  await writeFile(file, "1");
  const { changes, watch } = await watching(folder);
  watch.outside([file]);
  await changes.after(async () => {
    // The watcher takes a moment to watch a new path: the file is touched until it does.
    for (let attempt = 0; changes.count === 0; attempt++) {
      await writeFile(file, `2${attempt}`);
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  });
  await watch.close();
  await rm(folder, { recursive: true });
  await rm(other, { recursive: true });
});
