import fc from "fast-check";
import assert from "node:assert/strict";
import { join } from "node:path";
import { findOutlived } from "../../../runtime/store/history/trim.ts";
import type { EventRecord } from "../../../runtime/store/store.ts";
import { diskError } from "../../faults/simulated_disk.ts";
import { Archive, eventLine, FOLDER, type Line, moreLine, NOW, runId, runLine } from "./helpers.ts";

const ids = (runs: { run: { id: string } }[]) => runs.map(({ run }) => parseInt(run.id, 32));
const keys = (events: { key: string }[]) => events.map(({ key }) => Number(key));

Deno.test("runs are listed in order of creation, over unfolded runs and parts with runs that ended late", async () => {
  const archive = new Archive();
  archive.add(eventLine(1, 1), eventLine(2, 2), runLine(3, 2), eventLine(4, 3));
  await archive.fold();
  archive.add(eventLine(5, 4), runLine(6, 4), runLine(7, 1), eventLine(8, 5));
  await archive.fold();
  archive.add(eventLine(9, 6), runLine(10, 6), runLine(11, 3), runLine(12, 5));
  const { history } = archive;
  assert.deepEqual(ids((await history.listRuns({ limit: 10 })).rows), [6, 5, 4, 3, 2, 1]);
  assert.deepEqual(ids((await history.listRuns({ limit: 2 })).rows), [6, 5]);
  assert.deepEqual(ids((await history.listRuns({ limit: 3, before: runId(5) })).rows), [4, 3, 2]);
  assert.deepEqual(ids((await history.listRuns({ limit: 3, before: runId(2) })).rows), [1]);
  assert.deepEqual(ids((await history.listRuns({ limit: 2, skip: (id) => id === runId(5) })).rows), [6, 4]);
  assert.deepEqual(keys((await history.listEvents({ limit: 10 })).rows), [6, 5, 4, 3, 2, 1]);
  assert.deepEqual(keys((await history.listEvents({ limit: 3, before: "5" })).rows), [4, 3, 2]);
  assert.deepEqual(history.counts(), { events: 6, runs: 6 });
});

Deno.test("a run of which only the condition was evaluated is found by its id, but not listed", async () => {
  const archive = new Archive();
  archive.add(eventLine(1, 1), runLine(1, 1, { listed: false }));
  await archive.fold();
  archive.add(eventLine(2, 2), runLine(2, 2, { listed: false }));
  assert.deepEqual((await archive.history.listRuns({ limit: 10 })).rows, []);
  for (const nth of [1, 2]) {
    const run = await archive.history.getRun(runId(nth));
    assert.deepEqual([run?.run.id, run?.event, run?.listed], [runId(nth), nth, false]);
  }
  assert.equal(await archive.history.getRun(runId(3)), undefined);
});

Deno.test("an event includes its later changes, over several parts, in order", async () => {
  const archive = new Archive();
  const verdict = (reason: string) => ({
    verdict: { rule: "ops/disk", trigger: "hook", verdict: { kind: "busy", reason } },
  });
  const ended = { ended: { rule: "ops/wait", run: runId(1), step: "pay" } };
  const reply = (status: number) => ({ reply: { status, headers: {}, body: "" } });
  const steps: Line[][] = [
    [eventLine(1, 7, { delivery: "unmatched" }), moreLine(2, 7, { deliveries: 1 })],
    [eventLine(3, 8), moreLine(4, 7, verdict("first")), moreLine(4, 7, reply(201))],
    [eventLine(5, 9)],
    [moreLine(6, 7, { deliveries: 1 }), moreLine(6, 7, verdict("second")), moreLine(7, 7, reply(500))],
    [moreLine(8, 7, ended)],
  ];
  for (const lines of steps.slice(0, -1)) {
    archive.add(...lines);
    await archive.fold();
  }
  archive.add(...steps.at(-1)!);
  archive.countAsked();
  const event = (await archive.history.getEvent(7))!;
  assert.equal(archive.countAsked(), 3, "the part without it is not opened");
  assert.deepEqual([event.key, event.deliveries, event.delivery], ["7", 3, "accepted"]);
  assert.deepEqual(event.verdicts, [verdict("second").verdict]);
  assert.deepEqual(event.ended, [ended.ended]);
  assert.deepEqual((await archive.history.listEvents({ limit: 3 })).rows.at(-1), event);
  assert.equal((await archive.history.getReply(7))?.status, 201, "the first one stands");
  assert.equal(await archive.history.getReply(8), undefined);
  archive.dropOldest(0);
  assert.equal(await archive.history.getEvent(7), undefined);
  assert.equal((await archive.history.getReply(7))?.status, 201, "it is in a part that is still there");
});

