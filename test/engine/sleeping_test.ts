import assert from "node:assert/strict";
import { ManualClock } from "../../runtime/host/clock.ts";
import { turn } from "../../runtime/host/slices.ts";
import type { Rule } from "../../runtime/model/rule.ts";
import { answerForm } from "../../runtime/engine/answer_form.ts";
import type { Suspended } from "../../runtime/engine/outcome.ts";
import { Waiting } from "../../runtime/engine/waiting.ts";
import { type Bench, callStep, makeRule, makeStep, START, withBench } from "./harness.ts";

const MANY = 40;
const HOUR = 3_600_000;
const never = new AbortController().signal;
const anna = { id: "anna", name: "Anna", groups: [] };

/** Asks many forms at once, and calls a function with each answer. */
function askMany(called = "see"): Rule {
  const form = makeStep("ask", "form", { form: "May ${{ item }} go?", to: ["anna"], timeout: HOUR });
  const tell = callStep("tell", called, {}, { n: "${{ item }}" });
  const each = makeStep("all", "each", { each: "event.data", max: MANY }, { children: { then: [form, tell] } });
  return makeRule([each], { timeout: 100 * HOUR });
}

/** A bench with a run that asks many forms. */
async function asked(bench: Bench) {
  bench.people = [anna];
  bench.functions.see = () => null;
  const run = await bench.send(askMany(), Array.from({ length: MANY }, (_, index) => index));
  await bench.runner.settled(0);
  const forms = await bench.store.listForms({ run, limit: MANY });
  assert.equal(forms.length, MANY);
  const answer = async (index: number) => {
    const onWoken = (runs: string[]) => bench.runner.woken(runs);
    const { store, clock } = bench;
    const { kind } = await answerForm({ store, clock, onWoken }, forms[index].id, anna, { values: {}, via: "page" });
    await bench.runner.settled(0);
    return kind;
  };
  return { run, answer };
}

/** Many branches that wait, each at a path of its own, the first until 1,000. */
function waitMany(waiting: Waiting): { ended: Map<number, boolean>; done: Promise<unknown> } {
  const ended = new Map<number, boolean>();
  const branches = Array.from({ length: MANY }, (_, index) => async () => {
    const options = { path: `step${index}`, what: () => `wait ${index}` };
    ended.set(index, await waiting.wait(index === 0 ? 1_000 : undefined, never, options));
  });
  return { ended, done: waiting.fork(branches) };
}

Deno.test("a run with many waiting branches is suspended in memory and says what it waits for; branches with changed records resume", async () => {
  const clock = new ManualClock(0);
  const suspended: Suspended[] = [];
  const waiting = new Waiting(clock, false, (it) => suspended.push(it));
  const { ended, done } = waitMany(waiting);
  const waitingFor = `wait 0; wait 1; wait 2; ${MANY - 3} more`;
  assert.deepEqual(suspended, [{ kind: "suspended", due: 1_000, waitingFor }]);
  assert.equal(waiting.asleep, true);
  await clock.advanceTo(5_000);
  waiting.wake();
  assert.equal(waiting.asleep, true);
  assert.equal(waiting.held, 5_000);
  waiting.rouse(new Set(["step7"]));
  // Until both have ended, and the others are suspended in memory again.
  await turn();
  assert.deepEqual([[...ended], waiting.asleep, suspended.length], [[[0, true], [7, true]], true, 2]);
  waiting.suspend();
  await done;
  assert.deepEqual([...ended.values()].filter((again) => again), [true, true]);
  assert.equal(ended.size, MANY);
});

Deno.test("a run woken without reason is suspended in memory again; none is during the attempt of a called action", async () => {
  let times = 0;
  const waiting = new Waiting(new ManualClock(0), false, () => times++);
  const { ended, done } = waitMany(waiting);
  waiting.rouse(new Set());
  assert.deepEqual([times, waiting.asleep, ended.size], [2, true, 0]);
  waiting.suspend();
  await done;
  assert.deepEqual(new Set(ended.values()), new Set([false]));
  await waiting.awake(() => waitMany(waiting).done);
  assert.equal(times, 2);
});

Deno.test("a run with many forms resumes in memory at each answer, and is suspended in the store between them", async () => {
  let evaluated = 0;
  const surroundings = () => ({ env: {}, secrets: {}, n: evaluated++ });
  await withBench(async (bench) => {
    const { run, answer } = await asked(bench);
    const { waitingFor, due, state } = (await bench.trace(run)).run;
    assert.deepEqual([state, due, bench.runner.running()], ["waiting", START + HOUR, 0]);
    assert.match(waitingFor!, /^form "May 0 go\?" for anna; .*; \d+ more$/);
    // For an answered item only the arguments of its call are read: nothing of other items, and not the list.
    await answer(3);
    const before = evaluated;
    await answer(4);
    assert.equal(evaluated - before, 1);
    assert.equal((await bench.trace(run)).run.state, "waiting");
    for (let index = 0; index < MANY; index++) {
      assert.equal(await answer(index), index === 3 || index === 4 ? "closed" : "accepted");
    }
    const ended = await bench.trace(run);
    assert.equal(ended.run.state, "succeeded");
    assert.equal(bench.calls.length, MANY);
    assert.ok(ended.run.spent < HOUR);
  }, { surroundings });
});

Deno.test("forms of a run suspended in memory expire at their time", () =>
  withBench(async (bench) => {
    const { run, answer } = await asked(bench);
    await answer(5);
    await bench.clock.advanceTo(START + HOUR);
    await bench.finish();
    const { steps } = await bench.trace(run);
    assert.deepEqual(steps.filter(({ kind, output }) => kind === "form" && output !== null).map(({ path }) => path), [
      "all[5]/ask",
    ]);
  }));

Deno.test("a run suspended in memory is cancelled like any waiting run, and a crash loses nothing of it", () =>
  withBench(async (bench) => {
    const [first, second] = [await asked(bench), await asked(bench)];
    await first.answer(0);
    assert.equal(await bench.runner.cancel(first.run), "cancelled");
    assert.equal((await bench.trace(first.run)).run.state, "cancelled");
    assert.equal(await first.answer(1), "closed");
    await second.answer(0);
    await bench.crash();
    for (let index = 1; index < MANY; index++) assert.equal(await second.answer(index), "accepted");
    await bench.finish();
    assert.equal((await bench.trace(second.run)).run.state, "succeeded");
  }));

Deno.test("a run moved to another version while suspended in memory continues with that version", () =>
  withBench(async (bench) => {
    const { run, answer } = await asked(bench);
    const moved = askMany("look");
    bench.functions.look = () => null;
    await bench.store.putVersions([moved]);
    assert.equal((await bench.store.moveRun(run, moved.version, "anna", START))?.kind, "done");
    await answer(0);
    assert.deepEqual(bench.calls, ["look 0"]);
  }));
