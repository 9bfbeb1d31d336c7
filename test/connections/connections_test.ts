import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import type { Begun } from "../../runtime/connections/attempts.ts";
import { sendWithToken } from "../../runtime/connections/connection.ts";
import { Seal } from "../../runtime/connections/vault.ts";
import { ADDRESS, advanceUntil, asana, duringExchange, newKey, openConnections } from "./harness.ts";

Deno.test("a connection is connected by the code with PKCE, and its token opens the API", async () => {
  await using bench = await openConnections();
  await assert.rejects(bench.token(), /nobody has connected it yet; connect it with: whenthen connect asana/);
  await bench.connect();
  const [listed] = bench.connections.list();
  assert.equal(listed.state, "connected");
  assert.deepEqual([listed.by, listed.scopes, listed.renews], ["anna", ["tasks"], true]);
  const authorization = `Bearer ${await bench.token()}`;
  const answer = await fetch(`${bench.server.api}/tasks`, { headers: { authorization } });
  assert.deepEqual(await answer.json(), { path: "/tasks", account: "ada" });
  assert.deepEqual(bench.server.grants, ["authorization_code"]);
});

Deno.test("a state is valid once, for ten minutes, and for the browser that began", async () => {
  await using bench = await openConnections();
  const begin = async (browser?: string) => {
    const begun = await bench.connections.begin("asana", { by: "anna", browser }, undefined) as Begun & {
      kind: "code";
    };
    const { searchParams } = new URL(begun.url);
    assert.equal(searchParams.get("code_challenge_method"), "S256");
    return new URL(await bench.server.allow(begun.url)).searchParams;
  };
  const late = await begin();
  bench.clock.jumpTo(bench.clock.now() + 600_001);
  await assert.rejects(bench.connections.callback(late, undefined), /older than 10 minutes/);
  const bound = await begin("one browser");
  await assert.rejects(bench.connections.callback(bound, "another"), /Another browser/);
  await assert.rejects(bench.connections.callback(bound, undefined), /Another browser/);
  await bench.connections.callback(bound, "one browser");
  await assert.rejects(bench.connections.callback(bound, "one browser"), /was used before/);
  const forged = await begin();
  forged.set("state", "forged");
  await assert.rejects(bench.connections.callback(forged, undefined), /Nobody waits/);
});

Deno.test("a restart keeps attempts, but for a device, which nobody would poll for any more", async () => {
  await using bench = await openConnections();
  const begin = async (way?: "device") => (await bench.connections.begin("asana", { by: "anna" }, way))!;
  const begun = await begin() as Begun & { kind: "code" };
  const device = await begin("device");
  const answer = new URL(await bench.server.allow(begun.url)).searchParams;
  await bench.connections.stop();
  await bench.restart();
  const ended = {
    connection: "asana",
    state: "failed",
    error: "the program that polled for it has ended; connect again",
  };
  assert.deepEqual(await bench.connections.attempt(device.attempt), ended);
  assert.equal((await bench.connections.attempt(begun.attempt))!.state, "waiting");
  await bench.connections.callback(answer, undefined);
  assert.equal((await bench.connections.attempt(begun.attempt))!.state, "connected");
  await bench.restart();
  await assert.rejects(bench.connections.callback(answer, undefined), /was used before/);
  assert.deepEqual(bench.server.grants, ["authorization_code"]);
});

Deno.test("what an attempt is completed with is sealed: nobody can complete it with the data folder alone", async () => {
  await using bench = await openConnections();
  const begun = await bench.connections.begin("asana", { by: "anna", browser: "one browser" }, undefined) as Begun & {
    kind: "code";
  };
  const state = new URL(begun.url).searchParams.get("state")!;
  assert.ok(state.length <= 128, state);
  const disk = await bench.onDisk();
  assert.ok(disk.includes(begun.attempt));
  for (const secret of [state, "one browser"]) assert.ok(!disk.includes(secret), secret);
  const answer = new URL(await bench.server.allow(begun.url)).searchParams;
  for (const key of [newKey(), undefined]) {
    bench.environment.WHENTHEN_KEY = key;
    await bench.restart();
    await assert.rejects(bench.connections.callback(answer, "one browser"), /Nobody waits/);
  }
});

