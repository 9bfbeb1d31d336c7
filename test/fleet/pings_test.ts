import fc from "fast-check";
import assert from "node:assert/strict";
import { symlink } from "node:fs/promises";
import { createServer as createHttp } from "node:http";
import { join } from "node:path";
import { type AddressInfo, createServer, type Server } from "node:net";
import { InventoryFiles } from "../../runtime/fleet/inventory_files.ts";
import { ProgramFleets } from "../../runtime/fleet/program_fleets.ts";
import { TICK, Wheel } from "../../runtime/fleet/wheel.ts";
import { TestFolder } from "../folder/loading.ts";
import { Plant, until } from "./harness.ts";

const PACE = "every: [50ms, 80ms], timeout: 20s, down: 2";
const HANGING = PACE.replace("20s", "400ms");

async function listen(server: Server): Promise<AsyncDisposable & { port: number }> {
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  return { port, [Symbol.asyncDispose]: () => new Promise((resolve) => server.close(() => resolve())) };
}

/** Nobody listens on a port that only root may take; one that was free a moment ago may be another test's. */
const CLOSED = 2;

Deno.test("built-in pings: tcp, http and run tell who answers, who refuses, and who hangs", async () => {
  const http = createHttp((request, response) => {
    if (request.url === "/hang") return;
    response.writeHead(request.url === "/broken" ? 500 : 204).end();
  });
  await using web = await listen(http);
  await using line = await listen(createServer((socket) => void socket.on("error", () => {})));
  const init = "init: { again: 1h }\n";
  await using plant = await Plant.with({
    "tcp.yaml":
      `devices: [${line.port}, ${CLOSED}]\nkey: string(item)\nping: { tcp: "127.0.0.1:\${{ device }}", ${PACE} }\n${init}`,
    "web.yaml":
      `devices: [ok, broken]\nping: { http: "http://127.0.0.1:${web.port}/\${{ device }}", ${PACE} }\n${init}`,
    "slow.yaml": `devices: [hang]\nping: { http: "http://127.0.0.1:${web.port}/\${{ device }}", ${HANGING} }\n${init}`,
    "run.yaml":
      `devices: ["0", "3"]\nping: { run: [sh, -c, "echo no >&2; exit $1", sh, "\${{ device }}"], ${PACE} }\n${init}`,
    "bad.yaml": `devices: [{ name: a }]\nkey: item.name\nping: { tcp: "\${{ device.host }}:1", ${PACE} }\n${init}`,
  });
  await plant.reach("tcp", "dead", 1);
  await plant.reach("tcp", "reachable", 1);
  assert.match((await plant.device("tcp", String(CLOSED))).error!, /ECONNREFUSED/);
  await plant.reach("web", "dead", 1);
  await plant.reach("slow", "dead", 1);
  await plant.reach("web", "reachable", 1);
  assert.match((await plant.device("web", "broken")).error!, /was answered with status 500$/);
  assert.equal((await plant.device("slow", "hang")).error, "ping took longer than 400ms");
  await plant.reach("run", "dead", 1);
  await plant.reach("run", "reachable", 1);
  assert.equal((await plant.device("run", "3")).error, "sh ended with exit code 3: no");
  await plant.reach("bad", "failed", 1);
  assert.match((await plant.device("bad", "a")).error!, /device\.host/);
  http.closeAllConnections();
});

Deno.test("an inventory that is polled: what it adds and removes is live, a failure and a page with an error change nothing", async () => {
  let items: unknown = [{ name: "a" }, { name: "b" }, { name: "b", other: 1 }];
  const looks: number[] = [];
  await using plant = await Plant.with({
    "polled.yaml": "devices: { poll: https://inventory.example/devices, every: 1s }\nkey: item.name\n",
  }, {
    execute: () => {
      looks.push(Date.now());
      if (items instanceof Error) return Promise.reject(items);
      return Promise.resolve({
        status: 200,
        headers: { "content-type": "application/json" },
        body: JSON.stringify(items),
      });
    },
  });
  await plant.reach("polled", "initialized", 2);
  assert.match(plant.fleets.get("polled")!.problem!, /"b" is the key of/);
  items = new Error("the network is down");
  await until(() => plant.fleets.get("polled")!.problem, (problem) => problem === "the network is down");
  assert.equal(plant.counts("polled").initialized, 2);
  items = [{ name: "b" }, { name: "c" }];
  await until(() => plant.events(), (events) => events.includes("removed a") && events.includes("added c"));
  await plant.reach("polled", "initialized", 2);
  assert.equal(plant.fleets.get("polled")!.problem, null);
  // The file goes, and with it all devices.
  await plant.folder.remove("polled.yaml");
  await plant.reload();
  const events = await plant.events();
  assert.ok(events.includes("removed b") && events.includes("removed c"));
  assert.deepEqual(plant.fleets.list(), []);
});