Deno.test("a run that was retried and ended again has its last end, with later notes", async () => {
  const archive = new Archive();
  const note = (text: string) => ({ note: { at: NOW, text } });
  archive.add(eventLine(1, 1), runLine(1, 1, { state: "failed" }), moreLine(2, runId(1), note("retried")));
  await archive.fold();
  archive.add(eventLine(3, 2), runLine(3, 2), moreLine(3, runId(1), note("replayed")));
  await archive.fold();
  const first = (await archive.history.getRun(runId(1)))!;
  assert.deepEqual(first.notes.map(({ text }) => text), ["retried", "replayed"]);
  archive.add(eventLine(4, 3), runLine(5, 1, { notes: ["retried", "replayed"] }), moreLine(6, runId(1), note("seen")));
  const check = async () => {
    const run = (await archive.history.getRun(runId(1)))!;
    assert.equal(run.run.state, "succeeded");
    assert.deepEqual(run.notes.map(({ text }) => text), ["retried", "replayed", "seen"]);
    assert.deepEqual((await archive.history.listRuns({ limit: 10 })).rows.at(-1), { run: run.run, event: run.event });
    assert.deepEqual(ids((await archive.history.listRuns({ limit: 10 })).rows), [2, 1]);
    assert.deepEqual(ids((await archive.history.listRuns({ limit: 1, before: runId(2) })).rows), [1]);
    assert.deepEqual((await archive.history.listRuns({ limit: 10, state: "failed" })).rows, []);
  };
  await check();
  await archive.fold();
  await check();
});

Deno.test("a run that ended twice in one segment is listed once", async () => {
  const archive = new Archive();
  archive.add(
    eventLine(1, 1),
    runLine(1, 1, { state: "failed" }),
    moreLine(2, runId(1), { note: { at: 1, text: "old" } }),
  );
  archive.add(runLine(3, 1), moreLine(4, runId(1), { note: { at: 1, text: "new" } }));
  const check = async () => {
    const listed = (await archive.history.listRuns({ limit: 10 })).rows;
    const runs = await Promise.all(listed.map(async ({ run }) => (await archive.history.getRun(run.id))!));
    assert.deepEqual(runs.map(({ run, notes }) => [run.state, notes.map(({ text }) => text)]), [["succeeded", [
      "new",
    ]]]);
    assert.deepEqual(archive.history.counts(), { events: 1, runs: 1 });
  };
  await check();
  await archive.fold();
  await check();
});

