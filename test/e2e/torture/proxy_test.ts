import assert from "node:assert/strict";
import { createServer, type IncomingHttpHeaders, request } from "node:http";
import type { AddressInfo } from "node:net";
import { rulesFolder } from "../folder.ts";
import { start, whenthen } from "../program.ts";

const FILES = { "a.yaml": "when: { webhook: /a, auth: none }\nthen:\n  - log: a\n" };
const TOKEN = "a-long-random-token";
const EVERYTHING = ["/", "/metrics", "/api/rules", "/api/runs", "/api/forms", "/api/problems"];

/**
 * A proxy on this machine, as nginx is by default: it says `Host: 127.0.0.1`, and nothing about itself but for `marks`.
 */
async function proxyTo(target: string, marks: Record<string, string>) {
  const { hostname, port } = new URL(target);
  const server = createServer((incoming, outgoing) => {
    const headers: IncomingHttpHeaders = { ...incoming.headers, ...marks, host: `${hostname}:${port}` };
    const onward = request({ hostname, port, method: incoming.method, path: incoming.url, headers }, (answer) => {
      outgoing.writeHead(answer.statusCode!, answer.headers);
      answer.pipe(outgoing);
    });
    incoming.pipe(onward);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    async status(path: string, init: RequestInit = {}): Promise<number> {
      const response = await fetch(url + path, init);
      await response.body?.cancel();
      return response.status;
    },
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

const hook = { method: "POST", body: "{}", headers: { "content-type": "application/json" } };
const emit = { method: "POST", body: '{"type":"x"}', headers: { "content-type": "application/json" } };
const bearer = { headers: { authorization: `Bearer ${TOKEN}` } };

Deno.test("behind a proxy on the same machine the token is required; commands use the one in the data folder", async () => {
  await using folder = await rulesFolder(FILES);
  await using program = start(folder.rules, { data: folder.data, env: { WHENTHEN_TOKEN: TOKEN } });
  await using proxy = await proxyTo(await program.url(), {});
  for (const path of EVERYTHING) assert.equal(await proxy.status(path), 401, path);
  for (const path of ["/events", "/api/emit", "/api/rules/a/pause"]) {
    assert.equal(await proxy.status(path, emit), 401, path);
  }
  for (const path of EVERYTHING.slice(0, 4)) assert.equal(await proxy.status(path, bearer), 200, path);
  assert.equal(await proxy.status("/hooks/a", hook), 202);
  assert.equal(await proxy.status("/healthz"), 200);
  const listed = await whenthen(["rules", "--data", folder.data, "--json"]);
  assert.equal(listed.code, 0, listed.stderr);
  assert.equal(JSON.parse(listed.stdout)[0].id, "a");
});

Deno.test("behind a proxy that marks its requests only hooks, forms and health are open, with or without a token", async () => {
  await using folder = await rulesFolder(FILES);
  await using program = start(folder.rules, { data: folder.data });
  for (const name of ["forwarded", "x-forwarded-for", "x-forwarded-proto"]) {
    await using proxy = await proxyTo(await program.url(), { [name]: "for=198.51.100.7" });
    for (const path of EVERYTHING) assert.equal(await proxy.status(path), 401, `${name} ${path}`);
    assert.equal(await proxy.status("/events", emit), 401, name);
    assert.equal(await proxy.status("/hooks/a", hook), 202, name);
    assert.equal(await proxy.status("/forms/sign-in"), 200, name);
  }
  assert.equal((await program.fetch("/api/rules")).status, 200, "without a proxy, from this machine");
});
