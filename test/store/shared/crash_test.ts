import fc from "fast-check";
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { DAY } from "../../../runtime/model/duration.ts";
import { encodeFrame, readFrame } from "../../../runtime/store/log/log_frame.ts";
import type { Receipt } from "../../../runtime/store/store.ts";
import { arrival, beginWait, candidate, claimIds, NOW, publish, send, settle, startRun, step } from "../helpers.ts";
import { assertSame, caughtUp, insideOf } from "./pair.ts";
import { type Replica, SharedPlace } from "./place.ts";

/** Three programs: one decides, two follow. */
async function three(place = new SharedPlace()): Promise<[SharedPlace, Replica, Replica, Replica]> {
  return [place, await place.start(), await place.start(), await place.start()];
}

async function closeAll(...replicas: Replica[]): Promise<void> {
  for (const { store, warnings } of replicas) {
    await store.close();
    assert.deepEqual(warnings, []);
  }
}

/** Checks that each event was accepted once, and started one run. */
async function assertOnce({ store }: Replica, ids: string[]): Promise<void> {
  const events = await store.listEvents({ limit: 1e6 });
  assert.deepEqual(events.map(({ event }) => event.id).sort(), [...ids].sort());
  for (const { deliveries, event } of events) {
    assert.equal(deliveries, 1, `${event.id} was decided ${deliveries} times`);
  }
  assert.equal((await store.listRuns({ limit: 1e6 })).length, ids.length);
}

Deno.test("the decider dies between a send and the decision: the next one decides, and the sender gets the answer", async () => {
  const [place, decider, follower, next] = await three();
  place.kill(decider);
  const answer = send(follower.store, "e1");
  while (place.inbox.length === 0) await settle();
  assert.equal(place.frames.length, 0);
  await place.promote(next);
  assert.equal((await answer).delivery, "accepted");
  await assertOnce(next, ["e1"]);
  await assertSame(place, next, follower);
  await closeAll(follower, next);
});

Deno.test("the decider dies between the decision and its frame: the next one decides again, as nothing was durable", async () => {
  const [place, decider, follower, next] = await three();
  const reached = Promise.withResolvers<void>();
  decider.before.append = () => {
    reached.resolve();
    return new Promise(() => {});
  };
  const answer = send(follower.store, "e1");
  await reached.promise;
  assert.equal(insideOf(decider.store).rows.size("replica"), 1);
  place.kill(decider);
  await place.promote(next);
  assert.equal((await answer).delivery, "accepted");
  await assertOnce(next, ["e1"]);
  await closeAll(follower, next);
});

Deno.test("the decider dies between the frame and its application: nobody decides again, and the answer is in the frame", async () => {
  const [place, decider, follower, next] = await three();
  const held = Promise.withResolvers<void>();
  follower.before.tail = () => held.promise;
  await send(decider.store, "e0");
  await settle();
  const answer = send(follower.store, "e1");
  while (place.frames.length < 2) await settle();
  // It dies before the batch is removed from the inbox.
  place.kill(decider);
  place.inbox = [...place.sent];
  await place.promote(next);
  await assertOnce(next, ["e0", "e1"]);
  held.resolve();
  assert.equal((await answer).delivery, "accepted");
  await assertSame(place, next, follower);
  await closeAll(follower, next);
});

Deno.test("a promoted program settles its own calls: one decided and unanswered, those that waited, and new ones", async () => {
  const [place, decider, next, follower] = await three();
  const held = Promise.withResolvers<void>();
  next.before.tail = () => held.promise;
  await send(decider.store, "e0");
  await settle();
  const decided = send(next.store, "e1");
  while (place.frames.length < 2) await settle();
  // This batch is not sent before that one is answered.
  const waiting = ["e2", "e3"].map((id) => send(next.store, id));
  await settle();
  place.kill(decider);
  const promoted = place.promote(next);
  const fresh = send(next.store, "e3");
  await promoted;
  const later = await send(next.store, "e1");
  const deliveries = (await Promise.all([decided, ...waiting, fresh])).map(({ delivery }) => delivery);
  assert.deepEqual([...deliveries, later.delivery], ["accepted", "accepted", "accepted", "duplicate", "duplicate"]);
  assert.equal((await next.store.listEvents({ limit: 9 })).length, 4);
  await assertSame(place, next, follower);
  await closeAll(follower, next);
});