Deno.test("a damaged or missing part loses only that part, and is named once", async () => {
  const archive = new Archive();
  const files: string[] = [];
  for (let part = 0; part < 4; part++) {
    archive.add(...[1, 2].flatMap((nth) => [eventLine(part + 1, part * 2 + nth), runLine(part + 1, part * 2 + nth)]));
    files.push((await archive.fold()).file);
  }
  const bytes = await archive.disk.read(join(FOLDER, files[1]));
  bytes[9000] ^= 4;
  archive.disk.put(join(FOLDER, files[1]), bytes);
  await archive.disk.remove(join(FOLDER, files[2]));
  archive.asked = [];
  for (let time = 0; time < 2; time++) {
    assert.deepEqual(ids((await archive.history.listRuns({ limit: 10 })).rows), [8, 7, 2, 1]);
    assert.deepEqual(keys((await archive.history.listEvents({ limit: 10 })).rows), [8, 7, 2, 1]);
    assert.equal(await archive.history.getEvent(3), undefined);
    assert.equal(await archive.history.getRun(runId(5)), undefined);
  }
  assert.deepEqual(archive.warnings, [
    `Cannot read ${files[2]}: it is missing; the history in it is not shown`,
    `Cannot read ${files[1]}: its checksum differs; the history in it is not shown`,
  ]);
  assert.deepEqual([1, 2].map((at) => archive.asked.filter((file) => file === files[at]).length), [1, 1]);
});

Deno.test("a part that could temporarily not be read is read again, and named once", async () => {
  const archive = new Archive();
  archive.add(eventLine(1, 1));
  const { file } = await archive.fold();
  const { read } = archive.disk;
  archive.disk.read = (path) => Promise.reject(diskError("EMFILE", path));
  for (let time = 0; time < 2; time++) assert.equal(await archive.history.getEvent(1), undefined);
  archive.disk.read = read;
  assert.equal((await archive.history.getEvent(1))?.event.id, "id-1");
  assert.equal(archive.warnings.length, 1);
  assert.ok(archive.warnings[0].startsWith(`Cannot read ${file}: EMFILE`));
});

Deno.test("a part that retention removes during a query is skipped silently", async () => {
  const archive = new Archive();
  for (let part = 1; part <= 3; part++) {
    archive.add(eventLine(part, part), runLine(part, part));
    await archive.fold();
  }
  archive.beforeAsk = async () => {
    archive.beforeAsk = () => {};
    const { file } = archive.dropOldest(archive.history.bytes() - 1)!;
    await archive.disk.remove(join(FOLDER, file));
  };
  assert.deepEqual(ids((await archive.history.listRuns({ limit: 10 })).rows), [3, 2]);
  assert.deepEqual(archive.warnings, []);
});

Deno.test("rows folded during a query are in its result once", async () => {
  const archive = new Archive();
  archive.add(eventLine(1, 1), runLine(1, 1));
  await archive.fold();
  archive.add(eventLine(2, 2), runLine(2, 2), moreLine(2, 1, { deliveries: 1 }));
  archive.beforeAsk = async () => {
    archive.beforeAsk = () => {};
    await archive.fold();
  };
  const events = (await archive.history.listEvents({ limit: 10 })).rows;
  assert.deepEqual(events.map(({ key, deliveries }) => [key, deliveries]), [["2", 1], ["1", 2]]);
  assert.deepEqual((await archive.history.listEvents({ limit: 10 })).rows, events);
});

Deno.test("a frame that is not on disk is not shown, but a search sees it", async () => {
  const archive = new Archive();
  archive.add(eventLine(1, 1), runLine(1, 1, { state: "failed" }), eventLine(2, 2), moreLine(2, 1, { deliveries: 1 }));
  archive.add(runLine(2, 1), moreLine(2, runId(1), { note: { at: 1, text: "late" } }), runLine(3, 2));
  archive.synced = 1;
  const { history } = archive;
  assert.deepEqual((await history.listEvents({ limit: 10 })).rows.map(({ key, deliveries }) => [key, deliveries]), [[
    "1",
    1,
  ]]);
  assert.deepEqual((await history.listRuns({ limit: 10 })).rows.map(({ run }) => run.state), ["failed"]);
  assert.equal(await history.getEvent(2), undefined);
  assert.equal(await history.getRun(runId(2)), undefined);
  assert.deepEqual((await history.getRun(runId(1)))?.notes, []);
  const found = await Array.fromAsync(history.findEvents({ types: ["*"], after: 0, needle: "" }));
  assert.deepEqual(found.map(({ key }) => key), [1, 2]);
  archive.synced = 3;
  assert.deepEqual((await history.listRuns({ limit: 10 })).rows.map(({ run }) => run.state), [
    "succeeded",
    "succeeded",
  ]);
});

