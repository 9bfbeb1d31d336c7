import assert from "node:assert/strict";
import type { Answered } from "../../../../test/sources/app.ts";
import { readPatch } from "../task_patch.ts";
import { tasks } from "../tasks.ts";
import { Asana, TOKEN } from "./asana.ts";
import { pass, rulesFor, tell, told } from "./rules.ts";

const EMIT = 'first: "emit"';

Deno.test("tasks: 250 open tasks are all told, page by page, or the first 50 by take", async () => {
  await using asana = await Asana.start();
  for (let count = 1; count <= 250; count++) asana.add({ gid: `${count}`, in: ["77"] });
  await using folder = await rulesFor(asana, {
    "all.ts": tell("tasks", 'project: "77", fields: ["notes"]', EMIT),
    "first.ts": tell("tasks", 'project: "77"', `${EMIT}, take: 50`),
  });
  const outputs = await pass(folder);
  assert.equal(outputs.length, 300);
  const count = (gid: number) => outputs.filter((each) => each.told === `added ${gid}`).length;
  assert.deepEqual([count(1), count(50), count(51), count(250)], [2, 2, 1, 1]);
  const pages = asana.requests.filter((line) => line.startsWith("GET /projects/77/tasks"));
  assert.equal(pages.length, 4, "three pages for one rule, one for the other");
  assert.ok(pages.every((page) => page.includes("limit=100") && page.includes("completed_since=now")));
});

Deno.test("tasks: open, completed, all, or completed since; a section, a tag of two projects, and tasks in both", async () => {
  await using asana = await Asana.start();
  for (const gid of ["1", "2"]) asana.add({ gid, in: ["77"] });
  asana.add({ gid: "3", in: ["77/771", "88"], tags: ["5"] });
  for (const gid of ["4", "5"]) asana.change(asana.add({ gid, in: ["77"] }).gid, { completed: true });
  asana.tasks.get("4")!.completed_at = "2026-01-01T00:00:00.000Z";
  asana.add({ gid: "6", in: ["88"], tags: ["5"] });
  const rules = {
    open: 'project: "77"',
    completed: 'project: "77", completed: "completed"',
    all: 'project: "77", completed: "all"',
    since: 'project: "77", completed: "2026-02-01"',
    section: 'section: "771"',
    tag: 'tag: "5"',
    both: 'project: "77", membership: ["88"]',
    tagged: 'project: "88", membership: ["5"]',
  };
  const files = Object.entries(rules).map(([name, inputs]): [string, string] => [
    `${name}.ts`,
    tell("tasks", inputs, EMIT).replace("told:", `rule: "${name}", told:`),
  ]);
  await using folder = await rulesFor(asana, Object.fromEntries(files));
  const outputs = Object.groupBy(await pass(folder), ({ rule }) => rule);
  const found = (name: string) => outputs[name]!.map((each) => each.new.gid).sort().join();
  assert.deepEqual(Object.keys(rules).map((name) => `${name} ${found(name)}`), [
    "open 1,2,3",
    "completed 4,5",
    "all 1,2,3,4,5",
    "since 1,2,3,5",
    "section 3",
    "tag 3,6",
    "both 3",
    "tagged 3,6",
  ]);
});

Deno.test("tasks: one changed three times, one added, one deleted, one with a story are one event each, in few requests", async () => {
  await using asana = await Asana.start();
  for (const gid of ["6", "7", "9"]) asana.add({ gid, in: ["77"] });
  await using folder = await rulesFor(asana, { "a.ts": tell("tasks", 'project: "77"') });
  assert.deepEqual(await told(folder), []);
  assert.deepEqual(asana.asked(), ["GET /events", "GET /projects/77/tasks"]);

  assert.deepEqual(await told(folder), []);
  assert.deepEqual(asana.asked(), ["GET /events"], "no event, so nothing is fetched");

  for (const name of ["A", "B", "C"]) asana.change("7", { name });
  asana.add({ gid: "8", in: ["77"] });
  asana.delete("9");
  asana.comment("6", "hello");
  const outputs = await pass(folder);
  assert.deepEqual(outputs.map((each) => each.told).sort(), ["added 8", "changed 7", "removed 9"]);
  const { diff } = outputs.find((each) => each.told === "changed 7");
  assert.deepEqual(diff, { name: ["Task 7", "C"] }, "one change from A to C, and nothing else in the diff");
  assert.deepEqual(asana.asked(), ["GET /events", "GET /tasks/7", "GET /tasks/8"]);
});

