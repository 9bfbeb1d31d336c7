import fc from "fast-check";
import assert from "node:assert/strict";
import type { Json } from "../../../runtime/model/json.ts";
import type { Change } from "../../../runtime/store/shared_store.ts";
import type { Store } from "../../../runtime/store/store.ts";
import {
  arrival,
  beginWait,
  candidate,
  claimIds,
  NOW,
  pruneAll,
  publish,
  send,
  settle,
  startRun,
  step,
  stepOf,
  supersede,
  suspend,
} from "../helpers.ts";
import { assertSame, caughtUp, insideOf } from "./pair.ts";
import { type Replica, SharedPlace } from "./place.ts";

/** A test with one program that decides and two that follow. At the end all must have the same state. */
function sharedTest(
  name: string,
  work: (one: { place: SharedPlace; decider: Replica; a: Replica; b: Replica }) => Promise<void>,
): void {
  Deno.test(name, async () => {
    const place = new SharedPlace();
    const [decider, a, b] = [await place.start(), await place.start(), await place.start()];
    await work({ place, decider, a, b });
    await assertSame(place, decider, a, b);
    for (const { store, warnings } of [a, b, decider]) {
      await store.close();
      assert.deepEqual(warnings, []);
    }
  });
}

// ── calls ──────────────────────────────────────────────────────────────────────────────────────────────────────────

sharedTest("a program reads what it wrote, wherever it was decided", async ({ a, b, decider }) => {
  for (const { store, id } of [a, b, decider]) {
    const { runs: [run] } = await send(store, id);
    assert.equal((await store.getRun(run))?.run.event.id, id);
    assert.equal((await send(store, id)).delivery, "duplicate");
  }
});

sharedTest("the calls of one turn are one batch, at most 64; those that arrive meanwhile are the next", async (it) => {
  const { place, a } = it;
  const first = Array.from({ length: 70 }, (_, at) => send(a.store, `e${at}`));
  const text = "x".repeat(700_000);
  const long = ["l1", "l2"].map((id) => publish(a.store, id, "long", { text }));
  await Promise.all([...first, ...long]);
  assert.deepEqual(place.sent.map(({ calls }) => JSON.parse(calls).length), [64, 7, 1]);
  assert.deepEqual(place.sent.map(({ seq }) => seq), [1, 2, 3]);
  while (place.inbox.length > 0) await settle();
});

sharedTest("a call that throws is undone alone, and its error comes back with its class", async ({ a, decider }) => {
  await send(a.store, "e0");
  decider.store.retain({ bytes: 1e12, identities: 1e12, live: 0 });
  // Both are in one batch.
  const [refused, paused] = await Promise.allSettled([send(a.store, "e1"), a.store.setPaused("r", "by hand")]);
  assert.equal(paused.status, "fulfilled");
  assert.equal(refused.status === "rejected" && refused.reason.name, "StoreFullError");
  assert.equal(refused.status === "rejected" && refused.reason.retryAfter, 60);
  assert.deepEqual(await a.store.listPaused(), { r: "by hand" });
  assert.equal((await a.store.listEvents({ limit: 9 })).length, 1);
});

sharedTest("values cross exactly: whole numbers of any size, large doubles, any text", async ({ place, a, b }) => {
  const data: Json = {
    big: 12345678901234567890n,
    least: -9007199254740993n,
    double: 2 ** 70,
    exact: 9007199254740991,
    tiny: 1e-300,
    text: '\u2028 ü \ud800 \u0000 \\ "',
    list: [null, true, [], {}],
    "__proto__": "own",
  };
  await publish(a.store, "e1", "odd", data);
  const run = await startRun(a.store, "e2");
  const { record } = await a.store.recordStep(run, step("a", { output: data }), {
    state: { key: "k", value: data },
  }, NOW);
  assert.deepEqual(record.output, null);
  await a.store.recordStep(run, step("b", { output: data }), {}, NOW);
  await caughtUp(place, b);
  for (const { store } of [a, b]) {
    const [odd] = await store.listEvents({ limit: 1, type: "odd" });
    assert.deepEqual(odd.event.data, data);
    assert.deepEqual(await store.getState(["k"], NOW), { k: data });
    assert.deepEqual((await stepOf(store, run, "b"))?.output, data);
  }
});