Deno.test("events for a wait are found oldest first, by type, pattern, key and needle", async () => {
  const archive = new Archive();
  let key = 0;
  for (let part = 0; part < 3; part++) {
    for (let nth = 0; nth < 200; nth++) {
      key++;
      archive.add(
        eventLine(part + 1, key, { type: ["order.paid", "order.sent", "orders"][key % 3], data: { at: key % 7 } }),
      );
    }
    if (part < 2) await archive.fold();
  }
  const all = Array.from({ length: key }, (_, at) => at + 1);
  const find = async (types: string[], after: number, needle = "") => {
    const found = await Array.fromAsync(archive.history.findEvents({ types, after, needle }));
    assert.ok(found.every(({ key, event }) => event.id === `id-${key}`));
    return found.map(({ key }) => key);
  };
  assert.deepEqual(await find(["order.paid"], 0), all.filter((key) => key % 3 === 0));
  assert.deepEqual(await find(["order.*"], 10), all.filter((key) => key % 3 !== 2 && key > 10));
  assert.deepEqual(await find(["*"], 450), all.filter((key) => key > 450));
  assert.deepEqual(
    await find(["orders", "order.sent"], 50, '"at":6'),
    all.filter((key) => key > 50 && key % 3 && key % 7 === 6),
  );
  assert.deepEqual(await find(["orders"], 50), all.filter((key) => key > 50 && key % 3 === 2));
  archive.countAsked();
  assert.deepEqual(await find(["nothing.*", "order"], 0), []);
  assert.equal(archive.countAsked(), 0, "catalogues know that there is none");
});

Deno.test("a first page opens few parts, also for one rule, and none for a missing id", async () => {
  const archive = new Archive();
  const parts = 12;
  for (let part = 0; part < parts; part++) {
    for (let nth = 1; nth <= 200; nth++) {
      const key = part * 200 + nth;
      const facts = { subject: `customer-${key}`, rule: part === 4 ? "ops/rare" : "ops/disk" };
      archive.add(eventLine(key, key, { ...facts, rules: [facts.rule] }));
      if (nth <= 190) {
        archive.add(runLine(key, key, { ...facts, state: nth === 50 && part === 4 ? "failed" : "succeeded" }));
      }
      // The rest ends a part later.
      if (nth <= 10 && part > 0) archive.add(runLine(key, key - 10, facts));
    }
    await archive.fold();
  }
  const { history } = archive;
  const count = async (expected: number, most: number, query: () => Promise<{ rows: unknown[] }>) => {
    archive.countAsked();
    assert.equal((await query()).rows.length, expected);
    const asked = archive.countAsked();
    assert.ok(asked <= most, `${asked} parts were asked`);
  };
  await count(50, 1, () => history.listRuns({ limit: 50 }));
  await count(50, 1, () => history.listEvents({ limit: 50 }));
  // The page, runs that ended a part later, and sometimes a false positive of a filter.
  await count(50, 4, () => history.listRuns({ limit: 50, before: runId(1150) }));
  await count(50, 3, () => history.listRuns({ limit: 50, rule: "ops/rare" }));
  await count(1, 2, () => history.listRuns({ limit: 50, rule: "ops/rare", state: "failed" }));
  await count(0, 0, () => history.listRuns({ limit: 50, rule: "ops/gone" }));
  await count(0, 0, () => history.listRuns({ limit: 50, state: "cancelled" }));
  await count(50, 1, () => history.listEvents({ limit: 50, rule: "ops/rare" }));
  await count(0, 0, () => history.listEvents({ limit: 50, type: "order.gone" }));
  await count(1, 2, () => history.listRuns({ limit: 50, subject: "customer-777" }));
  await count(0, 2, () => history.listEvents({ limit: 50, subject: "customer-0" }));
  await count(1, 2, () => history.listRuns({ limit: 50, event: 1001 }));
  await count(1, 1, async () => ({ rows: [(await history.getRun(runId(1001)))!].filter(Boolean) }));
});