Deno.test("old attempts are forgotten, and at most 100 are kept", async () => {
  await using bench = await openConnections();
  const begin = async () => (await bench.connections.begin("asana", { by: "anna" }, undefined))!.attempt;
  const old = await begin();
  bench.clock.jumpTo(bench.clock.now() + 600_000);
  const late = { connection: "asana", state: "failed", error: "nobody allowed it in time" };
  assert.deepEqual(await bench.connections.attempt(old), late);
  bench.clock.jumpTo(bench.clock.now() + 600_000);
  const first = await begin();
  assert.equal(await bench.connections.attempt(old), undefined);
  for (let more = 0; more < 99; more++) {
    bench.clock.jumpTo(bench.clock.now() + 1);
    await begin();
  }
  assert.equal((await bench.connections.attempt(first))!.state, "waiting");
  bench.clock.jumpTo(bench.clock.now() + 1);
  await begin();
  assert.equal(await bench.connections.attempt(first), undefined);
});

Deno.test("a person who declines is told, and the attempt has failed", async () => {
  await using bench = await openConnections();
  const begun = await bench.connections.begin("asana", { by: "anna" }, undefined) as Begun & { kind: "code" };
  const state = new URL(begun.url).searchParams.get("state")!;
  const declined = new URLSearchParams({ error: "access_denied", state, iss: bench.server.issuer });
  await assert.rejects(bench.connections.callback(declined, undefined), /answers access_denied/);
  assert.match((await bench.connections.attempt(begun.attempt))!.error!, /access_denied/);
});

Deno.test("a code can be pasted, alone or as the address of the last page", async () => {
  await using bench = await openConnections();
  for (const cut of [(url: string) => url, (url: string) => new URL(url).searchParams.get("code")!]) {
    const begun = await bench.connections.begin("asana", { by: "anna" }, undefined) as Begun & { kind: "code" };
    const last = await bench.server.allow(begun.url);
    assert.ok(last.startsWith(`${ADDRESS}/connections/callback?`));
    await bench.connections.paste(begun.attempt, cut(last));
    assert.equal((await bench.connections.attempt(begun.attempt))?.state, "connected");
    await assert.rejects(bench.connections.paste(begun.attempt, cut(last)), /was used before/);
  }
});

Deno.test("an expired token is renewed, two at once make one refresh, and the rotated token is on disk then", async () => {
  await using bench = await openConnections();
  await bench.connect();
  const first = await bench.token();
  assert.equal(await bench.token(), first);
  bench.clock.jumpTo(bench.clock.now() + 3_590_000);
  const both = await Promise.all([bench.token(), bench.token(), bench.token(first)]);
  assert.equal(new Set(both).size, 1);
  assert.notEqual(both[0], first);
  assert.deepEqual(bench.server.grants, ["authorization_code", "refresh_token"]);
  // Whoever was refused with the old token gets the new one without another refresh.
  assert.equal(await bench.token(first), both[0]);
  await bench.restart();
  assert.equal(await bench.token(), both[0]);
  bench.clock.jumpTo(bench.clock.now() + 3_590_000);
  await bench.token();
  assert.deepEqual(bench.server.grants, ["authorization_code", "refresh_token", "refresh_token"]);
});

