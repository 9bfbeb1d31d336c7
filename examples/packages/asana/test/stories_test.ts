import assert from "node:assert/strict";
import { Asana } from "./asana.ts";
import { rulesFor, tell, told } from "./rules.ts";

Deno.test("stories: comments of a task, then those of its events; also after an expired token", async () => {
  await using asana = await Asana.start();
  asana.add({ gid: "1", in: ["77"] });
  asana.add({ gid: "2", parent: "1" });
  const old = asana.comment("1", "old");
  await using folder = await rulesFor(asana, { "a.ts": tell("stories", 'task: "1"') });
  assert.deepEqual(await told(folder), []);
  const fresh = asana.comment("1", "fresh");
  asana.comment("1", "renamed", "system");
  asana.comment("2", "of a subtask");
  asana.deleteStory(old.gid);
  assert.deepEqual((await told(folder)).sort(), [`added ${fresh.gid}`, `removed ${old.gid}`].sort());
  const late = asana.comment("1", "late");
  asana.deleteStory(fresh.gid);
  asana.era++;
  assert.deepEqual((await told(folder)).sort(), [`added ${late.gid}`, `removed ${fresh.gid}`].sort());
});

Deno.test("stories: those of a project since the first look, without a request for each task", async () => {
  await using asana = await Asana.start();
  for (const gid of ["1", "2", "3"]) asana.add({ gid, in: ["77"] });
  asana.comment("1", "before", "comment", "2026-01-01T00:00:00.000Z");
  await using folder = await rulesFor(asana, { "a.ts": tell("stories", 'project: "77", type: "all"') });
  assert.deepEqual(await told(folder), []);
  assert.deepEqual(asana.asked(), ["GET /events"]);
  const one = asana.comment("1", "one");
  const two = asana.comment("2", "renamed", "system");
  assert.deepEqual((await told(folder)).sort(), [`added ${one.gid}`, `added ${two.gid}`].sort());

  asana.tasks.get("3")!.modified_at = "2026-01-01T00:00:00.000Z";
  const missed = asana.comment("2", "missed");
  asana.era++;
  asana.asked();
  assert.deepEqual(await told(folder), [`added ${missed.gid}`]);
  assert.deepEqual(asana.asked(), ["GET /events", "GET /tasks", "GET /tasks/1/stories", "GET /tasks/2/stories"]);
});
