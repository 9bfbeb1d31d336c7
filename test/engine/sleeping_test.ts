import assert from "node:assert/strict";
import { answerForm } from "../../runtime/engine/form_answers.ts";
import type { Suspended } from "../../runtime/engine/outcome.ts";
import { isZone, parseDue, parseMoment } from "../../runtime/language/fields/moment.ts";
import { Waiting } from "../../runtime/engine/waiting.ts";
import { ManualClock } from "../../runtime/host/clock.ts";
import { turn } from "../../runtime/host/large_work.ts";
import type { Rule, Step } from "../../runtime/model/rule.ts";
import type { Store } from "../../runtime/store/store.ts";
import { type Bench, callStep, makeRule, makeStep, NO_FILES, START, withBench } from "./harness.ts";

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
    const { kind } = await answerForm({ store, files: NO_FILES, clock, onWoken }, forms[index].id, anna, {
      values: {},
      via: "page",
    });
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

const NOW = Date.parse("2026-11-21T08:00:00Z");

function iso(time: number | undefined): string | undefined {
  return time === undefined ? undefined : new Date(time).toISOString();
}

Deno.test("a time of day is the next one in its zone", () => {
  assert.equal(iso(parseMoment("09:00", NOW, "UTC")), "2026-11-21T09:00:00.000Z");
  assert.equal(iso(parseMoment("08:00", NOW, "UTC")), "2026-11-22T08:00:00.000Z");
  assert.equal(iso(parseMoment("09:00:30", NOW, "Europe/Berlin")), "2026-11-21T08:00:30.000Z");
  assert.equal(iso(parseMoment("09:00", NOW, "Europe/Berlin")), "2026-11-22T08:00:00.000Z");
});

Deno.test("a local time that does not exist becomes the time after the gap", () => {
  const night = Date.parse("2027-03-28T00:00:00Z");
  assert.equal(iso(parseMoment("02:30", night, "Europe/Berlin")), "2027-03-28T01:00:00.000Z");
});

Deno.test("a date and time without an offset are those of the zone; with one the offset applies, also in the past", () => {
  assert.equal(iso(parseMoment("2027-01-01", NOW, "Europe/Berlin")), "2026-12-31T23:00:00.000Z");
  assert.equal(iso(parseMoment("2027-01-01T09:00", NOW, "America/New_York")), "2027-01-01T14:00:00.000Z");
  assert.equal(iso(parseMoment("2020-06-01T09:00:00+02:00", NOW)), "2020-06-01T07:00:00.000Z");
  assert.equal(iso(parseMoment("2020-06-01", NOW, "UTC")), "2020-06-01T00:00:00.000Z");
  assert.equal(iso(parseMoment("1960-05-01", NOW, "Europe/Berlin")), "1960-04-30T23:00:00.000Z");
  assert.equal(iso(parseMoment("1970-01-01", NOW, "UTC")), "1970-01-01T00:00:00.000Z");
  assert.equal(iso(parseMoment("2027-01-01T09:00:00.57", NOW, "Europe/Berlin")), "2027-01-01T08:00:00.570Z");
});

Deno.test("an invalid moment is rejected", () => {
  const texts = ["", "soon", "24:00", "9", "2027-02-31", "2027-02-31T09:00:00Z", "2027-01-01T25:00", "2027-13-01"];
  for (const text of texts) assert.equal(parseMoment(text, NOW, "UTC"), undefined, text);
});

Deno.test("a duration counts from now", () => {
  assert.equal(parseDue("1h", NOW), NOW + 3_600_000);
  assert.equal(iso(parseDue("2027-01-01T00:00:00Z", NOW)), "2027-01-01T00:00:00.000Z");
  assert.equal(parseDue("1 hour", NOW), undefined);
});

Deno.test("time zones are those of the host", () => {
  assert.ok(isZone("Europe/Berlin"));
  assert.ok(!isZone("Mars/Olympus"));
});

const FAR = Date.parse("2099-01-01T08:00:00Z");
const SECOND = 1_000;
const MINUTE = 60 * SECOND;

/** A step beside one that works until it is released; both are in `both`. */
function beside(steps: Step[]): Step {
  const children = { a: steps, b: [callStep("work", "work", { timeout: 100 * HOUR })] };
  return makeStep("both", "parallel", { parallel: ["a", "b"] }, { children });
}

/** A run that begins in 2099 and works until it is released. */
async function busyIn2099(bench: Bench, steps: Step[]) {
  const working = Promise.withResolvers<null>();
  bench.functions.work = () => working.promise;
  bench.clock.jumpTo(FAR);
  // The clock advances by hours while the run works.
  const run = await bench.send(makeRule([beside(steps)], { timeout: 100 * HOUR }));
  return { run, end: () => working.resolve(null) };
}

/** When a step ended. */
async function endOf(bench: Bench, run: string, path: string): Promise<number | undefined> {
  return (await bench.trace(run)).steps.find((step) => step.path === path)?.endedAt;
}

/** Waits until the store has shifted the time of a step to the new time. */
async function shifted(bench: Bench, run: string, path: string): Promise<void> {
  await bench.until(async () => (await bench.trace(run)).steps.some((step) => step.path === path && step.due! < FAR));
}

Deno.test("a branch that waits beside a working one resumes after its remaining time, counted from the clock rollback", () =>
  withBench(async (bench) => {
    bench.functions.see = () => null;
    const { run, end } = await busyIn2099(bench, [makeStep("pause", "wait", { wait: "1h" }), callStep("then", "see")]);
    await bench.reached(run, "both/a/pause", "waiting");
    bench.clock.jumpTo(START);
    await shifted(bench, run, "both/a/pause");
    await bench.clock.advanceTo(START + HOUR);
    await bench.reached(run, "both/a/then", "succeeded");
    assert.equal((await bench.trace(run)).run.state, "running");
    assert.equal(await endOf(bench, run, "both/a/then"), START + HOUR);
    end();
    await bench.finish();
    assert.equal((await bench.trace(run)).run.state, "succeeded");
  }));

