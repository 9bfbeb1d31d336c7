import assert from "node:assert/strict";
import { BatchBench, batchData, collecting, DAY, HOUR, MINUTE, SECOND, START } from "./harness.ts";

const iso = (time: number) => new Date(time).toISOString();

Deno.test("a digest opens with its first event and closes after its period, as one event with all of them", async () => {
  await using bench = await BatchBench.start(collecting({ every: HOUR }));
  const first = await bench.send("1", { amount: 5 });
  assert.deepEqual(first, {
    kind: "batched",
    reason: "Collected until 2026-11-23T09:00:00.000Z; 1 event so far",
    until: START + HOUR,
  });
  await bench.advance(59 * MINUTE);
  assert.equal((await bench.send("2")).reason, "Collected until 2026-11-23T09:00:00.000Z; 2 events so far");
  assert.deepEqual(await bench.runs(), []);
  await bench.advance(MINUTE);
  const [run, ...others] = await bench.runs();
  assert.deepEqual(others, []);
  const { events, ...data } = batchData(run.event);
  assert.deepEqual(data, { count: 2, since: iso(START) });
  assert.deepEqual(events[0], {
    id: "1",
    source: "/rules/digest/in",
    type: "paid",
    time: iso(START),
    data: { amount: 5 },
  });
  const { type, source, time, subject } = run.event;
  assert.deepEqual([type, source, time, subject, run.trigger, run.state], [
    "batch",
    "/rules/digest/in",
    iso(START + HOUR),
    undefined,
    "in",
    "queued",
  ]);
  assert.equal((await bench.send("3")).until, START + 2 * HOUR, "the next one begins anew");
});

Deno.test("the verdict on each event of a closed batch names the run, and so does its duplicate", async () => {
  await using bench = await BatchBench.start(collecting({ every: HOUR }));
  await bench.send("1");
  await bench.advance(HOUR);
  const [{ id }] = await bench.runs();
  const again = await bench.send("1");
  assert.deepEqual(again, {
    kind: "batched",
    reason: `Collected as the only event of a batch, which run ${id} answers`,
    until: START + HOUR,
    run: id,
  });
  await bench.advance(2 * HOUR);
  assert.equal((await bench.runs()).length, 1, "a duplicate is not collected");
});

Deno.test("a debounce waits for quiet, but not for ever", async () => {
  await using bench = await BatchBench.start(collecting({ quiet: 30 * SECOND, within: 70 * SECOND }));
  assert.equal(
    (await bench.send("1")).reason,
    "Collected until 2026-11-23T08:00:30.000Z, or longer while more come (at the latest 2026-11-23T08:01:10.000Z); 1 event so far",
  );
  for (const id of ["2", "3"]) {
    await bench.advance(25 * SECOND);
    await bench.send(id);
  }
  assert.deepEqual(await bench.closed(), [], "each event restarts the quiet period");
  await bench.advance(20 * SECOND);
  assert.deepEqual(await bench.closed(), [["1", "2", "3"]], "within ends it 70 s after the first");
  await bench.send("4");
  await bench.advance(29 * SECOND);
  assert.equal((await bench.closed()).length, 1);
  await bench.advance(SECOND);
  assert.deepEqual((await bench.closed())[1], ["4"]);
});

Deno.test("a full batch closes early, and the next event opens another", async () => {
  await using bench = await BatchBench.start(collecting({ every: HOUR, max: 2 }));
  await bench.send("1");
  const second = await bench.send("2");
  assert.deepEqual([second.kind, second.reason], ["batched", "Collected: with 2 events the batch is full and closes"]);
  await bench.send("3");
  assert.deepEqual(await bench.closed(), [["1", "2"]]);
  await bench.advance(HOUR);
  assert.deepEqual(await bench.closed(), [["1", "2"], ["3"]]);
});

