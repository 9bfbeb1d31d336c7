import assert from "node:assert/strict";
import { CursorExpired } from "../../runtime/model/errors.ts";
import type { Json, JsonObject } from "../../runtime/model/json.ts";
import type { Definition } from "../../runtime/model/rule.ts";
import { poll } from "../../runtime/triggers/poll/poll.ts";
import { Program } from "./fake_context.ts";

const SOURCE: Definition = { kind: "source", inputs: {}, key: "item.gid", methods: ["read"] };

type Read = (cursor: Json) => Json;

/** A poll of a source that answers by its cursor. */
function reading(read: Read, args: JsonObject = {}, source: Partial<Definition> = {}): Program {
  const program = new Program(poll, {
    poll: { call: "x#tasks" },
    on: ["added", "changed", "removed"],
    ...args,
  });
  program.source = { ...SOURCE, ...source };
  program.execute = (_source, input) => read(input.cursor);
  return program;
}

/** Looks once. @returns what was told: `changed 7` */
async function look(program: Program): Promise<string[]> {
  const before = program.events.length;
  await program.pass();
  return program.events.slice(before).map(({ type, subject }) => `${type} ${subject}`);
}

const task = (gid: string, more: JsonObject = {}) => ({ gid, name: `Task ${gid}`, ...more });
const cursors = (program: Program) => program.executed.map(({ input }) => input.cursor);

Deno.test("only what a source returns is told: absent items stay, `removed` are gone, `complete` is a full look", async () => {
  const pages: Json[] = [
    { items: [task("1"), task("2"), task("3")], cursor: "a", complete: true },
    { items: [task("2", { done: true })], cursor: "b" },
    { items: [], removed: ["3", "unknown"], cursor: "c" },
    { items: [task("1"), task("4")], complete: true, cursor: "d" },
    { items: [] },
  ];
  const program = reading(() => pages.shift()!);
  assert.deepEqual(await look(program), []);
  assert.deepEqual(await look(program), ["changed 2"]);
  assert.deepEqual(await look(program), ["removed 3"]);
  assert.deepEqual(await look(program), ["added 4", "removed 2"]);
  assert.deepEqual(await look(program), []);
  assert.deepEqual(cursors(program), [null, "a", "b", "c", "d"]);
  assert.deepEqual((program.store.mark as JsonObject).cursor, "d", "a page without a cursor leaves it");
});

Deno.test("`more` is read on at once; the last of several changes of an item counts", async () => {
  const pages: Record<string, Json> = {
    null: { items: [task("7")], cursor: 0, complete: true },
    0: { items: [task("7", { v: 1 }), task("8")], cursor: 1, more: true },
    1: { items: [task("7", { v: 2 })], removed: ["8"], cursor: 2, more: true },
    2: { items: [task("7", { v: 3 }), task("9")], removed: ["10"], cursor: 3 },
    3: { items: [], cursor: 3 },
  };
  const program = reading((cursor) => pages[String(cursor)]);
  assert.deepEqual(await look(program), []);
  assert.deepEqual(await look(program), ["changed 7", "added 9"]);
  assert.deepEqual((program.events[0].data as JsonObject).diff, { v: [3] });
  assert.deepEqual(await look(program), []);
  assert.deepEqual(cursors(program), [null, 0, 1, 2, 3]);
});

Deno.test("a removed item that comes back later in the same look is there; one that goes later is gone", async () => {
  const pages: Json[] = [
    { items: [task("1"), task("2")], cursor: 1, complete: true },
    { items: [task("2", { v: 1 })], removed: ["1"], cursor: 2, more: true },
    { items: [task("1", { v: 1 })], removed: ["2"], cursor: 3 },
  ];
  const program = reading(() => pages.shift()!);
  await look(program);
  assert.deepEqual(await look(program), ["changed 1", "removed 2"]);
});

Deno.test("a source that says more with a cursor that it gave before is told, and changes nothing", async () => {
  const program = reading(() => ({ items: [task("1")], cursor: "same", more: true }));
  await assert.rejects(look(program), /gives the cursor "same" again: it would never end/);
  assert.equal(program.executed.length, 2);
  assert.equal(program.store.mark, undefined);
});

