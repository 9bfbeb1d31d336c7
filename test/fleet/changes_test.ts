import assert from "node:assert/strict";
import { join } from "node:path";
import { HELD, numbered, PACE, Plant, played, STILL, until } from "./harness.ts";

Deno.test("a new module begins sessions anew in slices of init.max; a stop that takes long holds up its own device alone", async () => {
  await using plant = await Plant.with({}, { stopTimeout: 60_000 });
  const go = join(plant.folder.path, "go");
  const names = numbered(6);
  const devices = names.map((name) => ({ name, init: "wait 50", ...name === names[0] && { go } }));
  const files = { ...played(devices, `${PACE}init: { max: 2 }\n`), "play.ts": HELD };
  await plant.reload(files);
  await plant.reach("play", "reachable", 6);
  const away = () => {
    const { waiting, initializing } = plant.counts("play");
    return waiting + initializing;
  };
  await plant.reload({ "play.ts": HELD.replace('"init "', '"newly "') });
  assert.equal(away(), 2, "the first slice, and no more");
  let most = 0;
  const newly = () => plant.logs.filter((line) => line.startsWith("newly ")).map((line) => line.slice(6));
  await until(() => {
    most = Math.max(most, away());
    return newly();
  }, (seen) => seen.length === 5);
  assert.ok(most <= 2, `${most} without a session at once`);
  assert.deepEqual(newly().sort(), names.slice(1));
  await plant.reach("play", "reachable", 5);
  assert.equal((await plant.device("play", names[0])).state, "waiting");
  await plant.folder.write({ go: "" });
  await plant.reach("play", "reachable", 6);
  assert.deepEqual(plant.logs.filter((line) => line.endsWith(names[0])), [
    `init ${names[0]}`,
    `stop ${names[0]}`,
    `ended ${names[0]}`,
    `newly ${names[0]}`,
  ]);
  const events = await plant.events();
  assert.deepEqual(
    events.filter((each) => /error|unreachable|dead|added/.test(each)),
    names.map((name) => `added ${name}`),
  );
});

Deno.test("code that blocks in the init of one device: it is named and failed, the others get sessions, and those they had begin anew silently", async () => {
  const more = `${PACE}init: { again: 1h }\n`;
  const before = [{ name: "a" }, { name: "b" }];
  await using plant = await Plant.with(played(before, more), { blockedAfter: 2_000 });
  await plant.reach("play", "reachable", 2);
  await plant.reload(played([...before, { name: "blocks", init: "block" }, { name: "c" }], more));
  await plant.reach("play", "failed", 1);
  const { state, error, again } = await plant.device("play", "blocks");
  assert.deepEqual([state, error], ["failed", "play.ts did not answer for 2s: a loop does not end"]);
  assert.ok(again! > Date.now() + 3_000_000, "left alone until then");
  await plant.reach("play", "reachable", 3);
  const events = await until(() => plant.events(), (seen) => seen.includes("reachable c"));
  assert.deepEqual(events.filter((each) => each.endsWith(" blocks")), ["added blocks", "init.error blocks"]);
  for (const name of ["a", "b", "c"]) {
    assert.deepEqual(events.filter((each) => each.endsWith(` ${name}`)), [
      `added ${name}`,
      `initialized ${name}`,
      `reachable ${name}`,
    ]);
    const inits = plant.logs.filter((line) => line === `init ${name}`).length;
    assert.equal(inits, name === "c" ? 1 : 2, `inits of ${name}`);
  }
});

Deno.test("a fleet whose file is deleted while a stop takes long is gone at once, with its events; if the file returns, sessions wait for that stop", async () => {
  await using plant = await Plant.with({ "other.yaml": "devices: [x]\n" }, { stopTimeout: 60_000 });
  const go = join(plant.folder.path, "go");
  const files = { ...played([{ name: "slow", go }, { name: "fine" }], STILL), "play.ts": HELD };
  await plant.reload(files);
  await plant.reach("play", "initialized", 2);
  await plant.folder.remove("play.yaml");
  const removed = plant.fleets.use(await plant.folder.load());
  assert.deepEqual(plant.fleets.list().map(({ fleet }) => fleet.id), ["other"]);
  const told = await until(
    () => plant.events(),
    (events) => events.filter((each) => /removed/.test(each)).length === 2,
  );
  assert.deepEqual(told.slice(-2).sort(), ["removed fine", "removed slow"]);
  const again = { ...files, "third.yaml": "devices: [{ name: y }]\nkey: item.name\ndevice: ./play.ts\n" };
  await plant.folder.write(again);
  const back = plant.fleets.use(await plant.folder.load());
  assert.deepEqual(plant.fleets.list().map(({ fleet }) => fleet.id), ["other", "play", "third"]);
  await plant.reach("third", "initialized", 1);
  assert.equal(plant.fleets.get("play")!.total, 0, "it waits for the stop that is under way, other fleets do not");
  await plant.folder.write({ go: "" });
  await Promise.all([removed, back]);
  await plant.reach("play", "initialized", 2);
  const about = plant.logs.filter((line) => line.endsWith(" slow"));
  assert.deepEqual(about, ["init slow", "stop slow", "ended slow", "init slow"]);
  assert.equal(plant.counts("other").initialized, 1);
});
