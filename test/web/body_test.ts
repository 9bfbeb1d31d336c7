import assert from "node:assert/strict";
import { readRequestBody } from "../../runtime/web/request_body.ts";

function post(body: BodyInit | null, headers: Record<string, string> = {}): Request {
  return new Request("http://127.0.0.1/", { method: "POST", body, headers });
}

Deno.test("a body within the limit is read completely", async () => {
  const body = await readRequestBody(post("0123456789"), 10);
  assert.ok("bytes" in body);
  assert.equal(new TextDecoder().decode(body.bytes), "0123456789");
  assert.deepEqual(await readRequestBody(post(null), 10), { bytes: new Uint8Array() });
});

Deno.test("a body is the same whether its length is known, small or large", async () => {
  for (const size of [0, 1, 65_536, 65_537, 200_000]) {
    const text = "x".repeat(size);
    const known: Record<string, string> = { "content-length": String(size) };
    for (const headers of [{}, known]) {
      const body = await readRequestBody(post(text, headers), 200_000);
      assert.ok("bytes" in body);
      assert.equal(new TextDecoder().decode(body.bytes), text);
    }
  }
});

Deno.test("a body over the limit is 413 before it is read completely", async () => {
  let pulled = 0;
  const endless = new ReadableStream<Uint8Array>({
    pull(controller) {
      pulled++;
      controller.enqueue(new Uint8Array(1_000));
    },
  });
  const body = await readRequestBody(post(endless), 10_000);
  assert.ok("refused" in body);
  assert.equal(body.refused.status, 413);
  assert.ok(pulled < 20, `${pulled} chunks were read`);
});

Deno.test("a content-length over the limit is 413 without reading at all", async () => {
  const body = await readRequestBody(post("x", { "content-length": "11" }), 10);
  assert.ok("refused" in body);
  assert.equal(body.refused.status, 413);
});

Deno.test("a compressed body is refused, so that it cannot expand", async () => {
  const body = await readRequestBody(post("x", { "content-encoding": "gzip" }), 10);
  assert.ok("refused" in body);
  assert.equal(body.refused.status, 415);
  assert.equal(body.refused.headers.get("accept-encoding"), "identity");
});

Deno.test("a body that breaks off is 400", async () => {
  const broken = new ReadableStream<Uint8Array>({ pull: (controller) => controller.error(new Error("reset")) });
  const body = await readRequestBody(post(broken), 10);
  assert.ok("refused" in body);
  assert.equal(body.refused.status, 400);
});