Deno.test("tasks: what leaves, is completed or is of a subtask; has_more is followed; an expired token is a full look", async () => {
  await using asana = await Asana.start();
  for (const gid of ["1", "2", "3", "4"]) asana.add({ gid, in: ["77", "88"] });
  asana.add({ gid: "10", parent: "3" });
  await using folder = await rulesFor(asana, { "a.ts": tell("tasks", 'project: "77"') });
  await told(folder);
  asana.asked();

  asana.most = 2;
  asana.leave("1", "77");
  asana.change("2", { completed: true });
  asana.change("10", { name: "a subtask" });
  asana.leave("3", "88");
  asana.change("4", { name: "Four" });
  assert.deepEqual((await told(folder)).sort(), ["changed 3", "changed 4", "removed 1", "removed 2"]);
  assert.deepEqual(asana.asked().filter((line) => line === "GET /events").length, 3, "5 events, 2 at once");

  asana.change("3", { name: "Three" });
  asana.delete("4");
  asana.add({ gid: "5", in: ["77"] });
  asana.era++;
  assert.deepEqual((await told(folder)).sort(), ["added 5", "changed 3", "removed 4"]);
  const [first, second, ...full] = asana.asked();
  assert.deepEqual([first, second, full], ["GET /events", "GET /events", ["GET /projects/77/tasks"]]);
  assert.deepEqual(await told(folder), []);
  assert.deepEqual(asana.asked(), ["GET /events"]);
});

Deno.test("tasks: an event that Asana lost is found by the full look after `refresh` hours", async () => {
  await using asana = await Asana.start();
  asana.add({ gid: "1", in: ["77"] });
  await using folder = await rulesFor(asana, {
    "a.ts": tell("tasks", 'project: "77", refresh: 0'),
    "b.ts": tell("tasks", 'project: "77"'),
  });
  await told(folder);
  asana.tasks.get("1")!.name = "changed without an event";
  assert.deepEqual(await told(folder), ["changed 1"]);
});

Deno.test("tasks: only chosen fields count; what was read besides them is neither told nor a change", async () => {
  await using asana = await Asana.start();
  asana.add({ gid: "1", in: ["77/770"], assignee: { gid: "9", name: "Ann" } });
  await using folder = await rulesFor(asana, {
    "a.ts": tell("tasks", 'project: "77", fields: ["assignee.name"]', EMIT),
  });
  const [{ new: item }] = await pass(folder);
  assert.deepEqual(Object.keys(item).sort(), ["assignee", "gid", "modified_at", "name"]);
  assert.deepEqual(item.assignee, { gid: "9", name: "Ann" });
  asana.move("1", "77/771");
  assert.deepEqual(await told(folder), []);
  asana.change("1", { assignee: null });
  assert.deepEqual(await told(folder), ["changed 1"]);
});

Deno.test("tasks: after a 5xx nothing is lost; after 429 nobody asks before Retry-After", async () => {
  await using asana = await Asana.start();
  asana.add({ gid: "1", in: ["77"] });
  await using folder = await rulesFor(asana, { "a.ts": tell("tasks", 'project: "77"') });
  await told(folder);
  asana.change("1", { name: "B" });
  asana.refuseOnce(/^GET .tasks.1/, 503);
  assert.match((await folder.once()).failures.join(), /GET .*\/tasks\/1 answered 503/);
  assert.deepEqual(await told(folder), ["changed 1"], "the token of the failed look was kept");

  asana.change("1", { name: "C" });
  asana.refuseOnce(/^GET .events/, 429, { "retry-after": "3600" });
  assert.match((await folder.once()).failures.join(), /answered 429/);
  asana.asked();
  assert.deepEqual(await told(folder), []);
  assert.deepEqual(asana.asked(), []);
});

