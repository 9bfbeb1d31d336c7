import assert from "node:assert/strict";
import { connect, type Socket } from "node:net";
import { rulesFolder } from "./folder.ts";
import { start } from "./program.ts";
import { until } from "./until.ts";
import { WebServer } from "./web_server.ts";

const LONGEST_STOP = 25_000;

/** Sends raw bytes; the socket stays open. */
async function half(url: string, bytes: string): Promise<Socket> {
  const { hostname, port } = new URL(url);
  const socket = connect(Number(port), hostname);
  socket.on("error", () => {});
  await new Promise<void>((resolve) => socket.write(bytes, () => resolve()));
  return socket;
}

Deno.test("SIGTERM under load, with everything that could delay it: exit 0 in time, no accepted event is lost", async () => {
  await using peer = await WebServer.start(() => {});
  await using folder = await rulesFolder({
    "in.yaml":
      'when: { webhook: /in, auth: none, dedupe: event.data.id }\nlimit: none\nthen:\n  - log: "seen ${{ event.data.id }}"\n',
    "deaf.yaml": `
when: { webhook: /deaf, auth: none }
then:
  - run: [sh, -c, 'trap "" TERM; echo deaf; while :; do sleep 0.05; done']
`,
    "hangs.yaml": `when: { webhook: /hangs, auth: none }\nthen:\n  - http: POST ${peer.url}/never\n`,
    "replies.yaml": `
when: { webhook: /replies, auth: none, replyWithin: 1h }
then:
  - http: POST ${peer.url}/never
  - reply: 200
`,
    "loops.ts": `
import { rule, webhook } from "whenthen";
export default rule({ when: webhook("/loops", { auth: "none" }), then: async () => { for (;;); } });
`,
    "polls.yaml": `when: { poll: "${peer.url}/poll", every: 1s }\nthen:\n  - log: never\n`,
  });
  const accepted: number[] = [];
  {
    await using program = start(folder.rules, { data: folder.data });
    const url = await program.url();
    for (const path of ["deaf", "hangs", "loops"]) assert.equal((await program.post(`/hooks/${path}`, {})).status, 202);
    const replied = program.post("/hooks/replies", {});
    await peer.waitFor(2, ({ path }) => path === "/never");
    const head = "POST /hooks/in HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n";
    const sockets = await Promise.all([
      half(url, head),
      half(url, `${head}content-length: 100\r\n\r\n{"id":`),
      half(url, `${head}transfer-encoding: chunked\r\n\r\n5\r\n{"id"`),
    ]);
    let over = false;
    let next = 0;
    const load = Array.from({ length: 8 }, async () => {
      while (!over) {
        const id = next++;
        const answer = await program.post("/hooks/in", { id }).catch(() => undefined);
        if (answer?.status === 202) accepted.push(id);
        else over = true;
      }
    });
    await program.waitFor("some runs", () => accepted.length > 200);
    const told = performance.now();
    assert.equal(await program.stop(), 0);
    const took = performance.now() - told;
    await Promise.all(load);
    for (const socket of sockets) socket.destroy();
    console.log(`${accepted.length} accepted; it stopped in ${took.toFixed(0)} ms`);
    assert.ok(took < LONGEST_STOP, `${took} ms`);
    assert.equal((await replied).status, 202, "a client that waits for a reply learns that the event is accepted");
  }
  peer.answer((_, response) => response.end("{}"));
  await using program = start(folder.rules, { data: folder.data });
  for (const id of accepted) assert.equal((await program.post("/hooks/in", { id })).status, 200, `${id} is known`);
  await program.waitForMessage("hangs succeeded");
  await program.waitForMessage("replies succeeded");
  const succeeded = async () => {
    const metrics = await (await program.fetch("/metrics")).text();
    return Number(/^whenthen_runs\{state="succeeded"\} (\d+)/m.exec(metrics)![1]);
  };
  // One run for each event that was accepted, or whose 202 was lost.
  await until("all runs", succeeded, (count) => count >= accepted.length + 2);
  // Children outlive a kill of the program, and the one that ignores SIGTERM would do so for ever.
  assert.equal(await program.stop(), 0);
});
