import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import fc from "fast-check";
import { briefLength, briefText } from "../../../runtime/store/history/lines.ts";
import { readPart } from "../../../runtime/store/history/part_reader.ts";
import { Archive, eventLine, FOLDER, runId, runLine } from "./helpers.ts";

Deno.test("the brief of a run is the run and its event, whatever its values contain", () => {
  const value = fc.jsonValue({ maxDepth: 3 });
  fc.assert(
    fc.property(value, value, fc.nat(2 ** 31), fc.string({ unit: "grapheme" }), (output, steps, event, note) => {
      const run = { id: runId(1), output, tricky: `}],"steps":[{ \\" ${note}` };
      const text = JSON.stringify({ run, event: event * 1_000_000, steps: [steps], notes: [{ at: 1, text: note }] });
      const brief = briefText(text);
      assert.equal(brief, JSON.stringify({ run, event: event * 1_000_000 }));
      assert.equal(briefText(brief), brief);
      assert.equal(briefLength(Buffer.from(text)), Buffer.byteLength(brief) - 1);
    }),
  );
});

Deno.test("a text of another form is its own brief", () => {
  for (const text of ["", "{}", '{"event":1,"run":{}}', '{"run":{"a":"', '{"run":{},"steps":[]}', '{"run":{"a":{}']) {
    assert.equal(briefText(text), text);
  }
});

Deno.test("a page of runs with large steps is small, and its events are read once per part", async () => {
  const archive = new Archive();
  const large = (nth: number) => {
    const line = runLine(nth, nth);
    const text = JSON.stringify({ ...JSON.parse(line.text), steps: [{ output: "é".repeat(50_000) }] });
    return { ...line, text };
  };
  const files: string[] = [];
  for (let part = 0; part < 3; part++) {
    for (let nth = part * 10 + 1; nth <= part * 10 + 10; nth++) archive.add(eventLine(nth, nth), large(nth));
    if (part < 2) files.push((await archive.fold()).file);
  }
  const runs = (await archive.history.listRuns({ limit: 50 })).rows;
  assert.equal(runs.length, 30);
  assert.ok(JSON.stringify(runs).length < 30 * 500);
  assert.deepEqual(runs[29], { run: (await archive.history.getRun(runId(1)))!.run, event: 1 });
  archive.asked = [];
  const events = await archive.history.getEvents([...runs.map(({ event }) => event), 1, 99]);
  assert.deepEqual(archive.asked, files);
  assert.deepEqual([...events.keys()].sort((a, b) => a - b), runs.map(({ event }) => event).reverse());
  assert.equal(events.get(7)?.id, "id-7");
  const question = { file: files[0], read: "runs", args: { filter: {}, limit: 10 } } as const;
  const { result } = await readPart(archive.disk, FOLDER, question);
  assert.ok(result.kind === "read" && JSON.stringify(result).length < 10 * 600, "the part returns no more");
});