Deno.test("an expired cursor is a full look, told as differences from the baseline only; its cursor continues", async () => {
  const all = [task("1"), task("2", { v: 1 }), task("4")];
  const answers: Record<string, () => Json> = {
    null: () => ({ items: [task("1"), task("2"), task("3")], cursor: "old", complete: true }),
    old: () => {
      throw new CursorExpired("fresh");
    },
    fresh: () => ({ items: [], cursor: "fresh" }),
  };
  const program = reading((cursor) => answers[String(cursor)]());
  await look(program);
  answers.null = () => ({ items: all, complete: true });
  assert.deepEqual(await look(program), ["changed 2", "added 4", "removed 3"]);
  assert.deepEqual(await look(program), []);
  assert.deepEqual(cursors(program), [null, "old", null, "fresh"]);
});

Deno.test("a cursor that expires without end is a failure, not a loop", async () => {
  const program = reading(() => {
    throw new CursorExpired();
  });
  await assert.rejects(look(program), /expired when it was read without one/);
  assert.equal(program.executed.length, 2);
});

Deno.test("if the cursor expires on a later page, nothing of the earlier ones is told twice", async () => {
  const answers: Record<string, () => Json> = {
    null: () => ({ items: [task("1")], cursor: "a", complete: true }),
    a: () => ({ items: [task("1", { v: 1 })], cursor: "b", more: true }),
    b: () => {
      throw new CursorExpired();
    },
  };
  const program = reading((cursor) => answers[String(cursor)]());
  await look(program);
  answers.null = () => ({ items: [task("1", { v: 1 }), task("2")], cursor: "c", complete: true });
  assert.deepEqual(await look(program), ["changed 1", "added 2"]);
});

Deno.test("the cursor moves with the last of its events; a crash before that tells the rest, and nothing twice", async () => {
  const items = Array.from({ length: 1_200 }, (_, id) => task(String(id)));
  const pages: Record<string, Json> = { null: { items: [], cursor: "a", complete: true }, a: { items, cursor: "b" } };
  const program = reading((cursor) => pages[String(cursor)] ?? { items: [] });
  await look(program);
  const context = program.context(new AbortController().signal);
  const { ingest } = context;
  let transitions = 0;
  context.ingest = (events, progress) => {
    if (++transitions === 2) throw new Error("killed");
    return ingest(events, progress);
  };
  await assert.rejects(poll.pass!(context), /killed/);
  assert.equal(program.events.length, 500);
  assert.equal((program.store.mark as JsonObject).cursor, "a");
  const next = program.restarted();
  assert.equal((await look(next)).length, 700);
  assert.equal((program.store.mark as JsonObject).cursor, "b");
  assert.deepEqual([...next.duplicates, ...await look(next)], []);
});

Deno.test("key, ignore, at and max of a source are defaults of the trigger's options", async () => {
  let items = [{ id: "x", gid: "1", seen: 1, note: 1 }];
  const read = () => ({ items, complete: true });
  const source = { ignore: ["seen"], max: 1 };
  const [plain, own] = [
    reading(read, {}, source),
    reading(read, { key: "item.id", ignore: ["note"], max: 2 }, source),
  ];
  for (const program of [plain, own]) await look(program);
  items = [{ id: "x", gid: "1", seen: 2, note: 1 }];
  assert.deepEqual(await look(plain), []);
  assert.deepEqual(await look(own), ["changed x"]);
  items = [{ id: "x", gid: "1", seen: 2, note: 2 }, { id: "y", gid: "2", seen: 1, note: 1 }];
  await assert.rejects(look(plain), /more than 1 items/);
  assert.deepEqual(await look(own), ["added y"]);
});

