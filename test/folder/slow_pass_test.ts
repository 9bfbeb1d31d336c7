import assert from "node:assert/strict";
import { mkdtemp, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ManualClock } from "../../runtime/host/clock.ts";
import { SlowPass } from "../../runtime/folder/watching/watch_folder.ts";

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