Deno.test("after 401 a token is renewed once, and the request is sent once more", async () => {
  await using bench = await openConnections();
  await bench.connect();
  const first = await bench.token();
  await bench.server.expire(first);
  const url = new URL(`${bench.server.api}/tasks`);
  const send = (authorization: string) => fetch(url, { headers: { authorization } });
  const answer = await sendWithToken(bench.connections, "asana", url, new AbortController().signal, send);
  assert.equal(answer.status, 200);
  await answer.body?.cancel();
  assert.deepEqual(bench.server.presented, [`Bearer ${first}`, `Bearer ${await bench.token()}`]);
  assert.deepEqual(bench.server.grants, ["authorization_code", "refresh_token"]);
  // An API that refuses the new token too gets no third request.
  let requests = 0;
  const refusing = () => Promise.resolve(new Response(null, { status: (requests++, 401) }));
  const refused = await sendWithToken(bench.connections, "asana", url, new AbortController().signal, refusing);
  assert.deepEqual([refused.status, requests], [401, 2]);
});

Deno.test("a program that is killed between the rotation and the use goes on with the new token", async () => {
  await using bench = await openConnections();
  await bench.connect();
  const first = await bench.token();
  await bench.server.expire(first);
  // The renewal is on disk; the program ends before the step that asked gets the token.
  await bench.token(first);
  await bench.restart();
  const second = await bench.token();
  assert.notEqual(second, first);
  bench.clock.jumpTo(bench.clock.now() + 3_590_000);
  assert.notEqual(await bench.token(), second);
  assert.equal(bench.lost.size, 0);
});

Deno.test("a program that stops during a renewal waits for it, and starts with the new token", async () => {
  await using bench = await openConnections();
  await bench.connect();
  const first = await bench.token();
  const renewed = bench.token(first);
  await new Promise((resolve) => setTimeout(resolve));
  await bench.connections.settled(10_000);
  await bench.restart();
  assert.equal(await bench.token(), await renewed);
  assert.notEqual(await bench.token(), first);
});

Deno.test("no token is used before it is on disk: a write that fails is tried again, without another refresh", async () => {
  let fails = false;
  await using bench = await openConnections(undefined, (disk) => ({
    ...disk,
    create: (path) => fails ? Promise.reject(new Error("ENOSPC: no space left on device")) : disk.create(path),
  }));
  await bench.connect();
  const first = await bench.token();
  fails = true;
  await assert.rejects(bench.token(first), /ENOSPC/);
  await assert.rejects(bench.token(first), /ENOSPC/);
  fails = false;
  assert.notEqual(await bench.token(first), first);
  assert.deepEqual(bench.server.grants, ["authorization_code", "refresh_token"]);
});

Deno.test("after invalid_grant a connection is lost: told once, and its sentence says what to do", async () => {
  await using bench = await openConnections();
  await bench.connect();
  const first = await bench.token();
  await bench.server.revokeGrants();
  const expected = /it is lost: .*invalid_grant.*; connect it with: whenthen connect asana/;
  await Promise.all([assert.rejects(bench.token(first), expected), assert.rejects(bench.token(first), expected)]);
  await assert.rejects(bench.token(), expected);
  bench.lost.clear();
  await bench.restart();
  bench.connections.reportStates();
  await assert.rejects(bench.token(), expected);
  assert.match(bench.lost.get("asana")!, /invalid_grant/);
  assert.equal(bench.connections.list()[0].state, "lost");
  const [problem] = bench.connections.problems();
  assert.deepEqual([problem.file, problem.at, problem.severity], ["whenthen.yaml", { line: 2, column: 3 }, "error"]);
  await bench.connect();
  assert.deepEqual([bench.connections.problems(), bench.lost.size], [[], 0]);
  await bench.token();
});

Deno.test("a server that cannot be reached does not lose a connection", async () => {
  await using bench = await openConnections();
  await bench.connect();
  const first = await bench.token();
  const real = globalThis.fetch;
  globalThis.fetch = () => Promise.reject(new TypeError("connection refused"));
  try {
    await assert.rejects(bench.token(first), /Cannot refresh its tokens for "asana": connection refused/);
  } finally {
    globalThis.fetch = real;
  }
  assert.notEqual(await bench.token(first), first);
  assert.equal(bench.lost.size, 0);
});