sharedTest("a call that this version does not know answers with an error, and the others are decided", async (it) => {
  const { place, a, decider } = it;
  place.onSend = (calls) => calls.replace('"name":"setPaused"', '"name":"setPausedTwice"');
  const [unknown, known] = await Promise.allSettled([a.store.setPaused("r", "x"), send(a.store, "e1")]);
  assert.match(
    unknown.status === "rejected" ? unknown.reason.message : "",
    /^Cannot decide "setPausedTwice": the program that decides does not know it, as it has another version; update all/,
  );
  assert.equal(known.status, "fulfilled");
  place.onSend = () => '{"calls":2}';
  await assert.rejects(a.store.setPaused("r", "x"), /cannot read what this one sent/);
  place.onSend = (calls) => calls;
  await a.store.setPaused("r", "y");
  assert.deepEqual(await decider.store.listPaused(), { r: "y" });
});

sharedTest(
  "input that JSON cannot represent is rejected where it was asked, and nothing is sent",
  async ({ place, a }) => {
    const cyclic: Record<string, unknown> = {};
    cyclic.self = cyclic;
    await assert.rejects(publish(a.store, "e1", "odd", cyclic as Json), TypeError);
    assert.equal(place.sent.length, 0);
  },
);

// ── waits ──────────────────────────────────────────────────────────────────────────────────────────────────────────

sharedTest("4,000 events and waits for them at the same moment, through different programs: all meet", async (it) => {
  const { a, b, decider } = it;
  const programs = [a, b, decider];
  const records = new Map<string, string>();
  const meet = async (at: number) => {
    const [first, second] = [programs[at % 3].store, programs[(at + 1 + at % 2) % 3].store];
    const run = (await send(first, `run${at}`, { key: `${at}` })).runs[0];
    await first.claimRuns(`owner${at}`, 4_000, NOW);
    const wait = { kind: "event" as const, types: ["paid.in"], match: { "data.id": at } };
    const [record] = await Promise.all([
      beginWait(first, run, "w", wait),
      publish(second, `paid${at}`, "paid.in", { id: at }),
    ]);
    records.set(run, record.state);
  };
  for (let from = 0; from < 4_000; from += 200) {
    await Promise.all(Array.from({ length: 200 }, (_, at) => meet(from + at)));
  }
  assert.equal(records.size, 4_000);
  await a.store.countRuns();
  for (const run of records.keys()) {
    const record = (await stepOf(decider.store, run, "w"))!;
    assert.equal(record.state, "succeeded", `run ${run} did not meet its event`);
  }
});

sharedTest("a part of history that cannot be read for a while: a wait looks again", async ({ a, decider }) => {
  const run = await startRun(a.store, "e1");
  await publish(decider.store, "old", "paid.in", { id: "A" });
  await decider.store.checkpoint();
  const { fetch } = a.elsewhere;
  let failures = 0;
  a.elsewhere.fetch = (part) => ++failures > 2 ? fetch(part) : Promise.reject(new Error("connection lost"));
  const wait = { kind: "event" as const, types: ["paid.*"], match: { "data.id": "A" } };
  const record = await beginWait(a.store, run, "w", wait);
  assert.equal((record.output as { id: string }).id, "old");
  assert.deepEqual(a.warnings.splice(0), ["Cannot look for an awaited event: connection lost; it is tried again"]);
});

sharedTest(
  "two waits of a run, and two events that come while both search: each wait ends with one",
  async ({ a, decider }) => {
    const run = await startRun(a.store, "e1");
    const searched = Promise.withResolvers<void>();
    const released = Promise.withResolvers<void>();
    a.before.send = () => {
      if (insideOf(a.store).rows.size("wait") < 2) return;
      searched.resolve();
      return released.promise;
    };
    const wait = { kind: "event" as const, types: ["paid.in"], match: {} };
    const waiting = [beginWait(a.store, run, "w1", wait), beginWait(a.store, run, "w2", wait)];
    await searched.promise;
    for (const id of ["p1", "p2"]) await publish(decider.store, id, "paid.in", {});
    released.resolve();
    const outputs = (await Promise.all(waiting)).map(({ output }) => (output as { id: string } | undefined)?.id);
    assert.deepEqual(outputs, ["p1", "p2"]);
  },
);

