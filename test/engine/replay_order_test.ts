import assert from "node:assert/strict";
import fc from "fast-check";
import type { StepRecord } from "../../runtime/model/run.ts";
import { ReplayError, ReplayOrder } from "../../runtime/engine/code/replay.ts";

/** One execution of a function: `+a` asks for a, `-a` answers it. @returns the records of the answered steps */
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

Deno.test("sequential steps that are reordered, missing or of another kind are detected", () => {
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

Deno.test("concurrent branches may ask for steps in any order that each branch allows", () => {
  const records = live([], ["+a1", "+b1", "-b1", "+b2", "-b2", "-a1", "+a2", "-a2", "+a3", "-a3"]);
  live(records, ["+a1", "+b1", "-a1", "-b1", "+a2", "+b2", "-a2", "-b2", "+a3", "-a3"]);
});

Deno.test("a branch that was in a step at the crash is not bound by later records of others", () => {
  const first = live([], ["+a1", "+b1", "-a1", "+a2", "-a2"]);
  const second = live(first, ["+a1", "-a1", "+b1", "+a2", "-a2", "-b1", "+b2", "-b2"]);
  live(second, ["+a1", "+b1", "-a1", "-b1", "+a2", "+b2", "-a2", "-b2"]);
});

Deno.test("a repeated name is numbered if steps follow each other, and never collides with a used name", () => {
  const paths = live([], ["+a#2", "-a#2", "+a", "-a", "+a", "-a", "+if", "-if", "+x/y", "-x/y"]).map(({ path }) =>
    path
  );
  assert.deepEqual(paths, ["a#2", "a", "a#3", "if#2", "x%2Fy"]);
});

Deno.test("a name may be repeated in sequence and after a join, not by concurrent branches", () => {
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

Deno.test("a step counts as open until the function has its result, whenever that was sent", () => {
  const order = new ReplayOrder("ops/test", []);
  order.ask({ scope: "", name: "a", kind: "log", answered: 0 });
  order.answer("a");
  assert.deepEqual(order.ask({ scope: "", name: "b", kind: "log", answered: 0 }), { path: "b" });
});

/** Asks for steps and answers each at once. @returns their records */
function asked(order: ReplayOrder, calls: [scope: string, name: string, kind?: string][]): StepRecord[] {
  let answered = 0;
  return calls.map(([scope, name, kind = "log"]) => {
    const { path, after } = order.ask({ scope, name, kind, answered });
    order.answer(path);
    answered++;
    return { path, kind, state: "succeeded", attempts: 1, startedAt: 0, ...(after !== undefined && { after }) };
  });
}

Deno.test("each branch has its own names and order", () => {
  const calls: [string, string][] = [["", "a"], ["both/x", "a"], ["both/y", "a"], ["both/x", "b"], ["both/x", "a"], [
    "",
    "b",
  ]];
  const records = asked(new ReplayOrder("ops/test", []), calls);
  assert.deepEqual(records.map(({ path, after }) => [path, after]), [
    ["a", ""],
    ["both/x/a", ""],
    ["both/y/a", ""],
    ["both/x/b", "both/x/a"],
    ["both/x/a#2", "both/x/b"],
    ["b", "a"],
  ]);
  const other = new ReplayOrder("ops/test", records);
  assert.throws(
    () => asked(other, [["both/y", "a"], ["both/x", "a"], ["", "a"], ["both/x", "new"]]),
    /\("both\/x\/new" was asked for before "both\/x\/b"\).*Recorded: a, both\/x\/a.*Asked: both\/y\/a, both\/x\/a, a, both\/x\/new/,
  );
});

Deno.test("what is inside a recorded each, all or any counts as asked", () => {
  const inside: [string, string][] = [["all#2/x", "a"], ["all#2/x", "b"], ["lines[0]/in/deep", "a"], [
    "lines2[0]",
    "a",
  ]];
  const records = asked(new ReplayOrder("ops/test", []), inside);
  const composite = { state: "succeeded" as const, attempts: 1, startedAt: 0, after: "" };
  records.push({ ...composite, path: "all#2", kind: "all" }, { ...composite, path: "lines", kind: "each" });
  const order = new ReplayOrder("ops/test", records);
  asked(order, [["", "all#2", "all"], ["", "lines", "each"]]);
  assert.throws(() => order.end(), /"lines2\[0\]\/a" was not asked for/);
  asked(order, [["lines2[0]", "a"]]);
  order.end();
});

Deno.test("when a step's branches have ended, each has asked for all its steps, except abandoned branches", () => {
  const records = asked(new ReplayOrder("ops/test", []), [["any/x", "a"], ["any/y", "a"], ["any/y", "b"], [
    "any/yy",
    "a",
  ]]);
  const order = () => {
    const order = new ReplayOrder("ops/test", records);
    asked(order, [["any/x", "a"], ["any/y", "a"]]);
    return order;
  };
  assert.throws(() => order().close("any", ["any/yy"]), /"any\/y\/b" was not asked for/);
  assert.throws(() => order().close("any", ["any/y"]), /"any\/yy\/a" was not asked for/);
  order().close("any", ["any/y", "any/yy"]);
  assert.throws(() => order().end(), ReplayError);
  const stopped = order();
  stopped.ask({ scope: "", name: "any", kind: "any", answered: 0 });
  stopped.end();
});

/** BranchSet of so many steps each, run to the end or to a crash; `turns` says whose answer comes next. */
function runBranches(lengths: number[], turns: number[], records: StepRecord[], crashAfter: number): StepRecord[] {
  const moves: string[] = ["+start", "-start"];
  const known = new Set(records.map(({ path }) => path));
  const at = lengths.map(() => 0);
  const name = (branch: number) => `b${branch}_${at[branch]}`;
  lengths.forEach((_, branch) => moves.push(`+${name(branch)}`));
  const open = () => lengths.flatMap((length, branch) => at[branch] < length ? [branch] : []);
  let answered = 0;
  let turn = 0;
  while (open().length > 0) {
    // Recorded steps are answered at once, in the order of the calls.
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

Deno.test("a deterministic function with branches never fails its replay, whatever the order of results and crashes", () => {
  const lengths = fc.array(fc.integer({ min: 1, max: 4 }), { minLength: 1, maxLength: 4 });
  const turns = fc.array(fc.nat(20), { minLength: 1, maxLength: 20 });
  const lives = fc.array(fc.tuple(turns, fc.nat(6)), { maxLength: 5 });
  fc.assert(
    fc.property(lengths, lives, turns, (lengths, lives, last) => {
      let records: StepRecord[] = [];
      for (const [turns, crashAfter] of lives) records = runBranches(lengths, turns, records, crashAfter);
      records = runBranches(lengths, last, records, Infinity);
      runBranches(lengths, last, records, Infinity);
    }),
    { numRuns: 500 },
  );
});