Deno.test("an inventory in files: all that match count together, when they have settled; a broken or absent file changes nothing", async () => {
  await using plant = await Plant.with({
    "plants.yaml": "devices: { watch: ./plants/*.csv, settle: 300ms }\nkey: item.name\ntags: item.line\n",
    "plants/one.csv": "name,line\na,1\nb,1\n",
    "plants/two.csv": "name,line\nc,2\n",
    "plants/notes.txt": "no devices\n",
    "nested.yaml": "devices: { watch: ./nested.json, items: body.devices, settle: 50ms, max: 2 }\nkey: item.id\n",
    "nested.json": '{ "devices": [{ "id": "x" }] }',
  });
  await plant.reach("plants", "initialized", 3);
  await plant.reach("nested", "initialized", 1);
  assert.deepEqual((await plant.device("plants", "c")).tags, ["2"]);
  await plant.folder.write({ "plants/two.csv": "name,line\nd,2\n" });
  await until(() => plant.events(), (events) => events.includes("removed c") && events.includes("added d"));
  await plant.folder.remove("plants/one.csv");
  await until(() => plant.events(), (events) => events.includes("removed a") && events.includes("removed b"));
  const problem = (fleet: string, expected: RegExp) =>
    until(() => plant.fleets.get(fleet)!.problem, (found) => expected.test(found ?? ""));
  await plant.folder.remove("plants/two.csv");
  await problem("plants", /No file matches \.\/plants\/\*\.csv/);
  assert.equal(plant.counts("plants").initialized, 1);
  await plant.folder.write({ "nested.json": '{ "devices": [' });
  await problem("nested", /Cannot read devices from .*nested\.json: /);
  await plant.folder.write({ "nested.json": '{ "devices": [{ "id": "x" }, { "id": "y" }, { "id": "z" }] }' });
  await problem("nested", /more than 2 items/);
  assert.equal(plant.counts("nested").initialized, 1);
  await plant.folder.write({ "nested.json": '{ "devices": [{ "id": "x" }, { "id": "y" }] }' });
  await plant.reach("nested", "initialized", 2);
  assert.equal(plant.fleets.get("nested")!.problem, null);
});

Deno.test("files of an inventory that are written meanwhile, or cannot be opened, change nothing; one may be large", async () => {
  const rows = (count: number) => "name\n" + Array.from({ length: count }, (_, index) => `d${index}\n`).join("");
  await using folder = await TestFolder.with({ "a.csv": rows(150_000), "b.csv": rows(1) });
  const files = { watch: "./*.csv", format: "csv", settle: 1_000, max: 200_000 };
  const inventory = new InventoryFiles(files, folder.path);
  const now = Date.now() + 60_000;
  const read = await inventory.read(now);
  assert.equal("items" in read && read.items.length, 150_001);
  const reading = inventory.read(now);
  await folder.write({ "b.csv": "na" });
  assert.deepEqual(await reading, { again: now + 1_000 });
  await folder.write({ "b.csv": rows(2) });
  assert.deepEqual(await inventory.read(now), { again: now + 1_000 });
  const again = await inventory.read(now + 1_000);
  assert.equal("items" in again && again.items.length, 150_002);
  await symlink("/nowhere/c.csv", join(folder.path, "c.csv"));
  await assert.rejects(
    inventory.read(now + 2_000),
    /Cannot read devices from .*c\.csv: it is there, but cannot be opened/,
  );
});

