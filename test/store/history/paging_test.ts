import assert from "node:assert/strict";
import fc from "fast-check";
import type { EventRecord } from "../../../runtime/store/store.ts";
import { Archive, eventLine, moreLine, NOW, runId, runLine } from "./helpers.ts";

/** The model of the history, as plain arrays. */
class Model {
  events: { key: number; type: string; subject: string; rule: string; deliveries: number }[] = [];
  /** Live ones have no state. */
  runs: { nth: number; event: number; rule: string; subject: string; state?: State; listed: boolean; notes: number }[] =
    [];
}

type State = "succeeded" | "failed";

const TYPES = ["a", "b", "b.c"];
const RULES = ["r1", "r2", "r3"];
const SUBJECTS = ["s1", "s2", "s3", "s4"];

interface Step {
  kind: "event" | "replay" | "end" | "again" | "redelivered" | "note" | "fold";
  pick: number;
}

const step: fc.Arbitrary<Step> = fc.record({
  kind: fc.oneof(
    { weight: 6, arbitrary: fc.constant("event" as const) },
    { weight: 1, arbitrary: fc.constant("replay" as const) },
    { weight: 6, arbitrary: fc.constant("end" as const) },
    { weight: 1, arbitrary: fc.constant("again" as const) },
    { weight: 2, arbitrary: fc.constantFrom("redelivered" as const, "note" as const) },
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
      events.push({ key, deliveries: 1, ...facts });
      archive.add(eventLine(seq, key, { ...facts, rules: [facts.rule] }));
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
  limit: fc.integer({ min: 1, max: 12 }),
});

type Filter = typeof filter extends fc.Arbitrary<infer F> ? F : never;

/** All pages, one after the other. */
async function pages<T>(page: (before: string | undefined) => Promise<T[]>, idOf: (row: T) => string, limit: number) {
  const rows: T[] = [];
  for (;;) {
    const next = await page(rows.length === 0 ? undefined : idOf(rows[rows.length - 1]));
    assert.ok(next.length <= limit);
    rows.push(...next);
    if (next.length < limit) return rows;
  }
}

async function checkRuns({ history }: Archive, { runs }: Model, { rule, subject, state, event, limit }: Filter) {
  const wanted = runs.filter((run) =>
    run.listed && run.state !== undefined && (state ?? run.state) === run.state && (rule ?? run.rule) === run.rule &&
    (subject ?? run.subject) === run.subject && (event ?? run.event) === run.event
  );
  const found = await pages(
    (before) => history.listRuns({ rule, subject, state, event, limit, before }),
    ({ run }) => run.id,
    limit,
  );
  const traces = await Promise.all(found.map(async ({ run }) => (await history.getRun(run.id))!));
  assert.deepEqual(
    found.map(({ run, event }, at) => [run.id, run.state, event, traces[at].notes.length]),
    wanted.reverse().map(({ nth, state, event, notes }) => [runId(nth), state, event, notes]),
  );
}

async function checkEvents({ history }: Archive, { events }: Model, { rule, subject, type, limit }: Filter) {
  const wanted = events.filter((event) =>
    (rule ?? event.rule) === event.rule && (subject ?? event.subject) === event.subject &&
    (type ?? event.type) === event.type
  );
  const found = await pages(
    (before) => history.listEvents({ rule, subject, type, limit, before }),
    ({ key }: EventRecord) => key,
    limit,
  );
  assert.deepEqual(
    found.map(({ key, deliveries }) => [Number(key), deliveries]),
    wanted.reverse().map(({ key, deliveries }) => [key, deliveries]),
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
