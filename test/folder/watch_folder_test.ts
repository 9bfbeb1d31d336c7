import assert from "node:assert/strict";
import { mkdir, mkdtemp, realpath, rename, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { FolderReader } from "../../runtime/folder/folder_files.ts";
import { Coalescer, SlowPass, watchFolder, type WatchOptions } from "../../runtime/folder/watch_folder.ts";
import { ManualClock, systemClock } from "../../runtime/host/clock.ts";

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

/** Loads that end when released, or at once. */
function setUp(options: { manual?: boolean } = {}) {
  const clock = new ManualClock(1_000_000);
  const loads: number[] = [];
  const ends: (() => void)[] = [];
  let running = 0;
  const coalescer = new Coalescer(async () => {
    assert.equal(++running, 1, "two loads at once");
    loads.push(clock.now() - 1_000_000);
    if (options.manual) await new Promise<void>((resolve) => ends.push(resolve));
    running--;
  }, clock);
  return {
    clock,
    coalescer,
    loads,
    end: () => ends.shift()!(),
    after: (ms: number) => clock.advanceTo(1_000_000 + ms),
  };
}

Deno.test("the first change loads at once", async () => {
  const { coalescer, loads, after } = setUp();
  coalescer.request();
  await after(50);
  assert.deepEqual(loads, [5]);
});

Deno.test("ten changes within a second become the first load and one trailing load", async () => {
  const { coalescer, loads, after } = setUp();
  for (let change = 0; change < 10; change++) {
    await after(change * 100);
    coalescer.request();
  }
  await after(5_000);
  assert.deepEqual(loads, [5, 1_005]);
});

Deno.test("continuous changes do not postpone the load", async () => {
  const { coalescer, loads, after } = setUp();
  for (let ms = 0; ms < 3_000; ms += 10) {
    coalescer.request();
    await after(ms);
  }
  assert.deepEqual(loads.slice(0, 3), [5, 1_005, 2_005]);
});

Deno.test("a change during a load causes another load after it", async () => {
  const { coalescer, loads, end, after } = setUp({ manual: true });
  coalescer.request();
  await after(100);
  coalescer.request();
  await after(3_000);
  assert.deepEqual(loads, [5]);
  end();
  await after(3_100);
  assert.equal(loads.length, 2);
  end();
});

Deno.test("a clock rollback does not postpone the load", async () => {
  const { clock, coalescer, loads, after } = setUp();
  coalescer.request();
  await after(100);
  clock.jumpTo(1_000_000 - 3_600_000);
  coalescer.request();
  await clock.advanceTo(clock.now() + 1_000);
  assert.equal(loads.length, 2);
});

Deno.test("no load overlaps exclusive work: neither an earlier load nor one caused by a change meanwhile", async () => {
  const { coalescer, loads, end, after } = setUp({ manual: true });
  coalescer.request();
  await after(100);
  const alone = Promise.withResolvers<void>();
  let begun = false;
  const done = assert.rejects(
    coalescer.alone(() => {
      begun = true;
      return alone.promise;
    }),
    /no such folder/,
  );
  await after(200);
  assert.equal(begun, false, "a load is under way");
  end();
  await after(300);
  assert.equal(begun, true);
  coalescer.request();
  await after(5_000);
  assert.equal(loads.length, 1);
  alone.reject(new Error("no such folder"));
  await done;
  await after(6_000);
  assert.equal(loads.length, 2);
  end();
});

Deno.test("closing waits for the current load and starts none", async () => {
  const { coalescer, loads, end, after } = setUp({ manual: true });
  coalescer.request();
  await after(100);
  coalescer.request();
  let closed = false;
  const closing = coalescer.close().then(() => closed = true);
  await after(5_000);
  assert.equal(closed, false);
  end();
  await closing;
  await after(10_000);
  assert.equal(loads.length, 1);
});

Deno.test("a slow pass finds each change once: inside, outside, added, removed", async () => {
  const [folder, other, drafts] = await Promise.all(
    ["in-", "out-", "drafts-"].map((name) => mkdtemp(join(tmpdir(), `whenthen-${name}`))),
  );
  const [inside, outside] = [join(folder, "a.yaml"), join(other, "lib.ts")];
  for (const file of [inside, outside]) await writeFile(file, "1");
  const clock = new ManualClock(0);
  let count = 0;
  let found = () => {};
  const onChange = () => {
    count++;
    found();
  };
  const onWarning = (message: string) => assert.fail(message);
  const pass = new SlowPass({ folder, ignore: [] }, { clock, onWarning }, onChange);
  await pass.start();
  pass.outside = [outside];
  /** Does something, and waits until it is found, by the current pass or the next one. */
  const foundAfter = async (act: () => Promise<void>) => {
    const change = new Promise<void>((resolve) => found = resolve);
    await act();
    const turn = setInterval(() => void clock.advanceTo(clock.now() + 30_000), 5);
    await change;
    clearInterval(turn);
  };
  /** Atomically: a current pass must not find the file half written, and complete later. */
  const save = async (path: string, text: string) => {
    await writeFile(join(drafts, "draft"), text);
    await rename(join(drafts, "draft"), path);
  };
  const changes = [
    () => save(inside, "22"),
    () => save(outside, "22"),
    () => save(join(folder, "b.yaml"), "1"),
    () => rm(inside),
    () => rm(outside),
  ];
  // A change that was already notified is not reported.
  const told = [
    [inside, () => save(inside, "333")],
    [join(folder, "c.yaml"), () => save(join(folder, "c.yaml"), "1")],
    [join(folder, "c.yaml"), () => rm(join(folder, "c.yaml"))],
  ] as const;
  for (const [path, change] of told) {
    await change();
    pass.noteEvent(path);
  }
  for (const [index, change] of changes.entries()) {
    // The file outside the folder is known from its first pass on.
    for (let turn = 0; turn < 20; turn++) await clock.advanceTo(clock.now() + 30_000);
    await foundAfter(change);
    assert.equal(count, index + 1);
  }
  pass.stop();
  for (const path of [folder, other, drafts]) await rm(path, { recursive: true });
});
