import fc from "fast-check";
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { crc32 } from "node:zlib";
import { isOfType, Part } from "../../../runtime/store/history/catalogue.ts";
import { briefLength, briefText } from "../../../runtime/store/history/history_lines.ts";
import { parsePartName, PartWriter } from "../../../runtime/store/history/part_file.ts";
import { partName } from "../../../runtime/store/log/files.ts";
import { readPart } from "../../../runtime/store/history/part_reader.ts";
import { openFile } from "../../../runtime/store/history/sqlite.ts";
import { FaultyDisk } from "../../faults/faulty_disk.ts";
import { Archive, eventLine, FOLDER, type Line, makePart, moreLine, runId, runLine } from "./helpers.ts";

/** Opens bytes in SQLite itself, as a shell does. */
function inShell<R>(bytes: Uint8Array, work: (database: DatabaseSync) => R): R {
  const folder = mkdtempSync(join(tmpdir(), "whenthen-part-"));
  try {
    writeFileSync(join(folder, "part.sqlite"), bytes);
    const database = new DatabaseSync(join(folder, "part.sqlite"), { readOnly: true });
    try {
      return work(database);
    } finally {
      database.close();
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
}

Deno.test("a part opens in any SQLite shell: it passes the integrity check, and views join the texts to the rows", async () => {
  const lines = Array.from({ length: 500 }, (_, at) => [
    eventLine(at + 1, at + 1, { subject: `ünïcode-${at}`, data: "é".repeat(at) }),
    runLine(at + 1, at + 1),
    moreLine(at + 1, at + 1, { deliveries: 1 }),
  ]).flat();
  const { bytes, catalogue } = await makePart(lines);
  inShell(bytes, (database) => {
    assert.deepEqual(database.prepare("PRAGMA integrity_check").all().map((row) => row.integrity_check), ["ok"]);
    const rows = database.prepare("SELECT key, text FROM events_with_text ORDER BY key").all();
    assert.deepEqual(
      rows.map(({ text }) => text),
      lines.filter(({ table }) => table === "event").map(({ text }) => text),
    );
    const runs = database.prepare("SELECT text FROM runs_with_text ORDER BY id").all();
    assert.deepEqual(
      runs.map(({ text }) => text),
      lines.filter(({ table }) => table === "run").map(({ text }) => text),
    );
    const blocks = database.prepare("SELECT json_valid(texts) AS valid, octet_length(texts) AS bytes FROM blocks")
      .all();
    assert.ok(blocks.length > 8 && blocks.every(({ valid, bytes }) => valid === 1 && (bytes as number) <= 65536));
    const about = database.prepare("SELECT value FROM about WHERE name = 'catalogue'").get()!;
    assert.equal(JSON.parse(about.value as string).events.count, 500);
  });
  const { first, last, crc } = parsePartName(catalogue.file)!;
  assert.deepEqual([first, last, crc], [1, 500, crc32(bytes)]);
  assert.equal(catalogue.bytes, bytes.length);
});

Deno.test("a text larger than a block has its own block", async () => {
  const texts = [100, 200_000, 100, 65_534, 100].map((length) => "x".repeat(length));
  const { bytes } = await makePart(texts.map((data, at) => eventLine(at + 1, at + 1, { data })));
  inShell(bytes, (database) => {
    const rows = database.prepare("SELECT block, text ->> '$.event.data' AS data FROM events_with_text").all();
    assert.deepEqual(rows.map(({ data }) => data), texts);
    assert.deepEqual(rows.map(({ block }) => block), [0, 1, 2, 3, 4]);
  });
});

Deno.test("a part larger than expected is complete", async () => {
  const writer = await PartWriter.create(1, 0);
  for (let key = 1; key <= 3000; key++) {
    const { header, text } = eventLine(key, key, { data: "x".repeat(500) });
    writer.event(header as Parameters<typeof writer.event>[0], text);
  }
  inShell(writer.finish(3000).bytes, (database) => {
    assert.equal(database.prepare("PRAGMA integrity_check").get()!.integrity_check, "ok");
    assert.equal(database.prepare("SELECT count(*) AS n FROM events_with_text WHERE json_valid(text)").get()!.n, 3000);
  });
});

Deno.test("a part without lines is valid", async () => {
  const { bytes, catalogue } = await makePart([], 7, 9);
  assert.equal(inShell(bytes, (database) => database.prepare("SELECT count(*) AS n FROM events").get()!.n), 0);
  assert.deepEqual([catalogue.first, catalogue.last, catalogue.events.keys, catalogue.runs.spans], [7, 9, null, []]);
});

Deno.test("the catalogue of a part can be read from the part", async () => {
  const { bytes, catalogue } = await makePart([eventLine(3, 1), runLine(4, 1), moreLine(5, runId(0), { note: {} })]);
  const disk = new FaultyDisk();
  disk.put(join(FOLDER, catalogue.file), bytes);
  const { result } = await readPart(disk, FOLDER, { file: catalogue.file, read: "catalogue", args: {} });
  assert.deepEqual(result, { kind: "read", result: catalogue });
});

Deno.test("a part that cannot be read is reported as a result", async () => {
  const { bytes, catalogue: { file } } = await makePart([eventLine(1, 1)]);
  const disk = new FaultyDisk();
  const ask = async () => (await readPart(disk, FOLDER, { file, read: "eventsByKey", args: { keys: [1] } })).result;
  assert.deepEqual(await ask(), { kind: "missing" });
  bytes[bytes.length - 100] ^= 1;
  disk.put(join(FOLDER, file), bytes);
  assert.deepEqual(await ask(), { kind: "damaged", reason: "its checksum differs" });
  bytes[bytes.length - 100] ^= 1;
  disk.put(join(FOLDER, file), bytes.subarray(0, 5000));
  assert.deepEqual(await ask(), { kind: "damaged", reason: "its checksum differs" });
  disk.put(join(FOLDER, file), bytes);
  assert.equal((await ask()).kind, "read");
});

Deno.test("more parts than may be open at once are read concurrently", async () => {
  const disk = new FaultyDisk();
  const files = await Promise.all(Array.from({ length: 10 }, async (_, at) => {
    const { bytes, catalogue } = await makePart([eventLine(at + 1, at + 1, { data: "x".repeat(4_000_000) })]);
    disk.put(join(FOLDER, catalogue.file), bytes);
    return catalogue.file;
  }));
  for (let round = 0; round < 2; round++) {
    const asked = files.flatMap((file, at) =>
      [at + 1, at + 2].map((key) => ({ file, read: "eventsByKey" as const, args: { keys: [key] } }))
    );
    const answers = await Promise.all(asked.map((question) => readPart(disk, FOLDER, question)));
    const found = answers.map(({ result }) => result.kind === "read" && result.result[0]?.id);
    assert.deepEqual(found, files.flatMap((_, at) => [at + 1, undefined]));
  }
});

Deno.test("a part of a newer program is left unchanged", async () => {
  const database = await openFile((await makePart([eventLine(1, 1)])).bytes);
  database.run("UPDATE about SET value = '99' WHERE name = 'format'");
  const bytes = database.export();
  database.close();
  const disk = new FaultyDisk();
  const file = partName({ first: 1, last: 1 }, crc32(bytes));
  disk.put(join(FOLDER, file), bytes);
  const { result } = await readPart(disk, FOLDER, { file, read: "eventsByKey", args: { keys: [1] } });
  assert.deepEqual(result, { kind: "damaged", reason: "it has format 99, this program knows formats up to 1" });
});

async function partOf(...lines: Line[]): Promise<Part> {
  const { catalogue } = await makePart(lines);
  return new Part(JSON.parse(JSON.stringify(catalogue)));
}

Deno.test("a catalogue describes the content of its part", async () => {
  const part = await partOf(
    eventLine(1, 100, { type: "order.paid", subject: "anna", rules: ["a", "b"] }),
    eventLine(2, 101, { type: "order.sent", rules: [] }),
    runLine(3, 100, { rule: "a", state: "failed", subject: "anna" }),
    runLine(3, 101, { rule: "b" }),
    runLine(3, 7, { rule: "b" }),
    runLine(3, 102, { event: 50, rule: "b", listed: false }),
    moreLine(4, 100, { deliveries: 1 }),
    moreLine(4, 3, { deliveries: 1 }),
    moreLine(4, runId(100), {}),
    moreLine(4, runId(4), {}),
  );
  const { events, runs } = part.catalogue;
  assert.deepEqual(events, {
    count: 2,
    keys: [100, 101],
    types: { "order.paid": 1, "order.sent": 1 },
    rules: { a: 1, b: 1 },
    verdicts: { started: 1 },
    late: [],
  });
  assert.deepEqual([runs.count, runs.ids], [4, [runId(100), runId(101)]]);
  assert.deepEqual(runs.rules, { a: { failed: 1 }, b: { succeeded: 2 } });
  assert.deepEqual([99, 100, 101, 102].map((key) => part.mayHaveEvent(key)), [false, true, true, false]);
  assert.deepEqual([7, 100, 101, 102, 8, 99].map((nth) => part.mayHaveRun(runId(nth))), [
    true,
    true,
    true,
    true,
    false,
    false,
  ]);
  assert.deepEqual([3, 100, runId(4), runId(100)].map((id) => part.mayHaveMore(id)), [true, false, true, false]);
  assert.deepEqual(["a", "b", "c"].map((rule) => part.mayHaveRuns({ rule })), [true, true, false]);
  assert.deepEqual(["a", "b"].map((rule) => part.mayHaveRuns({ rule, state: "failed" })), [true, false]);
  assert.deepEqual([part.mayHaveRuns({ state: "cancelled" }), part.mayHaveRuns({ state: "failed" })], [false, true]);
  assert.deepEqual([7, 50, 100, 8].map((event) => part.mayHaveRuns({ event })), [true, true, true, false]);
  assert.deepEqual(["anna", "bob"].map((subject) => part.mayHaveRuns({ subject })), [true, false]);
  assert.deepEqual(["order.paid", "order"].map((type) => part.mayHaveEvents({ type })), [true, false]);
  assert.deepEqual([100, 101].map((before) => part.mayHaveEvents({ before })), [false, true]);
  const search = { types: ["order.*"], after: 100, needle: "" };
  assert.deepEqual(
    [search, { ...search, after: 101 }, { ...search, types: ["x"] }].map((each) => part.mayHaveAwaited(each)),
    [true, false, false],
  );
});

Deno.test("too many types or rules are not listed one by one, and any may be present", async () => {
  const lines = Array.from({ length: 300 }, (_, at) => [
    eventLine(1, at + 1, { type: `type-${at}`, rules: [`rule-${at}`] }),
    runLine(1, at + 1, { rule: `rule-${at}` }),
  ]).flat();
  const part = await partOf(...lines);
  const { events, runs } = part.catalogue;
  assert.deepEqual([events.types, events.rules, runs.rules], ["many", "many", "many"]);
  assert.ok(part.mayHaveRuns({ rule: "other" }) && part.mayHaveEvents({ type: "other", rule: "other" }));
  const long = await partOf(eventLine(1, 1, { type: "x".repeat(10_000) }));
  assert.equal(long.catalogue.events.types, "many");
});

Deno.test("names that objects inherit are ordinary names", async () => {
  const part = await partOf(
    eventLine(1, 1, { type: "__proto__", rules: ["constructor"] }),
    runLine(1, 1, { rule: "__proto__" }),
  );
  assert.ok(part.mayHaveEvents({ type: "__proto__", rule: "constructor" }) && part.mayHaveRuns({ rule: "__proto__" }));
  assert.ok(!part.mayHaveEvents({ type: "constructor" }) && !part.mayHaveRuns({ rule: "toString" }));
});

Deno.test("runs that began long ago have ranges of their own", async () => {
  const old = [10, 11, 12];
  const young = Array.from({ length: 40 }, (_, at) => 100_000 + at);
  const part = await partOf(eventLine(1, young[0]), ...[...young, ...old].map((nth) => runLine(2, nth)));
  const { spans } = part.catalogue.runs;
  assert.ok(spans.length <= 16);
  assert.deepEqual([spans[0][1], spans.at(-1)![0]], [runId(young.at(-1)!), runId(10)]);
  assert.ok(!part.mayHaveRuns({ before: runId(99_999) }, runId(13)), "nothing is between them");
  assert.ok(part.mayHaveRuns({ before: runId(99_999) }, runId(11)));
  assert.ok(!part.mayHaveRuns({ before: runId(10) }));
  assert.equal(part.newestRunBefore(undefined), runId(young.at(-1)!));
  assert.equal(part.newestRunBefore(runId(50_000)), runId(12));
  assert.equal(part.newestRunBefore(runId(10)), "");
});

Deno.test("a pattern stands for its types", () => {
  const cases: [string, string, boolean][] = [
    ["order.paid", "order.paid", true],
    ["order.paid", "order.*", true],
    ["order.paid.late", "order.*", true],
    ["order.paid", "*", true],
    ["order", "order.*", false],
    ["orders.paid", "order.*", false],
    ["order.paid", "order", false],
  ];
  for (const [type, pattern, expected] of cases) assert.equal(isOfType(type, pattern), expected, `${type} ${pattern}`);
});

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