Deno.test("a device is connected by a code that a person types in", async () => {
  await using bench = await openConnections();
  const begun = await bench.connections.begin("asana", { by: "anna" }, "device") as Begun & { kind: "device" };
  assert.match(begun.userCode, /^[A-Z]{4}-[A-Z]{4}$/);
  const state = async () => (await bench.connections.attempt(begun.attempt))!.state;
  const next = (until: () => boolean | Promise<boolean>) => advanceUntil(bench.clock, until);
  await next(() => bench.clock.now() > begun.until - 590_000);
  assert.equal(await state(), "waiting");
  await bench.server.allowDevice(begun.complete!);
  await next(async () => await state() !== "waiting");
  assert.equal(await state(), "connected");
  const authorization = `Bearer ${await bench.token()}`;
  assert.equal((await fetch(bench.server.api, { headers: { authorization } })).status, 200);
});

Deno.test("a device goes on polling after a failure of the server or the network, until its code expires", async () => {
  await using bench = await openConnections();
  const begin = async () =>
    await bench.connections.begin("asana", { by: "anna" }, "device") as Begun & { kind: "device" };
  const state = async (begun: Begun) => (await bench.connections.attempt(begun.attempt))!;
  const allowed = await begin();
  await bench.server.allowDevice(allowed.complete!);
  const real = globalThis.fetch;
  let polls = 0;
  globalThis.fetch = () =>
    polls++ === 0
      ? Promise.reject(new TypeError("connection refused"))
      : Promise.resolve(Response.json({ error: "temporarily_unavailable" }, { status: 503 }));
  try {
    await advanceUntil(bench.clock, () => polls >= 2);
    assert.equal((await state(allowed)).state, "waiting");
  } finally {
    globalThis.fetch = real;
  }
  await advanceUntil(bench.clock, async () => (await state(allowed)).state !== "waiting");
  assert.equal((await state(allowed)).state, "connected");
  const late = await begin();
  globalThis.fetch = () => Promise.reject(new TypeError("connection refused"));
  try {
    await advanceUntil(bench.clock, async () => (await state(late)).state !== "waiting", 30_000);
  } finally {
    globalThis.fetch = real;
  }
  assert.match((await state(late)).error!, /connection refused/);
});

Deno.test("client credentials connect by themselves, and nothing is kept on disk", async () => {
  await using bench = await openConnections((server) => [asana(server, { grant: "client_credentials" })]);
  const listed = () => {
    const [{ state, reason }] = bench.connections.list();
    return `${state}: ${reason}`;
  };
  assert.match(listed(), /^unconnected: it gets a token when it is first used/);
  const real = globalThis.fetch;
  globalThis.fetch = () => Promise.reject(new TypeError("connection refused"));
  try {
    await assert.rejects(bench.token(), /connection refused/);
  } finally {
    globalThis.fetch = real;
  }
  assert.match(listed(), /^unconnected: .* for "asana": connection refused$/);
  const first = await bench.token();
  assert.equal(listed(), "connected: undefined");
  assert.equal(await bench.token(), first);
  assert.notEqual(await bench.token(first), first);
  assert.deepEqual(bench.server.grants, ["client_credentials", "client_credentials"]);
  const authorization = `Bearer ${await bench.token()}`;
  assert.equal((await fetch(bench.server.api, { headers: { authorization } })).status, 200);
  assert.equal(await bench.onDisk(), "");
});

Deno.test("a server that does not accept the client says so with the secrets to check, whatever its body is", async () => {
  await using bench = await openConnections((server) => [asana(server, { grant: "client_credentials" })]);
  const explained = (says: string) =>
    `Cannot get a token for its client for "asana": the server answers ${says}; ` +
    "check the secrets ASANA_ID and ASANA_SECRET, and oauth: { auth: basic or post } in whenthen.yaml";
  bench.environment.ASANA_SECRET = "another secret 0123456789";
  await bench.restart();
  const refused = { name: "ConnectionError", message: explained("invalid_client (client authentication failed)") };
  await assert.rejects(bench.token(), refused);
  const real = globalThis.fetch;
  globalThis.fetch = async (input, init) => {
    const response = await real(input, init);
    if (response.status !== 401) return response;
    return new Response("<h1>No</h1>", { status: 401, headers: { "www-authenticate": 'Basic realm="tokens"' } });
  };
  try {
    await assert.rejects(bench.token(), { name: "ConnectionError", message: explained("invalid_client") });
  } finally {
    globalThis.fetch = real;
  }
});

