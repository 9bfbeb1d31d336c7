import assert from "node:assert/strict";
import type { Person } from "../../runtime/model/form.ts";
import { hashToken } from "../../runtime/secrets/passwords.ts";
import { LINE_PLATFORM, listed, Plant, Simulator } from "../fleet/harness.ts";
import { OPERATOR, Visitor } from "./console/visitor.ts";
import { type Bench, openBench } from "./harness.ts";

const FLEET =
  "ping: { every: [50ms, 100ms], timeout: 20s, down: 1 }\ninit: { timeout: 20s, again: 1h }\ndevice: ../line.ts\n";
const person = (id: string, ...groups: string[]): Person => ({
  ...OPERATOR,
  id,
  groups,
  token: hashToken(`${id}-token`),
});
const as = (id: string) => ({ authorization: `Bearer ${id}-token` });

/** Two devices on a simulator, of which `b` is refused, with the API and the pages. */
async function withPlant(use: (bench: Bench, plant: Plant, simulator: Simulator) => Promise<void>): Promise<void> {
  await using simulator = await Simulator.start();
  simulator.refused.add("b");
  const tasks = `tasks:\n  look: { call: ./look.ts#look, to: [ops] }\n`;
  await using plant = await Plant.with({
    "whenthen.yaml": "people: { otto: { name: Otto, email: otto@example.org, groups: [ops] } }\n",
    "line.ts": LINE_PLATFORM,
    "plant/look.ts": "export const look = () => 1;\n",
    "plant/line.yaml": listed(["a", "b"], simulator.port) + FLEET + tasks,
  }, { call: () => Promise.resolve(42) });
  await plant.reach("plant/line", "reachable", 1);
  await plant.reach("plant/line", "failed", 1);
  await using bench = await openBench([], { fleets: plant.fleets });
  bench.people.push(person("olga", "operators"), person("otto", "ops"), person("eve"));
  await use(bench, plant, simulator);
}

Deno.test("the API lists fleets and devices, and sends tasks: by operators and by the people of the task", () =>
  withPlant(async (bench) => {
    const fleets = await bench.ask("GET", "/api/fleets");
    assert.deepEqual(fleets.body.map(({ id, total }: { id: string; total: number }) => [id, total]), [[
      "plant/line",
      2,
    ]]);
    assert.deepEqual((await bench.ask("GET", "/api/fleets/plant/line")).body.counts.reachable, 1);
    assert.equal((await bench.ask("GET", "/api/fleets/plant/none")).status, 404);
    const devices = await bench.ask("GET", "/api/devices?state=failed");
    assert.deepEqual(devices.body.map(({ device }: { device: string }) => device), ["b"]);
    assert.equal((await bench.ask("GET", "/api/device?fleet=plant/line&name=a")).body.state, "reachable");
    assert.equal((await bench.ask("GET", "/api/devices?state=nonsense")).status, 400);
    const { body: one } = await bench.ask("GET", "/api/device?name=b");
    assert.deepEqual([one.fleet, one.state, one.events, one.tasks], ["plant/line", "failed", [], []]);
    assert.equal((await bench.ask("GET", "/api/device?name=c")).status, 404);

    const tasks = "/api/fleets/plant/line/tasks";
    const sent = await bench.post(tasks, { task: "read", to: "all", inputs: { register: 7 } });
    assert.equal(sent.status, 202);
    const { run } = (await bench.store.getRun(sent.body.runs[0]))!;
    assert.deepEqual([run.rule, run.event.by, run.event.data], [
      "plant/line:read",
      "an operator",
      { to: "all", inputs: { register: 7 }, max: 100, timeout: "30s" },
    ]);
    const wrong = await bench.post(tasks, { task: "read", to: "a", inputs: { register: "x" } });
    assert.deepEqual([wrong.status, Object.keys(wrong.body.problems)], [422, ["register"]]);
    assert.equal((await bench.post(tasks, { task: "read", inputs: {} })).status, 400, "to is required");
    assert.equal((await bench.post(tasks, { task: "rad", to: "a" })).status, 404);

    const looked = await bench.post(tasks, { task: "look", to: "a" }, as("otto"));
    assert.equal((await bench.store.getRun(looked.body.runs[0]))!.run.event.by, "otto");
    const own = `/api/tasks/${looked.body.runs[0]}`;
    const pending = { run: looked.body.runs[0], state: "queued", total: 0, failed: 0, results: [] };
    assert.deepEqual((await bench.ask("GET", own, { headers: as("otto") })).body, pending);
    assert.equal((await bench.ask("GET", own, { headers: as("eve") })).status, 404, "others do not see it");
    assert.equal((await bench.post(tasks, { task: "read", to: "a", inputs: { register: 1 } }, as("otto"))).status, 403);
    assert.equal((await bench.post(tasks, { task: "look", to: "a" }, as("eve"))).status, 403);
    assert.equal((await bench.ask("GET", "/api/devices", { headers: as("otto") })).status, 401);
    const metrics = await bench.ask("GET", "/metrics");
    assert.match(metrics.body, /whenthen_devices\{fleet="plant\/line",state="failed"\} 1/);
  }));

