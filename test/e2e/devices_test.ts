import assert from "node:assert/strict";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { rulesFolder } from "./folder.ts";
import { start } from "./program.ts";

const PLATFORM = `
import { device } from "whenthen";
export default device<{ name: string; broken?: boolean }>({
  init: ({ device }) => ({ name: device.name }),
  ping: ({ device }) => { if (device.broken) throw new Error("it smokes"); },
  stop: ({ session }) => console.log("stopped " + session?.name),
});
`;
const FLEET = `
devices:
  - { name: press-1 }
  - { name: press-2, broken: true }
key: item.name
device: ./plc.ts
ping: { every: [20ms, 50ms], down: 2 }
init: { again: 1h }
`;
const TELL = `
when: { event: whenthen.device.* }
then:
  - log: "told: \${{ event.type }} \${{ event.subject }}"
`;

Deno.test("fleets come back after kill -9: a dead device is told once, and sessions end when the program stops", async () => {
  await using target = await listening();
  await using folder = await rulesFolder({
    "plant/plc.ts": PLATFORM,
    "plant/plc.yaml": FLEET,
    "web.yaml": `devices: [one]\nping: { tcp: "127.0.0.1:${target.port}", every: 50ms }\n`,
    "tell.yaml": TELL,
  });
  {
    await using program = start(folder.rules, { data: folder.data });
    await program.waitForMessage("told: whenthen.device.dead press-2");
    await program.waitForMessage("told: whenthen.device.reachable press-1");
    await program.waitForMessage("told: whenthen.device.reachable one");
    await program.kill();
  }
  await using program = start(folder.rules, { data: folder.data });
  await program.waitForMessage("told: whenthen.device.reachable press-1");
  await program.waitForMessage("told: whenthen.device.reachable one");
  await folder.write("plant/plc.yaml", FLEET.replace("  - { name: press-2, broken: true }\n", ""));
  await program.waitForMessage("told: whenthen.device.removed press-2");
  // Runs that were under way at the kill may log twice; events are stored once.
  const events = await program.api("events?limit=200");
  const stored = (type: string, subject: string) =>
    events.filter(({ event }: { event: { type: string; subject?: string } }) =>
      event.type === `whenthen.device.${type}` && event.subject === subject
    ).length;
  assert.deepEqual([stored("dead", "press-2"), stored("added", "press-1"), stored("removed", "press-2")], [1, 1, 1]);
  assert.equal(await program.stop(), 0);
  assert.ok(program.lines.some(({ message }) => message === "stopped press-1"));
});

async function listening(): Promise<AsyncDisposable & { port: number }> {
  const server = createServer((socket) => socket.on("error", () => {}));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    port: (server.address() as AddressInfo).port,
    [Symbol.asyncDispose]: () => new Promise((resolve) => server.close(() => resolve())),
  };
}