Deno.test("a burst in one transition fills several batches, each event in one of them", async () => {
  await using bench = await BatchBench.start(collecting({ every: HOUR, max: 3 }));
  const ids = Array.from({ length: 8 }, (_, at) => `e${at}`);
  await bench.ingest.fromTrigger({ rule: "digest", trigger: "in" }, ids.map((id) => ({ id, type: "x", data: null })));
  await bench.advance(HOUR);
  const closed = await bench.closed();
  assert.deepEqual(closed.map((batch) => batch.length), [3, 3, 2]);
  assert.deepEqual(closed.flat().sort(), ids);
});

Deno.test("large events close a batch before it exceeds what rule code can receive", async () => {
  await using bench = await BatchBench.start(collecting({ every: HOUR }));
  for (const id of ["1", "2", "3", "4", "5"]) await bench.send(id, "x".repeat(1024 * 1024));
  assert.deepEqual(await bench.closed(), [["1", "2", "3", "4"]]);
});

Deno.test("each key has its own batch and is the subject of its event", async () => {
  await using bench = await BatchBench.start(collecting({ every: HOUR }, { key: "event.data.customer" }));
  for (const [id, customer] of [["1", "ada"], ["2", "bob"], ["3", "ada"], ["4", 7]] as const) {
    await bench.send(id, { customer });
  }
  await bench.advance(HOUR);
  const runs = await bench.runs();
  assert.deepEqual(runs.map(({ event }) => event.subject), ["ada", "bob", "7"]);
  assert.deepEqual(runs.map(({ key }) => key), ['"ada"', '"bob"', "7"]);
  assert.deepEqual(await bench.closed(), [["1", "3"], ["2"], ["4"]]);
});

Deno.test("if filters the collected events", async () => {
  const at = { line: 1, column: 1 };
  await using bench = await BatchBench.start(collecting({ every: HOUR }, { if: [{ text: "event.data.n > 1", at }] }));
  assert.equal((await bench.send("1", { n: 1 })).kind, "condition");
  await bench.send("2", { n: 2 });
  await bench.advance(HOUR);
  assert.deepEqual(await bench.closed(), [["2"]], "if is not evaluated for the batch");
});

Deno.test("a report closes at the times of its cron, in its zone, with the time as its id", async () => {
  const report = { cron: "30 9 * * *", timezone: "Europe/Berlin" };
  await using bench = await BatchBench.start(collecting(report));
  assert.equal((await bench.send("1")).until, START + 30 * MINUTE);
  await bench.advance(30 * MINUTE);
  const [{ event }] = await bench.runs();
  assert.deepEqual([event.id, event.time, batchData(event).scheduled], Array(3).fill("2026-11-23T08:30:00.000Z"));
  await bench.advance(3 * DAY);
  assert.equal((await bench.runs()).length, 1, "without events there is no run");
});

Deno.test("empty: true starts a run at each time, even without events", async () => {
  await using bench = await BatchBench.start(collecting({ cron: "0 9 * * *", timezone: "UTC", empty: true }));
  await bench.advance(HOUR);
  await bench.send("1");
  await bench.advance(2 * DAY);
  const runs = await bench.runs();
  assert.deepEqual(await bench.closed(), [[], ["1"], []]);
  const day = (count: number) => iso(START + HOUR + count * DAY);
  assert.deepEqual(runs.map(({ event }) => event.id), [day(0), day(1), day(2)]);
  assert.deepEqual(runs.map(({ event }) => batchData(event).since), [iso(START), day(0), day(1)]);
});

Deno.test("a report that was full before its time still comes at its time", async () => {
  await using bench = await BatchBench.start(collecting({ cron: "0 9 * * *", timezone: "UTC", empty: true, max: 2 }));
  await bench.send("1");
  await bench.send("2");
  await bench.advance(DAY);
  assert.deepEqual(await bench.closed(), [["1", "2"], []]);
  assert.equal((await bench.runs())[1].event.id, iso(START + HOUR));
});

