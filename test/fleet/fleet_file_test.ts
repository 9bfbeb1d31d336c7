import assert from "node:assert/strict";
import { FLEET_KEYS, fleetKind, taskKind } from "../../runtime/folder/fleet_file.ts";
import { ruleJsonSchema } from "../../runtime/language/checker/json_schema.ts";
import { openIsolates } from "../../runtime/workers/open_workers.ts";
import { heads, TestFolder } from "../folder/loading.ts";

const PLATFORM = `
import { device, task, type } from "whenthen";
class Client {
  read(register: number): Promise<number> { return Promise.resolve(register); }
  close(): void {}
}
const connect = (_host: string, _signal: AbortSignal): Promise<Client> => Promise.resolve(new Client());
export default device({
  item: type<{ host: string }>(),
  init: ({ device, signal }) => connect(device.host, signal),
  ping: ({ session }): Promise<number> => session.read(0),
  tasks: {
    read: task({ inputs: { register: { type: "integer" } }, timeout: "5s", run: ({ session, inputs }) => session.read(inputs.register) }),
  },
  stop: ({ session }) => session?.close(),
});
`;

const FLEET = `devices:
  - { name: press-1, host: 10.0.0.1, tags: [press] }
  - { name: press-2, host: 10.0.0.2, tags: [press] }
key: item.name
tags: item.tags
device: ./plc.ts
ping: { tcp: "\${{ device.host }}:502", every: 10s }
init: { again: 5m }
tasks:
  reboot: { call: ../commands/reboot.yaml, with: { -d: "\${{ inputs.delay }}" }, inputs: { delay: { type: duration, default: 0s } }, to: [ops] }
`;

const FILES = {
  "plant/plc.ts": PLATFORM,
  "plant/plc.yaml": FLEET,
  "commands/reboot.yaml": "command: reboot\ninputs:\n  -d: { type: duration }\n",
  "whenthen.yaml": "people: { ann: { name: Ann, email: ann@example.org, groups: [ops] } }\n",
};

async function loadAll(files: Record<string, string>) {
  const isolates = openIsolates({ secrets: () => ({}), onSecret() {}, env: () => ({}), onLog() {} });
  try {
    await using folder = await TestFolder.with(files, { isolates });
    return await folder.load();
  } finally {
    await isolates.close();
  }
}

Deno.test("a file with devices: is a fleet, with the tasks of its module and its own", async () => {
  const loaded = await loadAll(FILES);
  assert.deepEqual(heads(loaded), []);
  const fleet = loaded.fleets.get("plant/plc")!;
  assert.deepEqual(Object.keys(fleet.tasks), ["read", "reboot"]);
  assert.equal(fleet.tasks.read.timeout, 5_000);
  assert.equal(fleet.tasks.read.inputs.register.type, "integer");
  assert.deepEqual(fleet.tasks.reboot.to, ["ops"]);
  assert.deepEqual(fleet.platform?.methods, ["init", "ping", "stop"]);
  assert.deepEqual(fleet.ping, {
    by: { kind: "tcp", target: "${{ device.host }}:502" },
    every: [10_000, 10_000],
    timeout: 10_000,
    down: 2,
  });
  assert.deepEqual(fleet.init, { timeout: 25_000, max: 256, again: 300_000 });
});

