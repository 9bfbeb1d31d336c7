import assert from "node:assert/strict";
import type { Json, JsonObject } from "../../runtime/model/json.ts";
import type { Definition } from "../../runtime/model/rule.ts";
import { poll } from "../../runtime/triggers/poll/poll.ts";
import { Program } from "./fake_context.ts";

const MINUTE = 60_000;

interface Items {
  /** The result of a look. */
  list: JsonObject[];
  /** What `one` gives; without it there is no `one`. */
  fresh?: Record<string, Json>;
}

function polling(items: Items, args: JsonObject = {}, source: Partial<Definition> = {}): Program {
  const program = new Program(poll, {
    poll: { call: "x#tasks" },
    on: ["changed", "removed"],
    stagnant: "10m",
    ...args,
  });
  const one = items.fresh === undefined ? [] : ["one" as const];
  program.source = { kind: "source", inputs: {}, key: "item.id", methods: ["read", ...one], ...source };
  program.execute = (_source, input, _signal, how) =>
    how?.method === "one" ? items.fresh![String(input.key)] : { items: items.list, complete: true };
  return program;
}

async function look(program: Program): Promise<string[]> {
  const before = program.events.length;
  await program.pass();
  return program.events.slice(before).map(({ type, subject }) => `${type} ${subject}`);
}

async function lookAfter(program: Program, minutes: number): Promise<string[]> {
  await program.clock.advanceTo(program.clock.now() + minutes * MINUTE);
  return await look(program);
}

Deno.test("what did not change for long is told once, and again only after it has changed", async () => {
  const items: Items = { list: [{ id: "a", v: 1 }, { id: "b", v: 1 }] };
  const program = polling(items);
  assert.deepEqual(await look(program), []);
  items.list = [{ id: "a", v: 1 }, { id: "b", v: 2 }];
  assert.deepEqual(await lookAfter(program, 9), ["changed b"]);
  assert.deepEqual(await lookAfter(program, 1), ["stagnant a"]);
  assert.deepEqual(program.events.at(-1)!.data, { old: { id: "a", v: 1 }, new: { id: "a", v: 1 }, diff: null });
  assert.deepEqual(await lookAfter(program, 9), ["stagnant b"]);
  assert.deepEqual(await lookAfter(program, 60), []);
  items.list = [{ id: "a", v: 2 }, { id: "b", v: 2 }];
  assert.deepEqual(await lookAfter(program, 1), ["changed a"]);
  assert.deepEqual(await lookAfter(program, 11), ["stagnant a"]);
  assert.equal(new Set(program.ids).size, program.ids.length);
});

Deno.test("it survives a restart, and works for a poll that had no `stagnant` before", async () => {
  const program = polling({ list: [{ id: "a" }] }, { stagnant: undefined as never });
  delete program.args.stagnant;
  await look(program);
  const next = program.restarted({ ...program.args, stagnant: "10m" });
  assert.deepEqual(await lookAfter(next, 60), [], "it counts from now");
  const later = next.restarted();
  assert.deepEqual(await lookAfter(later, 10), ["stagnant a"]);
  assert.deepEqual(await lookAfter(later.restarted(), 10), []);
});

Deno.test("`one` reads afresh: cached 12 minutes old, fresh 2 tells nothing; fresh 12 tells once", async () => {
  const program = polling({ list: [], fresh: {} });
  const ago = (minutes: number) => new Date(program.clock.now() - minutes * MINUTE).toISOString();
  const items: Items = { list: [{ id: "a", at: ago(12) }], fresh: { a: { id: "a", at: ago(2) } } };
  program.execute = polling(items).execute;
  program.source = { ...program.source!, at: "item.at", ignore: ["at"] };
  assert.deepEqual(await look(program), []);
  assert.deepEqual(await look(program), [], "the cached answer of the next look is older than what is known");
  items.list = [{ id: "a", at: ago(2) }];
  assert.deepEqual(await lookAfter(program, 8), ["stagnant a"]);
  assert.deepEqual(await lookAfter(program, 8), []);
});