Deno.test("parts are removed by size, the oldest first", async () => {
  const archive = new Archive();
  const files: string[] = [];
  for (let part = 1; part <= 3; part++) {
    archive.add(eventLine(part, part));
    files.push((await archive.fold()).file);
  }
  const { history } = archive;
  const all = history.bytes();
  assert.equal(archive.dropOldest(all), undefined);
  assert.equal(archive.dropOldest(all - 1)?.file, files[0]);
  assert.equal(archive.dropOldest(all - 1), undefined);
  assert.deepEqual(keys((await history.listEvents({ limit: 10 })).rows), [3, 2]);
  assert.equal(archive.dropOldest(0)?.file, files[1]);
  assert.equal(archive.dropOldest(0)?.file, files[2]);
  assert.equal(archive.dropOldest(0), undefined);
});

/** The model of the history, as plain arrays. */
class Model {
  events: EventFacts[] = [];
  /** Those that live have no state. */
  runs: { nth: number; event: number; rule: string; subject: string; state?: State; listed: boolean; notes: number }[] =
    [];
}

interface EventFacts {
  key: number;
  type: string;
  subject: string;
  rule: string;
  kind: typeof KINDS[number];
  cause: string;
  deliveries: number;
}

type State = "succeeded" | "failed";

const TYPES = ["a", "b", "b.c"];
const RULES = ["r1", "r2", "r3"];
const KINDS = ["started", "condition", "busy"] as const;
const SUBJECTS = ["s1", "s2", "s3", "s4"];

interface Step {
  kind: "event" | "replay" | "end" | "again" | "redelivered" | "answered" | "note" | "fold";
  pick: number;
}

const step: fc.Arbitrary<Step> = fc.record({
  kind: fc.oneof(
    { weight: 6, arbitrary: fc.constant("event" as const) },
    { weight: 1, arbitrary: fc.constant("replay" as const) },
    { weight: 6, arbitrary: fc.constant("end" as const) },
    { weight: 1, arbitrary: fc.constant("again" as const) },
    { weight: 2, arbitrary: fc.constantFrom("redelivered" as const, "answered" as const, "note" as const) },
    { weight: 1, arbitrary: fc.constant("fold" as const) },
  ),
  pick: fc.nat(10_000),
});

const of = <T>(list: readonly T[], pick: number): T => list[pick % list.length];