Deno.test("mistakes in a fleet file are problems with their places; the last good version stays", async () => {
  const wrong = `devices:
  - { name: a, host: 10.0.0.1 }
  - { name: a, host: 10.0.0.2 }
  - { host: 10.0.0.3 }
key: item.name
tags: itm.tags
devise: ./plc.ts
ping: { tcp: "\${{ device.host }}", http: "http://\${{ devce.host }}/" }
tasks:
  reboot: { call: ./nothing.yaml, inputs: { delay: { type: time } }, max: 0 }
when: manual
`;
  const loaded = await loadAll({
    "a.yaml": wrong,
    "b.yaml": "devices: { pol: https://example.org/ }\nkey: item.name\n",
    "c.yaml": "devices: { poll: https://example.org/, evry: 1m }\nkey: item.name\n",
    "d.yaml": "devices: [one, two]\ndevice: ./d.ts\n",
    "d.ts": "export default 5;\n",
    "e.yaml": "devices: [one, one]\n",
    "g.yaml": "devices: [one]\nping: { http: https://example.org/, every: soon }\n",
    "h.yaml": "devices: [one]\nping: { http: https://example.org/, tcp: localhost, every: [2s, 1s] }\n",
    "i.yaml": "devices: { watch: ./plants/*, setle: 1s }\nkey: item.name\n",
    "j.yaml": "devices: { watch: ./plants/*, settle: soon }\nkey: item.name\n",
    "k.yaml": "devices: { watch: ./plants/* }\nkey: item.name\n",
    "web.yaml": "devices: [one]\nping: { tcp: localhost:1 }\n",
    "web:look.yaml": "when: manual\nthen: [{ log: hello }]\n",
    "f.yaml": "devices: { call: ./d.ts#read }\nkey: item.name\n",
  });
  assert.deepEqual(heads(loaded), [
    'a.yaml:6:7: unknown name "itm"',
    'a.yaml:7:1: unknown key "devise"',
    'a.yaml:8:54: unknown name "devce"',
    "a.yaml:10:19: ./nothing.yaml does not exist",
    'a.yaml:10:60: expected one of "text", "number", "integer", "boolean", "choice", "list", "duration", "date", "email", "url", "ip", "port", "path", "secret", "file", got "time"',
    "a.yaml:10:75: expected at least 1, got 0",
    'a.yaml:11:1: a file with "devices" is a fleet, so it has no "when"',
    "b.yaml:1:10: expected a list of devices, { watch }, { poll } or { call }, got an object",
    'c.yaml:1:40: unknown key "evry"',
    "d.yaml:2:9: ./d.ts is no platform",
    'e.yaml:1:16: there is a device "one" already',
    'f.yaml:1:18: ./d.ts exports no "read"',
    'g.yaml:2:44: expected a duration such as 10s, got "soon"',
    "h.yaml:2:9: a device is pinged in one way",
    'h.yaml:2:42: expected host:port, got "localhost"',
    "h.yaml:2:60: the first time is the shortest one",
    'i.yaml:1:31: unknown key "setle"',
    'j.yaml:1:39: expected a duration such as 250ms, 30s, 5m, 2h or 3d, got "soon"',
    'k.yaml:1:10: "format" is missing',
    'web:look.yaml:1:1: the rule id "web:look" is kept for a task of the fleet web',
  ]);
  assert.deepEqual([...loaded.fleets.keys()], ["web"]);
});

Deno.test("a fleet file that stops loading keeps its last good version", async () => {
  await using folder = await TestFolder.with({ "web.yaml": "devices: [one]\nping: { http: https://example.org/ }\n" });
  const before = (await folder.load()).fleets.get("web");
  await folder.write({ "web.yaml": "devices: [one, one]\n" });
  assert.equal((await folder.load()).fleets.get("web"), before);
  await folder.write({ "web.yaml": "devices: [one\n" });
  assert.equal((await folder.load()).fleets.get("web"), before);
  await folder.write({ "web.yaml": "device s: [one]\nping: { http: https://example.org/ }\n" });
  const typo = await folder.load();
  assert.equal(typo.fleets.get("web"), before);
  assert.match(heads(typo).join("\n"), /"devices" is missing/);
  await folder.write({ "web.yaml": "devices: [one, two]\n" });
  assert.deepEqual((await folder.load()).fleets.get("web")?.list, ["one", "two"]);
  await folder.remove("web.yaml");
  assert.deepEqual([...(await folder.load()).fleets], []);
});

Deno.test("the JSON Schema has fleet files with all their keys", () => {
  // deno-lint-ignore no-explicit-any
  const schema: any = ruleJsonSchema({ triggers: {}, steps: {} }, undefined, { file: fleetKind, task: taskKind });
  const { properties, required } = schema.anyOf.at(-1);
  assert.deepEqual(Object.keys(properties).sort(), [...FLEET_KEYS].sort());
  assert.deepEqual(required, ["devices"]);
  assert.ok("inputs" in properties.tasks.additionalProperties.properties);
});

Deno.test("a task step for an unknown fleet or task, or with inputs that do not fit, is a problem where it stands; so in actions", async () => {
  const step = (more: string) => `then: [{ task: ${more} }]\n`;
  const when = "when: { manual: true }\n";
  const loaded = await loadAll({
    ...FILES,
    "good.yaml": when + step('reboot, fleet: plant/plc, to: "${{ event.data }}", with: { delay: 5s }, onError: stop'),
    "fleet.yaml": when + step("reboot, fleet: plant/plx, to: all"),
    "task.yaml": when + step("rebot, fleet: plant/plc, to: all"),
    "inputs.yaml": when + step("reboot, fleet: plant/plc, to: all, with: { delay: soon, dela: 1 }"),
    "to.yaml": when + step("reboot, fleet: plant/plc"),
    "action.yaml": "inputs: {}\n" + step("stop, fleet: plant/plc, to: [press-1]"),
    "calls.yaml": when + "then: [{ call: ./action.yaml }]\n",
  });
  assert.deepEqual(heads(loaded).sort(), [
    'action.yaml:2:10: plant/plc has no task "stop"',
    'fleet.yaml:2:10: there is no fleet "plant/plx"',
    'inputs.yaml:2:10: delay: expected a duration such as 30s, 5m or 2h, got "soon"',
    'inputs.yaml:2:10: unknown key "dela"; did you mean "delay"?',
    'task.yaml:2:10: plant/plc has no task "rebot"',
    'to.yaml:2:8: "to" is missing',
  ]);
  assert.deepEqual([...loaded.rules.keys()].sort(), ["calls", "good"]);
});