Deno.test("missed times become one, the last; no restart repeats one", async () => {
  await using bench = await BatchBench.start(collecting({ cron: "0 9 * * *", timezone: "UTC", empty: true }));
  await bench.send("1");
  await bench.kill();
  bench.clock.jumpTo(START + 3 * DAY + 2 * HOUR);
  await bench.open();
  assert.deepEqual(await bench.closed(), [["1"]]);
  assert.equal((await bench.runs())[0].event.id, iso(START + 3 * DAY + HOUR));
  for (let restart = 0; restart < 5; restart++) {
    await bench.kill();
    await bench.open();
  }
  await bench.advance(DAY);
  assert.deepEqual(await bench.closed(), [["1"], []]);
});

Deno.test("a clock rollback repeats no report, and loses no event", async () => {
  await using bench = await BatchBench.start(collecting({ cron: "0 9 * * *", timezone: "UTC", empty: true }));
  await bench.send("1");
  await bench.advance(HOUR);
  bench.clock.jumpTo(START);
  await bench.send("2");
  await bench.advance(HOUR);
  assert.deepEqual(await bench.closed(), [["1"]], "the time is past");
  await bench.advance(DAY);
  assert.deepEqual(await bench.closed(), [["1"], ["2"]]);
});

Deno.test("collected events survive kill -9 and checkpoints, and the batch closes at once if it is due", async () => {
  await using bench = await BatchBench.start(collecting({ every: HOUR }));
  await bench.send("1");
  await bench.store.checkpoint();
  await bench.kill();
  await bench.open();
  await bench.send("2");
  await bench.kill();
  bench.clock.jumpTo(START + 5 * HOUR);
  await bench.open();
  assert.deepEqual(await bench.closed(), [["1", "2"]]);
});

Deno.test("events in an open batch outlive their history, and so does the batch while its run is live", async () => {
  await using bench = await BatchBench.start(collecting({ every: HOUR }));
  await bench.send("1", "x".repeat(1_000));
  await bench.send("2");
  const dropHistory = async () => {
    await bench.store.checkpoint();
    while (await bench.store.prune({ bytes: 0, identities: 30 * DAY, live: 1e9 }, bench.clock.now()));
    const events = await bench.store.listEvents({ limit: 9 });
    assert.ok(events.every(({ event }) => event.id !== "1"), "the last one that was batched stays");
  };
  await dropHistory();
  await bench.advance(HOUR);
  const [{ id, event }] = await bench.runs();
  assert.equal(batchData(event).events[0].data, "x".repeat(1_000));
  await dropHistory();
  assert.deepEqual((await bench.store.getRun(id))?.run.event, event, "the run still needs the batch");
  const { bytes } = await bench.store.stats();
  await bench.store.cancelRun(id, "test", bench.clock.now());
  assert.ok((await bench.store.stats()).bytes < bytes - 1_000, "nothing needs it any more");
});

Deno.test("a batch closes even at the size cap, when new events are refused", async () => {
  await using bench = await BatchBench.start(collecting({ every: HOUR }));
  await bench.send("1", "x".repeat(1_000));
  await bench.store.prune({ bytes: 1e9, identities: 30 * DAY, live: 1 }, bench.clock.now());
  await assert.rejects(bench.send("2"), /The store is full/);
  await bench.advance(HOUR);
  assert.deepEqual(await bench.closed(), [["1"]]);
});

