import assert from "node:assert/strict";
import fc from "fast-check";
import { Worker } from "node:worker_threads";
import type { Json } from "../../runtime/model/json.ts";
import { type Format, FormatError, parse } from "../../runtime/formats/format.ts";
import { putTogether, takeApart } from "../../runtime/workers/parse_pieces.ts";
import { ParseThread } from "../../runtime/workers/parse_in_thread.ts";

const parserUrl = new URL("../../runtime/workers/parse_worker.ts", import.meta.url);

/**
 * A thread, and the number of threads started for it.
 * @param urls of the first ones
 */
function startThread(idle: number, urls: URL[] = []) {
  let started = 0;
  const startWorker = () => new Worker(urls[started++] ?? parserUrl);
  return { thread: new ParseThread(startWorker, idle), started: () => started };
}

const items = Array.from({ length: 5_000 }, (_, id) => ({ id, exact: 12345678901234567000n + BigInt(id), text: "x" }));
const item = (id: number) => `<item><guid>${id}</guid><title>A &amp; B ${id}</title></item>`;
const texts: [Format, string][] = [
  ["csv", `id;name\n${items.map(({ id }) => `${id};"a;b ${id}"`).join("\n")}`],
  ["feed", `<rss><channel><title>t</title>${items.map(({ id }) => item(id)).join("")}</channel></rss>`],
  ["json", `{"data":{"items":[${items.map(({ id, exact }) => `{"id":${id},"exact":${exact}}`)}]},"next":1e22}`],
  ["json", `[1,{"__proto__":{"a":[2]},"constructor":[]},null,0.1]`],
  ["json", `"text"`],
];

Deno.test("a thread parses text into identical data; one thread parses all texts until it is idle", async () => {
  const { thread, started } = startThread(60_000);
  const read = await Promise.all(texts.map(([format, text]) => thread.parse(text, format)));
  for (const [index, [format, text]] of texts.entries()) assert.deepStrictEqual(read[index], await parse(text, format));
  assert.equal(started(), 1);
  await thread.end();
});

Deno.test("a parse error is the same from a thread, and the next text is parsed", async () => {
  const { thread, started } = startThread(60_000);
  const unreadable: [Format, string][] = [
    ["json", "[1,"],
    ["feed", "<html>"],
    ["csv", 'a\n"b'],
    [{ csv: { columns: ["b"] } }, "a\n1\n"],
    ["json", "[1e999]"],
  ];
  for (const [format, text] of unreadable) {
    const expected = await (async () => await parse(text, format))().catch((error) => error);
    assert.ok(expected instanceof FormatError);
    await assert.rejects(thread.parse(text, format), { name: "FormatError", message: expected.message });
  }
  assert.deepEqual(await thread.parse("[1]", "json"), [1]);
  assert.equal(started(), 1);
  await thread.end();
});

Deno.test("a thread that dies fails its current text, and is started again for the next", async () => {
  const { thread, started } = startThread(60_000, [new URL("./dying_worker_fixture.ts", import.meta.url)]);
  const dying = assert.rejects(
    thread.parse("[1]", "json"),
    /^Error: the thread that reads it as json failed: the background thread ended with code 3$/,
  );
  const next = thread.parse("[2]", "json");
  await dying;
  assert.deepEqual(await next, [2]);
  assert.equal(started(), 2);
  await thread.end();
});

Deno.test("an idle thread ends, and another one parses the next text", async () => {
  const { thread, started } = startThread(0);
  for (let count = 1; count <= 3; count++) {
    assert.deepEqual(await thread.parse(`[${count}]`, "json"), [count]);
    while (thread.isStarted) await new Promise((resolve) => setTimeout(resolve, 1));
  }
  assert.equal(started(), 3);
});

Deno.test("data that is split is joined unchanged", () =>
  fc.assert(
    fc.asyncProperty(fc.jsonValue({ maxDepth: 5 }), async (value) => {
      const text = JSON.stringify(value);
      const apart = structuredClone(takeApart(JSON.parse(text)));
      assert.deepStrictEqual(await putTogether(apart), JSON.parse(text) as Json);
    }),
  ));