Deno.test("pages: fleets with their counts, devices by state, a device, and a task by hand", () =>
  withPlant(async (bench, plant, simulator) => {
    const olga = new Visitor(bench);
    await olga.signIn("olga");
    assert.match((await olga.get("/fleets")).text, /plant\/line[^]*1 [^]*reachable[^]*1 [^]*failed/);
    const fleet = await olga.get("/fleets/plant/line?state=failed");
    assert.match(fleet.text, /<h2>Devices<\/h2>[^]*name=b"/);
    assert.doesNotMatch(fleet.text, /name=a"/);
    const device = await olga.get("/device?fleet=plant%2Fline&name=b");
    assert.match(device.text, /failed[^]*Tried again[^]*Try again now/);
    assert.equal((await olga.get("/device?fleet=plant%2Fline&name=c")).status, 404);

    const form = "/task?fleet=plant%2Fline&task=read";
    const wrong = await olga.submit(`${form}&to=a`, "/task", { "send-to": "a", register: "x" });
    assert.equal(wrong.status, 422);
    assert.match(wrong.text, /Register: [^<]*whole number/);
    const sent = await olga.submit(form, "/task", { "send-to": "all", register: "7" });
    assert.equal(sent.status, 303);
    const run = await olga.get(sent.location!);
    assert.match(run.text, /<a href="\/fleets\/plant\/line">plant\/line:read<\/a>/);
    await olga.submit(`${form}&to=b`, "/task", { "send-to": "b", register: "7" });
    assert.match((await olga.get("/device?fleet=plant%2Fline&name=b")).text, /Tasks by hand[^]*\/runs\/[^]*>read</);

    assert.deepEqual(
      (await bench.ask("GET", "/api/device?name=b")).body.tasks.map(({ task }: { task: string }) => task),
      ["read"],
    );
    const comma = await olga.submit(form, "/task", { "send-to": '"left, 1", b,"say ""hi"""', register: "7" });
    const { run: quoted } = (await bench.store.getRun(comma.location!.split("/").at(-1)!))!;
    assert.deepEqual((quoted.event.data as { to: unknown }).to, ["left, 1", "b", 'say "hi"']);
    assert.match((await olga.get(`${form}&to=left%2C%201`)).text, /value="&quot;left, 1&quot;"/);

    const otto = new Visitor(bench);
    await otto.signIn("otto");
    const own = await otto.get("/fleets/plant/line");
    assert.match(own.text, /task=look/);
    assert.doesNotMatch(own.text, /task=read|Devices/);
    assert.equal((await otto.get(form)).status, 404);
    const looked = await otto.submit(form.replace("read", "look"), "/task", { "send-to": "a" });
    assert.equal((await otto.get(looked.location!)).status, 200, "people see the runs that they have started");
    assert.equal((await otto.get("/device?fleet=plant%2Fline&name=b")).status, 404);
    const eve = new Visitor(bench);
    await eve.signIn("eve");
    assert.equal((await eve.get("/fleets/plant/line")).status, 404);

    simulator.refused.delete("b");
    assert.equal((await olga.submit("/device?fleet=plant%2Fline&name=b", "/device/again")).status, 303);
    await plant.reach("plant/line", "reachable", 2);
  }));