Deno.test("a program is promoted while it searches for an awaited event that came meanwhile, and which it had not read: the wait ends with it", async () => {
  const [place, decider, next, follower] = await three();
  const run = await startRun(next.store, "e1");
  const searched = Promise.withResolvers<void>();
  next.before.send = () => {
    if (insideOf(next.store).rows.size("wait") === 0) return;
    searched.resolve();
    return new Promise(() => {});
  };
  const waiting = beginWait(next.store, run, "w", { kind: "event", types: ["paid.in"], match: { "data.id": "A" } });
  await searched.promise;
  // What it found, which is nothing, is not decided yet.
  next.before.tail = () => new Promise(() => {});
  await publish(follower.store, "paid", "paid.in", { id: "A" });
  place.kill(decider);
  await place.promote(next);
  const { state, output } = await waiting;
  assert.equal(state, "succeeded");
  assert.equal((output as { id: string }).id, "paid");
  await closeAll(follower, next);
});

Deno.test("who decides does so for others when its rules are in force: only then it knows which events of the program are awaited", async () => {
  const place = new SharedPlace();
  place.begins = false;
  const [decider, follower] = [await place.start(), await place.start()];
  const event = { type: "whenthen.store.full" as const, subject: "disk", data: {} };
  const changed = follower.store.changeCondition({ condition: "full", about: {}, reason: "full", event }, NOW);
  while (place.inbox.length === 0) await settle();
  for (let turns = 0; turns < 20; turns++) await settle();
  assert.equal(place.frames.length, 0);
  decider.store.listenToOwn({ hasListener: (type) => type === event.type, onNotice() {} });
  await decider.store.decideForOthers();
  await changed;
  assert.equal((await decider.store.listNotices(9)).length, 1);
  await closeAll(follower, decider);
});

Deno.test("a promoted program goes on with the rows that it has, and reads no identities", async () => {
  const [place, decider, next, follower] = await three();
  await send(next.store, "e1");
  await decider.store.checkpoint();
  await send(next.store, "e2");
  const { rows } = insideOf(next.store);
  place.kill(decider);
  const reads: string[] = [];
  const open = next.disk.read.bind(next.disk);
  next.disk.read = (path) => {
    reads.push(path.slice(path.lastIndexOf("/") + 1));
    return open(path);
  };
  await place.promote(next);
  assert.equal(insideOf(next.store).rows, rows);
  assert.ok(
    reads.some((name) => name.startsWith("log-")) && !reads.some((name) => name.startsWith("ids-")),
    `${reads}`,
  );
  for (const id of ["e1", "e2"]) assert.equal((await send(next.store, id)).delivery, "duplicate");
  await assertSame(place, next, follower);
  await closeAll(follower, next);
});

Deno.test("identities expire by the time and retention of the one that decides, whatever a follower is told", async () => {
  const [place, decider, next, follower] = await three();
  const ids = Array.from({ length: 20 }, (_, at) => `e${at}`);
  for (const id of ids) await send(decider.store, id);
  const lasting = { bytes: 1e9, live: 1e9, identities: 2 * DAY };
  next.store.retain({ ...lasting, identities: 1 });
  await decider.store.checkpoint();
  await decider.store.prune(lasting, NOW + DAY);
  await caughtUp(place, next);
  place.kill(decider);
  await place.promote(next);
  next.store.retain(lasting);
  for (const id of ids) assert.equal((await send(next.store, id, {}, NOW + DAY)).delivery, "duplicate");
  await next.store.prune(lasting, NOW + 2 * DAY);
  await caughtUp(place, follower);
  for (const { store } of [next, follower]) assert.equal(insideOf(store).rows.identities.size, 0);
  assert.equal((await send(follower.store, "e1", {}, NOW + 2 * DAY)).delivery, "accepted");
  await closeAll(follower, next);
});

