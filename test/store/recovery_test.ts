import assert from "node:assert/strict";
import fc from "fast-check";
import { encodeHead } from "../../runtime/store/log/log_frame.ts";
import { recover } from "../../runtime/store/log/recover.ts";
import { storeTasks } from "../../runtime/store/background.ts";
import type { Store } from "../../runtime/store/store.ts";
import { FaultyDisk } from "../faults/faulty_disk.ts";
import { arrival, candidate, claimIds, DAY, FOLDER, NOW, open, send, step } from "./helpers.ts";

/** The ids of all events, which the model compares. Every operation below accepts exactly one. */
async function eventIds(store: Store): Promise<string[]> {
  return (await store.listEvents({ limit: 1e6 })).map(({ event }) => event.id).reverse();
}

/**
 * Opens a damaged disk and returns the events, and whether there were warnings.
 * @param isHistoryDamaged whether events and ended runs that are still counted and known may be missing
 */
async function recovered(disk: FaultyDisk, isHistoryDamaged = false) {
  const warnings: string[] = [];
  const store = await open({ disk, onWarning: (message) => warnings.push(message) });
  const ids = await eventIds(store);
  const started = (await store.countVerdicts())["shop/pay"]?.started ?? 0;
  const runs = await store.listRuns({ limit: 1e6 });
  // Never half: each event has its verdict, its run and its identity.
  const { identities } = await store.stats();
  assert.equal(identities, started);
  if (isHistoryDamaged) assert.equal(started === 0, runs.length === 0);
  else assert.deepEqual([ids.length, runs.length], [started, started]);
  for (const id of ids) assert.equal((await send(store, id)).delivery, "duplicate");
  // It works: it accepts events, and keeps them.
  assert.equal((await send(store, "probe")).delivery, "accepted");
  await store.checkpoint();
  await store.close();
  const again = await open({ disk, onWarning: (message) => warnings.push(message) });
  assert.deepEqual(await eventIds(again), [...ids, "probe"]);
  await again.close();
  return { ids, warnings, isEmpty: started === 0 };
}

/** A disk with five events, one frame each; folded after the given ones, and merged; not closed but cut. */
async function diskWith(foldsAfter: number[], mergesAfter: number[] = []): Promise<FaultyDisk> {
  const disk = new FaultyDisk();
  const store = await open({ disk });
  for (let at = 1; at <= 5; at++) {
    await send(store, `e${at}`);
    if (foldsAfter.includes(at)) await store.checkpoint();
    if (mergesAfter.includes(at)) await storeTasks.merge(disk, FOLDER, { now: NOW, retention: 30 * DAY });
  }
  disk.cut();
  return disk;
}

/** Flips a bit in the middle of a file. */
async function damage(disk: FaultyDisk, path: string): Promise<Uint8Array> {
  const bytes = await disk.read(path);
  bytes[bytes.length >> 1] ^= 1;
  disk.put(path, bytes);
  return bytes;
}

const ALL = ["e1", "e2", "e3", "e4", "e5"];

function pathOf(disk: FaultyDisk, part: string): string {
  return disk.paths().find((path) => path.includes(part))!;
}

/** The warning if the last bytes of the log are not a complete frame. */
const DROPPED = /^The last \d+ bytes of log-\d+ are not a whole commit and were dropped/;

