import assert from "node:assert/strict";
import fc from "fast-check";
import type { StepRecord } from "../../runtime/model/run.ts";
import { ReplayError } from "../../runtime/run/replay_error.ts";
import { ReplayOrder } from "../../runtime/run/replay_order.ts";

/** What a life of a function asks and is answered: `+a` asks for a, `-a` answers it. Gives the records of what was answered. */
function live(earlier: StepRecord[], moves: string[]): StepRecord[] {
  const order = new ReplayOrder("ops/test", earlier);
  const records = new Map(earlier.map((record) => [record.path, record]));
  const asked = new Map<string, StepRecord>();
  let answered = 0;
  for (const move of moves) {
    const name = move.slice(1);
    if (move[0] === "+") {
      const { path, after } = order.ask({ scope: "", name, kind: "log", answered });
      const record = { path, kind: "log", state: "succeeded" as const, attempts: 1, startedAt: 0 };
      asked.set(name, { ...record, ...(after !== undefined && { after }) });
    } else {
      const record = asked.get(name)!;
      order.answer(record.path);
      answered++;
      if (!records.has(record.path)) records.set(record.path, record);
    }
  }
  return [...records.values()];
}

Deno.test("steps one after the other are found in another order, missing or of another kind", () => {
  const records = live([], ["+a", "-a", "+b", "-b", "+c", "-c"]);
  assert.deepEqual(records.map(({ after }) => after), ["", "a", "b"]);
  assert.deepEqual(live(records, ["+a", "-a", "+b", "-b", "+c", "-c"]), records);
  assert.throws(
    () => live(records, ["+a", "-a", "+c"]),
    /"c" was asked for before "b".*Recorded: a, b, c. Asked: a, c/,
  );
  assert.throws(() => live(records, ["+a", "-a", "+new"]), /"new" was asked for before "b"/);
  const order = new ReplayOrder("ops/test", records);
  assert.throws(() => order.ask({ scope: "", name: "a", kind: "http", answered: 0 }), /"a" was log and is now http/);
  order.ask({ scope: "", name: "a", kind: "log", answered: 0 });
  assert.throws(() => order.end(), ReplayError);
});

Deno.test("branches side by side may be asked in any order that their own steps allow", () => {
  const records = live([], ["+a1", "+b1", "-b1", "+b2", "-b2", "-a1", "+a2", "-a2", "+a3", "-a3"]);
  live(records, ["+a1", "+b1", "-a1", "-b1", "+a2", "+b2", "-a2", "-b2", "+a3", "-a3"]);
});

Deno.test("what was recorded before a crash does not bind a branch that was still in its step", () => {
  const first = live([], ["+a1", "+b1", "-a1", "+a2", "-a2"]);
  const second = live(first, ["+a1", "-a1", "+b1", "+a2", "-a2", "-b1", "+b2", "-b2"]);
  live(second, ["+a1", "+b1", "-a1", "-b1", "+a2", "+b2", "-a2", "-b2"]);
});

Deno.test("a repeated name counts up where steps follow each other, and never meets a name that is taken", () => {
  const paths = live([], ["+a#2", "-a#2", "+a", "-a", "+a", "-a", "+if", "-if", "+x/y", "-x/y"]).map(({ path }) =>
    path
  );
  assert.deepEqual(paths, ["a#2", "a", "a#3", "if#2", "x%2Fy"]);
});

Deno.test("a name may be repeated in one go and after a join, not by branches that go on side by side", () => {
  const order = new ReplayOrder("ops/test", []);
  const ask = (name: string, answered: number) => order.ask({ scope: "", name, kind: "log", answered }).path;
  assert.deepEqual([ask("get", 0), ask("get", 0)], ["get", "get#2"]);
  order.answer("get#2");
  order.answer("get");
  assert.deepEqual([ask("get", 2), ask("get", 2)], ["get#3", "get#4"]);
  order.answer("get#4");
  assert.equal(ask("save", 3), "save");
  order.answer("get#3");
  assert.throws(() => ask("save", 4), /Cannot tell the steps named "save" apart/);
});

Deno.test("a step counts as open until the function has its answer, whenever that was sent", () => {
  const order = new ReplayOrder("ops/test", []);
  order.ask({ scope: "", name: "a", kind: "log", answered: 0 });
  order.answer("a");
  assert.deepEqual(order.ask({ scope: "", name: "b", kind: "log", answered: 0 }), { path: "b" });
});

/** Branches of so many steps each, run to the end or to a crash; `turns` says whose answer comes next. */
function performBranches(lengths: number[], turns: number[], records: StepRecord[], crashAfter: number): StepRecord[] {
  const moves: string[] = ["+start", "-start"];
  const known = new Set(records.map(({ path }) => path));
  const at = lengths.map(() => 0);
  const name = (branch: number) => `b${branch}_${at[branch]}`;
  lengths.forEach((_, branch) => moves.push(`+${name(branch)}`));
  const open = () => lengths.flatMap((length, branch) => at[branch] < length ? [branch] : []);
  let answered = 0;
  let turn = 0;
  while (open().length > 0) {
    // What is recorded is answered at once, in the order in which it was asked for.
    const recorded = open().filter((branch) => known.has(name(branch)));
    const candidates = open();
    const branch = recorded[0] ?? candidates[turns[turn++ % turns.length] % candidates.length];
    if (recorded.length === 0 && answered++ === crashAfter) return live(records, moves);
    moves.push(`-${name(branch)}`);
    at[branch]++;
    if (at[branch] < lengths[branch]) moves.push(`+${name(branch)}`);
  }
  moves.push("+end", "-end");
  return live(records, moves);
}

Deno.test("no order of answers and no crash makes a deterministic function with branches fail its replay", () => {
  const lengths = fc.array(fc.integer({ min: 1, max: 4 }), { minLength: 1, maxLength: 4 });
  const turns = fc.array(fc.nat(20), { minLength: 1, maxLength: 20 });
  const lives = fc.array(fc.tuple(turns, fc.nat(6)), { maxLength: 5 });
  fc.assert(
    fc.property(lengths, lives, turns, (lengths, lives, last) => {
      let records: StepRecord[] = [];
      for (const [turns, crashAfter] of lives) records = performBranches(lengths, turns, records, crashAfter);
      records = performBranches(lengths, last, records, Infinity);
      performBranches(lengths, last, records, Infinity);
    }),
    { numRuns: 500 },
  );
});
