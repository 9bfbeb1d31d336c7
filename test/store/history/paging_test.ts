import assert from "node:assert/strict";
import fc from "fast-check";
import type { EventRecord } from "../../../runtime/store/store.ts";
import { Archive, eventLine, moreLine, NOW, runId, runLine } from "./helpers.ts";

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