Deno.test("events that nobody listens to are counted, not stored; those of a cut network are stored in slices, the last of each device", async () => {
  const names = Array.from({ length: 600 }, (_, index) => `d${index}`);
  await using plant = await Plant.with({ "none.yaml": "devices: [x]\n" });
  plant.hears = (type) => type === "whenthen.device.unreachable" || type === "whenthen.device.dead";
  await plant.reload({
    "cut.yaml":
      `devices: [${names}]\nping: { tcp: "127.0.0.1:${CLOSED}", every: [10ms, 20ms], down: 5 }\ninit: { again: 1h }\n`,
  });
  await plant.reach("cut", "dead", 600);
  const counts = plant.fleets.eventCounts();
  assert.equal(counts["whenthen.device.unreachable"], 3_000);
  assert.equal(counts["whenthen.device.added"], 601);
  // Nobody accepts the events in this test, so it stops at some thousand.
  const stored = await plant.store.listNotices(100_000);
  assert.ok(stored.length > 0 && stored.length < 1_500, String(stored.length));
  assert.ok(stored.every(({ type }) => plant.hears(type)));
});

Deno.test("where no fleet runs, a task initializes its devices and stops them", async () => {
  const PLATFORM = `
import { device, task } from "whenthen";
export default device<string>({
  init: ({ device }) => { console.log("init " + device); if (device === "bad") throw new Error("no route"); return device; },
  ping: () => console.log("ping"),
  tasks: { hello: task({ run: ({ session }) => "hello " + session }) },
  stop: ({ session }) => console.log("stop " + session),
});
`;
  await using plant = await Plant.with({ "none.yaml": "devices: [x]\n" });
  await plant.stop();
  await plant.folder.write({ "say.ts": PLATFORM, "say.yaml": "devices: [a, bad, c]\ndevice: ./say.ts\n" });
  const alone = new ProgramFleets(plant.surroundings());
  alone.standAlone();
  alone.use(await plant.folder.load());
  const results: unknown[] = [];
  await alone.task(
    { fleet: "say", task: "hello", to: ["a", "bad"], inputs: {}, job: "j" },
    (slice) => void results.push(...slice.map(({ device, error, return: value }) => [device, error, value])),
  );
  assert.deepEqual(results, [
    ["bad", "it has no session: it is failed: no route", null],
    ["a", null, "hello a"],
  ]);
  assert.deepEqual(plant.logs.sort(), ["init a", "init bad", "stop a", "stop null"]);
  await assert.rejects(alone.task({ fleet: "sya", task: "hello", to: "a", inputs: {}, job: "j" }, () => {}), /"sya"/);
});

Deno.test("Wheel fires each timer once, in its slot: not early, late by a tick at most; dropped ones never", () => {
  const step = fc.record({
    timer: fc.nat(60),
    delay: fc.integer({ min: 0, max: 100_000 }),
    drop: fc.boolean(),
    pause: fc.integer({ min: 0, max: 20_000 }),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      let now = 12_345;
      const wheel = new Wheel(now);
      const due = new Map<number, number>();
      const advance = (to: number) => {
        while (now < to) {
          now = Math.min(to, now + TICK);
          wheel.turn(() => now, (timer) => {
            const at = due.get(timer);
            assert.ok(at !== undefined, `timer ${timer} was not set`);
            assert.ok(now >= at && now - at <= 2 * TICK, `due at ${at}, fired at ${now}`);
            due.delete(timer);
          });
          const late = [...due.values()].filter((at) => now - at > 2 * TICK);
          assert.deepEqual(late, []);
        }
      };
      for (const { timer, delay, drop, pause } of steps) {
        if (drop) {
          wheel.drop(timer);
          due.delete(timer);
        } else {
          wheel.set(timer, now + delay);
          due.set(timer, now + delay);
        }
        const next = wheel.next();
        if (due.size === 0) assert.equal(next, undefined);
        else assert.ok(next! <= Math.min(...due.values()) + TICK, "it never sleeps past a timer");
        advance(now + pause);
      }
      advance(now + 110_000);
      assert.equal(due.size, 0);
    }),
    { numRuns: 30 },
  );
});

Deno.test("Wheel: a timer may set and drop others while it fires, in the same slot too", () => {
  let now = 0;
  const wheel = new Wheel(0);
  for (let timer = 0; timer < 10; timer++) wheel.set(timer, 50);
  const fired: number[] = [];
  const turn = (to: number) => {
    now = to;
    wheel.turn(() => now, (timer) => {
      fired.push(timer);
      // Each drops its neighbours and sets itself again: a turn must end all the same.
      wheel.drop(timer - 1);
      wheel.drop(timer + 1);
      wheel.set(timer, now);
    }, Infinity);
  };
  turn(50);
  assert.equal(new Set(fired).size, fired.length, "once in a turn");
  assert.ok(fired.length >= 4 && fired.length <= 6, String(fired));
});