Deno.test("a last frame cut at any byte is dropped with a warning and without harm to the others", async () => {
  const disk = new FaultyDisk();
  const store = await open({ disk });
  for (const id of ["e1", "e2"]) await send(store, id);
  const path = pathOf(disk, "/log-");
  const start = (await disk.read(path)).length;
  await send(store, "e3");
  disk.cut();
  const bytes = await disk.read(path);
  for (let length = start; length < bytes.length; length++) {
    const torn = disk.copy();
    torn.put(path, bytes.subarray(0, length));
    const warnings: string[] = [];
    const seen = new Set<string>();
    const sink = {
      put: (table: string, key: string) => void seen.add(`${table}/${key}`),
      drop() {},
      id() {},
      history() {},
    };
    const { seq } = await recover({
      disk: torn,
      folder: FOLDER,
      now: NOW,
      onWarning: (message) => warnings.push(message),
      begin: () => sink,
      readIds() {},
    });
    assert.deepEqual([seq, [...seen].filter((row) => row.startsWith("run/")).length], [2, 2], `cut at ${length}`);
    assert.equal((await torn.read(path)).length, start);
    assert.equal(warnings.length, length === start ? 0 : 1);
  }
  disk.put(path, bytes.subarray(0, bytes.length - 1));
  const { ids, warnings } = await recovered(disk);
  assert.deepEqual(ids, ["e1", "e2"]);
  assert.match(warnings.join(), DROPPED);
});

Deno.test("a first segment cut within its header is an empty store", async () => {
  const disk = new FaultyDisk();
  disk.put(`${FOLDER}/log-000000000001`, encodeHead(1, 1).subarray(0, 13));
  const { ids, warnings } = await recovered(disk);
  assert.deepEqual(ids, []);
  assert.match(warnings.join(), DROPPED);
});

Deno.test("any flipped bit in any file: the last commit, or everything set aside with a warning, never half", async () => {
  const disks = [await diskWith([]), await diskWith([2, 4]), await diskWith([1, 2, 3, 4], [2, 4])];
  await fc.assert(
    fc.asyncProperty(
      fc.nat(disks.length - 1),
      fc.nat(),
      fc.double({ min: 0, max: 1, maxExcluded: true }),
      fc.nat(7),
      async (which, file, where, bit) => {
        const disk = disks[which].copy();
        const paths = disk.paths();
        const path = paths[file % paths.length];
        const bytes = await disk.read(path);
        bytes[Math.floor(where * bytes.length)] ^= 1 << bit;
        disk.put(path, bytes);
        const { ids, warnings, isEmpty } = await recovered(disk, path.includes("/part-"));
        const isLastLog = path === paths.filter((name) => name.includes("/log-")).at(-1);
        if (isEmpty) assert.match(warnings[0], /SET ASIDE/);
        // A part costs its own events; a flip within the very last frame cannot be told from a torn write.
        else if (path.includes("/part-")) assert.ok(ids.every((id) => ALL.includes(id)));
        else assert.deepEqual(ids, isLastLog && ids.length < 5 ? ALL.slice(0, -1) : ALL);
        assert.ok(ids.length === 5 || warnings.length > 0, "no answered event is lost without a warning");
      },
    ),
    { numRuns: 60 },
  );
});

Deno.test("a damaged newest base: the previous one and the deltas after it give the last commit", async () => {
  const disk = await diskWith([1, 2, 3, 4], [2, 4]);
  const path = disk.paths().filter((name) => name.includes("/base-")).at(-1)!;
  await damage(disk, path);
  const { ids, warnings } = await recovered(disk);
  assert.deepEqual(ids, ALL);
  assert.match(warnings[0], /^The store had to be recovered from base-\d+: base-\d+/);
  assert.ok(disk.paths().some((file) => file.includes("set-aside-2026-01-05T12-00-00-000Z/base-")));
});

Deno.test("a damaged first base: its deltas and the log give the last commit", async () => {
  const disk = await diskWith([2, 4], [4]);
  await damage(disk, pathOf(disk, "/base-"));
  const { ids, warnings } = await recovered(disk);
  assert.deepEqual(ids, ALL);
  assert.match(warnings[0], /recovered from its deltas and log/);
});

Deno.test("a damaged delta that no base covers: everything is set aside with a warning, and the store starts empty", async () => {
  const disk = await diskWith([2, 4]);
  await damage(disk, pathOf(disk, "/delta-"));
  const { ids, warnings, isEmpty } = await recovered(disk);
  assert.deepEqual([ids, isEmpty], [[], true]);
  assert.match(warnings[0], /^THE STORE IS DAMAGED AND WAS SET ASIDE, starting empty: delta-/);
});