Deno.test("new options close the open batch at the earlier of the old and the new time", async (t) => {
  const cases: [what: string, before: object, after: object, closesAfter: number][] = [
    ["sooner", { every: DAY }, { every: HOUR }, HOUR],
    ["later", { every: HOUR }, { every: DAY }, HOUR],
    ["long past", { every: DAY }, { every: MINUTE }, 10 * MINUTE],
    ["silence instead", { every: DAY }, { quiet: 20 * MINUTE, within: HOUR }, 20 * MINUTE],
    ["a digest instead", { quiet: 15 * MINUTE }, { every: HOUR }, 15 * MINUTE],
    ["a report instead", { every: DAY }, { cron: "0 9 * * *", timezone: "UTC" }, HOUR],
    ["another report", { cron: "0 12 * * *", timezone: "UTC" }, { cron: "0 9 * * *", timezone: "UTC" }, HOUR],
    ["fewer at once", { every: DAY }, { every: DAY, max: 1 }, 10 * MINUTE],
    ["no batch any more", { every: HOUR }, { none: true }, HOUR],
  ];
  for (const [what, before, after, closesAfter] of cases) {
    await t.step(what, async () => {
      await using bench = await BatchBench.start(collecting(before));
      await bench.send("1");
      await bench.advance(10 * MINUTE);
      await bench.load(collecting("none" in after ? undefined : after, { version: "v2" }));
      await bench.advance(closesAfter - 10 * MINUTE - 1);
      assert.equal((await bench.runs()).length, closesAfter === 10 * MINUTE ? 1 : 0);
      await bench.advance(1);
      assert.deepEqual(await bench.closed(), [["1"]]);
      assert.equal((await bench.runs())[0].version, "v2", "with the rule as it is now");
    });
  }
});

Deno.test("events after an edit do not delay those collected before it", async () => {
  await using bench = await BatchBench.start(collecting({ quiet: MINUTE }));
  await bench.send("1");
  await bench.load(collecting({ quiet: HOUR }, { version: "v2" }));
  assert.equal((await bench.send("2")).until, START + MINUTE);
  await bench.advance(MINUTE);
  assert.deepEqual(await bench.closed(), [["1", "2"]]);
});

Deno.test("an edit while the program is down applies, too", async () => {
  await using bench = await BatchBench.start(collecting({ every: DAY }));
  await bench.send("1");
  await bench.kill();
  bench.rules = [collecting({ every: HOUR }, { version: "v2" })];
  await bench.open();
  await bench.advance(HOUR);
  assert.deepEqual(await bench.closed(), [["1"]]);
});

Deno.test("paused, disabled and deleted rules keep collected events until they are back", async (t) => {
  const digest = collecting({ every: HOUR });
  const ways: [string, (bench: BatchBench) => Promise<void>, (bench: BatchBench) => Promise<void>][] = [
    ["paused", (bench) => bench.pause("digest", "by ada"), (bench) => bench.pause("digest", null)],
    ["disabled", (bench) => bench.load({ ...digest, enabled: false }), (bench) => bench.load(digest)],
    ["deleted", (bench) => bench.load(), (bench) => bench.load(digest)],
    ["without its trigger", (bench) => bench.load(), (bench) => bench.load({ ...digest, triggers: [] })],
  ];
  for (const [way, leave, back] of ways) {
    await t.step(way, async () => {
      await using bench = await BatchBench.start(digest, collecting({ every: HOUR }, { id: "other" }));
      await bench.send("1");
      await leave(bench);
      await bench.advance(3 * HOUR);
      await bench.kill();
      await bench.open();
      assert.deepEqual(await bench.closed(), []);
      assert.deepEqual(await bench.store.nextBatchDue([]), undefined, "no busy loop meanwhile");
      await back(bench);
      assert.deepEqual(await bench.closed(), [["1"]]);
    });
  }
});

Deno.test("a report of a rule that was away comes once, whatever it missed; one that is no longer a report never comes", async () => {
  const report = collecting({ cron: "0 9 * * *", timezone: "UTC", empty: true });
  await using bench = await BatchBench.start(report);
  await bench.pause("digest", "by ada");
  for (let day = 0; day < 3; day++) {
    await bench.advance(DAY);
    await bench.kill();
    await bench.open();
  }
  await bench.pause("digest", null);
  assert.deepEqual(await bench.closed(), [[]]);
  await bench.load(collecting({ cron: "0 9 * * *", timezone: "UTC" }));
  await bench.advance(3 * DAY);
  await bench.load(report);
  await bench.load(collecting(undefined));
  await bench.advance(3 * DAY);
  assert.equal((await bench.runs()).length, 1);
});