async function take(archive: Archive, model: Model, { kind, pick }: Step, seq: number): Promise<void> {
  const { events, runs } = model;
  const ended = runs.filter(({ state }) => state !== undefined);
  const end = (run: Model["runs"][number], state: State) => {
    run.state = state;
    const notes = Array.from({ length: run.notes }, () => "note");
    archive.add(runLine(seq, run.nth, { ...run, state, notes }));
  };
  switch (kind) {
    case "event": {
      const key = events.length + 1;
      const facts = { type: of(TYPES, pick), subject: of(SUBJECTS, pick >> 2), rule: of(RULES, pick >> 4) };
      const more = { kind: of(KINDS, pick >> 6), cause: runId(pick % 7) };
      events.push({ key, deliveries: 1, ...facts, ...more });
      archive.add(eventLine(seq, key, { ...facts, ...more, rules: [facts.rule], data: { text: `${pick % 10}" ü` } }));
      runs.push({ nth: runs.length + 1, event: key, ...facts, listed: pick % 5 > 0, notes: 0 });
      break;
    }
    case "replay":
      if (ended.length > 0) runs.push({ ...of(ended, pick), nth: runs.length + 1, state: undefined, notes: 0 });
      break;
    case "end": {
      const live = runs.filter(({ state }) => state === undefined);
      // Mostly one of the newest.
      if (live.length > 0) {
        end(live[pick % 3 === 0 ? pick % live.length : live.length - 1], of(["succeeded", "failed"], pick));
      }
      break;
    }
    case "again":
      if (ended.length > 0) end(of(ended, pick), of(["succeeded", "failed"], pick >> 3));
      break;
    case "redelivered":
      if (events.length === 0) break;
      of(events, pick).deliveries++;
      archive.add(moreLine(seq, of(events, pick).key, { deliveries: 1 }));
      break;
    case "answered": {
      if (events.length === 0) break;
      // As after a function `if`: the verdict may be another one.
      const event = of(events, pick);
      event.kind = of(KINDS, pick >> 3);
      const verdict = { rule: event.rule, trigger: "hook", verdict: { kind: event.kind, reason: "so" } };
      archive.add(moreLine(seq, event.key, { verdict }));
      break;
    }
    case "note":
      if (ended.length === 0) break;
      of(ended, pick).notes++;
      archive.add(moreLine(seq, runId(of(ended, pick).nth), { note: { at: NOW, text: "note" } }));
      break;
    case "fold":
      if (archive.hasUnfolded) await archive.fold();
  }
}

const filter = fc.record({
  rule: fc.constantFrom(undefined, undefined, ...RULES),
  subject: fc.constantFrom(undefined, undefined, undefined, ...SUBJECTS),
  state: fc.constantFrom(undefined, "succeeded" as const, "failed" as const),
  type: fc.constantFrom(undefined, ...TYPES),
  event: fc.option(fc.nat(60), { nil: undefined, freq: 8 }),
  verdict: fc.constantFrom(undefined, undefined, ...KINDS),
  cause: fc.option(fc.nat(7), { nil: undefined, freq: 3 }),
  after: fc.option(fc.nat(60), { nil: undefined, freq: 3 }),
  parts: fc.constantFrom(undefined, 1, 2, 3),
  limit: fc.integer({ min: 1, max: 12 }),
});

type Filter = typeof filter extends fc.Arbitrary<infer F> ? F : never;

/** All pages, one behind the other. */
async function pages<T>(
  page: (before: string | undefined) => Promise<{ rows: T[]; stoppedAt?: string }>,
  idOf: (row: T) => string,
  limit: number,
) {
  const rows: T[] = [];
  let before: string | undefined;
  for (;;) {
    const { rows: next, stoppedAt } = await page(before);
    assert.ok(next.length <= limit);
    rows.push(...next);
    if (next.length < limit && stoppedAt === undefined) return rows;
    before = next.length < limit ? stoppedAt : idOf(next[next.length - 1]);
  }
}

async function checkRuns({ history }: Archive, { runs }: Model, filter: Filter) {
  const { rule, subject, state, event, parts, limit } = filter;
  const after = filter.after === undefined ? undefined : runId(filter.after);
  const wanted = runs.filter((run) =>
    run.listed && run.state !== undefined && (state ?? run.state) === run.state && (rule ?? run.rule) === run.rule &&
    (subject ?? run.subject) === run.subject && (event ?? run.event) === run.event &&
    runId(run.nth) > (after ?? "")
  );
  const found = await pages(
    (before) => history.listRuns({ rule, subject, state, event, after, limit, parts, before }),
    ({ run }) => run.id,
    limit,
  );
  const traces = await Promise.all(found.map(async ({ run }) => (await history.getRun(run.id))!));
  assert.deepEqual(
    found.map(({ run, event }, at) => [run.id, run.state, event, traces[at].notes.length]),
    wanted.reverse().map(({ nth, state, event, notes }) => [runId(nth), state, event, notes]),
  );
}