Deno.test("damage before the last frame: everything is set aside with a warning, and the store starts empty", async () => {
  const disk = await diskWith([]);
  const bytes = await damage(disk, pathOf(disk, "/log-"));
  const { ids, warnings } = await recovered(disk);
  assert.deepEqual(ids, []);
  assert.match(warnings[0], /^THE STORE IS DAMAGED AND WAS SET ASIDE.*log-000000000001 is damaged at byte \d+/);
  const aside = `${FOLDER}/set-aside-2026-01-05T12-00-00-000Z/log-000000000001`;
  assert.deepEqual(await disk.read(aside), bytes);
});

Deno.test("a damaged part loses its own history, with a warning, and no live run, identity or later event", async () => {
  const disk = await diskWith([2, 4]);
  await damage(disk, pathOf(disk, "/part-"));
  const { ids, warnings, isEmpty } = await recovered(disk, true);
  assert.deepEqual([ids, isEmpty], [["e3", "e4", "e5"], false]);
  assert.match(warnings.join(), /^Cannot read part-000000000001-\d+-[0-9a-f]{8}.sqlite.*is not shown$/);
});

Deno.test("without all parts identities, live runs and counters are there, and the missing parts are reported once", async () => {
  const disk = await diskWith([2, 4]);
  for (const path of disk.paths().filter((path) => path.includes("/part-"))) await disk.remove(path);
  const { ids, warnings } = await recovered(disk, true);
  assert.deepEqual([ids, warnings.length], [["e5"], 2]);
  assert.match(warnings[0], /^Cannot find part-.*, a part of history: its history is no longer shown$/);
});

Deno.test("a missing file of the log or its folds is damage", async () => {
  for (const name of ["/delta-", "/ids-"]) {
    const disk = await diskWith([2, 4]);
    await disk.remove(pathOf(disk, name));
    const { warnings, isEmpty } = await recovered(disk);
    assert.ok(isEmpty);
    assert.match(
      warnings[0],
      /SET ASIDE.*(frames 1 to \d+ are missing|the ids file of the frames 1 to \d+ is missing)/,
    );
  }
  const gap = await diskWith([2, 4]);
  gap.put(`${FOLDER}/log-000000000099`, encodeHead(99, 1));
  assert.match(
    (await recovered(gap)).warnings[0],
    /SET ASIDE.*log-\d+ is damaged at byte \d+, where frame \d+ should begin/,
  );
});

Deno.test("a segment that was already folded does no harm, damaged or not", async () => {
  const disk = new FaultyDisk();
  const store = await open({ disk });
  for (const id of ALL) await send(store, id);
  const path = pathOf(disk, "/log-");
  const bytes = await disk.read(path);
  await store.checkpoint();
  await store.close();
  bytes[bytes.length >> 1] ^= 1;
  disk.put(path, bytes);
  const { ids, warnings } = await recovered(disk);
  assert.deepEqual([ids, warnings], [ALL, []]);
  assert.ok(!disk.paths().includes(path));
});

Deno.test("a store of a newer version is refused and left as it is", async () => {
  const disk = await diskWith([]);
  disk.put(`${FOLDER}/log-000000000006`, encodeHead(6, 99));
  const before = disk.paths();
  await assert.rejects(open({ disk }), /format version 99, this program knows versions up to 1; use the newer program/);
  assert.deepEqual(disk.paths(), before);
});

Deno.test("a store from before the format had a version is refused with a remedy, and left as it is", async () => {
  for (const name of ["journal-000000000001", "checkpoint-000000000004-0a1b2c3d.sqlite"]) {
    const disk = new FaultyDisk();
    disk.put(`${FOLDER}/${name}`, new Uint8Array(100));
    await assert.rejects(open({ disk }), (error: Error) => {
      assert.equal(error.name, "OlderStoreError");
      return error.message.includes(name) &&
        /move the folder away, or start with another --data folder$/.test(error.message);
    });
    assert.deepEqual(disk.paths(), [`${FOLDER}/${name}`]);
  }
});

