import assert from "node:assert/strict";
import type { IncomingMessage } from "node:http";
import { callCode } from "../../runtime/engine/services.ts";
import { systemClock } from "../../runtime/host/clock.ts";
import { makeContext } from "../actions/context.ts";
import { plainRule } from "../model/plain_rule.ts";
import { BLOCK, withIsolates } from "../workers/harness.ts";
import { type Answered, ask, Folder, holds, json, Peer } from "./app.ts";

const SOURCE = (url: string) => `
import { action, source } from "whenthen";
export const tasks = source({
  key: "item.gid",
  read: async ({ http }) => ({ items: (await http<{ gid: string }[]>("GET ${url}/tasks")).body, complete: true }),
});
export const note = action({
  inputs: { text: "" },
  run: async ({ inputs, http }) => {
    await http("GET ${url}/before");
    return (await http<string>("POST ${url}/notes", { json: inputs })).status;
  },
});
`;

Deno.test("a delivery to the hook of a poll looks at once; several during a look are one more look", async () => {
  await using peer = await Peer.start();
  const held: (() => void)[] = [];
  let version = 0;
  let holding = false;
  peer.answer = (_request, response) => {
    const answer = () => json(response, [{ gid: "1", version }]);
    if (holding) held.push(answer);
    else answer();
  };
  await using folder = await Folder.with({
    "source.ts": SOURCE(peer.url),
    "a.yaml": `
when:
  poll: { call: "./source.ts#tasks" }
  every: 1h
  hook: { webhook: /tasks, auth: none }
then: [{ log: "\${{ event.data.new.version }}" }]
`,
  });
  const app = await folder.open();
  try {
    await app.start();
    await holds("the first look", () => peer.requests.length === 1);
    const deliver = async (path = "/tasks") => {
      const request = new Request(`http://127.0.0.1:8080/hooks${path}`, { method: "POST", body: "{}" });
      return await app.web.fetch(request, () => "127.0.0.1");
    };
    version = 1;
    holding = true;
    const response = await deliver();
    assert.deepEqual([response.status, await response.json()], [202, { looks: 1 }]);
    await holds("the look", () => held.length === 1);
    for (let count = 0; count < 5; count++) await deliver();
    holding = false;
    held[0]();
    await holds("one more look", () => peer.requests.length === 3);
    await holds("the run", async () => (await ask(app, "/api/runs")).length === 1);
    assert.equal((await deliver("/other")).status, 404);
    assert.equal(peer.requests.length, 3);
    const events = await ask(app, "/api/events");
    assert.deepEqual(events.map(({ event }: Answered) => event.type), ["changed"], "a delivery is no event");
  } finally {
    await app.stop();
  }
});

Deno.test("requests of sources, actions and fetch in rule code obey the limits of their host", async () => {
  await using peer = await Peer.start();
  const times: number[] = [];
  let begun = Infinity;
  peer.answer = (request, response) => {
    const { searchParams } = new URL(request.url!, peer.url);
    if (searchParams.has("at")) begun = Math.min(begun, Number(searchParams.get("at")));
    times.push(Date.now());
    json(response, []);
  };
  await using folder = await Folder.with({
    "whenthen.yaml": 'limits: { "127.0.0.1": 4/s }\n',
    "source.ts": `
import { source } from "whenthen";
export const three = source({
  read: async ({ http }) => {
    for (let count = 0; count < 3; count++) await http("GET ${"$"}{peer.url}?at=" + Date.now());
    return { items: [{ id: 1 }], cursor: 1 };
  },
});
`.replace("${peer.url}", peer.url),
    "a.ts": `
import { poll, rule, start } from "whenthen";
import { three } from "./source.ts";
export default rule({
  when: [poll(three(), { key: "item.id", first: "emit" })],
  then: async ({ step }) => {
    await step.do("many", () => Promise.all([1, 2, 3, 4, 5].map(async () => (await fetch(new URL("${"$"}{peer.url}"))).text())));
  },
});
`.replace("${peer.url}", peer.url),
  });
  const { failures, failed } = await folder.once();
  assert.deepEqual([failures, failed, times.length], [[], [], 8]);
  // Four at once, then one each 250 ms. From before the first was sent: a busy machine can only make that longer.
  const took = times.at(-1)! - begun;
  assert.ok(took >= 990, `8 requests took ${took} ms`);
});

Deno.test("an action's requests have the same Idempotency-Key on each attempt, and Retry-After decides when that is", async () => {
  await using peer = await Peer.start();
  const notes: IncomingMessage[] = [];
  peer.answer = (request, response) => {
    if (request.url === "/notes" && notes.push(request) === 1) return json(response, {}, 429, { "retry-after": "0.2" });
    json(response, [{ gid: "1" }]);
  };
  await using folder = await Folder.with({
    "source.ts": SOURCE(peer.url),
    "a.yaml": `
when: { poll: { call: "./source.ts#tasks" }, first: emit }
then:
  - call: ./source.ts#note
    with: { text: hello }
    retry: { attempts: 2, delay: 1h }
`,
  });
  const { failures, failed } = await folder.once();
  assert.deepEqual([failures, failed], [[], []]);
  assert.equal(notes.length, 2);
  const keys = notes.map(({ headers }) => headers["idempotency-key"]);
  assert.ok(keys[0] !== undefined && keys[0] === keys[1], keys.join());
  assert.ok(notes[0].headers["whenthen-cause"] !== undefined, "a chain of rules is bounded through actions, too");
});

Deno.test("an action that is interrupted, because another one in its worker does not end, sends its requests with the same keys again", () =>
  withIsolates({ blockedAfter: 2_000 }, async ({ isolates, module }) => {
    const { code } = await module(`
export const note = async ({ http }) => {
  await http("POST https://notes.test/first");
  await http("POST https://notes.test/second");
};
export const block = () => { ${BLOCK} };
`);
    const rule = plainRule({ id: "a", version: "1", modules: { "x.ts": code } });
    const sent: Record<string, string[]> = { "/first": [], "/second": [] };
    const asked = Promise.withResolvers<void>();
    const fetch = (input: Request | URL | string, init?: RequestInit) => {
      const request = new Request(input, init);
      const { pathname } = new URL(request.url);
      sent[pathname].push(request.headers.get("idempotency-key")!);
      if (pathname === "/first" || sent[pathname].length > 1) return Promise.resolve(Response.json({}));
      asked.resolve();
      return new Promise<Response>(() => {});
    };
    const call = (name: string) => {
      const context = makeContext({ services: { fetch } });
      return callCode(rule, { path: "x.ts", name, inputs: {} }, { isolates, clock: systemClock }, context);
    };
    const noted = call("note");
    await asked.promise;
    await assert.rejects(call("block"), /did not answer/);
    await noted;
    const [first, second] = Object.values(sent);
    assert.ok(first.length > 1 && second.length > 1);
    assert.deepEqual([new Set(first).size, new Set(second).size], [1, 1]);
    assert.notEqual(first[0], second[0]);
  }));

Deno.test("a source that is told to wait is not asked before that", async () => {
  await using peer = await Peer.start();
  peer.answer = (_request, response) => json(response, []);
  await using folder = await Folder.with({
    "source.ts": SOURCE(peer.url),
    "a.yaml": 'when: { poll: { call: "./source.ts#tasks" } }\nthen: [{ log: x }]\n',
  });
  assert.deepEqual((await folder.once()).failures, []);
  peer.answer = (_request, response) => json(response, {}, 429, { "retry-after": "3600" });
  assert.match((await folder.once()).failures.join(), /GET .*\/tasks answered 429/);
  await folder.once();
  assert.equal(peer.requests.length, 2);
});
