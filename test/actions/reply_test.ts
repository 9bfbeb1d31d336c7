import assert from "node:assert/strict";
import { reply } from "../../runtime/actions/reply.ts";
import { makeContext } from "./context.ts";

const http = { method: "POST", path: "/price", params: {}, query: {}, headers: {} };
const event = { id: "e", source: "/hooks/price", type: "webhook", time: "2026-11-21T07:00:00Z", data: null, http };
const byWebhook = () => makeContext({ run: { id: "r1", rule: "test", trigger: "in", event } });

Deno.test("reply answers with JSON, with text, or with nothing", async () => {
  const effects = async (args: Parameters<typeof reply.execute>[0]) => (await reply.execute(args, byWebhook())).effects;
  assert.deepEqual(await effects({ reply: 200, json: { price: 7 } }), {
    reply: { status: 200, headers: { "content-type": "application/json" }, body: '{"price":7}' },
  });
  assert.deepEqual(await effects({ reply: 404, body: "no", headers: { "Content-Type": "text/csv", "X-A": "b" } }), {
    reply: { status: 404, headers: { "content-type": "text/csv", "x-a": "b" }, body: "no" },
  });
  assert.deepEqual(
    await effects({ reply: 200, headers: { "Set-Cookie": ["a=1", "b=2"], Vary: ["A", "B"], X: 1, Y: null } }),
    {
      reply: { status: 200, headers: { "set-cookie": ["a=1", "b=2"], vary: "A, B", x: "1" }, body: "" },
    },
  );
  assert.deepEqual(await effects({ reply: 204 }), { reply: { status: 204, headers: {}, body: "" } });
});

Deno.test("reply to an event that did not come by HTTP does nothing and says so", async () => {
  assert.deepEqual(await reply.execute({ reply: 200, json: 1 }, makeContext()), {
    output: { status: 200, sent: false, reason: "the event did not come by HTTP" },
  });
});

Deno.test("a reply that comes too late says so, and is recorded for duplicates", async () => {
  const context = makeContext({
    run: { id: "r1", rule: "test", trigger: "in", event },
    services: { awaitsReply: () => false },
  });
  assert.deepEqual(
    await reply.execute({ reply: 200, body: "late", headers: { "content-type": "text/plain" } }, context),
    {
      output: { status: 200, sent: false, reason: "nobody waited for it any more" },
      effects: { reply: { status: 200, headers: { "content-type": "text/plain" }, body: "late" } },
    },
  );
});

Deno.test("reply refuses what HTTP does not allow", async () => {
  const refused: [Parameters<typeof reply.execute>[0], RegExp][] = [
    [{ reply: 204, json: 1 }, /Cannot reply 204: HTTP allows no body with 204/],
    [{ reply: 200, json: 1, body: "x" }, /Cannot reply 200: "json" and "body" exclude/],
    [{ reply: 200, headers: { "X-A": [{ a: 1 }] } }, /expected text or a list of texts for the header "X-A"/],
    [{ reply: 200, headers: { "a b": "c" } }, /Cannot reply with the header "a b"/],
  ];
  for (const [args, message] of refused) {
    await assert.rejects(async () => await reply.execute(args, byWebhook()), { name: "TerminalError", message });
  }
});