type Operation = { kind: "send"; at: number } | { kind: "work" | "checkpoint" | "merge" | "reopen" };

const operation: fc.Arbitrary<Operation> = fc.oneof(
  { weight: 6, arbitrary: fc.record({ kind: fc.constant("send" as const), at: fc.nat(20) }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant("work" as const) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constantFrom("checkpoint" as const, "merge" as const) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("reopen" as const) }) },
);

/** Claims a run, records a step, ends it. */
async function work(store: Store): Promise<void> {
  const [claimed] = await store.claimRuns("me", 1, NOW);
  if (!claimed) return;
  await store.recordStep(claimed.run.id, step("a"), { state: { key: "last", value: claimed.run.id } }, NOW);
  await store.finishRun(claimed.run.id, { state: "succeeded", spent: 1 }, NOW);
}

Deno.test("a power cut at any moment: everything answered is there, nothing is partial", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(operation, { minLength: 1, maxLength: 25 }),
      fc.nat(120),
      fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { minLength: 1, maxLength: 5 }),
      async (operations, syncsLeft, parts) => {
        const disk = new FaultyDisk();
        const answered = new Set<string>();
        const asked = new Set<string>();
        let survived = 0;
        let cut = () => {};
        const dead = new Promise<"cut">((resolve) => cut = () => resolve("cut"));
        let left = syncsLeft;
        // A copy: work in flight of the program that lost power must not continue.
        let after: FaultyDisk | undefined;
        const cutPower = () => {
          disk.cut(() => parts[survived++ % parts.length]);
          after = disk.copy();
        };
        disk.beforeSync = () => {
          if (left-- > 0) return;
          after ?? cutPower();
          cut();
          return new Promise(() => {});
        };
        let store = await open({ disk });
        for (const each of operations) {
          if (each.kind === "send") asked.add(`e${each.at}`);
          const done = execute(each);
          done.catch(() => {});
          if (await Promise.race([done, dead]) === "cut") break;
          if (each.kind === "send") answered.add(`e${each.at}`);
        }
        async function execute(each: Operation): Promise<unknown> {
          if (each.kind === "send") return (await store.accept([arrival(`e${each.at}`, [candidate()])], [], NOW))[0];
          if (each.kind === "work") return await work(store);
          if (each.kind === "checkpoint") return await store.checkpoint();
          if (each.kind === "merge") return await storeTasks.merge(disk, FOLDER, { now: NOW, retention: 30 * DAY });
          await store.close();
          store = await open({ disk });
        }
        if (after === undefined) cutPower();
        const { ids, warnings } = await recovered(after!);
        assert.deepEqual(warnings.filter((warning) => !DROPPED.test(warning)), []);
        assert.ok([...answered].every((id) => ids.includes(id)), "an answered event is lost");
        assert.ok(ids.every((id) => asked.has(id)), "an event that nobody sent");
      },
    ),
    { numRuns: 60 },
  );
});

Deno.test("ids and keys of a reopened store sort after the old ones, even after a clock rollback", async () => {
  const disk = new FaultyDisk();
  const store = await open({ disk });
  const future = Date.now() + 400 * 86_400_000;
  const queued = { mode: "queued" as const, key: "a" };
  await send(store, "e1", queued, future);
  await store.close();
  const again = await open({ disk });
  await send(again, "e2", queued, NOW);
  assert.deepEqual(await eventIds(again), ["e1", "e2"]);
  assert.deepEqual((await again.listRuns({ limit: 2 })).map(({ event }) => event.id), ["e2", "e1"]);
  assert.deepEqual(await claimIds(again, 9, future), ["e1"]);
  await again.close();
});