async function checkEvents({ history }: Archive, { events }: Model, filter: Filter) {
  const { rule, subject, type, verdict, parts, after, limit } = filter;
  const cause = filter.cause === undefined ? undefined : runId(filter.cause);
  const wanted = events.filter((event) =>
    (rule ?? event.rule) === event.rule && (subject ?? event.subject) === event.subject &&
    (type ?? event.type) === event.type && (verdict ?? event.kind) === event.kind &&
    (cause ?? event.cause) === event.cause && event.key > (after ?? 0)
  );
  const found = await pages(
    (before) => history.listEvents({ rule, subject, type, verdict, cause, after, limit, parts, before }),
    ({ key }: EventRecord) => key,
    limit,
  );
  assert.deepEqual(
    found.map(({ key, deliveries, verdicts }) => [Number(key), deliveries, verdicts[0].verdict.kind]),
    wanted.reverse().map(({ key, deliveries, kind }) => [key, deliveries, kind]),
  );
}

Deno.test("pages have no gaps and no duplicates, whenever rows are folded, with every filter", async () => {
  const steps = fc.array(step, { minLength: 20, maxLength: 200, size: "max" });
  const filters = fc.array(filter, { minLength: 4, maxLength: 8 });
  const property = fc.asyncProperty(steps, filters, async (steps, filters) => {
    const [archive, model] = [new Archive(), new Model()];
    for (const [at, next] of steps.entries()) await take(archive, model, next, at + 1);
    for (const each of filters) {
      await checkRuns(archive, model, each);
      await checkEvents(archive, model, each);
    }
    for (const { nth, state, notes } of model.runs) {
      const run = await archive.history.getRun(runId(nth));
      assert.deepEqual([run?.run.state, run?.notes.length ?? 0], [state, state === undefined ? 0 : notes]);
    }
    assert.deepEqual(archive.warnings, []);
  });
  await fc.assert(property, { numRuns: 40 });
});

const rowsOf = (versions: string[]) => versions.map((version) => ({ version, length: 10 }));

Deno.test("history names the versions of its runs, folded or not", async () => {
  const archive = new Archive();
  archive.add(eventLine(1, 1), runLine(1, 1, { version: "old" }), runLine(2, 2, { version: 'quo"ted', listed: false }));
  archive.add(eventLine(3, 3), runLine(3, 3, { version: "mid" }));
  const uses = () => ["old", 'quo"ted', "mid", "none", "ld"].map((version) => archive.history.lastUseOf(version));
  assert.deepEqual(uses(), [Infinity, Infinity, Infinity, undefined, undefined]);
  await archive.fold();
  archive.add(eventLine(4, 4), runLine(4, 4, { version: "mid" }));
  await archive.fold();
  assert.deepEqual(uses(), [3, 3, 4, undefined, undefined]);
  archive.dropOldest(0);
  assert.deepEqual(uses(), [undefined, undefined, 4, undefined, undefined]);
});

Deno.test("a part with more versions than its catalogue counts may have any", async () => {
  const archive = new Archive();
  for (let nth = 1; nth <= 300; nth++) archive.add(runLine(nth, nth, { version: `v${nth}` }));
  const { runs } = await archive.fold();
  assert.equal(runs.versions, "many");
  assert.equal(archive.history.lastUseOf("v7"), 300);
  assert.ok(await archive.history.getRun(runId(7)));
});

Deno.test("of the versions that only history needs the most recently used stay", () => {
  const uses: Record<string, number> = { a: 3, b: Infinity, c: 1, d: 2 };
  const outlived = (most: number) =>
    findOutlived(rowsOf(["a", "b", "c", "d", "gone"]), (version) => uses[version], most);
  assert.deepEqual(outlived(40), ["gone"]);
  assert.deepEqual(outlived(29).sort(), ["c", "d", "gone"]);
  assert.deepEqual(outlived(0).sort(), ["a", "b", "c", "d", "gone"]);
});
