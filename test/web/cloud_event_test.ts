import assert from "node:assert/strict";
import { parseCloudEvent } from "../../runtime/web/cloud_event.ts";

function parse(headers: Record<string, string>, body: unknown) {
  const bytes = new TextEncoder().encode(typeof body === "string" ? body : JSON.stringify(body));
  const parsed = parseCloudEvent(new Headers(headers), bytes);
  return "problem" in parsed ? parsed.problem : JSON.parse(JSON.stringify(parsed.event));
}

const STRUCTURED = { "content-type": "application/cloudevents+json; charset=utf-8" };
const COMPLETE = { specversion: "1.0", id: "A1", source: "/shop", type: "order.created" };

Deno.test("a plain event needs a type and nothing else", () => {
  assert.deepEqual(parse({ "content-type": "application/json" }, { type: "a.b" }), { type: "a.b", data: null });
  const all = { type: "a.b", data: [1], id: "1", source: "/x", subject: "s", time: "2026-11-21T08:00:00+01:00" };
  assert.deepEqual(parse({}, all), { ...all, time: "2026-11-21T07:00:00.000Z" });
});

Deno.test("a structured CloudEvent is accepted with its identity; extensions are left out", () => {
  assert.deepEqual(parse(STRUCTURED, { ...COMPLETE, data: { x: 1 }, traceparent: "00-1" }), {
    type: "order.created",
    data: { x: 1 },
    id: "A1",
    source: "/shop",
  });
  assert.equal(parse(STRUCTURED, { ...COMPLETE, data_base64: "aGk=" }).data, "aGk=");
});

Deno.test("a structured CloudEvent is recognised by its specversion, even if sent as plain JSON", () => {
  const event = { type: "order.created", data: { x: 1 }, id: "A1", source: "/shop" };
  assert.deepEqual(parse({ "content-type": "application/json" }, { ...COMPLETE, data: { x: 1 } }), event);
});

Deno.test("a CloudEvent in binary mode has its attributes in headers", () => {
  const headers = { "ce-specversion": "1.0", "ce-id": "A1", "ce-source": "/shop", "ce-type": "order.created" };
  const event = { type: "order.created", id: "A1", source: "/shop" };
  const json = { ...headers, "content-type": "application/json" };
  assert.deepEqual(parse({ ...json, "ce-subject": "caf%C3%A9" }, { x: 1 }), {
    ...event,
    data: { x: 1 },
    subject: "café",
  });
  assert.deepEqual(parse({ ...headers, "content-type": "text/plain" }, "hi"), { ...event, data: "hi" });
  assert.deepEqual(parse(headers, ""), { ...event, data: null });
});

Deno.test("a mistake in an event is reported with its path", () => {
  assert.match(parse(STRUCTURED, { ...COMPLETE, id: undefined }), /^id: /);
  assert.match(parse(STRUCTURED, { ...COMPLETE, specversion: "0.3" }), /^specversion: /);
  assert.match(parse({}, { typ: "x" }), /type: .*Unrecognized key: "typ"/);
  assert.match(parse({}, "{"), /not JSON/);
  assert.match(parse({}, { type: "x", time: "yesterday" }), /^time: /);
  assert.match(parse({}, { type: "x", source: "/rules/a/cron", id: "1" }), /reserved/);
  assert.match(parse({ "content-type": "text/plain" }, "x"), /expected content-type .* got "text\/plain"/);
  const notText = parseCloudEvent(new Headers(), new Uint8Array([0xff, 0xfe]));
  assert.deepEqual(notText, { problem: "the body is not UTF-8" });
});