sharedTest("a wait finds an event in a part of history that the program has not read yet", async ({ a, decider }) => {
  const run = await startRun(a.store, "e1");
  await publish(decider.store, "old", "paid.in", { id: "A" });
  await decider.store.checkpoint();
  const wait = { kind: "event" as const, types: ["paid.*"], match: { "data.id": "A" } };
  const record = await beginWait(a.store, run, "w", wait);
  assert.equal((record.output as { id: string }).id, "old");
});

sharedTest(
  "a duplicate whose history cannot be read is accepted all the same, with what was accepted beside it",
  async ({ a, decider, place }) => {
    const run = await startRun(a.store, "old");
    await a.store.finishRun(run, { state: "succeeded", spent: 1 }, NOW);
    await decider.store.checkpoint();
    await caughtUp(place, a);
    const { fetch } = a.elsewhere;
    a.elsewhere.fetch = () => Promise.reject(new Error("connection lost"));
    const lease = { owner: a.id, max: 1 };
    const receipts = await a.store.accept([arrival("old"), arrival("new")], [], NOW, lease);
    assert.deepEqual(receipts.map(({ delivery }) => delivery), ["duplicate", "accepted"]);
    assert.deepEqual(receipts[1].claimed?.map(({ run }) => run.event.id), ["new"]);
    a.elsewhere.fetch = fetch;
  },
);

sharedTest(
  "a run that a newer one replaces ends where it is executed, whatever became of who asked",
  async ({ a, b, place }) => {
    const { runs: [run] } = await send(b.store, "e1", { mode: "restart" });
    await b.store.claimRuns(b.id, 1, NOW);
    const changes = watch(b);
    const receipt = await send(a.store, "e2", { mode: "restart" });
    assert.deepEqual(receipt.replaces, [run]);
    await caughtUp(place, b);
    await settle();
    assert.ok(changes.some(({ runs }) => runs.includes(run)));
    await suspend(b.store, run);
    assert.equal((await b.store.getRun(run))?.run.state, "cancelled");
  },
);

// ── runs of others ─────────────────────────────────────────────────────────────────────────────────────────────────

/** Collects what a program is told. */
function watch({ store }: Replica): Change[] {
  const changes: Change[] = [];
  store.watch((change) => changes.push(change));
  return changes;
}

for (const [owner, asker] of [["decider", "a"], ["a", "decider"], ["a", "b"]] as const) {
  sharedTest(`a run of ${owner} that ${asker} cancels: its owner is told, and why`, async (it) => {
    const [mine, other] = [it[owner], it[asker]];
    const { runs: [run] } = await send(mine.store, "e1");
    await mine.store.claimRuns(mine.id, 1, NOW);
    const changes = watch(mine);
    await caughtUp(it.place, other);
    const asked = await other.store.cancelRun(run, "Too late", NOW, "anna");
    assert.deepEqual(asked, { kind: "asked", state: "running", ended: false, owner: mine.id });
    await caughtUp(it.place, mine);
    await settle();
    assert.ok(changes.some(({ runs }) => runs.includes(run)));
    assert.deepEqual(
      await mine.store.getEndings([run, "nobody"]),
      new Map([[run, { reason: "Too late", by: "anna" }]]),
    );
    await mine.store.finishRun(run, { state: "cancelled", spent: 1 }, NOW);
    await caughtUp(it.place, other);
    assert.equal((await other.store.getRun(run))?.run.state, "cancelled");
    assert.deepEqual(await mine.store.getEndings([run]), new Map());
  });

  sharedTest(`a running run of ${owner} whose event ${asker} accepts: its owner is told`, async (it) => {
    const [mine, other] = [it[owner], it[asker]];
    const { runs: [run] } = await send(mine.store, "e1");
    await mine.store.claimRuns(mine.id, 1, NOW);
    await beginWait(mine.store, run, "w", { kind: "event", types: ["paid.in"], match: {} });
    const changes = watch(mine);
    await publish(other.store, "paid", "paid.in", {});
    await caughtUp(it.place, mine);
    await settle();
    assert.ok(changes.some(({ runs, tables }) => runs.includes(run) && tables.has("step")));
  });

  sharedTest(`a run that ${asker} accepted may be claimed by ${owner}, who is told`, async (it) => {
    const [mine, other] = [it[owner], it[asker]];
    const changes = watch(mine);
    await send(other.store, "e1");
    await caughtUp(it.place, mine);
    await settle();
    assert.ok(changes.some(({ isClaimable }) => isClaimable));
    assert.deepEqual(await claimIds(mine.store), ["e1"]);
  });
}