Deno.test("a report of a rule that was never enabled is not caught up", async () => {
  const report = collecting({ cron: "0 9 * * *", timezone: "UTC", empty: true });
  await using bench = await BatchBench.start({ ...report, enabled: false });
  await bench.advance(3 * DAY);
  await bench.load(report);
  assert.deepEqual(await bench.closed(), []);
  await bench.advance(HOUR);
  assert.deepEqual(await bench.closed(), [[]]);
});

Deno.test("a closed batch is subject to mode, key and limit", async () => {
  const single = collecting({ every: HOUR }, { mode: "single", key: "event.data" });
  await using bench = await BatchBench.start(single);
  await bench.send("1", "a");
  await bench.advance(HOUR);
  await bench.send("2", "a");
  await bench.send("3", "b");
  await bench.advance(HOUR);
  assert.deepEqual(await bench.closed(), [["1"], ["3"]]);
  const [batch] = (await bench.store.listEvents({ type: "batch", limit: 9 })).filter(({ verdicts }) =>
    verdicts[0].verdict.kind === "busy"
  );
  assert.match((batch.verdicts[0].verdict as { reason: string }).reason, /still queued, and its mode is single/);
  const member = (await bench.store.listEvents({ type: "paid", limit: 9 })).find(({ event }) => event.id === "2")!;
  assert.match(
    (member.verdicts[0].verdict as { reason: string }).reason,
    /which started nothing: Run \S+ of this rule/,
  );

  await bench.load(collecting({ every: HOUR }, { limit: { count: 1, per: DAY }, version: "v2" }));
  for (const key of ["4", "5"]) {
    await bench.send(key);
    await bench.advance(HOUR);
  }
  const held = (await bench.runs()).at(-1)!;
  assert.equal(held.waitingFor, "the rule's limit");
});

Deno.test("the cause of a batch is that of its deepest event", async () => {
  await using bench = await BatchBench.start(collecting({ every: HOUR }));
  await bench.send("1");
  await bench.send("2", null, { cause: { depth: 4, run: "r4" } });
  await bench.send("3", null, { cause: { depth: 2, run: "r2" } });
  await bench.advance(HOUR);
  assert.deepEqual((await bench.runs())[0].event.cause, { depth: 4, run: "r4" });
});

Deno.test("one event is collected once for each rule, whichever of its triggers it reaches", async () => {
  const digest = collecting({ every: HOUR });
  const [trigger] = digest.triggers;
  const two = {
    ...digest,
    triggers: [trigger, { ...trigger, id: "too" }, { ...trigger, id: "now", batch: undefined }],
  };
  await using bench = await BatchBench.start(two);
  const event = { id: "1", source: "/shop", type: "paid", time: iso(START), data: null };
  const deliveries = two.triggers.map(({ id }) => ({ rule: "digest", trigger: id, event }));
  const [{ verdicts }] = await bench.ingest.deliver(deliveries);
  assert.deepEqual(verdicts.map(({ verdict }) => verdict.kind), ["batched", "busy", "busy"]);
  await bench.advance(HOUR);
  assert.deepEqual(await bench.closed(), [["1"]]);
});

Deno.test("10,000 open batches need one timer, and close together", async () => {
  await using bench = await BatchBench.start(collecting({ every: HOUR }, { key: "event.id", limit: null }));
  const events = Array.from({ length: 10_000 }, (_, at) => ({ id: `e${at}`, type: "x", data: null }));
  for (let at = 0; at < events.length; at += 1_000) {
    await bench.ingest.fromTrigger({ rule: "digest", trigger: "in" }, events.slice(at, at + 1_000));
  }
  await bench.settle();
  assert.ok(bench.clock.wakeNext(START + HOUR));
  await bench.ingest.batches.closeDue();
  await bench.settle();
  assert.equal((await bench.store.countRuns()).queued, 10_000);
  assert.ok(!bench.clock.wakeNext(START + DAY), "nothing else was due");
});
