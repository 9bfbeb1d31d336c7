import assert from "node:assert/strict";
import fc from "fast-check";
import { encodeHead } from "../../runtime/store/sqlite/frame.ts";
import { recover } from "../../runtime/store/sqlite/recover.ts";
import type { Store } from "../../runtime/store/store.ts";
import { FaultyDisk } from "../host/faulty_disk.ts";
import { arrival, candidate, claimIds, FOLDER, NOW, open, send, step } from "./helpers.ts";

/** The ids of all events: what the model compares. Every operation below takes in exactly one. */
async function eventIds(store: Store): Promise<string[]> {
  return (await store.listEvents({ limit: 1e6 })).map(({ event }) => event.id).reverse();
}

/** Opens a damaged disk and says what is there: the events, and whether anything was warned of. */
async function recovered(disk: FaultyDisk) {
  const warnings: string[] = [];
  const store = await open({ disk, onWarning: (message) => warnings.push(message) });
  const ids = await eventIds(store);
  const { verdicts, runs } = { verdicts: await store.countVerdicts(), runs: await store.listRuns({ limit: 1e6 }) };
  // Never half: each event has its verdict and its run.
  assert.equal(verdicts["shop/pay"]?.started ?? 0, ids.length);
  assert.equal(runs.length, ids.length);
  // It works: it takes in, and remembers.
  assert.equal((await send(store, "probe")).delivery, "accepted");
  await store.close();
  const again = await open({ disk, onWarning: (message) => warnings.push(message) });
  assert.deepEqual(await eventIds(again), [...ids, "probe"]);
  await again.close();
  return { ids, warnings };
}

/** A disk with five events, one frame each, and checkpoints after the given ones; not closed but cut. */
async function diskWith(checkpointsAfter: number[]): Promise<FaultyDisk> {
  const disk = new FaultyDisk();
  const store = await open({ disk });
  for (let at = 1; at <= 5; at++) {
    await send(store, `e${at}`);
    if (checkpointsAfter.includes(at)) await store.checkpoint();
  }
  disk.cut();
  return disk;
}

const ALL = ["e1", "e2", "e3", "e4", "e5"];

function pathOf(disk: FaultyDisk, part: string): string {
  return disk.paths().find((path) => path.includes(part))!;
}

/** What is said where the last bytes of the journal are no whole frame. */
const DROPPED = /^The last \d+ bytes of journal-\d+ are no whole commit and were dropped/;

Deno.test("a last frame cut at any byte is dropped, with a word and without harm to the others", async () => {
  const disk = new FaultyDisk();
  const store = await open({ disk });
  for (const id of ["e1", "e2"]) await send(store, id);
  const path = pathOf(disk, "journal");
  const start = (await disk.read(path)).length;
  await send(store, "e3");
  disk.cut();
  const bytes = await disk.read(path);
  for (let length = start; length < bytes.length; length++) {
    const torn = disk.copy();
    torn.put(path, bytes.subarray(0, length));
    const warnings: string[] = [];
    const { database, seq } = await recover({
      disk: torn,
      folder: FOLDER,
      mask: (text) => text,
      now: NOW,
      onWarning: (message) => warnings.push(message),
    });
    assert.deepEqual([seq, database.value("SELECT count(*) FROM runs")], [2, 2], `cut at ${length}`);
    assert.equal((await torn.read(path)).length, start);
    assert.equal(warnings.length, length === start ? 0 : 1);
    database.close();
  }
  disk.put(path, bytes.subarray(0, bytes.length - 1));
  const { ids, warnings } = await recovered(disk);
  assert.deepEqual(ids, ["e1", "e2"]);
  assert.match(warnings.join(), DROPPED);
});

Deno.test("a first segment cut within its head is an empty store", async () => {
  const disk = new FaultyDisk();
  disk.put(`${FOLDER}/journal-000000000001`, encodeHead(1, 1).subarray(0, 13));
  const { ids, warnings } = await recovered(disk);
  assert.deepEqual(ids, []);
  assert.match(warnings.join(), DROPPED);
});

Deno.test("any flipped bit in any file: the last commit, or all set aside with a warning, never half", async () => {
  const plain = await diskWith([]);
  const checkpointed = await diskWith([2, 4]);
  await fc.assert(
    fc.asyncProperty(
      fc.boolean(),
      fc.nat(),
      fc.double({ min: 0, max: 1, maxExcluded: true }),
      fc.nat(7),
      async (which, file, where, bit) => {
        const disk = (which ? plain : checkpointed).copy();
        const paths = disk.paths();
        const path = paths[file % paths.length];
        const bytes = await disk.read(path);
        bytes[Math.floor(where * bytes.length)] ^= 1 << bit;
        disk.put(path, bytes);
        const { ids, warnings } = await recovered(disk);
        // A flip within the very last frame cannot be told from a torn write.
        const torn = ids.length === 4 && path === paths.filter((name) => name.includes("journal")).at(-1);
        if (ids.length === 0) assert.match(warnings[0], /SET ASIDE/);
        else assert.deepEqual(ids, torn ? ALL.slice(0, 4) : ALL);
        assert.ok(!torn || DROPPED.test(warnings[0]), "nothing that was answered goes without a word");
      },
    ),
    { numRuns: 60 },
  );
});

Deno.test("a damaged newest checkpoint: the one before and its segments give the last commit", async () => {
  const disk = await diskWith([2, 4]);
  const path = pathOf(disk, "checkpoint-000000000004");
  const bytes = await disk.read(path);
  bytes[5_000] ^= 1;
  disk.put(path, bytes);
  const { ids, warnings } = await recovered(disk);
  assert.deepEqual(ids, ALL);
  assert.match(warnings[0], /recovered from checkpoint-000000000002.*checkpoint-000000000004.* checksum differs/);
  assert.ok(disk.paths().some((file) => file.includes("set-aside-2026-01-05T12-00-00-000Z/checkpoint-000000000004")));
});