sharedTest("who decides looks at no frame that nobody else asked for", async ({ decider }) => {
  const changes = watch(decider);
  await send(decider.store, "e1");
  await claimIds(decider.store);
  await settle();
  assert.deepEqual(changes, []);
});

Deno.test("a replica that died: what it had sent is decided, then its runs are queued again, and it is forgotten", async () => {
  const place = new SharedPlace();
  const [decider, dead, other] = [await place.start(), await place.start(), await place.start()];
  for (const id of ["e1", "e2"]) await send(decider.store, id);
  const [mine] = await dead.store.claimRuns(dead.id, 1, NOW);
  const [theirs] = await other.store.claimRuns(other.id, 1, NOW);
  assert.deepEqual(await decider.store.knownReplicas(), [dead.id, other.id]);
  const searching = { kind: "event" as const, types: ["paid.in"], match: {} };
  await publish(decider.store, "paid", "paid.in", {});
  // It dies before the decider sees this batch, and before it can search for the event.
  place.deaf = true;
  const record = dead.store.recordStep(
    mine.run.id,
    step("w", { kind: "event", state: "waiting" }),
    { wait: searching },
    NOW,
  );
  while (place.inbox.length === 0) await settle();
  dead.before.tail = () => new Promise(() => {});
  record.catch(() => {});
  place.kill(dead);
  await decider.store.retire(dead.id, NOW + 5);
  place.deaf = false;
  assert.deepEqual(await decider.store.knownReplicas(), [other.id]);
  assert.equal((await stepOf(decider.store, mine.run.id, "w"))?.kind, "event");
  const queued = (await decider.store.getRun(mine.run.id))!;
  assert.equal(queued.run.state, "queued");
  assert.deepEqual(queued.notes.map(({ text }) => text), ["The program ended while it was running; queued again"]);
  assert.equal((await decider.store.getRun(theirs.run.id))?.run.state, "running");
  for (let turns = 0; (await stepOf(decider.store, mine.run.id, "w"))?.state === "waiting" && turns < 200; turns++) {
    await settle();
  }
  assert.equal(((await stepOf(decider.store, mine.run.id, "w"))?.output as { id: string }).id, "paid");
  assert.deepEqual(place.inbox, []);
  await assert.rejects(other.store.retire("x", NOW), /another program decides/);
  await assertSame(place, decider, other);
  await other.store.close();
  await decider.store.close();
  await dead.store.close();
});

// ── state ──────────────────────────────────────────────────────────────────────────────────────────────────────────

type Act = { name: "send" | "work" | "wait" | "publish" | "cancel" | "fold" | "trim" | "join"; by: number; n: number };

const act: fc.Arbitrary<Act> = fc.record({
  name: fc.constantFrom("send", "send", "work", "work", "wait", "publish", "cancel", "fold", "trim", "join"),
  by: fc.nat(2),
  n: fc.nat(9),
});