Deno.test("an item from a cache, older by `at` than the known one, tells nothing and does not replace it", async () => {
  const at = (minutes: number) => new Date(Date.UTC(2026, 0, 1, 12, minutes)).toISOString();
  let item: JsonObject = task("1", { at: at(10), v: 1 });
  const program = reading(() => ({ items: [item], complete: true }), { at: "item.at", ignore: ["at"] });
  await look(program);
  item = task("1", { at: at(2), v: 0 });
  assert.deepEqual(await look(program), []);
  assert.deepEqual((program.store.baseline.get("1") as JsonObject).v, 1);
  item = task("1", { at: at(11), v: 2 });
  assert.deepEqual(await look(program), ["changed 1"]);
  item = task("1", { at: at(12), v: 2 });
  assert.deepEqual(await look(program), [], "only the time has changed");
  assert.deepEqual((program.store.baseline.get("1") as JsonObject).at, at(12));
});

Deno.test("`at` may be text, seconds or milliseconds since the epoch, also of one source at different times", async () => {
  const seconds = Date.UTC(2026, 0, 1) / 1_000;
  let item: JsonObject = task("1", { at: seconds + 10, v: 0 });
  const program = reading(() => ({ items: [item], complete: true }), { at: "item.at", ignore: ["at"] });
  await look(program);
  const newer: Json[] = [
    (seconds + 20) * 1_000,
    `${seconds + 30}.000200`,
    new Date((seconds + 40) * 1_000).toISOString(),
    String((seconds + 50) * 1_000),
    seconds + 60.5,
  ];
  for (const [v, at] of newer.entries()) {
    item = task("1", { at, v: v + 1 });
    assert.deepEqual(await look(program), ["changed 1"], String(at));
  }
  item = task("1", { at: (seconds + 60) * 1_000, v: 0 });
  assert.deepEqual(await look(program), []);
});

Deno.test("250 items in pages: all of them, or the first 50 silently, asking for no page that is not needed", async () => {
  const items = Array.from({ length: 250 }, (_, id) => task(String(id)));
  const read: Read = (cursor) => {
    const from = Number(cursor ?? 0);
    const more = from + 100 < 250;
    const page = { items: items.slice(from, from + 100), complete: !more, more };
    return more ? { ...page, cursor: from + 100 } : page;
  };
  const [all, some] = [reading(read, { first: "emit" }), reading(read, { first: "emit", take: 50 })];
  assert.equal((await look(all)).length, 250);
  assert.deepEqual(await look(all), []);
  assert.deepEqual(cursors(all), [null, 100, 200, null, 100, 200], "cursors between pages are only for their look");
  const first = await look(some);
  assert.deepEqual([first.length, first.at(-1)], [50, "added 49"]);
  assert.deepEqual(cursors(some), [null]);
  items.shift();
  assert.deepEqual(await look(some), ["added 50"], "an item that moved out of the first ones was not removed");
});

Deno.test("more items than max change nothing and say so, pages included; max can be raised", async () => {
  const items = Array.from({ length: 12_000 }, (_, gid) => ({ gid }));
  const program = reading(() => ({ items, complete: true }));
  await assert.rejects(look(program), /has more than 10000 items, so nothing was compared; raise it with "max"/);
  assert.equal(program.store.mark, undefined);
  let asked = 0;
  const paged = reading((cursor) => {
    asked++;
    return { items: items.slice(0, 1_000), cursor: Number(cursor) + 1, more: asked < 1_000 };
  }, { max: 2_500 });
  await assert.rejects(look(paged), /more than 2500 items/);
  assert.equal(asked, 3, "it does not read on to find out how many there are");
  const raised = program.restarted({ ...program.args, max: 12_000 });
  assert.deepEqual(await look(raised), []);
  assert.equal(program.store.baseline.size, 12_000);
});

Deno.test("a plain function returns a list, which is a full look, or pages as a source does", async () => {
  let output: Json = [{ gid: "1" }, { gid: "2" }];
  const program = reading(() => output, { key: "item.gid" });
  program.source = undefined;
  await look(program);
  output = { items: [{ gid: "1" }] };
  assert.deepEqual(await look(program), ["removed 2"]);
  output = { items: [{ gid: "3" }], cursor: 1 };
  assert.deepEqual(await look(program), ["added 3"]);
  output = { items: [], removed: ["3"] };
  assert.deepEqual(await look(program), ["removed 3"]);
  output = { items: [{ gid: "5" }], complete: true };
  assert.deepEqual(await look(program), ["added 5", "removed 1"]);
});