Deno.test("the decider dies after a fold of which nobody was told: what is in it is shown all the time", async () => {
  const [place, decider, next, follower] = await three();
  place.folding = () => false;
  await send(decider.store, "e1");
  decider.before.append = () => new Promise(() => {});
  void decider.store.checkpoint();
  while (![...place.files.keys()].some((name) => name.startsWith("delta-"))) await settle();
  await caughtUp(place, next);
  place.kill(decider);
  let isOver = false;
  const promoted = place.promote(next).finally(() => isOver = true);
  for (let looks = 0; looks < 5 || !isOver; looks++) {
    assert.deepEqual((await next.store.listEvents({ limit: 9 })).map(({ event }) => event.id), ["e1"]);
    await settle();
  }
  await promoted;
  assert.equal(insideOf(next.store).history.counts().events, 1, "once");
  await assertSame(place, next, follower);
  await closeAll(follower, next);
});

Deno.test("a program cannot take over if the log does not end with the frame that it has applied last", async () => {
  for (const change of ["lost", "added"]) {
    const [place, decider, next, follower] = await three();
    for (const id of ["e1", "e2"]) await send(next.store, id);
    place.kill(decider);
    const promoted = next.store.promote(async () => {
      const { seq } = place.frames.at(-1)!;
      if (change === "lost") place.frames.pop();
      else place.frames.push({ seq: seq + 1, frame: encodeFrame(seq + 1, "") });
      await place.load(next.disk);
    });
    await assert.rejects(promoted, /the log ends at frame \d+ instead of frame \d+/);
    await assert.rejects(send(next.store, "e3"), /Cannot take over the decisions/);
    await closeAll(follower, next);
  }
});

Deno.test("a promoted program decides its own batch that nobody decided, sent or not", async () => {
  for (const isSent of [true, false]) {
    const [place, decider, next, follower] = await three();
    place.kill(decider);
    if (!isSent) next.before.send = () => new Promise(() => {});
    const answer = send(next.store, "e1");
    await settle();
    assert.equal(place.inbox.length, Number(isSent));
    await place.promote(next);
    assert.equal((await answer).delivery, "accepted");
    await assertOnce(next, ["e1"]);
    while (place.inbox.length > 0) await settle();
    await closeAll(follower, next);
  }
});

