import assert from "node:assert/strict";
import { connect, type Socket } from "node:net";
import { KeptServer } from "../../runtime/host/kept_server.ts";
import { serve } from "../../runtime/host/serve.ts";
import { UsageError } from "../../runtime/model/errors.ts";

const LOCAL = { host: "127.0.0.1", port: 0 };

/** A connection on which this much of a request was sent. */
async function send(port: number, text: string): Promise<{ socket: Socket; closed: Promise<void> }> {
  const socket = connect(port, "127.0.0.1");
  const closed = new Promise<void>((resolve) => socket.on("close", () => resolve()));
  socket.on("error", () => {});
  await new Promise<void>((resolve) => socket.write(text, () => resolve()));
  return { socket, closed };
}

Deno.test("serve() answers requests at the url that it returns", async () => {
  const server = serve((request) => new Response(new URL(request.url).pathname), LOCAL);
  assert.equal(server.url, `http://127.0.0.1:${server.port}`);
  assert.equal(await (await fetch(`${server.url}/there`)).text(), "/there");
  await server.stop(0);
});

Deno.test("stop() lets current requests finish and refuses later ones", async () => {
  const entered = Promise.withResolvers<void>();
  const answer = Promise.withResolvers<Response>();
  const server = serve((request) => {
    if (!request.url.endsWith("/slow")) return new Response("fast");
    entered.resolve();
    return answer.promise;
  }, LOCAL);
  const slow = fetch(`${server.url}/slow`);
  await entered.promise;
  const stopped = server.stop(10_000);
  const late = await fetch(`${server.url}/late`);
  assert.equal(late.status, 503);
  assert.equal(late.headers.get("retry-after"), "5");
  await late.body?.cancel();
  answer.resolve(new Response("done"));
  assert.equal(await (await slow).text(), "done");
  await stopped;
  await assert.rejects(fetch(`${server.url}/after`));
});

Deno.test("stop() is not delayed by half-sent requests, nor by a handler that exceeds the grace period", async () => {
  const entered = Promise.withResolvers<void>();
  const released = Promise.withResolvers<void>();
  const server = serve(async (request) => {
    if (request.method === "POST") entered.resolve();
    await Promise.race([request.text(), released.promise]).catch(() => {});
    return new Response("late");
  }, LOCAL);
  const halfHead = await send(server.port, "POST / HTTP/1.1\r\nHo");
  const halfBody = await send(server.port, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nabc");
  await entered.promise;
  await server.stop(20);
  await Promise.all([halfHead.closed, halfBody.closed]);
  released.resolve();
});

Deno.test("serve() on a port in use says so and names the option", async () => {
  const server = serve(() => new Response(), LOCAL);
  assert.throws(
    () => serve(() => new Response(), { host: "127.0.0.1", port: server.port }),
    (error) =>
      error instanceof UsageError && error.message.includes("the port is in use") && error.message.includes("--port"),
  );
  await server.stop(0);
});

Deno.test("a kept server refuses requests until the next program answers at the same address; elsewhere it ends", async () => {
  const kept = new KeptServer();
  const entered = Promise.withResolvers<void>();
  const answer = Promise.withResolvers<Response>();
  const first = await kept.serve((request) => {
    if (request.url.endsWith("/slow")) entered.resolve();
    return request.url.endsWith("/slow") ? answer.promise : new Response("first");
  }, LOCAL);
  const slow = fetch(`${first.url}/slow`);
  await entered.promise;
  const keeping = kept.keep(first, LOCAL, 10_000);
  for (let asked = 0; asked < 3; asked++) {
    const refused = await fetch(first.url);
    assert.deepEqual([refused.status, refused.headers.get("retry-after")], [503, "5"]);
    assert.deepEqual(await refused.json(), { error: "The program begins anew" });
  }
  answer.resolve(new Response("done"));
  assert.equal(await (await slow).text(), "done");
  await keeping;
  const second = await kept.serve(() => new Response("second"), LOCAL);
  assert.equal(second.url, first.url);
  assert.equal(await (await fetch(first.url)).text(), "second");
  await kept.keep(second, LOCAL, 0);
  const third = await kept.serve(() => new Response("third"), { host: "0.0.0.0", port: 0 });
  await assert.rejects(fetch(first.url));
  assert.equal(await (await fetch(third.url)).text(), "third");
  await kept.keep(third, LOCAL, 0);
  await kept.close();
  await assert.rejects(fetch(third.url));
});
