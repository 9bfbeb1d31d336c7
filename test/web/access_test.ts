import assert from "node:assert/strict";
import { Hono } from "hono";
import { UsageError } from "../../runtime/model/errors.ts";
import { type Access, accessTo, guard, tokenFault } from "../../runtime/web/access.ts";

async function statusOf(access: Access, headers: Record<string, string>, method = "GET"): Promise<number> {
  const app = new Hono();
  app.use(guard(access));
  app.all("/", (c) => c.text("in"));
  return (await app.request("http://127.0.0.1:8080/", { method, headers })).status;
}

Deno.test("without a token the program does not start on an address that others can reach", () => {
  assert.throws(() => accessTo("0.0.0.0", undefined, "data"), UsageError);
  assert.throws(() => accessTo("192.168.1.7", "", "data"), /WHENTHEN_TOKEN/);
  assert.deepEqual(accessTo("0.0.0.0", "secret", "data"), { tokenless: false, tokens: ["secret", "data"] });
  for (const host of ["127.0.0.1", "localhost", "::1", "127.9.9.9"]) {
    assert.deepEqual(accessTo(host, undefined, "data"), { tokenless: true, tokens: ["data"] });
  }
});

Deno.test("off loopback only requests with a token are admitted", async () => {
  const access = accessTo("0.0.0.0", "secret", "data");
  assert.equal(await statusOf(access, {}), 401);
  assert.equal(await statusOf(access, { authorization: "Bearer secreT" }), 401);
  assert.equal(await statusOf(access, { authorization: "Basic secret" }), 401);
  assert.equal(await statusOf(access, { authorization: "Bearer secret" }), 200);
  assert.equal(await statusOf(access, { authorization: "bearer data" }), 200);
});

Deno.test("a token that is set is required on loopback, too: a proxy may stand on the same machine", async () => {
  const access = accessTo("127.0.0.1", "secret", "data");
  const host = "127.0.0.1:8080";
  assert.equal(await statusOf(access, { host }), 401);
  assert.equal(await statusOf(access, { host, authorization: "Bearer secret" }), 200);
  assert.equal(await statusOf(access, { host, authorization: "Bearer data" }), 200);
});

Deno.test("a request from a proxy is never admitted without a token", async () => {
  const access = accessTo("127.0.0.1", undefined, "data");
  const host = "127.0.0.1:8080";
  const marks = ["Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-IP", "Via"];
  for (const mark of marks) {
    assert.equal(await statusOf(access, { host, [mark]: "" }), 401, mark);
    assert.equal(await statusOf(access, { host, [mark]: "127.0.0.1", authorization: "Bearer data" }), 200, mark);
  }
});

Deno.test("on loopback this machine needs no token, pages of other sites are refused", async () => {
  const access = accessTo("127.0.0.1", undefined, "data");
  assert.equal(await statusOf(access, { host: "127.0.0.1:8080" }), 200);
  assert.equal(await statusOf(access, { host: "localhost:8080", origin: "http://localhost:8080" }, "POST"), 200);
  assert.equal(await statusOf(access, { host: "[::1]:8080" }), 200);
  assert.equal(await statusOf(access, { host: "evil.example.org:8080" }), 403, "DNS rebinding");
  assert.equal(await statusOf(access, { host: "localhost.evil.example.org" }), 403);
  assert.equal(await statusOf(access, { host: "127.0.0.1.evil.example.org" }), 403);
  const host = "127.0.0.1:8080";
  assert.equal(await statusOf(access, { host, origin: "https://evil.example.org" }, "POST"), 403, "another site");
  assert.equal(await statusOf(access, { host, origin: "http://127.0.0.1:3000" }, "POST"), 403, "another port");
  assert.equal(await statusOf(access, { host, origin: "null" }, "POST"), 403, "a sandboxed frame");
  assert.equal(await statusOf(access, { host, "sec-fetch-site": "cross-site" }), 403, "an image elsewhere");
  assert.equal(await statusOf(access, { host, authorization: "Bearer wrong" }), 401, "a wrong token is never ignored");
  assert.equal(await statusOf(access, { host: "tunnel.example.org", authorization: "Bearer data" }), 200);
});

Deno.test("a weak token causes a warning", () => {
  assert.match(tokenFault("a".repeat(15))!, /^WHENTHEN_TOKEN has under 16 characters/);
  for (const token of [undefined, "", "a".repeat(16)]) assert.equal(tokenFault(token), undefined);
});
