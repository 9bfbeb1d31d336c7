import assert from "node:assert/strict";
import { Unfolded, type UnfoldedView } from "../../../runtime/store/history/unfolded.ts";
import { eventLine, type Line, moreLine, runId, runLine } from "./helpers.ts";

function add(recent: Unfolded, ...lines: Line[]): void {
  for (const { seq, table, header, text } of lines) recent.add(seq, table, JSON.stringify(header), text);
}

const keys = (view: UnfoldedView) => [...view.eventsBefore()].map((line) => line.header()[0]);
const runs = (view: UnfoldedView) => [...view.runsBefore()].map((line) => [line.header()[0], line.header()[2]]);

Deno.test("a view has the frames after one and up to another", () => {
  const recent = new Unfolded();
  add(
    recent,
    eventLine(1, 10),
    eventLine(2, 11),
    eventLine(2, 12),
    eventLine(3, 13),
    moreLine(1, 10, 1),
    moreLine(3, 10, 2),
  );
  assert.deepEqual(keys(recent.view(0, recent.lastSeq)), [13, 12, 11, 10]);
  const view = recent.view(1, 2);
  assert.deepEqual(keys(view), [12, 11]);
  assert.deepEqual([...view.eventsBefore(12)].map((line) => line.header()[0]), [11]);
  assert.deepEqual([...view.eventsAfter(11)].map((line) => line.header()[0]), [12]);
  assert.deepEqual([10, 11, 12, 13, 14].map((key) => view.event(key)?.seq), [undefined, 2, 2, undefined, undefined]);
  assert.deepEqual(view.more(10), []);
  assert.deepEqual(recent.view(0, 3).more(10).map(({ text }) => text), ["1", "2"]);
});

Deno.test("runs are in order of creation, whatever the order of their ends, each with its last end", () => {
  const recent = new Unfolded();
  add(recent, runLine(1, 3), runLine(2, 1, { state: "failed" }), runLine(3, 2), runLine(4, 1));
  assert.deepEqual(runs(recent.view(0, 3)), [[runId(3), "succeeded"], [runId(2), "succeeded"], [runId(1), "failed"]]);
  add(recent, runLine(5, 5), runLine(6, 4));
  assert.deepEqual(runs(recent.view(0, 6)).map(([id]) => id), [5, 4, 3, 2, 1].map(runId));
  assert.deepEqual(runs(recent.view(0, 6)).at(-1), [runId(1), "succeeded"]);
  assert.deepEqual([...recent.view(0, 6).runsBefore(runId(3))].map((line) => line.header()[0]), [2, 1].map(runId));
});

Deno.test("folded frames are dropped, but stay in an open view", () => {
  const recent = new Unfolded();
  add(
    recent,
    eventLine(1, 1),
    runLine(1, 1, { state: "failed" }),
    moreLine(1, runId(1), 1),
    eventLine(2, 2),
    runLine(2, 1),
  );
  const before = recent.view(0, 2);
  recent.drop(1);
  add(recent, eventLine(3, 3), runLine(3, 2));
  assert.deepEqual(recent.counts(), { events: 2, runs: 2 });
  assert.deepEqual(keys(recent.view(0, 3)), [3, 2]);
  assert.deepEqual(recent.view(0, 3).more(runId(1)), []);
  assert.equal(recent.view(0, 1).run(runId(1)), undefined);
  assert.deepEqual(keys(before), [2, 1]);
  assert.deepEqual(runs(before), [[runId(1), "succeeded"]]);
  assert.equal(before.more(runId(1)).length, 1);
  recent.drop(9);
  assert.deepEqual(recent.counts(), { events: 0, runs: 0 });
});

Deno.test("nothing is parsed before it is read", () => {
  const recent = new Unfolded();
  recent.add(1, "event", "[1,no JSON", "no JSON");
  recent.add(1, "run", '["00000000000000000001",no JSON', "no JSON");
  recent.add(1, "more", '["event",1]', "no JSON");
  const line = recent.view(0, 1).event(1)!;
  assert.throws(() => line.header(), SyntaxError);
});
