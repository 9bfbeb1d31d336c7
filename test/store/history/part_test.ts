import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { crc32 } from "node:zlib";
import { parsePartName, partName } from "../../../runtime/store/history/part_file.ts";
import { readPart } from "../../../runtime/store/history/part_reader.ts";
import { PartWriter } from "../../../runtime/store/history/part_writer.ts";
import { openFile } from "../../../runtime/store/history/sqlite.ts";
import { FaultyDisk } from "../../faults/faulty_disk.ts";
import { eventLine, FOLDER, makePart, moreLine, runId, runLine } from "./helpers.ts";

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
  const file = partName(1, 1, crc32(bytes));
  disk.put(join(FOLDER, file), bytes);
  const { result } = await readPart(disk, FOLDER, { file, read: "eventsByKey", args: { keys: [1] } });
  assert.deepEqual(result, { kind: "damaged", reason: "it has format 99, this program knows formats up to 1" });
});