async function perform(store: Store, { name, n }: Act): Promise<void> {
  switch (name) {
    case "send":
      await store.accept([arrival(`e${n}`, [candidate({ key: `${n % 3}`, mode: n % 2 ? "queued" : "restart" })])], [{
        rule: "r",
        trigger: "t",
        mark: { n },
        baseline: { put: [[`k${n}`, { n }]], remove: [`k${9 - n}`] },
      }], NOW + n);
      return;
    case "work":
      for (const { run } of await store.claimRuns("me", n, NOW + n)) {
        await store.recordStep(run.id, step("a", { output: { n } }), { state: { key: `s${n}`, value: n } }, NOW);
        if (n % 2) await store.finishRun(run.id, { state: n % 3 ? "succeeded" : "failed", spent: n }, NOW + n);
        else await suspend(store, run.id, NOW + 5);
      }
      return;
    case "wait":
      for (const { run } of await store.claimRuns("me", 1, NOW + n)) {
        await beginWait(store, run.id, `w${n}`, { kind: "event", types: ["paid.*"], match: { "data.id": n } });
        await suspend(store, run.id);
      }
      return;
    case "publish":
      await publish(store, `p${n}`, "paid.in", { id: n });
      return;
    case "cancel":
      for (const { id } of await store.listRuns({ limit: 1, state: "waiting" })) {
        await store.cancelRun(id, "by anna", NOW, "anna");
      }
  }
}

Deno.test("followers have the state of the decider after anything, over folds, merges and trims, also late ones", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(act, { minLength: 5, maxLength: 60 }), async (acts) => {
      const place = new SharedPlace();
      const replicas = [await place.start(), await place.start(), await place.start()];
      const [decider] = replicas;
      for (const [at, one] of acts.entries()) {
        if (one.name === "fold") await decider.store.checkpoint();
        else if (one.name === "trim") {
          await supersede(decider.store, NOW, `newest${at}`);
          await decider.store.checkpoint();
          await pruneAll(decider.store, { bytes: 0 });
        } else if (one.name === "join" && replicas.length < 5) {
          replicas.push(await place.start());
        } else await perform(replicas[one.by].store, one);
        if (at % 10 === 9) await assertSame(place, decider, ...replicas.slice(1));
      }
      await assertSame(place, decider, ...replicas.slice(1));
      for (const { store, warnings } of replicas.reverse()) {
        await store.close();
        assert.deepEqual(warnings, []);
      }
    }),
    { numRuns: 40 },
  );
});

Deno.test("all rows, identities and history of a promoted program are those of the one that decided before", async () => {
  const place = new SharedPlace();
  const [decider, next, other] = [await place.start(), await place.start(), await place.start()];
  for (let at = 0; at < 30; at++) await perform(at % 2 ? next.store : decider.store, { name: "send", by: 0, n: at });
  await decider.store.checkpoint();
  await assertSame(place, decider, next);
  for (let at = 0; at < 9; at++) await perform(next.store, { name: "work", by: 0, n: at });
  await assertSame(place, decider, next);
  place.kill(decider);
  await place.promote(next);
  await assertSame(place, next, other);
  assert.equal((await send(other.store, "e1")).delivery, "duplicate");
  await next.store.checkpoint();
  await assertSame(place, next, other);
  for (const { store } of [other, next]) await store.close();
});

sharedTest("a claimed run is in the frame once, and complete for who claimed it", async ({ place, a, decider }) => {
  const text = "only-once ".repeat(100);
  const event = { ...arrival("e1").event, data: { text } };
  const lease = { owner: a.id, max: 5 };
  const [{ claimed }] = await a.store.accept([{ event, candidates: [candidate()] }], [], NOW, lease);
  assert.deepEqual([claimed![0].run.event, claimed![0].run.state, claimed![0].again], [event, "running", false]);
  const frame = new TextDecoder().decode(place.frames.at(-1)!.frame);
  assert.equal(frame.split(text).length - 1, 1);
  const { id } = claimed![0].run;
  await a.store.recordStep(id, step("a", { output: text }), {}, NOW);
  await beginWait(a.store, id, "w", { kind: "time" }, { due: NOW + 5 });
  await suspend(a.store, id, NOW + 5);
  const own = await a.store.claimRuns(a.id, 9, NOW + 5);
  assert.deepEqual(own.map(({ run, steps, again }) => [run.id, steps.length, again]), [[id, 2, true]]);
  assert.deepEqual(own[0].run.event, event);
  assert.deepEqual(own[0].run.waits?.map(({ step: path }) => path), ["w"]);
  await a.store.suspendRun(id, { state: "queued", waitingFor: "x", spent: 2 }, NOW + 6);
  assert.deepEqual(await decider.store.claimRuns(a.id, 9, NOW + 6), [{ ...own[0], run: { ...own[0].run, spent: 2 } }]);
});
