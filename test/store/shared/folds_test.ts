import assert from "node:assert/strict";
import { diskError } from "../../faults/simulated_disk.ts";
import { choose } from "../../../runtime/store/shared/fold_orders.ts";
import { FOLDER, pruneAll, send, settle } from "../helpers.ts";
import { assertSame, caughtUp, insideOf } from "./pair.ts";
import { type Replica, SharedPlace } from "./place.ts";

/** One that decides, two that follow, and an event that is not folded yet. The first follower is the one that folds. */
async function three(): Promise<[SharedPlace, Replica, Replica, Replica]> {
  const place = new SharedPlace();
  const replicas = [await place.start(), await place.start(), await place.start()] as const;
  await send(replicas[0].store, "e1");
  await caughtUp(place, ...replicas);
  return [place, ...replicas];
}

/** The names of the parts that are on the disk of a replica. */
function partsOf({ disk }: Replica): string[] {
  return disk.paths().map((path) => path.slice(FOLDER.length + 1)).filter((name) => name.startsWith("part-"));
}

/** How many segments are folded. */
function folded({ files }: SharedPlace): number {
  return [...files.keys()].filter((name) => name.startsWith("part-")).length;
}

/** Holds a replica at a point, as if it were killed there. Resolves when it is reached. */
function hold({ before }: Replica, point: keyof Replica["before"]) {
  const reached = Promise.withResolvers<void>();
  const released = Promise.withResolvers<void>();
  before[point] = () => {
    reached.resolve();
    return released.promise;
  };
  return { reached: reached.promise, release: released.resolve };
}

/** Waits until something is so. */
async function until(isSo: () => boolean): Promise<void> {
  while (!isSo()) await settle();
}

/** Checks that all have the same, and a program that starts now as well, with these events; then ends them. The first one decides. */
async function assertAll(place: SharedPlace, [decider, ...others]: Replica[], ids: string[]): Promise<void> {
  const fresh = await place.start();
  await assertSame(place, decider, ...others, fresh);
  const events = await fresh.store.listEvents({ limit: 99 });
  assert.deepEqual(events.map(({ event, deliveries }) => [event.id, deliveries]), ids.map((id) => [id, 1]).reverse());
  for (const id of ids) assert.equal((await send(fresh.store, id)).delivery, "duplicate");
  assert.equal(insideOf(fresh.store).rows.fact("fold"), undefined, "no order is left");
  for (const { store } of [fresh, ...others, decider]) await store.close();
}

Deno.test("the oldest replica that has applied the segment's first frame folds; one that is behind does not", () => {
  const followers = [{ id: "a", applied: 0 }, { id: "b", applied: 7 }, { id: "c", applied: 9 }];
  assert.deepEqual([1, 7, 8, 10].map((first) => choose(followers, first)), ["b", "b", "c", undefined]);
});

Deno.test("a replica that has just loaded tells how far it is, and folds, also if no frame follows", async () => {
  const place = new SharedPlace();
  const decider = await place.start();
  await send(decider.store, "e1");
  const follower = await place.start();
  assert.deepEqual([follower.applied > 0, follower.applied], [true, decider.store.changes()]);
  await decider.store.checkpoint();
  assert.deepEqual([partsOf(decider).length, partsOf(follower).length], [0, 1]);
  await assertAll(place, [decider, follower], ["e1"]);
});

Deno.test("a replica that follows folds and merges, the one that decides does not", async () => {
  const [place, decider, follower, other] = await three();
  const ids = ["e1"];
  // So many deltas are merged.
  for (let at = 0; at < 130; at++) {
    await decider.store.checkpoint();
    ids.push(`later${at}`);
    await send(decider.store, `later${at}`);
    await caughtUp(place, follower);
  }
  assert.equal(folded(place), 130);
  assert.equal([...place.files.keys()].filter((name) => name.startsWith("base-")).length, 1);
  assert.deepEqual([partsOf(decider), partsOf(other)], [[], []]);
  assert.equal(partsOf(follower).length, 130);
  assert.deepEqual(decider.disk.paths().filter((path) => path.includes("/log-")).length, 1, "the open segment");
  // What is removed goes from the place too, although it is on the disk of another one.
  await assertSame(place, decider, follower, other);
  await pruneAll(decider.store, { bytes: 1 });
  await send(decider.store, "last");
  await decider.store.checkpoint();
  assert.ok(folded(place) < 5, `${folded(place)}`);
  assert.deepEqual([decider, follower, other].flatMap(({ warnings }) => warnings), []);
  for (const { store } of [follower, other, decider]) await store.close();
});