/** Removes the rows of replicas from a frame: what is decided is then durable without the note that it is. */
function withoutCursors(frame: Uint8Array): Uint8Array {
  const { seq, payload } = readFrame(frame, 0)!;
  const lines = payload.toString().split("\n").filter((line) => !/^replica\*?\//.test(line));
  return encodeFrame(seq, Buffer.from(lines.join("\n")).toString());
}

interface Death {
  /** After how many frames the decider dies. */
  frames: number;
  /** Whether the last of them becomes durable. */
  isDurable: boolean;
  /** How many events each follower sends, and how many turns it waits before each. */
  sends: number[];
}

const death: fc.Arbitrary<Death> = fc.record({
  frames: fc.integer({ min: 1, max: 5 }),
  isDurable: fc.boolean(),
  sends: fc.array(fc.nat(3), { minLength: 1, maxLength: 12 }),
});

/** Followers send while the decider dies; the next one takes over. @param stripped which frames lose their cursors */
async function survive({ frames, isDurable, sends }: Death, stripped: () => boolean = () => false): Promise<void> {
  const [place, decider, one, two] = await three();
  let left = frames;
  const dead = Promise.withResolvers<void>();
  decider.before.append = () => {
    if (--left > 0 || (left === 0 && isDurable)) return;
    dead.resolve();
    return new Promise(() => {});
  };
  place.onFrame = (frame) => place.holder === decider.id && stripped() ? withoutCursors(frame) : frame;
  // Only the cursors protect from a second decision.
  place.forgets = false;
  const answers: Promise<Receipt>[] = [];
  const ids: string[] = [];
  for (const [index, turns] of sends.entries()) {
    ids.push(`e${index}`);
    answers.push(send(index % 2 ? one.store : two.store, `e${index}`));
    for (let turn = 0; turn < turns; turn++) await settle();
  }
  await Promise.race([dead.promise, Promise.all(answers), settle().then(settle)]);
  place.kill(decider);
  await place.promote(two);
  for (const { delivery, runs } of await Promise.all(answers)) {
    assert.deepEqual([delivery, runs.length], ["accepted", 1]);
  }
  await assertOnce(two, ids);
  await assertSame(place, two, one);
  await closeAll(one, two);
}

Deno.test("the decider dies at any moment: every call is decided once and answered", async () => {
  await fc.assert(fc.asyncProperty(death, (one) => survive(one)), { numRuns: 150 });
});

Deno.test("control: without the cursors of one frame in a hundred, that is noticed", async () => {
  let frames = 0;
  const stripped = () => frames++ % 100 === 50;
  const result = await fc.check(fc.asyncProperty(death, (one) => survive(one, stripped)), {
    numRuns: 400,
    endOnFailure: true,
  });
  assert.ok(result.failed);
  assert.match(String(result.errorInstance), /was decided 2 times|'duplicate'/);
});

Deno.test("a program that ends does not wait for a fold: the next one repeats it", async () => {
  const [place, decider, next] = await three();
  await send(decider.store, "e1");
  const reached = Promise.withResolvers<void>();
  decider.elsewhere.publish = () => {
    reached.resolve();
    return new Promise(() => {});
  };
  void decider.store.checkpoint().catch(() => {});
  await reached.promise;
  await decider.store.close();
  await place.promote(next);
  await next.store.checkpoint();
  assert.ok([...place.files.keys()].some((name) => name.startsWith("part-")));
  assert.deepEqual((await next.store.listEvents({ limit: 9 })).map(({ event }) => event.id), ["e1"]);
  await closeAll(next);
});

Deno.test("a fenced program: everything it asks is rejected, and it must begin anew", async () => {
  const [place, decider, follower, other] = await three();
  place.fenced.add(follower.id);
  await assert.rejects(send(follower.store, "e1"), { name: "StoreFullError" });
  await assert.rejects(follower.store.claimRuns("x", 1, 0), { name: "FolderLostError" });
  await assert.rejects(follower.store.countRuns(), { name: "FolderLostError" });
  assert.equal(follower.lost?.name, "FolderLostError");
  await follower.store.close();
  assert.equal((await send(other.store, "e1")).delivery, "accepted");
  await closeAll(other, decider);
});

Deno.test("a program for which frames are missing must begin anew; a new one has everything", async () => {
  const [place, decider, follower] = await three();
  place.folding = () => false;
  follower.before.tail = () => settle();
  const held = Promise.withResolvers<void>();
  follower.before.tail = () => held.promise;
  await send(decider.store, "e0");
  await settle();
  for (const id of ["e1", "e2", "e3"]) await send(decider.store, id);
  await decider.store.checkpoint();
  place.frames = place.frames.slice(-1);
  held.resolve();
  await assert.rejects(send(follower.store, "e4"), /Cannot follow the shared place: frame \d+ is gone/);
  assert.match(follower.lost!.message, /^Cannot follow/);
  await follower.store.close();
  const again = await place.start();
  await assertSame(place, decider, again);
  await closeAll(again);
});

Deno.test("while the place fails, calls wait and are sent again; events are refused after their time", async () => {
  const place = new SharedPlace();
  const decider = await place.start();
  const follower = await place.start({ intakeTimeout: 20 });
  const { runs: [run] } = await send(follower.store, "e1");
  await follower.store.claimRuns("me", 1, 0);
  place.kill(decider);
  const sent = send(follower.store, "e2");
  const record = follower.store.recordStep(run, step("a"), {}, 0);
  await assert.rejects(sent, (error: { name: string; message: string; retryAfter: number }) => {
    assert.deepEqual([error.name, error.retryAfter], ["StoreFullError", 1]);
    return error.message.startsWith("Nobody decides at the moment");
  });
  assert.match(follower.store.refusal()!, /^Nobody decides/);
  await assert.rejects(send(follower.store, "e3"), { name: "StoreFullError" });
  const next = await place.start({ follow: false });
  assert.equal((await record).record.path, "a");
  assert.equal(follower.store.refusal(), undefined);
  // Its first delivery was decided after all.
  assert.equal((await send(follower.store, "e2")).delivery, "duplicate");
  await closeAll(follower, next);
});

Deno.test("a batch that the place has lost after it was sent is sent again, and decided once", async () => {
  const [place, decider, follower, other] = await three();
  await send(follower.store, "e1");
  place.deaf = true;
  const lost = send(follower.store, "e2");
  while (place.inbox.at(-1)?.seq !== 2) await settle();
  place.inbox = [];
  place.deaf = false;
  place.poke();
  assert.equal((await lost).delivery, "accepted");
  assert.equal((await send(decider.store, "e2")).delivery, "duplicate");
  assert.deepEqual(follower.warnings, []);
  await closeAll(follower, other, decider);
});

Deno.test("a send that fails is repeated, with one warning, until the place works again", async () => {
  const [place, decider, follower] = await three();
  place.failure = "connection refused";
  const record = follower.store.setPaused("r", "by hand");
  for (let turns = 0; follower.warnings.length < 2 && turns < 1_000; turns++) await settle();
  assert.ok(follower.warnings.includes("Cannot write to the shared place: connection refused; it is tried again"));
  place.failure = undefined;
  await record;
  assert.deepEqual(await decider.store.listPaused(), { r: "by hand" });
  await follower.store.close();
  await decider.store.close();
});

Deno.test("an event that was refused after its time and is decided later: its run is left to be claimed", async () => {
  const place = new SharedPlace();
  const decider = await place.start();
  const follower = await place.start({ intakeTimeout: 20 });
  place.kill(decider);
  const lease = { owner: follower.id, max: 1 };
  const sent = follower.store.accept([arrival("e1", [candidate()])], [], NOW, lease);
  await assert.rejects(sent, { name: "StoreFullError" });
  const next = await place.start({ follow: false });
  const stateOf = async () => (await follower.store.listRuns({ limit: 1 }))[0]?.state;
  while (await stateOf() !== "queued") await settle();
  assert.deepEqual(await claimIds(next.store), ["e1"]);
  await closeAll(next);
  await follower.store.close();
});

Deno.test("a program that cannot take over rejects what waits for an answer: it must begin anew", async () => {
  const [place, decider, follower] = await three();
  place.kill(decider);
  const waiting = send(follower.store, "e1");
  const fails = () => Promise.reject(new Error("connection lost"));
  await assert.rejects(follower.store.promote(fails), /connection lost/);
  await assert.rejects(waiting, /Cannot take over the decisions: connection lost/);
  await assert.rejects(follower.store.reclaimRuns({ kept: [] }, NOW), /Cannot take over the decisions/);
  await follower.store.close();
});

Deno.test("who decides is told of what others changed, also in a frame that is decided while another one is written", async () => {
  const place = new SharedPlace();
  const decider = await place.start();
  const follower = await place.start();
  const { runs: [run] } = await send(decider.store, "e1");
  await decider.store.claimRuns(decider.id, 1, NOW);
  const told: string[] = [];
  decider.store.watch(({ runs }) => told.push(...runs));
  const held = Promise.withResolvers<void>();
  const reached = Promise.withResolvers<void>();
  decider.before.append = () => {
    reached.resolve();
    return held.promise;
  };
  const own = send(decider.store, "e2");
  await reached.promise;
  const cancelling = follower.store.cancelRun(run, "no longer needed", NOW);
  while (insideOf(decider.store).rows.get("run", run)?.ending === undefined) await settle();
  held.resolve();
  await Promise.all([own, cancelling]);
  await settle();
  assert.deepEqual(told, [run]);
  await closeAll(follower, decider);
});

Deno.test("who decides refuses an event that does not become durable in time; it is there after all, and its run is claimed later", async () => {
  const place = new SharedPlace();
  const decider = await place.start({ intakeTimeout: 20 });
  const held = Promise.withResolvers<void>();
  decider.before.append = () => held.promise;
  let isClaimable = false;
  decider.store.watch((change) => isClaimable ||= change.isClaimable);
  const lease = { owner: decider.id, max: 1 };
  const sent = decider.store.accept([arrival("e1", [candidate()])], [], NOW, lease);
  await assert.rejects(sent, { name: "StoreFullError", retryAfter: 1 });
  held.resolve();
  const stateOf = async () => (await decider.store.listRuns({ limit: 1 }))[0]?.state;
  while (await stateOf() !== "queued") await settle();
  assert.ok(isClaimable, "its runner is told, as nobody else may take the run");
  assert.equal((await send(decider.store, "e1")).delivery, "duplicate");
  await closeAll(decider);
});
