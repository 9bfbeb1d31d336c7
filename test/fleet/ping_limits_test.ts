import assert from "node:assert/strict";
import { createSocket } from "node:dgram";
import { Plant, until } from "./harness.ts";
import { timedSessions } from "./timed_sessions.ts";

for (const [by, cap] of [[undefined, 5_000], ["tcp", 1_000], ["http", 1_000], ["run", 32]] as const) {
  Deno.test(`of pings by ${by ?? "a module"} at most ${cap} are under way: the next ones are skipped, do not pile up, and count neither way`, async () => {
    const count = cap + 20;
    let underWay = 0;
    let most = 0;
    let begun = 0;
    let held = Promise.withResolvers<void>();
    const ping = async () => {
      begun++;
      most = Math.max(most, ++underWay);
      await held.promise;
      underWay--;
    };
    const { sessions, edges, pass } = timedSessions({
      platform: { ping },
      builtIn: ping,
      settings: {
        initTimeout: 1_000,
        stopTimeout: 1_000,
        ping: { every: [100, 100], timeout: 60_000, down: 1, ...by && { by } },
      },
    });
    for (let index = 0; index < count; index++) sessions.init({ index, name: `d${index}`, data: {}, target: "x" });
    await pass(1_000);
    assert.deepEqual([begun, underWay], [cap, cap], "twenty devices were skipped some nine times, and none waits");
    held.resolve();
    await pass(10);
    assert.equal(underWay, 0);
    held = Promise.withResolvers();
    await pass(1_000);
    assert.deepEqual([begun, most], [2 * cap, cap], "another round, not one for each that was skipped");
    held.resolve();
    for (let round = 0; round < 10; round++) await pass(100);
    const up = edges.filter((what) => what === "reachable").length;
    assert.equal(up, count, "each had its turn");
    assert.equal(edges.length, 2 * count, "initialized and reachable, and nothing else");
    assert.equal(most, cap);
  });
}

const UDP_PLATFORM = `
import { createSocket, type Socket } from "node:dgram";
import { device } from "whenthen";
let pings = 0;
/** @returns whether it is answered in time */
const ask = (socket: Socket, port: number, text: string) => new Promise<boolean>((resolve) => {
  const end = (isAnswered: boolean) => {
    clearTimeout(timer);
    socket.off("message", look);
    resolve(isAnswered);
  };
  const look = (bytes: Uint8Array) => { if (String(bytes) === text) end(true); };
  const timer = setTimeout(() => end(false), 100);
  socket.on("message", look);
  socket.send(text, port, "127.0.0.1");
});
export default device<{ name: string; port: number; tries: number }>({
  init: () => createSocket("udp4"),
  async ping({ session, device, name }) {
    const text = name + " " + ++pings;
    for (let tried = 0; tried < device.tries; tried++) if (await ask(session, device.port, text)) return;
    throw new Error("no answer to " + device.tries + " datagrams");
  },
  stop: ({ session }) => session?.close(),
});
`;

Deno.test("over UDP a ping whose first datagram is lost, and that tries again before it throws, is one good ping", async () => {
  const sent = new Map<string, number>();
  const answered = new Set<string>();
  const server = createSocket("udp4");
  server.on("message", (bytes, { port, address }) => {
    const text = String(bytes);
    const count = (sent.get(text) ?? 0) + 1;
    sent.set(text, count);
    // The first datagram of each ping is lost.
    if (count === 1) return;
    answered.add(text);
    server.send(text, port, address);
  });
  await new Promise<void>((resolve) => server.bind(0, "127.0.0.1", resolve));
  try {
    const { port } = server.address();
    const devices = [{ name: "stubborn", port, tries: 50 }, { name: "shy", port, tries: 1 }];
    await using plant = await Plant.with({
      "udp.ts": UDP_PLATFORM,
      "udp.yaml": `devices: ${
        JSON.stringify(devices)
      }\nkey: item.name\ndevice: ./udp.ts\nping: { every: [20ms, 40ms], timeout: 20s, down: 1 }\ninit: { again: 1h }\n`,
    });
    await plant.reach("udp", "dead", 1);
    await until(() => answered.size, (size) => size >= 5);
    const events = await until(() => plant.events(), (seen) => seen.includes("reachable stubborn"));
    assert.deepEqual(events.filter((each) => each.endsWith(" stubborn")), [
      "added stubborn",
      "initialized stubborn",
      "reachable stubborn",
    ]);
    const { state, failures, lastPing } = await plant.device("udp", "stubborn");
    assert.deepEqual([state, failures, lastPing !== undefined], ["reachable", 0, true]);
    assert.equal((await plant.device("udp", "shy")).error, "no answer to 1 datagrams");
    assert.ok([...answered].every((text) => sent.get(text)! >= 2), "each ping was sent again");
  } finally {
    await new Promise<void>((resolve) => server.close(() => resolve()));
  }
});
