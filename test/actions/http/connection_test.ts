import assert from "node:assert/strict";
import { http } from "../../../runtime/actions/http/http.ts";
import { ConnectionError } from "../../../runtime/connections/connection.ts";
import type { JsonObject } from "../../../runtime/model/json.ts";
import { makeContext } from "../context.ts";
import { withServer } from "./server.ts";

/** Tokens `t1`, then `t2` after a refusal. */
function tokens(asked: string[]) {
  return {
    token(name: string, url: URL, _signal: AbortSignal, refused?: string) {
      asked.push(`${name} ${url.host}${refused === undefined ? "" : ` after ${refused}`}`);
      return Promise.resolve(refused === undefined ? "t1" : "t2");
    },
  };
}

function execute(args: JsonObject, asked: string[] = []) {
  return http.execute(args, makeContext({ services: { connections: tokens(asked) } }));
}

Deno.test("http sends the token of a connection; after 401 it renews it and sends the whole request once more", async () => {
  await withServer((request, response) => {
    response.statusCode = request.headers.authorization === "Bearer t2" ? 200 : 401;
    response.end("{}");
  }, async ({ origin, seen }) => {
    const asked: string[] = [];
    const { host } = new URL(origin);
    await execute({ http: `POST ${origin}/tasks`, json: { a: 1 }, auth: { connection: "asana" } }, asked);
    assert.deepEqual(seen.map(({ headers }) => headers.authorization), ["Bearer t1", "Bearer t2"]);
    assert.deepEqual(seen.map(({ body }) => body), ['{"a":1}', '{"a":1}']);
    assert.equal(seen[0].headers["idempotency-key"], seen[1].headers["idempotency-key"]);
    assert.deepEqual(asked, [`asana ${host}`, `asana ${host} after t1`]);
  });
});

Deno.test("a redirect on the same host keeps the token of a connection, one to another host never gets it", async () => {
  await withServer((request, response) => response.end(request.url), async (other) => {
    await withServer((request, response) => {
      const location = request.url === "/here" ? "/there" : `${other.origin}/elsewhere`;
      if (request.url === "/there") response.end("{}");
      else response.writeHead(307, { location }).end();
    }, async ({ origin, seen }) => {
      const asked: string[] = [];
      await execute({ http: `GET ${origin}/here`, auth: { connection: "asana" } }, asked);
      assert.deepEqual(seen.map(({ headers }) => headers.authorization), ["Bearer t1", "Bearer t1"]);
      await execute({ http: `POST ${origin}/away`, json: 1, auth: { connection: "asana" } }, asked);
      assert.equal(seen[2].headers.authorization, "Bearer t1");
      assert.equal(other.seen[0].headers.authorization, undefined);
      // A 401 there is no reason to renew a token that it never got.
      assert.equal(asked.length, 3);
    });
  });
});

Deno.test("a connection without a token fails the step at once, with its sentence", async () => {
  const sentence = 'Cannot use the connection "asana": it is lost: …; connect it with: whenthen connect asana';
  const connections = { token: () => Promise.reject(new ConnectionError(sentence)) };
  const args = { http: "GET https://app.asana.com/", auth: { connection: "asana" } };
  const failing = http.execute(args, makeContext({ services: { connections } }));
  await assert.rejects(failing as Promise<unknown>, { name: "ConnectionError", message: sentence });
});