Deno.test("tasks: exactly one of project, section and tag is a problem of the file, not of a look", async () => {
  await using asana = await Asana.start();
  const rule = (inputs: string) =>
    `when: { poll: { call: whenthen-asana#tasks, with: { ${inputs} } } }\nthen: [{ log: x }]\n`;
  await using folder = await rulesFor(asana, {
    "none.yaml": rule("completed: all"),
    "two.yaml": rule("project: 77, tag: 5"),
    "which.yaml": rule("project: 77, completed: never"),
    "good.yaml": rule("project: 77, completed: 2026-11-01, auth: x").replace(", auth: x", ""),
  });
  const { broken } = await folder.once() as Answered;
  assert.deepEqual(broken.toSorted(), ["none.yaml", "two.yaml", "which.yaml"]);
});

Deno.test("tasks: stagnant ones are read afresh: listed as 12 minutes old but changed since is not told, 12 minutes is, once", async () => {
  await using asana = await Asana.start();
  const ago = (minutes: number) => new Date(Date.now() - minutes * 60_000).toISOString();
  for (const [gid, fresh] of [["1", 2], ["2", 12], ["3", 12]] as const) {
    const task = asana.add({ gid, in: ["77"] });
    task.modified_at = ago(fresh);
    asana.listed.set(gid, { ...task, modified_at: ago(12) });
  }
  asana.tasks.get("3")!.completed = true;
  await using folder = await rulesFor(asana, { "a.ts": tell("tasks", 'project: "77"', 'stagnant: "10m"') });
  const first = await told(folder);
  assert.deepEqual([...first, ...await told(folder)].sort(), ["removed 3", "stagnant 2"]);
  assert.ok(asana.requests.some((line) => line.startsWith("GET /tasks/1?")));
  assert.deepEqual(await told(folder), []);
});

Deno.test("tasks: a merge patch becomes what Asana takes; what no update can change is refused", async () => {
  const patch = { name: "B", due_on: null, assignee: { gid: "9", name: "Ann" }, custom_fields: { "12": "high" } };
  assert.deepEqual(readPatch(patch), { ...patch, assignee: "9" });
  assert.deepEqual(readPatch({ assignee: null }), { assignee: null });
  assert.throws(() => readPatch({ memberships: [] }), /Cannot update "memberships" of a task: call the action "move"/);
  assert.throws(() => readPatch({ notez: "" }), /expected one of name, notes/);

  await using asana = await Asana.start();
  asana.add({ gid: "1", in: ["77"] });
  const inputs = { project: "77", section: null, tag: null, membership: [], completed: "open" };
  const scope = { key: "1", patch: { notes: "Seen" }, inputs: { ...inputs, fields: ["notes"], url: asana.url } };
  const { update } = tasks.definition.spec as unknown as { update(scope: object): Promise<Answered> };
  const updated = await update({ ...scope, http: plainHttp });
  assert.deepEqual(Object.keys(updated).sort(), ["gid", "modified_at", "name", "notes"]);
  assert.equal(asana.tasks.get("1")!.notes, "Seen");
});

/** What `update` needs of the program's own. */
async function plainHttp(request: string, { json, query }: { json: unknown; query: Record<string, string> }) {
  const [method, address] = request.split(" ");
  const headers = { authorization: `Bearer ${TOKEN}`, "content-type": "application/json" };
  const response = await fetch(`${address}?${new URLSearchParams(query)}`, {
    method,
    headers,
    body: JSON.stringify(json),
  });
  return { status: response.status, headers: Object.fromEntries(response.headers), body: await response.json() };
}
