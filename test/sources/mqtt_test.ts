import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { symlink, writeFile } from "node:fs/promises";
import { connect, createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import process from "node:process";
import mqtt from "mqtt";
import { type Answered, ask, Folder, holds } from "./app.ts";

const ROOT = new URL("../..", import.meta.url).pathname;
/** From Debian's package `mosquitto`. */
const BROKER = "/usr/sbin/mosquitto";

const SOURCE = (port: number) => `
import mqtt from "mqtt";
import { source, type } from "whenthen";
export const readings = source({
  item: type<{ topic: string; value: number }>(),
  listen: async ({ emit, signal }) => {
    const client = mqtt.connect("mqtt://127.0.0.1:${port}", { clientId: "rules", clean: false, reconnectPeriod: 0 });
    // The broker is told that a message was taken once it is stored.
    client.handleMessage = (packet, done) => {
      const { topic, payload } = packet as { topic: string; payload: Uint8Array };
      emit({ topic, value: Number(new TextDecoder().decode(payload)) }).then(() => done(), done);
    };
    signal.addEventListener("abort", () => client.end());
    await new Promise<void>((resolve, reject) => {
      client.on("connect", () => client.subscribe("sensors/#", { qos: 1 }));
      client.on("close", () => resolve());
      client.on("error", reject);
    });
  },
});
`;

const RULE = `
when: { poll: { call: "./feed.ts#readings" } }
then: [{ log: "\${{ event.data.new.topic }} is \${{ event.data.new.value }}" }]
`;

/** The port of the broker on this machine, which is ours also while the broker is down: it leads to the broker's socket. */
async function openPort(socket: string): Promise<AsyncDisposable & { port: number }> {
  const server = createServer((client) => {
    const broker = connect(socket);
    client.pipe(broker).pipe(client);
    for (const [one, other] of [[client, broker], [broker, client]]) {
      one.on("error", () => {}).on("close", () => other.destroy());
    }
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  return { port, [Symbol.asyncDispose]: () => new Promise((resolve) => server.close(() => resolve())) };
}

/** A broker that keeps what its clients miss, also across its own restarts. */
async function startBroker(folder: string, socket: string): Promise<() => Promise<void>> {
  const config = join(folder, "mosquitto.conf");
  const lines = [
    `listener 0 ${socket}`,
    "allow_anonymous true",
    "persistence true",
    `persistence_location ${folder}/`,
  ];
  await writeFile(config, `${lines.join("\n")}\n${process.getuid?.() === 0 ? "user root\n" : ""}`);
  const broker = spawn(BROKER, ["-c", config], { stdio: "ignore" });
  const ended = once(broker, "exit");
  return async () => {
    broker.kill("SIGTERM");
    await ended;
  };
}

Deno.test({
  name:
    "MQTT: what comes while the program is down is told after its start, and it connects again to a broker that was down",
  ignore: !existsSync(BROKER),
  async fn() {
    await using sockets = await Folder.with({});
    const socket = join(sockets.root, "broker");
    await using line = await openPort(socket);
    await using folder = await Folder.with({ "feed.ts": SOURCE(line.port), "a.yaml": RULE });
    await symlink(join(ROOT, "node_modules"), join(folder.rules, "node_modules"));
    let stopBroker = await startBroker(folder.root, socket);
    const publisher = mqtt.connect(`mqtt://127.0.0.1:${line.port}`, { reconnectPeriod: 100 });
    const publish = (value: number) => publisher.publishAsync("sensors/a", String(value), { qos: 1 });
    let app = await folder.open();
    const values = async () => (await ask(app, "/api/runs")).map(({ event }: Answered) => event.data.new.value);
    const told = async (...wanted: number[]) => {
      const seen = await values();
      return wanted.every((value) => seen.includes(value));
    };
    try {
      await app.start();
      await holds("the subscription", async () => {
        await publish(0);
        return await told(0);
      });
      await Promise.all([1, 2, 3].map(publish));
      await holds("three more", () => told(1, 2, 3));
      await app.stop();
      await Promise.all([4, 5].map(publish));
      app = await folder.open();
      await app.start();
      await holds("what came meanwhile", () => told(4, 5));
      await stopBroker();
      await holds("the problem", async () => JSON.stringify(await ask(app, "/api/rules")).includes("listen ended"));
      stopBroker = await startBroker(folder.root, socket);
      await publish(6);
      await holds("what came after the broker's restart", () => told(6));
      const rules = JSON.stringify(await ask(app, "/api/rules"));
      assert.ok(!rules.includes("listen ended"), rules);
      const counted = (await values()).filter((value: number) => value > 0);
      // What was stored, but not yet acknowledged when the program stopped, is delivered again: QoS 1 is at least once.
      assert.deepEqual([...new Set(counted)].toSorted(), [1, 2, 3, 4, 5, 6]);
    } finally {
      await app.stop();
      await publisher.endAsync(true);
      await stopBroker();
    }
  },
});
