import assert from "node:assert/strict";
import { rm } from "node:fs/promises";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { command } from "./command.ts";
import { rulesFolder } from "./folder.ts";
import { start } from "./program.ts";
import { until } from "./until.ts";
import { WebServer } from "./web_server.ts";

const PLATFORM = `
import { device, task } from "whenthen";
export default device<{ name: string; broken?: boolean }>({
  init: ({ device }) => ({ name: device.name }),
  ping: ({ device }) => { if (device.broken) throw new Error("it smokes"); },
  tasks: { greet: task({ inputs: { word: { type: "text", default: "hello" } }, run: ({ session, inputs }) => inputs.word + " " + session.name }) },
  stop: ({ session }) => console.log("stopped " + session?.name),
});
`;
const FLEET = `
devices:
  - { name: press-1 }
  - { name: press-2, broken: true }
  - { name: a=b }
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

const GREET = `
when: { event: greet }
then:
  - { id: all, task: greet, fleet: plant/plc, to: all, onError: continue }
  - log: "\${{ string(steps.all.failed) }} of \${{ string(steps.all.total) }} failed"
`;

Deno.test("fleets come back after kill -9: a dead device is told once, and sessions end when the program stops", async () => {
  await using target = await listening();
  await using folder = await rulesFolder({
    "plant/plc.ts": PLATFORM,
    "plant/plc.yaml": FLEET,
    "web.yaml": `devices: [one]\nping: { tcp: "127.0.0.1:${target.port}", every: 50ms }\n`,
    "tell.yaml": TELL,
    "greet.yaml": GREET,
  });
  {
    await using program = start(folder.rules, { data: folder.data });
    await program.waitForMessage("told: whenthen.device.dead press-2");
    await program.waitForMessage("told: whenthen.device.reachable press-1");
    await program.waitForMessage("told: whenthen.device.reachable one");
    await program.kill();
  }
  await rm(join(folder.rules, "web.yaml"));
  await using program = start(folder.rules, { data: folder.data });
  await program.waitForMessage("told: whenthen.device.reachable press-1");
  await program.waitForMessage("told: whenthen.device.removed one");
  await program.post("/api/emit", { type: "greet" });
  await program.waitForMessage("1 of 3 failed");
  const at = ["--data", folder.data];
  const listed = await command("devices", ...at, "--state", "dead");
  assert.match(listed.stdout, /^FLEET +DEVICE +STATE[^\n]*\nplant\/plc +press-2 +dead [^\n]*it smokes\n$/);
  const sent = await command("task", "plant/plc", "greet", "word=good day", "--to", "press-1", ...at);
  assert.deepEqual([sent.stderr, sent.code, sent.stdout], ["", 0, 'press-1: "good day press-1"\n1 of 1 succeeded\n']);
  const equal = await command("task", "plant/plc", "greet", ...at, "--to", "a=b", "press-1", "word=hi");
  assert.deepEqual([equal.stderr, equal.stdout], ["", 'a=b: "hi a=b"\npress-1: "hi press-1"\n2 of 2 succeeded\n']);
  const failed = await command("task", "plant/plc", "greet", ...at, "--to", "press-2", "word=x");
  assert.equal(failed.code, 1);
  assert.match(failed.stdout, /^press-2: it has no session: it is dead: it smokes\n0 of 1 succeeded\n$/);
  const one = await command("devices", "press-2", ...at);
  assert.match(
    one.stdout,
    /^device +press-2 of plant\/plc\nstate +dead, since [^\n]+\nwhy +it smokes\nagain [^]*\nTASK [^]*\ngreet +failed [^]*\nEVENT [^]*\ndead +[^\n]+ it smokes\n/,
  );
  const none = await command("devices", "press-9", ...at);
  assert.match(none.stderr, /There is no device "press-9"/);
  const nobody = { to: null, inputs: { word: "x" }, max: 1, timeout: "1s" };
  const { body: { runs: [id] } } = await program.post("/api/rules/plant/plc:greet/start", { data: nobody });
  const whole = await until(
    "the task to nobody ends",
    () => program.api(`tasks/${id}`),
    ({ state }) => state === "failed",
  );
  assert.match(whole.error, /^Cannot send the task to null: /);
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

const CALLED = (url: string) => `
import { source } from "whenthen";
export const devices = source<{ name: string; broken?: boolean }>({
  key: "item.name",
  inputs: { line: { type: "text" } },
  read: async ({ inputs, http }) => ({
    items: (await http<{ name: string; broken?: boolean }[]>("GET ${url}/lines/" + inputs.line)).body,
    complete: true,
  }),
});
`;

Deno.test("an inventory by call is live; devices --fleet and a device's page show what is its own", async () => {
  let items: { name: string; broken?: boolean }[] = [{ name: "mill" }, { name: "saw", broken: true }];
  const asked = new Set<string>();
  await using peer = await WebServer.start((request, response) => {
    asked.add(request.path);
    response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(items));
  });
  const rest = FLEET.slice(FLEET.indexOf("key:"));
  await using folder = await rulesFolder({
    "plc.ts": PLATFORM,
    "inventory.ts": CALLED(peer.url),
    "called.yaml": `devices: { call: "./inventory.ts#devices", with: { line: "7" }, every: 1s }\n${rest}`,
    "listed.yaml": `devices: [{ name: saw }]\n${rest}`,
    "tell.yaml": TELL,
  });
  await using program = start(folder.rules, { data: folder.data });
  await program.waitForMessage("told: whenthen.device.dead saw");
  await program.waitForMessage("told: whenthen.device.reachable mill");
  await program.waitForMessage("told: whenthen.device.reachable saw");
  assert.deepEqual([...asked], ["/lines/7"]);

  const list = (...more: string[]) => command("devices", "--data", folder.data, ...more);
  const rows = ({ stdout }: { stdout: string }) =>
    stdout.trimEnd().split("\n").slice(1).map((row) => row.split(/ +/, 3));
  assert.deepEqual(rows(await list("--fleet", "called")), [
    ["called", "mill", "reachable"],
    ["called", "saw", "dead"],
  ]);
  assert.deepEqual(rows(await list("--fleet", "listed")), [["listed", "saw", "reachable"]]);
  assert.equal(rows(await list()).length, 3);
  assert.match((await list("--fleet", "caled")).stderr, /There is no fleet "caled"/);

  const shown = async (fleet: string) => {
    const response = await program.fetch(`/device?fleet=${fleet}&name=saw`);
    assert.equal(response.status, 200);
    const [, events] = (await response.text()).split("<h2>Events</h2>");
    return [...events.matchAll(/<a href="\/events\/[^"]+">([^<]+)<\/a><\/td>\n<td class="why cut"><div>([^<]*)</g)]
      .map(([, type, why]) => `${type} ${why}`.trim());
  };
  assert.deepEqual(await shown("called"), [
    "dead it smokes",
    "unreachable it smokes",
    "unreachable it smokes",
    "initialized",
    "added",
  ]);
  assert.deepEqual(await shown("listed"), ["reachable", "initialized", "added"]);

  items = [{ name: "saw", broken: true }, { name: "drill" }];
  await program.waitForMessage("told: whenthen.device.removed mill");
  await program.waitForMessage("told: whenthen.device.reachable drill");
  assert.deepEqual(rows(await list("--fleet", "called")), [
    ["called", "drill", "reachable"],
    ["called", "saw", "dead"],
  ]);
  assert.equal(await program.stop(), 0);
});

Deno.test("a stop that hangs, and one that never returns, keep the program from ending for seconds at most; other sessions end", async () => {
  const platform = PLATFORM.replace(
    'console.log("stopped " + session?.name)',
    '{ if (session.name === "loops") for (;;); console.log("stopped " + session.name); if (session.name === "hangs") return new Promise(() => {}); }',
  );
  const fleet = (...names: string[]) =>
    `devices: ${JSON.stringify(names.map((name) => ({ name })))}\n${FLEET.slice(FLEET.indexOf("key:"))}`;
  await using folder = await rulesFolder({
    "plc.ts": platform,
    "hanging.yaml": fleet("hangs", "fine"),
    "looping.yaml": fleet("loops"),
    "tell.yaml": TELL,
  });
  await using program = start(folder.rules, { data: folder.data });
  for (const name of ["hangs", "fine", "loops"]) {
    await program.waitForMessage(`told: whenthen.device.reachable ${name}`);
  }
  const began = Date.now();
  assert.equal(await program.stop(), 0);
  const took = Date.now() - began;
  // After 24 seconds the program would end in any case.
  assert.ok(took < 20_000, `it took ${took} ms`);
  const stopped = program.lines.map(({ message }) => message).filter((message) => message.startsWith("stopped "));
  assert.deepEqual(stopped.sort(), ["stopped fine", "stopped hangs"]);
});

async function listening(): Promise<AsyncDisposable & { port: number }> {
  const server = createServer((socket) => socket.on("error", () => {}));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    port: (server.address() as AddressInfo).port,
    [Symbol.asyncDispose]: () => new Promise((resolve) => server.close(() => resolve())),
  };
}
