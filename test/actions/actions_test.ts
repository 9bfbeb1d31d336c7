import assert from "node:assert/strict";
import { call } from "../../runtime/actions/call.ts";
import { emit, log, state } from "../../runtime/actions/emit_log_state.ts";
import { actions } from "../../runtime/actions/index.ts";
import { reply } from "../../runtime/actions/reply.ts";
import { resolveArgs } from "../../runtime/language/expressions/template.ts";
import type { JsonObject } from "../../runtime/model/json.ts";
import { makeContext } from "./context.ts";

const scope = {
  event: { data: { id: "a/b c", count: 5, tags: [1, "x"], none: null, status: 404 } },
  secrets: { TOKEN: "t0ken" },
};

function resolved(kind: string, args: JsonObject): JsonObject {
  return resolveArgs(actions[kind], args, scope);
}

Deno.test("every action is registered under its own kind", () => {
  assert.deepEqual(Object.values(actions).map((action) => action.kind), Object.keys(actions));
});

Deno.test("only http, mail and patch are attempted more than once by default", () => {
  const several = Object.values(actions).filter((action) => action.defaults.attempts > 1);
  assert.deepEqual(several.map((action) => action.kind), ["http", "mail", "patch"]);
});

Deno.test("templates are resolved in every option of http, and encoded in its URL", () => {
  const args = {
    http: "POST https://example.org/${{ event.data.id }}",
    auth: { bearer: "${{ secrets.TOKEN }}" },
    headers: { "X-Count": "${{ event.data.count }}" },
    query: { tag: "${{ event.data.tags }}", none: "${{ event.data.none }}" },
    form: { count: "${{ event.data.count }}" },
    ok: ["${{ event.data.status }}"],
  };
  assert.deepEqual(resolved("http", args), {
    http: "POST https://example.org/a%2Fb%20c",
    auth: { bearer: "t0ken" },
    headers: { "X-Count": "5" },
    query: { tag: [1, "x"], none: null },
    form: { count: 5 },
    ok: [404],
  });
});

Deno.test("templates are resolved in the arguments, input and environment of run", () => {
  const args = {
    run: ["echo", "${{ event.data.id }}"],
    stdin: "${{ event.data.tags }}",
    env: { N: "${{ event.data.count }}" },
  };
  assert.deepEqual(resolved("run", args), { run: ["echo", "a/b c"], stdin: [1, "x"], env: { N: "5" } });
});

Deno.test("options that exclude each other are found before anything runs, except in templates", () => {
  const problems = (kind: string, args: JsonObject) => actions[kind].check!(args, 0);
  assert.equal(problems("http", { http: "POST https://example.org/", json: 1, form: {} }).length, 1);
  assert.equal(problems("http", { http: "https://example.org/", json: 1 }).length, 1);
  assert.deepEqual(problems("http", { http: "${{ config.url }}", json: 1 }), []);
  assert.equal(problems("reply", { reply: 204, json: 1 }).length, 1);
  assert.deepEqual(problems("reply", { reply: "${{ config.status }}", json: 1 }), []);
});

Deno.test("call names the module by its path within the folder", async () => {
  const context = makeContext({ folder: "/rules", ruleFolder: "/rules/ops" });
  const { output } = await call.execute({ call: "../lib/x.ts#read", with: { a: 1 } }, context);
  await call.execute({ call: "./y.ts#fn" }, context);
  await call.execute({ call: "@a/tasks/sub#say" }, context);
  await call.execute({ call: "../packages/b#say" }, context);
  assert.deepEqual(output, { called: "read" });
  assert.deepEqual(context.asked.map((asked) => asked.with), [
    { path: "lib/x.ts", name: "read", inputs: { a: 1 } },
    { path: "ops/y.ts", name: "fn", inputs: {} },
    { path: "npm:@a/tasks/sub", name: "say", inputs: {} },
    { path: "packages/b/", name: "say", inputs: {} },
  ]);
});

Deno.test("emit returns the event; its id is the same on each attempt of the step", async () => {
  const args = { emit: "order.paid", data: { total: 7 }, subject: "A1" };
  const first = makeContext({ attempt: 1, path: "lines[3]/tell" });
  const second = makeContext({ attempt: 2, path: "lines[3]/tell" });
  const { output } = await emit.execute(args, first);
  await emit.execute(args, second);
  assert.deepEqual(first.asked, second.asked);
  assert.deepEqual(output, {
    type: "order.paid",
    data: { total: 7 },
    subject: "A1",
    id: "r1/lines[3]/tell",
    source: "/rules/test",
  });
});

Deno.test("emit uses the id from the rule; without data, data is null", async () => {
  const context = makeContext();
  await emit.execute({ emit: "order.paid", id: "A1" }, context);
  assert.deepEqual(context.asked, [{ service: "emit", with: { type: "order.paid", data: null, id: "A1" } }]);
});

Deno.test("emit refuses an empty type and an empty id", async () => {
  await assert.rejects(async () => await emit.execute({ emit: "" }, makeContext()), {
    name: "TerminalError",
    message: /empty type/,
  });
  await assert.rejects(async () => await emit.execute({ emit: "a", id: "" }, makeContext()), {
    name: "TerminalError",
    message: /empty id/,
  });
});

Deno.test("log writes the line with its origin, at level info by default", async () => {
  const context = makeContext();
  const steps = [
    await log.execute({ log: "hello" }, context),
    await log.execute({ log: "hello", level: "warn", data: { a: 1 } }, context),
  ];
  assert.equal(context.asked.length, 0, "not before the step is recorded");
  for (const { onRecorded } of steps) onRecorded!();
  const details = { rule: "test", run: "r1", step: "step" };
  assert.deepEqual(context.asked.map((asked) => asked.with), [
    { level: "info", message: "hello", details },
    { level: "warn", message: "hello", details: { ...details, data: { a: 1 } } },
  ]);
});

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

const services = { getState: (key: string) => Promise.resolve(key === "up/a" ? 7 : undefined) };

Deno.test("state without a value reads, null if nothing is stored", async () => {
  assert.deepEqual(await state.execute({ state: "up/a" }, makeContext({ services })), { output: 7 });
  assert.deepEqual(await state.execute({ state: "up/b" }, makeContext({ services })), { output: null });
});

Deno.test("state with a value sets it together with the step's record", async () => {
  const outcome = await state.execute({ state: "up/a", value: null, ttl: 1_000 }, makeContext({ services }));
  assert.deepEqual(outcome, { output: 7, effects: { state: { key: "up/a", value: null, ttl: 1_000 } } });
});