Deno.test("disconnecting forgets the tokens, and the server revokes them", async () => {
  await using bench = await openConnections();
  await bench.connect();
  const authorization = `Bearer ${await bench.token()}`;
  const status = async () => {
    const answer = await fetch(bench.server.api, { headers: { authorization } });
    await answer.body?.cancel();
    return answer.status;
  };
  assert.equal(await status(), 200);
  assert.deepEqual(await bench.connections.disconnect("asana", "anna"), { revoked: true });
  assert.equal(await status(), 401);
  assert.equal(await bench.connections.disconnect("asana", "anna"), undefined);
  await assert.rejects(bench.token(), /nobody has connected it yet/);
});

Deno.test("disconnecting while a code is exchanged leaves no tokens", async () => {
  await using bench = await openConnections();
  const begun = await bench.connections.begin("asana", { by: "anna" }, undefined) as Begun & { kind: "code" };
  const answer = new URL(await bench.server.allow(begun.url)).searchParams;
  const callback = () => bench.connections.callback(answer, undefined);
  const disconnect = () => bench.connections.disconnect("asana", "anna");
  await assert.rejects(duringExchange(bench, callback, disconnect), /the attempt was ended/);
  assert.deepEqual(bench.server.grants, ["authorization_code"]);
  assert.equal(bench.connections.list()[0].state, "unconnected");
  assert.match(await bench.onDisk(), /^(\{\s*"version": 1,\s*"entries": \{\}\s*\}\s*)*$/);
});

Deno.test("a token goes to its hosts only, and not unencrypted", async () => {
  await using bench = await openConnections();
  await bench.connect();
  const ask = (url: string) => bench.connections.token("asana", new URL(url), new AbortController().signal);
  await assert.rejects(ask("https://evil.example/"), /goes to 127\.0\.0\.1:\d+ only, not to evil\.example; add evil/);
  await assert.rejects(bench.connections.token("asanna", new URL(bench.server.api), new AbortController().signal), {
    message: 'There is no connection "asanna" in whenthen.yaml; did you mean "asana"?',
  });
  await bench.connections.set([asana(bench.server, { hosts: ["api.example.org"] })]);
  await assert.rejects(ask("http://api.example.org/"), /not sent unencrypted: write https:\/\/api\.example\.org/);
});

Deno.test("tokens are used only with the server, client and scopes that got them", async () => {
  await using bench = await openConnections();
  const { server, connections } = bench;
  await bench.connect();
  const first = await bench.token();
  const other = { issuer: server.issuer, revoke: `${server.api}/revoke`, parameters: {} };
  for (const changes of [{ oauth: other }, { client: "OTHER_ID" }, { scopes: [] }]) {
    await connections.set([asana(server, changes)]);
    await assert.rejects(bench.token(), /its server, client or scopes .* have changed since; connect it with/);
    assert.equal(connections.list()[0].state, "unconnected");
  }
  await connections.set([asana(server, { hosts: [server.apiHost, "api.example.org"] })]);
  assert.equal(await bench.token(), first);
  // An attempt that began before the edit stores nothing.
  const begun = await connections.begin("asana", { by: "anna" }, undefined) as Begun & { kind: "code" };
  const answer = new URL(await server.allow(begun.url)).searchParams;
  await connections.set([asana(server, { oauth: other })]);
  await assert.rejects(connections.callback(answer, undefined), /Cannot connect "asana": its server, .* changed since/);
  // The other server does not get the tokens, even to revoke them.
  const { revoked, reason } = (await connections.disconnect("asana", "anna"))!;
  assert.deepEqual([revoked, /have changed since/.test(reason!), server.presented], [false, true, []]);
});