for (const point of ["prepareFold", "upload", "send"] as const) {
  Deno.test(`the replica that folds dies before "${point}": the one that decides folds`, async () => {
    const [place, decider, follower, other] = await three();
    const { reached } = hold(follower, point);
    const checkpoint = decider.store.checkpoint();
    await reached;
    await send(decider.store, "e2");
    assert.equal(folded(place), 0);
    place.kill(follower);
    await decider.store.retire(follower.id, 0);
    await checkpoint;
    assert.equal(partsOf(decider).length, 1);
    await decider.store.checkpoint();
    assert.deepEqual([partsOf(decider).length, partsOf(other).length], [1, 1], "then the next one does");
    assert.deepEqual(decider.warnings, []);
    await assertAll(place, [decider, other], ["e1", "e2"]);
  });

  for (const heir of ["the same", "another"]) {
    Deno.test(`who decides dies while a replica is before "${point}", ${heir} replica takes over: what comes late is dropped`, async () => {
      const [place, decider, follower, other] = await three();
      const { reached, release } = hold(follower, point);
      void decider.store.checkpoint().catch(() => {});
      await reached;
      place.kill(decider);
      const [next, rest] = heir === "another" ? [other, follower] : [follower, other];
      const promoted = place.promote(next);
      // The work ends late in any case; the one that takes over may have folded by then.
      if (heir === "the same") release();
      await promoted;
      const checkpoint = next.store.checkpoint();
      await settle();
      const before = new Map(place.files);
      release();
      delete follower.before[point];
      await checkpoint;
      for (const [name, bytes] of before) assert.deepEqual(place.files.get(name), bytes);
      assert.equal(folded(place), 1);
      await send(next.store, "e2");
      await next.store.checkpoint();
      assert.deepEqual(next.warnings, []);
      await assertAll(place, [next, rest], ["e1", "e2"]);
    });
  }
}

Deno.test("who decides dies before it publishes what a replica has folded, and after it", async () => {
  for (const isPublished of [false, true]) {
    const [place, decider, follower, other] = await three();
    const { reached, release } = hold(decider, "publish");
    void decider.store.checkpoint().catch(() => {});
    await reached;
    if (isPublished) {
      decider.before.append = () => new Promise(() => {});
      release();
      await until(() => folded(place) === 1);
    }
    place.kill(decider);
    await place.promote(other);
    release();
    await settle();
    assert.equal(folded(place), isPublished ? 1 : 0);
    await send(other.store, "e2");
    await other.store.checkpoint();
    assert.deepEqual(other.warnings, []);
    await assertAll(place, [other, follower], ["e1", "e2"]);
  }
});

Deno.test("a replica that cannot fold is not asked again for a while: the one that decides folds, then another replica", async () => {
  const [place, decider, follower, other] = await three();
  follower.disk.failWrites = "ENOSPC";
  await decider.store.checkpoint();
  assert.deepEqual(decider.warnings, [
    `Replica ${follower.id} cannot fold the log of the store: ${
      diskError("ENOSPC", `${FOLDER}/log-000000000001`).message
    }; this program does it`,
  ]);
  assert.deepEqual([decider, follower, other].map((one) => partsOf(one).length), [1, 0, 0]);
  for (const id of ["e2", "e3"]) {
    await send(decider.store, id);
    await decider.store.checkpoint();
  }
  assert.deepEqual([decider, follower, other].map((one) => partsOf(one).length), [1, 0, 2]);
  assert.equal(decider.warnings.length, 1);
  follower.disk.failWrites = undefined;
  await assertAll(place, [decider, follower, other], ["e1", "e2", "e3"]);
});

Deno.test("a replica that does not answer in time: the one that decides folds, and its late answer is dropped", async () => {
  const [place, decider, follower, other] = await three();
  const { reached, release } = hold(follower, "upload");
  const { setTimeout: real } = globalThis;
  // The limit is the only timer that is this long.
  globalThis.setTimeout = ((work: () => void, ms: number) => real(work, ms === 60_000 ? 0 : ms)) as typeof setTimeout;
  try {
    const checkpoint = decider.store.checkpoint();
    await reached;
    await checkpoint;
  } finally {
    globalThis.setTimeout = real;
  }
  assert.match(
    decider.warnings.join(),
    /cannot fold the log of the store: it has not answered within 60 s; this program does it$/,
  );
  const before = new Map(place.files);
  delete follower.before.upload;
  release();
  await settle();
  await send(follower.store, "e2");
  assert.deepEqual(place.files, before);
  await assertAll(place, [decider, follower, other], ["e1", "e2"]);
});
