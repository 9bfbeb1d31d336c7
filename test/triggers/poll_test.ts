import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { readFileSync } from "node:fs";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { Json, JsonObject } from "../../runtime/model/json.ts";
import { poll } from "../../runtime/triggers/poll/poll.ts";
import { changedAt } from "../../runtime/triggers/poll/poll_changes.ts";
import { parseArgs, Program, START } from "./fake_context.ts";

const MINUTE = 60_000;

/** A real server with responses set by the test; its requests are in `requests`. */
class Peer {
  readonly requests: IncomingMessage[] = [];
  answer: (request: IncomingMessage, response: ServerResponse) => void = (_, response) => response.end("[]");
  readonly #server = createServer((request, response) => {
    this.requests.push(request);
    this.answer(request, response);
  });

  static async start(): Promise<Peer> {
    const peer = new Peer();
    await new Promise<void>((resolve) => peer.#server.listen(0, "127.0.0.1", resolve));
    return peer;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  json(value: Json, headers: Record<string, string> = {}): void {
    this.answer = (_, response) => {
      response.writeHead(200, { "content-type": "application/json", ...headers }).end(JSON.stringify(value));
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

/** Polls once. @returns the emitted events */
async function pass(program: Program): Promise<{ type: string; subject?: string; data: Json }[]> {
  const before = program.events.length;
  await program.pass();
  return program.events.slice(before).map(({ type, subject, data }) => ({ type, ...(subject && { subject }), data }));
}

const diskA = { mount: "/", used: 50 };
const diskB = { mount: "/home", used: 10 };

Deno.test("a poll emits nothing for the first items, then what was added, changed, removed", async () => {
  let items: Json = [diskA, diskB];
  const program = new Program(poll, {
    poll: { call: "./x.ts#read" },
    key: "item.mount",
    on: ["added", "changed", "removed"],
  });
  program.execute = () => items;
  assert.deepEqual(await pass(program), []);
  assert.deepEqual(await pass(program), []);
  items = [{ mount: "/", used: 91 }, { mount: "/srv", used: 1 }];
  assert.deepEqual(await pass(program), [
    { type: "changed", subject: "/", data: { old: diskA, new: { mount: "/", used: 91 }, diff: { used: [50, 91] } } },
    { type: "added", subject: "/srv", data: { old: null, new: { mount: "/srv", used: 1 }, diff: null } },
    { type: "removed", subject: "/home", data: { old: diskB, new: null, diff: null } },
  ]);
  assert.deepEqual(await pass(program), []);
});

Deno.test("A→B→C between polls is one change A→C, and A→B→A→B are three changes with three ids", async () => {
  let used = 1;
  const program = new Program(poll, { poll: { call: "./x.ts#read" }, key: "item.mount" });
  program.execute = () => [{ mount: "/", used }];
  await pass(program);
  used = 2;
  used = 3;
  assert.deepEqual((await pass(program)).map(({ data }) => (data as JsonObject).diff), [{ used: [1, 3] }]);
  for (used of [1, 3, 1]) assert.equal((await pass(program)).length, 1);
  assert.equal(new Set(program.ids).size, 4);
});

Deno.test("only the kinds in on are emitted, the baseline follows all", async () => {
  let items: Json = [diskA];
  const program = new Program(poll, { poll: { call: "./x.ts#read" }, key: "item.mount", on: ["removed"] });
  program.execute = () => items;
  await pass(program);
  items = [diskA, diskB];
  assert.deepEqual(await pass(program), []);
  items = [diskA];
  assert.deepEqual((await pass(program)).map(({ type }) => type), ["removed"]);
});

Deno.test("first: emit reports the first items as added", async () => {
  const program = new Program(poll, { poll: { call: "./x.ts#read" }, key: "item.mount", first: "emit" });
  program.execute = () => [diskA, diskB];
  assert.deepEqual((await pass(program)).map(({ subject }) => subject), ["/", "/home"]);
  assert.deepEqual(await pass(program), []);
});

Deno.test("without key the whole document is one item; ignored paths do not count, not even in lists", async () => {
  let document: Json = { at: 1, hosts: [{ name: "a", seen: 1, up: true }] };
  const program = new Program(poll, { poll: { call: "./x.ts#read" }, ignore: ["at", "hosts.seen"] });
  program.execute = () => document;
  await pass(program);
  document = { hosts: [{ seen: 2, up: true, name: "a" }], at: 2 };
  assert.deepEqual(await pass(program), [], "neither ignored values nor the order of keys is a change");
  document = { at: 3, hosts: [{ name: "a", seen: 3, up: false }] };
  const [{ subject, data }] = await pass(program);
  assert.equal(subject, undefined);
  assert.deepEqual((data as JsonObject).new, document, "ignored values are still in the data");
  assert.deepEqual((data as JsonObject).diff, { hosts: { _t: "a", 0: { up: [true, false] } } });
});

Deno.test("another key, url or items starts a new baseline silently; another token does not", async () => {
  await using peer = await Peer.start();
  peer.json({ list: [{ id: 1, sku: "a" }, { id: 2, sku: "b" }] });
  const args = {
    poll: `${peer.url}/list`,
    items: "body.list",
    key: "item.id",
    headers: { authorization: "Bearer one" },
  };
  const program = new Program(poll, args);
  await pass(program);
  assert.deepEqual([...program.store.baseline.keys()], ["1", "2"]);
  const other = program.restarted({ ...args, key: "item.sku", first: "emit" });
  assert.deepEqual(await pass(other), []);
  assert.deepEqual([...program.store.baseline.keys()], ["a", "b"]);
  peer.json({ list: [{ id: 3, sku: "c" }] });
  const newToken = other.restarted({ ...args, key: "item.sku", headers: { authorization: "Bearer two" } });
  assert.deepEqual((await pass(newToken)).map(({ subject }) => subject), ["c"]);
  assert.equal(peer.requests.at(-1)!.headers.authorization, "Bearer two");
});

Deno.test("304, 429 with Retry-After, 500, truncated JSON and a web page leave the baseline unchanged", async () => {
  await using peer = await Peer.start();
  const list = [{ id: 1, v: 1 }, { id: 2, v: 1 }];
  peer.json(list, { etag: '"one"', "last-modified": "Fri, 20 Nov 2026 18:00:00 GMT" });
  const program = new Program(poll, { poll: peer.url, key: "item.id", on: ["added", "changed", "removed"] });
  await pass(program);
  const failures: [string, (response: ServerResponse) => void, RegExp][] = [
    ["500", (response) => response.writeHead(500).end("oops"), /answered 500 Internal Server Error: oops/],
    ["404", (response) => response.writeHead(404).end(), /answered 404/],
    [
      "truncated",
      (response) => response.writeHead(200, { "content-type": "application/json" }).end('[{"id": 1, "v"'),
      /expected JSON, got/,
    ],
    [
      "broken off",
      (response) => response.writeHead(200, { "content-length": "1000" }).end("[") && response.destroy(),
      /./,
    ],
    [
      "a page",
      (response) => response.writeHead(200, { "content-type": "text/html" }).end("<html>"),
      /Expected a list from the source/,
    ],
    [
      "an object",
      (response) => response.writeHead(200, { "content-type": "application/json" }).end('{"error":{}}'),
      /got an object with error/,
    ],
    [
      "empty",
      (response) => response.writeHead(200, { "content-type": "application/json" }).end(),
      /expected JSON, got nothing/,
    ],
    [
      "no key",
      (response) => response.writeHead(200, { "content-type": "application/json" }).end('[{"v":1}]'),
      /No item .* "key: item\.id"/,
    ],
  ];
  const baseline = structuredClone(program.store.baseline);
  for (const [name, answer, message] of failures) {
    peer.answer = (_, response) => answer(response);
    await assert.rejects(program.pass(), message, name);
    assert.deepEqual(program.store.baseline, baseline, name);
  }
  peer.answer = (request, response) => {
    assert.equal(request.headers["if-none-match"], '"one"');
    assert.equal(request.headers["if-modified-since"], "Fri, 20 Nov 2026 18:00:00 GMT");
    response.writeHead(304).end();
  };
  assert.deepEqual(await pass(program), []);
  peer.json([{ id: 1, v: 2 }, { id: 2, v: 1 }]);
  assert.deepEqual((await pass(program)).map(({ type, subject }) => [type, subject]), [["changed", "1"]]);
  peer.answer = (request, response) => {
    assert.equal(request.headers["if-none-match"], undefined, "the last answer had none");
    response.writeHead(200, { "content-type": "application/json" }).end("[]");
  };
  assert.equal((await pass(program)).length, 2);
});

Deno.test("If-Modified-Since is not sent for a page that was under a second old", async () => {
  await using peer = await Peer.start();
  const second = "Mon, 23 Nov 2026 06:00:00 GMT";
  const program = new Program(poll, { poll: peer.url, key: "item.id", first: "emit" });
  peer.json([{ id: 1 }], { "last-modified": second, date: second });
  await pass(program);
  peer.json([{ id: 1 }, { id: 2 }], { "last-modified": second, date: "Mon, 23 Nov 2026 06:05:00 GMT" });
  assert.deepEqual((await pass(program)).map(({ subject }) => subject), ["2"], "it changed again within that second");
  await pass(program);
  assert.deepEqual(peer.requests.map(({ headers }) => headers["if-modified-since"]), [undefined, undefined, second]);
});

Deno.test("a response without Date is dated by our clock", async () => {
  await using peer = await Peer.start();
  const serve = (modified: number) => {
    peer.answer = (_, response) => {
      response.sendDate = false;
      response.writeHead(200, { "last-modified": new Date(modified).toUTCString() }).end("text");
    };
  };
  const program = new Program(poll, { poll: peer.url });
  serve(START);
  await pass(program);
  serve(START - 1_000);
  await pass(program);
  await pass(program);
  const sent = peer.requests.map(({ headers }) => headers["if-modified-since"]);
  assert.deepEqual(sent, [undefined, undefined, new Date(START - 1_000).toUTCString()]);
});

Deno.test("identical repeats are one item; of different items with one key the first counts, and a warning names both", async () => {
  const program = new Program(poll, { poll: { call: "./x.ts#read" }, key: "item.id", first: "emit", ignore: ["seen"] });
  program.execute = (): Json => [{ id: 1, v: 1 }, { id: 1, v: 1 }, { id: 1, v: 1, seen: 3 }, { id: 2, v: 1 }];
  assert.deepEqual((await pass(program)).map(({ subject }) => subject), ["1", "2"]);
  assert.deepEqual(program.warnings, []);
  program.execute = () => [{ id: 1, v: 2 }, { id: 2, v: 1 }, { id: 1, v: 3 }, { id: 3, v: 1 }];
  assert.deepEqual(
    (await pass(program)).map(({ type, data }) => [type, (data as JsonObject).new]),
    [["changed", { id: 1, v: 2 }], ["added", { id: 3, v: 1 }]],
  );
  assert.deepEqual(program.warnings, [
    'trigger: 1 item has the key of an earlier, different item; the first wins: "1" is the key of {"id":1,"v":2} and of {"id":1,"v":3}',
  ]);
});

Deno.test("items without a key are skipped, with a warning that counts them and shows one", async () => {
  const program = new Program(poll, { poll: { call: "./x.ts#read" }, key: "item.id", first: "emit", on: ["removed"] });
  program.execute = (): Json => [{ v: 1 }, null, 7, { id: null }, { id: "" }, { id: [1] }, { id: 2 }];
  await pass(program);
  assert.deepEqual([...program.store.baseline.keys()], ["2"]);
  assert.deepEqual(program.warnings, [
    'trigger: 6 items are skipped, as "key: item.id" gives neither text nor a number for them; the first is item 0: {"v":1}',
  ]);
  program.execute = () => [{ v: 1 }];
  await assert.rejects(program.pass(), /No item of the source has a key: 1 item is skipped/);
  assert.deepEqual([...program.store.baseline.keys()], ["2"], "nothing was removed: it is another list");
});

Deno.test("an item without a key does not hold up a cursor", async () => {
  const program = new Program(poll, { poll: { call: "./x.ts#read" }, key: "item.id" });
  program.execute = () => ({ items: [{ v: 1 }], cursor: "next" });
  await pass(program);
  assert.equal((program.store.mark as JsonObject).cursor, "next");
  assert.equal(program.warnings.length, 1);
});

Deno.test("items repeated on a later page are treated as on one page", async () => {
  await using peer = await Peer.start();
  const pages = [[{ id: 1, v: 1 }, { v: 0 }], [{ id: 1, v: 1 }, { id: 2, v: 1 }], [{ id: 2, v: 2 }, { id: 3, v: 1 }]];
  peer.answer = (request, response) => {
    const page = Number(new URL(request.url!, peer.url).searchParams.get("page") ?? 0);
    response.writeHead(200, { "content-type": "application/json" });
    response.end(JSON.stringify({ items: pages[page], next: page < 2 ? `/?page=${page + 1}` : null }));
  };
  const program = new Program(poll, {
    poll: peer.url,
    items: "body.items",
    key: "item.id",
    first: "emit",
    pages: { next: "body.next" },
  });
  assert.deepEqual((await pass(program)).map(({ subject }) => subject), ["1", "2", "3"]);
  assert.deepEqual([...program.store.baseline.values()], [{ id: 1, v: 1 }, { id: 2, v: 1 }, { id: 3, v: 1 }]);
  assert.deepEqual(program.warnings.map((text) => text.split(",")[0]), [
    "trigger: 1 item is skipped",
    "trigger: 1 item has the key of an earlier",
  ]);
});

Deno.test("Retry-After is honoured, also after a restart", async () => {
  await using peer = await Peer.start();
  peer.json([]);
  const program = new Program(poll, { poll: peer.url, key: "item.id", every: "1m" });
  await program.attach();
  await program.until(() => program.reports.length === 1);
  peer.answer = (_, response) => response.writeHead(429, { "retry-after": "600" }).end("slow down");
  await program.clock.advanceTo(START + MINUTE);
  await program.until(() => program.reports.length === 2);
  assert.match(program.reports.at(-1)!, /answered 429 Too Many Requests: slow down/);
  await program.clock.advanceTo(START + 10 * MINUTE);
  assert.equal(peer.requests.length, 2);
  await program.detach();
  const later = program.restarted();
  peer.json([]);
  await later.attach();
  await later.clock.advanceTo(START + 10 * MINUTE + 59_000);
  assert.equal(peer.requests.length, 2);
  await later.clock.advanceTo(START + 11 * MINUTE);
  await later.until(() => later.reports.length === 1);
  assert.equal(peer.requests.length, 3);
  assert.equal(later.reports[0], null);
  await later.detach();
});

Deno.test("a poll keeps its interval across restarts, and polls never overlap", async () => {
  const program = new Program(poll, { poll: { call: "./x.ts#read" }, every: "5m" });
  let release = () => {};
  program.execute = () => new Promise((resolve) => release = () => resolve([]));
  await program.attach();
  await program.clock.advanceTo(START + 12 * MINUTE);
  assert.equal(program.executed.length, 1, "still under way");
  release();
  await program.until(() => program.reports.length === 1);
  await program.clock.advanceTo(START + 12 * MINUTE);
  assert.equal(program.executed.length, 2, "overdue: at once");
  release();
  await program.until(() => program.reports.length === 2);
  await program.detach();
  const later = program.restarted();
  later.execute = () => [];
  await later.attach();
  await later.clock.advanceTo(START + 16 * MINUTE);
  assert.equal(later.executed.length, 0);
  await later.clock.advanceTo(START + 17 * MINUTE);
  assert.equal(later.executed.length, 1);
  await later.detach();
});

Deno.test("a poll that fails is reported and continues at its interval; detached, it is aborted", async () => {
  const program = new Program(poll, { poll: { run: ["false"] }, every: "5m" });
  program.execute = () => Promise.reject(new Error("exit code 1"));
  await program.attach();
  await program.clock.advanceTo(START + 5 * MINUTE);
  assert.deepEqual(program.reports, ["exit code 1", "exit code 1"]);
  program.execute = () => ({ json: [] });
  await program.clock.advanceTo(START + 10 * MINUTE);
  assert.equal(program.reports.at(-1), null);
  program.execute = (_source, _input, signal) =>
    new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
  await program.clock.advanceTo(START + 15 * MINUTE);
  await program.detach();
  assert.equal(program.reports.at(-1), null, "a stop is not a failure");
});

Deno.test("a poll continues after a clock error into 2099", async () => {
  const program = new Program(poll, { poll: { call: "./x.ts#read" } });
  program.execute = () => [];
  await program.attach();
  await program.clock.advanceTo(START + 1);
  program.clock.jumpTo(Date.parse("2099-01-01T00:00:00Z"));
  await program.clock.advanceTo(Date.parse("2099-01-01T00:01:00Z"));
  program.clock.jumpTo(START + MINUTE);
  await program.until(() => program.warnings.length === 1);
  await program.clock.advanceTo(START + 6 * MINUTE);
  assert.equal(program.executed.length, 4);
  await program.detach();
});

Deno.test("many items take several transitions; an interrupted pass resumes, nothing is lost or duplicated", async () => {
  const items = Array.from({ length: 12_345 }, (_, id) => ({ id }));
  const program = new Program(poll, {
    poll: { call: "./x.ts#read" },
    key: "item.id",
    on: ["added", "removed"],
    max: 20_000,
  });
  program.execute = () => [];
  await pass(program);
  program.execute = () => items;
  const { ingest } = program.context(new AbortController().signal);
  let transitions = 0;
  const context = program.context(new AbortController().signal);
  context.ingest = (events, progress) => {
    if (++transitions === 4) throw new Error("the disk is full");
    return ingest(events, progress);
  };
  await assert.rejects(poll.pass!(context), /the disk is full/);
  assert.equal(program.events.length, 1_500);
  await pass(program);
  assert.deepEqual(program.events.map(({ subject }) => subject), items.map(({ id }) => String(id)));
  assert.equal(program.duplicates.length, 0);
  assert.ok(Math.max(...program.transitions.map(({ put }) => put)) <= 500);
});

Deno.test("an interrupted first baseline starts over, and is not reported as added", async () => {
  const program = new Program(poll, { poll: { call: "./x.ts#read" }, key: "item.id" });
  program.execute = () => Array.from({ length: 1_200 }, (_, id) => ({ id }));
  const context = program.context(new AbortController().signal);
  const { ingest } = context;
  let transitions = 0;
  context.ingest = (events, progress) => {
    if (++transitions === 2) throw new Error("the disk is full");
    return ingest(events, progress);
  };
  await assert.rejects(poll.pass!(context), /the disk is full/);
  assert.deepEqual(await pass(program), []);
  assert.equal(program.store.baseline.size, 1_200);
});

Deno.test("a source with a cursor is read from there, and the cursor moves with the events", async () => {
  const program = new Program(poll, { poll: { call: "./x.ts#read" }, first: "emit" });
  program.execute = (_source, { cursor }) => ({
    items: [{ n: Number(cursor ?? 0) }, { n: 100 }],
    cursor: Number(cursor ?? 0) + 1,
  });
  assert.equal((await pass(program)).length, 2);
  assert.equal((await pass(program)).length, 2);
  assert.deepEqual(program.executed.map(({ input }) => input), [{ cursor: null }, { cursor: 1 }]);
  const context = program.context(new AbortController().signal);
  const { ingest } = context;
  context.ingest = (events, progress) => {
    if (progress !== undefined) throw new Error("killed before the cursor moved");
    return ingest(events);
  };
  await assert.rejects(poll.pass!(context), /killed/);
  assert.equal((await pass(program)).length, 2, "neither the events nor the cursor were stored");
  assert.equal(program.duplicates.length, 0);
  assert.equal((await pass(program)).length, 2);
});

Deno.test("keyed items of a source with a cursor are not removed because new results lack them", async () => {
  const program = new Program(poll, {
    poll: { call: "./x.ts#read" },
    key: "item.id",
    on: ["added", "changed", "removed"],
  });
  const answers: Json[] = [{ items: [{ id: 1, v: 1 }], cursor: "a" }, {
    items: [{ id: 2, v: 1 }, { id: 1, v: 2 }],
    cursor: "b",
  }, { items: [] }];
  program.execute = () => answers.shift()!;
  await pass(program);
  assert.deepEqual((await pass(program)).map(({ type, subject }) => [type, subject]), [["added", "2"], [
    "changed",
    "1",
  ]]);
  assert.deepEqual(await pass(program), []);
  assert.equal((program.store.mark as JsonObject).cursor, "b");
});

Deno.test("pages are followed on the same host, up to a number", async () => {
  await using peer = await Peer.start();
  peer.answer = (request, response) => {
    const page = Number(new URL(request.url!, peer.url).searchParams.get("page") ?? 1);
    const next = page < 3 ? `/list?page=${page + 1}` : null;
    response.writeHead(200, { "content-type": "application/json", etag: '"same"' });
    response.end(JSON.stringify({ items: [{ id: page }], next }));
  };
  const args = {
    poll: `${peer.url}/list`,
    items: "body.items",
    key: "item.id",
    on: ["removed"],
    pages: { next: "body.next" },
  };
  const program = new Program(poll, args);
  await pass(program);
  assert.deepEqual([...program.store.baseline.keys()], ["1", "2", "3"]);
  await pass(program);
  assert.equal(peer.requests.length, 6, "an unchanged first page says nothing about the others");
  assert.equal(peer.requests[3].headers["if-none-match"], undefined);
  const fewer = program.restarted({ ...args, pages: { next: "body.next", max: 2 } });
  assert.deepEqual(await pass(fewer), [], "items on an unread page are not removed");
  assert.deepEqual(fewer.warnings, ["trigger: 2 pages are read, and there are more: pages.max says how many"]);

  for (
    const [next, message] of [["http://example.org/", /is another host/], [
      "/list?page=1",
      /leads back to itself/,
    ]] as const
  ) {
    peer.answer = (_, response) =>
      response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify({ items: [], next }));
    await assert.rejects(program.pass(), message);
  }
});

Deno.test("the next page is that of the header Link, or an encoded cursor; a repeated item counts once", async () => {
  await using peer = await Peer.start();
  const asked: string[] = [];
  peer.answer = (request, response) => {
    asked.push(request.url!);
    const page = asked.length;
    const link = `<${peer.url}/?a=1,2>; rel="prev first", </list?page=${page + 1}>; title="a, b"; rel="last next"`;
    response.writeHead(200, { "content-type": "application/json", ...page < 3 && { link } });
    response.end(JSON.stringify({ items: [{ id: page - 1 }, { id: page }], c: page < 3 ? "a+b/c==" : null }));
  };
  const args = { poll: `${peer.url}/list`, items: "body.items", key: "item.id", first: "emit" };
  const linked = new Program(poll, { ...args, pages: { next: "link" } });
  assert.deepEqual((await pass(linked)).map(({ subject }) => subject), ["0", "1", "2", "3"]);
  assert.deepEqual(asked, ["/list", "/list?page=2", "/list?page=3"]);
  assert.deepEqual(linked.warnings, []);
  asked.length = 0;
  const encoded = new Program(poll, { ...args, pages: { next: "'?c=' + urlEncode(body.c)" } });
  for (const last of [{}, { c: null }, { c: "" }]) {
    asked.length = 0;
    peer.answer = (request, response) => {
      asked.push(new URL(request.url!, peer.url).searchParams.get("c") ?? "");
      const cursor = asked.length === 1 ? { c: "a+b/c==" } : last;
      response.writeHead(200, { "content-type": "application/json" });
      response.end(JSON.stringify({ items: [{ id: asked.length }], ...cursor }));
    };
    await pass(encoded);
    assert.deepEqual([...encoded.store.baseline.keys()], ["1", "2"]);
    assert.deepEqual(asked, ["", "a+b/c=="]);
  }
});

Deno.test("after a redirect the next page is relative to where the page came from, and a new host gets no secrets", async () => {
  await using old = await Peer.start();
  await using moved = await Peer.start();
  old.answer = (_, response) => response.writeHead(301, { location: `${moved.url}/v2/list` }).end();
  const links = ["<?page=2>", `<${moved.url}/v2/list?page=3>`];
  moved.answer = (_, response) => {
    const page = moved.requests.length;
    const link = page < 3 && { link: `${links[page - 1]}; rel=next` };
    response.writeHead(200, { "content-type": "application/json", ...link }).end(JSON.stringify([{ id: page }]));
  };
  const program = new Program(poll, {
    ...{ poll: `${old.url}/list`, headers: { "x-key": "secret", Accept: "text/x" }, auth: { bearer: "secret" } },
    ...{ key: "item.id", first: "emit", pages: { next: "link" } },
  });
  assert.deepEqual((await pass(program)).map(({ subject }) => subject), ["1", "2", "3"]);
  assert.deepEqual(moved.requests.map(({ url }) => url), ["/v2/list", "/v2/list?page=2", "/v2/list?page=3"]);
  assert.deepEqual(old.requests.map(({ headers }) => headers["x-key"]), ["secret"]);
  for (const { headers } of moved.requests) {
    assert.ok(!JSON.stringify(headers).includes("secret"));
    assert.equal(headers.accept, "text/x");
  }
  moved.answer = (_, response) =>
    response.writeHead(200, { "content-type": "application/rss+xml" })
      .end("<rss><channel><item><guid>1</guid><link>a</link></item></channel></rss>");
  const feed = new Program(poll, { poll: `${old.url}/feed`, first: "emit" });
  assert.equal(((await pass(feed))[0].data as { new: JsonObject }).new.link, `${moved.url}/v2/a`);
});

Deno.test("the next page gets the credentials of a URL", async () => {
  await using peer = await Peer.start();
  peer.answer = (_, response) => {
    const link = peer.requests.length < 2 && { link: `<${peer.url}/?page=2>; rel=next` };
    response.writeHead(200, { "content-type": "application/json", ...link }).end("[]");
  };
  const url = peer.url.replace("//", "//ann:p%40ss@");
  await pass(new Program(poll, { poll: url, key: "item.id", pages: { next: "link" } }));
  const basic = `Basic ${Buffer.from("ann:p@ss").toString("base64")}`;
  assert.deepEqual(peer.requests.map(({ headers }) => headers.authorization), [basic, basic]);
});

Deno.test("the time of an item without a zone is in UTC, whatever the zone of the machine", () => {
  const zone = Deno.env.get("TZ");
  Deno.env.set("TZ", "America/New_York");
  try {
    assert.notEqual(new Date(2027, 0, 4).getTimezoneOffset(), 0);
    const noon = Date.parse("2027-01-04T12:00:00Z");
    const texts = ["2027-01-04T12:00:00", "2027-01-04 12:00:00", "2027-01-04T12:00", "4 Jan 2027 12:00:00"];
    const others = ["January 4, 2027 12:00", "1/4/2027 12:00", "2027-01-04T13:00:00+01:00", "4 Jan 2027 07:00 EST"];
    const more = ["Mon Jan 04 2027 13:00:00 GMT+0100 (CET)", "2027-01-04 12:00:00 UTC"];
    for (const at of [...texts, ...others, ...more]) assert.equal(changedAt({ at }, "item.at"), noon, at);
    assert.equal(changedAt({ at: "yesterday" }, "item.at"), undefined);
  } finally {
    if (zone === undefined) Deno.env.delete("TZ");
    else Deno.env.set("TZ", zone);
  }
});

Deno.test("a feed's changes in ext alone do not count, unless ignore says what does not", async () => {
  await using peer = await Peer.start();
  const serve = (title: string, comments: number) => {
    const slash = 'xmlns:slash="http://purl.org/rss/1.0/modules/slash/"';
    const item = `<item><guid>1</guid><title>${title}</title><slash:comments>${comments}</slash:comments></item>`;
    peer.answer = (_, response) =>
      response.writeHead(200, { "content-type": "application/rss+xml" })
        .end(`<rss ${slash}><channel><title>x</title>${item}</channel></rss>`);
  };
  const program = new Program(poll, { poll: peer.url });
  const counting = new Program(poll, { poll: peer.url, ignore: ["summary"] });
  serve("a", 1);
  for (const each of [program, counting]) await pass(each);
  serve("a", 2);
  assert.deepEqual(await pass(program), []);
  assert.deepEqual((await pass(counting)).map(({ data }) => (data as JsonObject).diff), [
    { ext: { slash: { comments: [1, 2] } } },
  ]);
  serve("b", 3);
  assert.deepEqual((await pass(program)).map(({ data }) => (data as JsonObject).diff), [{ title: ["a", "b"] }]);
});

Deno.test("different items with one guid are all told; junk after a feed and such guids are warnings", async () => {
  await using peer = await Peer.start();
  const item = (name: string) => `<item><guid>0</guid><link>/${name}</link></item>`;
  peer.answer = (_, response) =>
    response.writeHead(200, { "content-type": "text/xml" })
      .end(`<rss><channel><title>x</title>${item("a")}${item("b")}</channel></rss><script>1</script>`);
  const program = new Program(poll, { poll: `${peer.url}/feed`, first: "emit" });
  assert.deepEqual((await pass(program)).map(({ subject }) => subject), [`0 ${peer.url}/a`, "0"]);
  assert.deepEqual(program.warnings, [
    'trigger: what follows </rss> is ignored: "<script>1</script>"',
    'trigger: 2 items have the id "0", so their links tell them apart',
  ]);
});

Deno.test("an item of a feed keeps its id when another one has its guid, and is changed if it has its link, too", async () => {
  await using peer = await Peer.start();
  const serve = (...items: string[]) => {
    const all = items.map((item) => item.split(" ")).map(([link, title]) =>
      `<item><guid>g</guid><link>/${link}</link><title>${title}</title></item>`
    );
    peer.answer = (_, response) =>
      response.writeHead(200, { "content-type": "text/xml" })
        .end(`<rss><channel><title>x</title>${all.join("")}</channel></rss>`);
  };
  const program = new Program(poll, { poll: `${peer.url}/feed`, on: ["added", "changed", "removed"], first: "emit" });
  const told = async () => (await pass(program)).map(({ type, subject }) => `${type} ${subject}`);
  serve("a old");
  assert.deepEqual(await told(), ["added g"]);
  serve("a corrected", "a old");
  assert.deepEqual(await told(), ["changed g"]);
  assert.deepEqual(program.warnings, []);
  serve("b new", "a corrected");
  assert.deepEqual(await told(), [`added g ${peer.url}/b`]);
  serve("c newer", "b edited", "a corrected");
  assert.deepEqual(await told(), [`added g ${peer.url}/c`, `changed g ${peer.url}/b`]);
});

Deno.test("data served as text names the format that would read it", async () => {
  await using peer = await Peer.start();
  const serve = (text: string) => {
    peer.answer = (_, response) => response.writeHead(200, { "content-type": "text/plain" }).end(text);
  };
  serve('[{"id":1}]');
  await assert.rejects(
    new Program(poll, { poll: peer.url, key: "item.id" }).pass(),
    /"format: json" would read it as data$/,
  );
  serve('{"items":[{"id":1}]}');
  const items = new Program(poll, { poll: peer.url, items: "body.items", key: "item.id" });
  await assert.rejects(items.pass(), /body is text, so it has no "items"; "format: json" would read it as data$/);
  serve("<rss><channel><title>x</title></channel></rss>");
  await assert.rejects(
    new Program(poll, { poll: peer.url, key: "item.id" }).pass(),
    /"format: feed" would read it as data$/,
  );
  const encoded = new Program(poll, { poll: peer.url, format: "base64", first: "emit" });
  assert.equal(
    ((await pass(encoded))[0].data as JsonObject).new,
    btoa("<rss><channel><title>x</title></channel></rss>"),
  );
  serve("<a/>");
  await assert.rejects(
    new Program(poll, { poll: peer.url, key: "item.id" }).pass(),
    /"format: xml" would read it as data$/,
  );
});

Deno.test("items of xml are a list, even if there is one or none", async () => {
  await using peer = await Peer.start();
  const program = new Program(poll, {
    poll: peer.url,
    format: "xml",
    items: "body.list.item",
    key: "item['@id']",
    on: ["added", "removed"],
  });
  const serve = (...ids: number[]) => {
    const items = ids.map((id) => `<item id="${id}"><n>x</n></item>`).join("") || "<item/>";
    peer.answer = (_, response) =>
      response.writeHead(200, { "content-type": "application/xml" }).end(`<list>${items}</list>`);
  };
  serve(1, 2);
  await pass(program);
  serve(2);
  assert.deepEqual((await pass(program)).map(({ type, subject }) => [type, subject]), [["removed", "1"]]);
  serve();
  assert.deepEqual((await pass(program)).map(({ type, subject }) => [type, subject]), [["removed", "2"]]);
});

Deno.test("text from a server never becomes an expression", async () => {
  await using peer = await Peer.start();
  const evil = "${{1 + 1}}";
  peer.json([], { etag: evil });
  const program = new Program(poll, { poll: peer.url, key: "item.id" });
  await pass(program);
  await pass(program);
  assert.equal(peer.requests[1].headers["if-none-match"], evil);

  const seen: string[] = [];
  peer.answer = (request, response) => {
    seen.push(request.url!);
    response.writeHead(200, { "content-type": "application/json" });
    response.end(JSON.stringify({ items: [], next: seen.length === 1 ? `/?q=${evil}` : null }));
  };
  await pass(program.restarted({ poll: peer.url, items: "body.items", key: "item.id", pages: { next: "body.next" } }));
  assert.doesNotMatch(decodeURIComponent(seen[1]), /q=2$/);
});

Deno.test("an RSS feed emits each new entry once, even if an entry disappears and comes back", async () => {
  await using peer = await Peer.start();
  const feed = readFileSync(new URL("../formats/fixtures/rss.xml", import.meta.url), "utf8");
  const serve = (text: string) => {
    peer.answer = (_, response) =>
      response.writeHead(200, { "content-type": "application/rss+xml; charset=utf-8" }).end(text);
  };
  const entry = (id: number) => `<item><title>Entry ${id}</title><guid isPermaLink="false">n${id}</guid></item>`;
  const program = new Program(poll, { poll: `${peer.url}/feed.xml` });
  serve(feed);
  assert.deepEqual(await pass(program), []);
  serve(feed.replace("<item>", `${entry(1)}<item>`));
  const [added] = await pass(program);
  assert.equal(added.subject, "n1");
  assert.equal(((added.data as JsonObject).new as JsonObject).title, "Entry 1");
  serve(feed);
  assert.deepEqual(await pass(program), []);
  serve(feed.replace("<item>", `${entry(1)}${entry(2)}<item>`));
  assert.deepEqual((await pass(program)).map(({ subject }) => subject), ["n2"]);
  serve(feed.slice(0, 1_500));
  await assert.rejects(program.pass(), /it ends before <\/rss>/);
});

Deno.test("a command returns JSON, or what format says", async () => {
  const json = new Program(poll, { poll: { run: "echo '[{\"id\": 1}]'" }, key: "item.id", first: "emit" });
  assert.deepEqual((await pass(json)).map(({ data }) => (data as JsonObject).new), [{ id: 1 }]);
  const csv = new Program(poll, {
    poll: { run: "printf 'id,n\\n7,x\\n'" },
    format: "csv",
    key: "item.id",
    first: "emit",
  });
  assert.deepEqual((await pass(csv)).map(({ data }) => (data as JsonObject).new), [{ id: "7", n: "x" }]);
  const text = new Program(poll, { poll: { run: "echo not json" } });
  await assert.rejects(text.pass(), /expected JSON, got "not json/);
  const failing = new Program(poll, { poll: { run: "echo '[]'; exit 3" } });
  await assert.rejects(failing.pass(), /exit code 3/);
});

Deno.test("a page that is not the table is a failed poll, not an empty table", async () => {
  await using peer = await Peer.start();
  const serve = (text: string, type: string) => {
    peer.answer = (_, response) => response.writeHead(200, { "content-type": type }).end(text);
  };
  const removed = { first: "emit", on: ["removed"] };
  const csv = new Program(poll, { poll: peer.url, format: "csv", key: "item.id", ...removed });
  serve("id,n\n1,a\n2,b\n", "text/csv");
  await pass(csv);
  const lines = new Program(poll, { poll: peer.url, format: "lines", key: "item", ...removed });
  serve("a\nb\n", "text/plain");
  await pass(lines);
  const page = "<!DOCTYPE html>\n<html><body>Down for maintenance</body></html>";
  const notTheTable: [Program, string, string, RegExp][] = [
    [csv, "", "text/csv", /expected csv, got nothing/],
    [csv, "\uFEFF\n", "text/csv", /expected csv, got nothing/],
    [csv, page, "text/html", /expected csv, got a web page: "<!DOCTYPE html>/],
    [csv, `<?xml version="1.0"?>\n<!-- x -->${page}`, "text/csv", /expected csv, got a web page/],
    [csv, "<p>Down", "text/html; charset=utf-8", /expected csv, got a web page/],
    [
      csv,
      "Service unavailable\n",
      "text/csv",
      /the columns of "key: item.id", got the header row "Service unavailable"/,
    ],
    [csv, "name,n\nx,a\n", "text/csv", /No item of the source has a key: .*"key: item.id"/],
    [lines, "", "text/plain", /expected lines, got nothing/],
    [lines, page, "text/plain", /expected lines, got a web page/],
  ];
  for (const [program, text, type, message] of notTheTable) {
    serve(text, type);
    await assert.rejects(program.pass(), message, text);
    assert.deepEqual(program.events, [], text);
    assert.equal(program.store.baseline.size, 2, text);
  }
  serve("id;n\n", "text/csv");
  assert.deepEqual((await pass(csv)).map(({ type, subject }) => [type, subject]), [["removed", "1"], ["removed", "2"]]);
});

Deno.test("a table without the columns required by format is a failed poll that changes nothing", async () => {
  await using peer = await Peer.start();
  const serve = (text: string) => {
    peer.answer = (_, response) => response.writeHead(200, { "content-type": "text/csv" }).end(text);
  };
  const demanded = { format: { csv: { columns: ["id", "price"] } }, on: ["added", "changed", "removed"] };
  const rows = "id,price\n1,10\n2,20\n";
  const byUrl = new Program(poll, { poll: peer.url, key: "item.id", ...demanded });
  const byCommand = new Program(poll, { poll: { run: ["cat"], stdin: rows }, key: "item.id", ...demanded });
  serve(rows);
  for (const program of [byUrl, byCommand]) {
    await pass(program);
    assert.equal(program.store.baseline.size, 2);
  }
  const lacking = "id,cost\n1,10\n2,20\n3,30\n";
  serve(lacking);
  const message = /expected csv with the columns "id", "price", got "id", "cost": "price" is missing/;
  const laterCommand = new Program(poll, { poll: { run: ["cat"], stdin: lacking }, key: "item.id", ...demanded });
  for (const program of [byUrl, laterCommand]) {
    const known = new Map(program.store.baseline);
    await assert.rejects(program.pass(), message);
    assert.deepEqual(program.events, []);
    assert.deepEqual(program.store.baseline, known);
  }
  serve("price,id\n11,1\n20,2\n");
  assert.deepEqual((await pass(byUrl)).map(({ type, subject }) => [type, subject]), [["changed", "1"]]);
});

Deno.test("a command that prints no table fails the poll, but no lines are an empty list", async () => {
  const args = { poll: { run: "echo id; echo 1" }, format: "csv", key: "item.id", on: ["removed"] };
  const csv = new Program(poll, args);
  await pass(csv);
  for (const run of ["true", "echo '<html><body>'"]) {
    const program = new Program(poll, { ...args, poll: { run } });
    await assert.rejects(program.pass(), /expected csv, got/, run);
  }
  const lines = new Program(poll, { poll: { run: "true" }, format: "lines", key: "item" });
  assert.deepEqual(await pass(lines), []);
  assert.deepEqual(lines.store.baseline.size, 0);
});

Deno.test("a source is decoded by its charset, and text that cannot be decoded is a failed poll", async () => {
  await using peer = await Peer.start();
  const serve = (body: Uint8Array, type: string) => {
    peer.answer = (_, response) => response.writeHead(200, { "content-type": type }).end(body);
  };
  const cyrillic = Buffer.concat([Buffer.from("id,n\n1,"), Buffer.from([0xcf, 0xf0, 0xe8])]);
  const read = async (args: JsonObject) => {
    const program = new Program(poll, { key: "item.id", first: "emit", ...args });
    return (await pass(program)).map(({ data }) => (data as JsonObject).new as JsonObject);
  };
  serve(cyrillic, "text/csv; charset=windows-1251");
  assert.deepEqual(await read({ poll: peer.url }), [{ id: "1", n: "При" }]);
  serve(cyrillic, "text/csv");
  assert.deepEqual(await read({ poll: peer.url, charset: "windows-1251" }), [{ id: "1", n: "При" }]);
  assert.deepEqual(await read({ poll: { http: peer.url, charset: "windows-1251" } }), [{ id: "1", n: "При" }]);
  await assert.rejects(read({ poll: peer.url }), /it is not text in utf-8; "charset" can say in which charset it is/);
  const run = String.raw`printf 'id,n\n1,\317\360\350'`;
  assert.deepEqual(await read({ poll: { run }, format: "csv", charset: "windows-1251" }), [{ id: "1", n: "При" }]);
  await assert.rejects(read({ poll: { run }, format: "csv" }), /it is not text in utf-8/);

  const feed = '<?xml version="1.0" encoding="windows-1251"?><rss version="2.0"><channel><title>x</title>' +
    "<item><guid>1</guid><title>*</title></item></channel></rss>";
  const [start, end] = feed.split("*");
  serve(Buffer.concat([Buffer.from(start), Buffer.from([0xcf]), Buffer.from(end)]), "application/rss+xml");
  assert.equal((await read({ poll: peer.url, key: "item.id" }))[0].title, "П");
});

Deno.test("two long lists are not compared element by element", async () => {
  const program = new Program(poll, { poll: { call: "./x.ts#read" } });
  let list = Array.from({ length: 50_000 }, (_, index) => index);
  program.execute = () => list;
  await pass(program);
  list = list.map((number) => number + 100_000);
  const [{ data }] = await pass(program);
  assert.deepEqual(((data as JsonObject).diff as Json[])[0], (data as JsonObject).old);
});

Deno.test("options that a source cannot have are problems", () => {
  const check = (args: JsonObject) => poll.check!(parseArgs(poll, args), START);
  assert.deepEqual(check({ poll: "https://example.org/", headers: { a: "b" }, pages: { next: "body.next" } }), []);
  assert.deepEqual(check({ poll: { run: "x" }, headers: { a: "b" } }), [
    '"headers" belongs in the step, beside "http"',
  ]);
  assert.deepEqual(check({ poll: "https://example.org/", ignore: ["views", "item.item"] }), []);
  assert.deepEqual(check({ poll: "https://example.org/", ignore: ["item.views"] }), [
    'ignore: "item.views" would be a key "item" within each item; write "views"',
  ]);
  assert.deepEqual(check({ poll: { run: "x" }, pages: { next: "body.next" } }), ['"pages" needs a URL to poll']);
  assert.deepEqual(check({ poll: { call: "./x.ts#a" }, format: "csv" }), [
    '"format" parses text; a step such as "call" returns parsed data',
  ]);
  assert.deepEqual(check({ poll: { run: "x", save: "a" } }), [
    '"save" writes to a run\'s folder, and a poll has no run',
  ]);
  assert.deepEqual(check({ poll: { run: "x", keep: "tail" } }), [
    '"keep" leaves out items, which would count as removed',
  ]);
  assert.deepEqual(check({ poll: { call: "./x.ts#a" }, charset: "latin1" }), [
    '"charset" decodes bytes; a step such as "call" returns parsed data',
  ]);
  assert.throws(() => parseArgs(poll, { poll: "https://example.org/", charset: "none" }), /expected a charset such as/);
  assert.equal(poll.address({ poll: { run: ["df", "-h"] } }), "poll run df -h");
  assert.equal(poll.address({ poll: "https://example.org/" }), "poll https://example.org/");
});
