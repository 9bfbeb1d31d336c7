import assert from "node:assert/strict";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ManualClock } from "../../runtime/host/clock.ts";
import { realDisk } from "../../runtime/host/disk.ts";
import { RunFiles } from "../../runtime/host/run_files.ts";
import { turn } from "../../runtime/host/slices.ts";
import type { Store } from "../../runtime/store/store.ts";
import { Upkeep } from "../../runtime/store/upkeep.ts";
import { NOW, open, send, startRun } from "./helpers.ts";

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const RETENTION = { bytes: 1e9, identities: 2 * HOUR, live: 1e9 };

/** Started upkeep; `live` runs the clock for so many minutes. @returns what a last delivery of `e1` is, after both have ended */
function keepUp(store: Store, clock: ManualClock) {
  let passed = () => {};
  const upkeep = new Upkeep({
    store,
    files: { sweep: () => Promise.resolve() },
    clock,
    retention: () => RETENTION,
    liveVersions: () => {
      passed();
      return [];
    },
    onError: (_message, error) => assert.fail(String(error)),
  });
  upkeep.start();
  const live = async (minutes: number) => {
    for (const end = clock.now() + minutes * MINUTE; clock.now() < end;) {
      const pass = new Promise<void>((resolve) => passed = resolve);
      await clock.advanceTo(clock.now() + 10_000);
      await pass;
      await store.stats();
      await turn();
    }
  };
  const assertForgottenInTime = async () => {
    clock.jumpTo(NOW + 10 * HOUR);
    await live(15);
    clock.jumpTo(NOW + HOUR);
    assert.equal((await send(store, "e1", {}, clock.now())).delivery, "accepted", "it has expired");
    await upkeep.stop();
    await store.close();
  };
  return { live, assertForgottenInTime };
}

Deno.test("a clock that shows 2099 for a while expires no identity; a running clock expires it in time", async () => {
  const clock = new ManualClock(NOW);
  const store = await open();
  const { live, assertForgottenInTime } = keepUp(store, clock);
  await send(store, "e1");
  await live(1);
  clock.jumpTo(Date.UTC(2099, 0, 1));
  await live(5);
  clock.jumpTo(NOW + 6 * MINUTE);
  await live(1);
  assert.equal((await send(store, "e1", {}, clock.now())).delivery, "duplicate");
  await assertForgottenInTime();
});

Deno.test("a clock corrected after the start still expires identities in time", async () => {
  const clock = new ManualClock(0);
  const store = await open();
  await send(store, "e1");
  const { live, assertForgottenInTime } = keepUp(store, clock);
  await live(1);
  await assertForgottenInTime();
});

Deno.test("files of a run are removed when it leaves history; those of live runs and of each rule's last run stay", async () => {
  const folder = await mkdtemp(join(tmpdir(), "upkeep-"));
  const files = new RunFiles(folder, realDisk);
  const store = await open();
  const runs: Record<string, string> = {};
  for (const name of ["live", "old", "older", "last"]) {
    const run = runs[name] = await startRun(store, name, { max: 10 });
    const draft = await files.create({ run, step: "get", name: "a.txt", what: "an answer" });
    await draft.keep("text/plain");
    if (name === "live") continue;
    await store.finishRun(run, { state: "succeeded", output: null, spent: 1 }, NOW);
    await store.checkpoint();
  }
  const clock = new ManualClock(NOW);
  let bytes = 1e9;
  let passed = Promise.withResolvers<void>();
  const upkeep = new Upkeep({
    store,
    files,
    clock,
    retention: () => ({ ...RETENTION, bytes }),
    liveVersions: () => {
      passed.resolve();
      return [];
    },
    onError: (_message, error) => assert.fail(String(error)),
  });
  const pass = async () => {
    passed = Promise.withResolvers();
    upkeep.start();
    await passed.promise;
    return (await readdir(folder)).sort();
  };
  assert.deepEqual(await pass(), Object.values(runs).sort());
  bytes = 0;
  assert.deepEqual(await pass(), [runs.live, runs.last].sort());
  assert.equal(await store.getRun(runs.old), undefined);
  await upkeep.stop();
  await store.close();
  await rm(folder, { recursive: true });
});