Deno.test("a damaged first checkpoint: the journal alone gives the last commit", async () => {
  const disk = await diskWith([3]);
  disk.put(pathOf(disk, "checkpoint"), new Uint8Array(100));
  const { ids, warnings } = await recovered(disk);
  assert.deepEqual(ids, ALL);
  assert.match(warnings[0], /recovered from its journal alone/);
});

Deno.test("damage before the last frame: all is set aside, loudly, and the store starts empty", async () => {
  const disk = await diskWith([]);
  const path = pathOf(disk, "journal");
  const bytes = await disk.read(path);
  bytes[bytes.length >> 1] ^= 1;
  disk.put(path, bytes);
  const { ids, warnings } = await recovered(disk);
  assert.deepEqual(ids, []);
  assert.match(warnings[0], /^THE STORE IS DAMAGED AND WAS SET ASIDE.*journal-000000000001 is damaged at byte \d+/);
  const aside = `${FOLDER}/set-aside-2026-01-05T12-00-00-000Z/journal-000000000001`;
  assert.deepEqual(await disk.read(aside), bytes);
});

Deno.test("a missing segment is damage", async () => {
  const disk = await diskWith([2, 4]);
  await disk.remove(pathOf(disk, "journal-000000000005"));
  const whole = await recovered(disk);
  assert.deepEqual(whole.ids, ALL.slice(0, 4), "behind a checkpoint nobody can miss what is not there");
  const gap = await diskWith([3]);
  await gap.remove(pathOf(gap, "journal-000000000001"));
  await gap.remove(pathOf(gap, "checkpoint"));
  assert.match((await recovered(gap)).warnings[0], /frame 1 is missing/);
});

Deno.test("damage in a segment that a checkpoint covers does no harm", async () => {
  const disk = new FaultyDisk();
  const store = await open({ disk });
  for (const id of ALL) await send(store, id);
  await store.close();
  const path = pathOf(disk, "journal");
  const bytes = await disk.read(path);
  bytes[bytes.length >> 1] ^= 1;
  disk.put(path, bytes);
  assert.deepEqual(await recovered(disk), { ids: ALL, warnings: [] });
});

Deno.test("a store of a newer version is refused and left as it is", async () => {
  const disk = await diskWith([]);
  const path = `${FOLDER}/journal-000000000006`;
  disk.put(path, encodeHead(6, 99));
  const before = disk.paths();
  await assert.rejects(open({ disk }), /schema version 99, this program knows versions up to 1/);
  assert.deepEqual(disk.paths(), before);
});

type Operation = { kind: "send"; at: number } | { kind: "work" } | { kind: "checkpoint" } | { kind: "reopen" };

const operation: fc.Arbitrary<Operation> = fc.oneof(
  { weight: 6, arbitrary: fc.record({ kind: fc.constant("send" as const), at: fc.nat(20) }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant("work" as const) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("checkpoint" as const) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("reopen" as const) }) },
);

/** Claims a run, records a step, ends it. */
async function work(store: Store): Promise<void> {
  const [claimed] = await store.claimRuns("me", 1, NOW);
  if (!claimed) return;
  await store.recordStep(claimed.run.id, step("a"), { state: { key: "last", value: claimed.run.id } }, NOW);
  await store.finishRun(claimed.run.id, { state: "succeeded", spent: 1 }, NOW);
}

Deno.test("a power cut at any moment: everything answered is there, nothing is there in part", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(operation, { minLength: 1, maxLength: 25 }),
      fc.nat(60),
      fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { minLength: 1, maxLength: 5 }),
      async (operations, syncsLeft, parts) => {
        const disk = new FaultyDisk();
        const answered = new Set<string>();
        const asked = new Set<string>();
        let survived = 0;
        let cut = () => {};
        const dead = new Promise<"cut">((resolve) => cut = () => resolve("cut"));
        let left = syncsLeft;
        disk.beforeSync = () => {
          if (left-- > 0) return;
          disk.cut(() => parts[survived++ % parts.length]);
          cut();
          return new Promise(() => {});
        };
        let store = await open({ disk });
        for (const each of operations) {
          if (each.kind === "send") asked.add(`e${each.at}`);
          const done = perform(each);
          done.catch(() => {});
          if (await Promise.race([done, dead]) === "cut") break;
          if (each.kind === "send") answered.add(`e${each.at}`);
        }
        async function perform(each: Operation): Promise<unknown> {
          if (each.kind === "send") return (await store.accept([arrival(`e${each.at}`, [candidate()])], [], NOW))[0];
          if (each.kind === "work") return await work(store);
          if (each.kind === "checkpoint") return await store.checkpoint();
          await store.close();
          store = await open({ disk });
        }
        if (left >= 0) disk.cut(() => parts[survived++ % parts.length]);
        disk.beforeSync = () => {};
        const { ids, warnings } = await recovered(disk);
        assert.deepEqual(warnings.filter((warning) => !DROPPED.test(warning)), []);
        assert.ok([...answered].every((id) => ids.includes(id)), "an answered event is gone");
        assert.ok(ids.every((id) => asked.has(id)), "an event that nobody sent");
      },
    ),
    { numRuns: 25 },
  );
});

Deno.test("ids and keys of a reopened store sort behind the old ones, also when the clock went back", async () => {
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