Deno.test("a client's token is used only with the settings that got it", async () => {
  await using bench = await openConnections((server) => [asana(server, { grant: "client_credentials" })]);
  const before = bench.token();
  await bench.connections.set([asana(bench.server, { grant: "client_credentials", scopes: [] })]);
  const [first, second] = await Promise.all([before, bench.token()]);
  assert.notEqual(first, second);
  assert.notEqual(await bench.token(), first);
});

Deno.test("tokens are on disk only sealed, and masked in every output", async () => {
  await using bench = await openConnections();
  await bench.connect();
  const first = await bench.token();
  const second = await bench.token(first);
  const disk = await bench.onDisk();
  for (const token of [first, second, CLIENT_SECRET]) {
    assert.ok(!disk.includes(token));
    assert.equal(bench.secrets.mask(`<${token}>`), "<***>");
  }
  assert.match(disk, /"sealed": "v1\./);
  await bench.restart();
  assert.equal(bench.secrets.mask(`<${second}>`), "<***>");
});

const CLIENT_SECRET = "secret-of-the-client-0123456789";

Deno.test("Seal opens what it has sealed, under the same name only, and nothing that was changed", () => {
  const seal = Seal.of(newKey()) as Seal;
  const sealed = seal.seal("asana", "token ü");
  assert.equal(seal.open("asana", sealed), "token ü");
  assert.equal(seal.open("github", sealed), undefined);
  assert.notEqual(seal.seal("asana", "token ü"), sealed);
  for (const at of [0, 5, 16, 30, sealed.length - 1]) {
    const changed = sealed.slice(0, at) + (sealed[at] === "A" ? "B" : "A") + sealed.slice(at + 1);
    // The last character has unused bits.
    if (at < sealed.length - 1) assert.equal(seal.open("asana", changed), undefined, `changed at ${at}`);
  }
  assert.equal((Seal.of(newKey()) as Seal).open("asana", sealed), undefined);
});

Deno.test("Seal takes keys of 32 bytes in base64 and hex, and says how to make one", () => {
  const key = randomBytes(32);
  const sealed = (Seal.of(key.toString("hex")) as Seal).seal("a", "x");
  assert.equal((Seal.of(key.toString("base64url")) as Seal).open("a", sealed), "x");
  for (const [text, says] of [[undefined, "WHENTHEN_KEY is not set"], ["short", "not a key of 32 bytes"]] as const) {
    assert.match(Seal.of(text) as string, new RegExp(`${says}.*openssl rand -base64 32`));
  }
  assert.match(Seal.of(`${newKey()}, secret`) as string, /^Key 2 of WHENTHEN_KEY/);
});

Deno.test("without a key nothing is connected; a key is replaced by two of them for one start", async () => {
  await using bench = await openConnections();
  const { WHENTHEN_KEY: old } = bench.environment;
  delete bench.environment.WHENTHEN_KEY;
  await bench.restart();
  await assert.rejects(bench.connect(), /Cannot connect "asana": WHENTHEN_KEY is not set: make a key with: openssl/);
  bench.environment.WHENTHEN_KEY = old;
  await bench.restart();
  await bench.connect();
  const token = await bench.token();

  const next = bench.environment.WHENTHEN_KEY = newKey();
  await bench.restart();
  await assert.rejects(
    bench.token(),
    /its tokens were sealed with another WHENTHEN_KEY; add that one after the new one/,
  );
  assert.equal(bench.connections.list()[0].state, "locked");
  bench.environment.WHENTHEN_KEY = `${next},${old}`;
  await bench.restart();
  assert.equal(await bench.token(), token);
  bench.environment.WHENTHEN_KEY = next;
  await bench.restart();
  assert.equal(await bench.token(), token);
  assert.equal(bench.lost.size, 0);
});