Deno.test("what a source returns by mistake is said", async () => {
  for (
    const [output, message] of [
      ["text", /A source returns \{ items, cursor, … \}, got "text"/],
      [{ tasks: [] }, /A source returns \{ items, cursor, … \}, got an object with tasks/],
      [{ items: { a: 1 } }, /Expected a list from "items" of the source/],
      [{ items: [], removed: [{ gid: "1" }] }, /"removed" of the source lists keys/],
    ] as [Json, RegExp][]
  ) {
    await assert.rejects(look(reading(() => output)), message);
  }
});

/** A source of 25,000 items in pages of 5,000, with changes; it fails on its last page if `isBroken`. */
function large(
  changes: Map<number, JsonObject | null> = new Map(),
  how: { isBroken?: boolean; last?: Json[] } = {},
): Read {
  return (cursor): Json => {
    const from = Number(cursor ?? 0);
    const ids = Array.from({ length: 5_000 }, (_, index) => from + index);
    const items = ids.flatMap((id) => changes.get(id) === null ? [] : [{ gid: String(id), v: 0, ...changes.get(id) }]);
    if (from < 20_000) return { items, cursor: from + 5_000, more: true };
    if (how.isBroken) throw new Error("the last page failed");
    return { items: [...items, ...how.last ?? []], complete: true };
  };
}

Deno.test("a large first look is stored page by page: one that fails tells nothing, and the next one begins anew", async () => {
  let read = large(new Map(), { isBroken: true });
  const program = reading((cursor) => read(cursor), { max: 30_000, stagnant: "10m" });
  await assert.rejects(look(program), /the last page failed/);
  assert.equal(
    program.store.baseline.size,
    10_000,
    "the first 10,000 are in memory, and those of the failed page never came",
  );
  const stored = program.transitions.length;
  await assert.rejects(look(program), /the last page failed/);
  assert.equal(program.transitions.length, stored, "what is stored already is not stored again");
  read = large(new Map([[12_000, null], [3, null]]));
  assert.deepEqual(await look(program), []);
  assert.deepEqual([program.store.baseline.size, program.store.times.size], [24_998, 24_998]);
  assert.deepEqual([program.store.baseline.has("12000"), program.store.baseline.has("3")], [false, false]);
  const before = program.executed.length;
  assert.deepEqual(await look(program), []);
  assert.equal(program.executed.length - before, 5);
});

Deno.test("a first look that failed halfway is still the first one: first: emit tells all items then", async () => {
  let read = large(new Map(), { isBroken: true });
  const program = reading((cursor) => read(cursor), { max: 30_000 });
  await assert.rejects(look(program), /the last page failed/);
  program.args.first = "emit";
  read = () => ({ items: [task("1"), task("12000")], complete: true });
  assert.deepEqual(await look(program), ["added 1", "added 12000"]);
  assert.equal(program.store.baseline.size, 2);
});

Deno.test("of a large look only what has changed is kept: the last of several versions of an item counts, as in a small one", async () => {
  let read = large();
  const program = reading((cursor) => read(cursor), { max: 30_000 });
  await look(program);
  const changes = new Map<number, JsonObject | null>([[1, { v: 1 }], [19_000, { v: 1 }], [2, null], [18_000, null]]);
  changes.set(17_000, { v: 1 }).set(3, { v: 1 });
  // 17000 and 3 are as before at the end, and 21000 is not.
  const last = [{ gid: "17000", v: 0 }, { gid: "3", v: 0 }, { gid: "21000", v: 2 }, { gid: "new", v: 0 }];
  read = large(changes, { last });
  const told = ["added new", "changed 1", "changed 19000", "changed 21000", "removed 18000", "removed 2"];
  assert.deepEqual((await look(program)).sort(), told);
  assert.equal(program.store.baseline.size, 24_999);
  read = large(changes);
  assert.deepEqual((await look(program)).sort(), ["changed 17000", "changed 21000", "changed 3", "removed new"]);
  assert.deepEqual(await look(program), []);
});