Deno.test("seconds since the epoch say since when an item is unchanged, as text does", async () => {
  const seconds = Math.floor(polling({ list: [], fresh: {} }).clock.now() / 1_000) - 2 * 60;
  const list = [{ id: "a", at: seconds }, { id: "b", at: seconds * 1_000 }];
  const program = polling({ list, fresh: { a: list[0], b: list[1] } });
  program.source = { ...program.source!, at: "item.at" };
  assert.deepEqual(await look(program), []);
  assert.deepEqual(await lookAfter(program, 7), []);
  assert.deepEqual(await lookAfter(program, 1), ["stagnant a", "stagnant b"]);
});

Deno.test("an item that turns out to be gone was removed; one that has changed is told as changed", async () => {
  const items: Items = { list: [{ id: "a", v: 1 }, { id: "b", v: 1 }], fresh: { a: null, b: { id: "b", v: 2 } } };
  const program = polling(items);
  await look(program);
  assert.deepEqual(await lookAfter(program, 10), ["removed a", "changed b"]);
  items.list = [{ id: "b", v: 2 }];
  assert.deepEqual(await look(program), []);
  assert.deepEqual(await lookAfter(program, 10), ["stagnant b"]);
});

Deno.test("the condition judges the fresh item at each look; it is told once it holds", async () => {
  const items: Items = { list: [{ id: "a", open: false }], fresh: { a: { id: "a", open: false } } };
  const program = polling(items);
  const judged: Json[] = [];
  program.holds = ({ type, data }) => {
    const { new: item } = data as { new: JsonObject };
    if (type === "stagnant") judged.push(item.open);
    return item.open === true;
  };
  await look(program);
  assert.deepEqual(await lookAfter(program, 10), []);
  assert.deepEqual(await lookAfter(program, 10), []);
  items.list = [{ id: "a", open: true }];
  items.fresh = { a: { id: "a", open: true } };
  assert.deepEqual(await look(program), ["changed a"]);
  assert.deepEqual(await lookAfter(program, 10), ["stagnant a"]);
  assert.deepEqual(await lookAfter(program, 10), []);
  assert.deepEqual(judged, [false, false, true]);
});

Deno.test("an item that cannot be read afresh is judged at the next look; the others are told", async () => {
  const items: Items = { list: [{ id: "a" }, { id: "b" }], fresh: { a: { id: "a" }, b: { id: "b" } } };
  const program = polling(items);
  const { execute } = program;
  let broken = true;
  program.execute = (source, input, signal, how) => {
    if (broken && input.key === "a") throw new Error("503");
    return execute!(source, input, signal, how);
  };
  await look(program);
  assert.deepEqual(await lookAfter(program, 10), ["stagnant b"]);
  assert.match(program.warnings.join(), /cannot read a again: 503/);
  broken = false;
  assert.deepEqual(await look(program), ["stagnant a"]);
});

Deno.test("a look asks for at most 500 items afresh; the next one continues with the others", async () => {
  const list = Array.from({ length: 1_200 }, (_, id) => ({ id: String(id) }));
  const items: Items = { list, fresh: Object.fromEntries(list.map((item) => [item.id, item])) };
  const program = polling(items);
  program.holds = () => false;
  const asked = () => program.executed.filter(({ input }) => "key" in input).map(({ input }) => input.key);
  const context = program.context(new AbortController().signal);
  await poll.pass!(context);
  await program.clock.advanceTo(program.clock.now() + 10 * MINUTE);
  for (let count = 0; count < 3; count++) await poll.pass!(context);
  assert.equal(new Set(asked()).size, 1_200);
});

Deno.test("stagnant needs a key", () => {
  const args = { poll: "https://example.org", stagnant: 1 } as never;
  assert.match(poll.check!(args, 0).join(), /"stagnant" needs "key"/);
});