Deno.test("after a clock rollback a retry beside a working branch comes after its remaining delay", () =>
  withBench(async (bench) => {
    bench.functions.flaky = () => {
      if (bench.clock.now() >= FAR) throw new Error("not yet");
      return null;
    };
    const retry = { attempts: 2, delay: MINUTE, max: MINUTE };
    const { run, end } = await busyIn2099(bench, [callStep("flaky", "flaky", { retry })]);
    await bench.reached(run, "both/a/flaky", "retrying");
    bench.clock.jumpTo(START);
    await shifted(bench, run, "both/a/flaky");
    await bench.clock.advanceTo(START + MINUTE);
    await bench.reached(run, "both/a/flaky", "succeeded");
    assert.equal(await endOf(bench, run, "both/a/flaky"), START + MINUTE);
    end();
    await bench.finish();
  }));

Deno.test("after a clock rollback an open form beside a working step sends its reminders after the remaining time", () =>
  withBench(async (bench) => {
    const form = makeStep("approval", "form", { form: "Refund?", to: ["anna@example.org"], fields: {}, remind: HOUR });
    const { run, end } = await busyIn2099(bench, [form]);
    await bench.until(() => bench.mails.length === 1);
    bench.clock.jumpTo(START);
    const isTurned = async () =>
      (await bench.trace(run)).steps.some(({ kind, startedAt }) => kind === "form" && startedAt < FAR);
    await bench.until(isTurned);
    await bench.clock.advanceTo(START + HOUR + MINUTE);
    await bench.until(() => bench.mails.length === 2);
    assert.deepEqual(bench.mails, ["anna@example.org: Refund?", "anna@example.org: Reminder: Refund?"]);
    end();
    await bench.runner.settled(0);
  }));

Deno.test("after a clock rollback a wait until a time of day uses the new time, whether its run is suspended or works elsewhere", () =>
  withBench(async (bench) => {
    const pause = makeStep("pause", "wait", { wait: "09:00", timezone: "UTC" });
    const latest = makeStep("latest", "wait", { wait: "5h", until: "10:00", timezone: "UTC" });
    const { run, end } = await busyIn2099(bench, [pause, latest]);
    const suspended = await bench.send(makeRule([pause]));
    await bench.reached(run, "both/a/pause", "waiting");
    await bench.until(async () => (await bench.trace(suspended)).run.state === "waiting");
    bench.clock.jumpTo(START + 30 * MINUTE);
    await shifted(bench, run, "both/a/pause");
    await shifted(bench, suspended, "pause");
    await bench.clock.advanceTo(START + HOUR);
    await bench.reached(run, "both/a/latest", "waiting");
    end();
    await bench.finish();
    for (
      const [id, path, at] of [[suspended, "pause", 1], [run, "both/a/pause", 1], [run, "both/a/latest", 2]] as const
    ) {
      assert.equal(await endOf(bench, id, path), START + at * HOUR, path);
    }
  }));

Deno.test("an each keeps its rate after a clock rollback", () =>
  withBench(async (bench) => {
    bench.functions.see = () => null;
    const args = { each: "event.data", max: 5, rate: { count: 1, per: MINUTE } };
    const each = makeStep("each", "each", args, { children: { then: [callStep("see", "see")] } });
    bench.clock.jumpTo(FAR);
    const run = await bench.send(makeRule([each]), [1, 2, 3]);
    await bench.runner.settled(0);
    bench.clock.jumpTo(START);
    await bench.until(async () => (await bench.trace(run)).run.due! < FAR);
    await bench.finish();
    assert.equal((await bench.trace(run)).run.state, "succeeded");
    assert.equal(bench.calls.length, 3);
    assert.ok(bench.clock.now() <= START + 4 * MINUTE, new Date(bench.clock.now()).toISOString());
  }));

Deno.test("a loop whose turn runs during a clock rollback continues with the next turn of its grid", () =>
  withBench(async (bench) => {
    const working = Promise.withResolvers<null>();
    bench.functions.turn = (_args, _signal, count) => count === 2 ? working.promise : null;
    const repeat = makeStep("loop", "repeat", { repeat: { every: 10 * MINUTE, times: 3 } }, {
      children: { then: [callStep("turn", "turn")] },
    });
    bench.clock.jumpTo(FAR);
    const run = await bench.send(makeRule([repeat]));
    await bench.runner.settled(0);
    await bench.clock.advanceTo(FAR + 10 * MINUTE);
    await bench.until(() => bench.calls.length === 2);
    bench.clock.jumpTo(START);
    working.resolve(null);
    await bench.finish();
    assert.equal((await bench.trace(run)).run.state, "succeeded");
    assert.equal(bench.calls.length, 3);
    assert.ok(bench.clock.now() <= START + 10 * MINUTE, new Date(bench.clock.now()).toISOString());
  }));

Deno.test("claimed runs execute even if the store does not say when the next run is due", () => {
  let fails = true;
  const between = (store: Store): Store =>
    new Proxy(store, {
      get: (target, name) => {
        const method = Reflect.get(target, name).bind(target);
        if (name !== "nextDue") return method;
        return () => fails ? Promise.reject(new Error("not now")) : method();
      },
    });
  return withBench(async (bench) => {
    bench.functions.see = () => null;
    const run = await bench.send(makeRule([callStep("see", "see")]));
    await bench.until(async () => (await bench.trace(run)).run.state === "succeeded");
    assert.ok(bench.errors.length > 0);
    fails = false;
  }, { between });
});
