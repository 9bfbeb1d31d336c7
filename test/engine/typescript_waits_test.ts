import assert from "node:assert/strict";
import type { JsonObject } from "../../runtime/model/json.ts";
import type { Person } from "../../runtime/model/form.ts";
import { answerForm } from "../../runtime/engine/form_answers.ts";
import type { Isolates, StepCall } from "../../runtime/workers/workers.ts";
import {
  type Bench,
  callStep,
  codeRule,
  endOf,
  idle,
  makeRule,
  makeStep,
  NO_FILES,
  START,
  withBench,
  withCode,
} from "./harness.ts";

const HOUR = 3_600_000;
const DAY = 24 * HOUR;
const anna: Person = { id: "anna", name: "Anna", email: "anna@example.org", groups: ["finance"] };
const carl: Person = { id: "carl", name: "Carl", email: "carl@example.org", groups: ["cfo"] };

/** Answers the oldest open form of a run. */
async function answer(bench: Bench, run: string, person: Person, values: JsonObject): Promise<string> {
  const [form] = await bench.store.listForms({ run, state: "open", limit: 1 });
  const { store, clock, runner } = bench;
  const options = { store, files: NO_FILES, clock, onWoken: (runs: string[]) => runner.woken(runs) };
  return (await answerForm(options, form.id, person, { values, via: "api" })).kind;
}

Deno.test("step.wait waits for a duration or until a time, also across a crash, and holds no resources", () =>
  withCode(async (bench) => {
    bench.functions.now = () => new Date(bench.clock.now()).toISOString();
    const run = await bench.send(codeRule(`
      const times = [await step.wait("pause", "6d"), await call("a", "now")];
      await step.wait("nine", "09:00", { timezone: "Europe/Vienna" });
      times.push(await call("b", "now"));
      await step.wait("short", "1h", { until: "2026-11-28T08:10:00Z" });
      return [...times, await call("c", "now")];`));
    await idle(bench);
    const { run: suspended } = await bench.trace(run);
    assert.deepEqual([suspended.state, suspended.due, bench.runner.running()], ["waiting", START + 6 * DAY, 0]);
    assert.deepEqual(suspended.waits?.map(({ step, kind, until }) => [step, kind, until]), [[
      "pause",
      "time",
      START + 6 * DAY,
    ]]);
    await bench.crash();
    const trace = await endOf(bench, run);
    assert.deepEqual(trace.run.output, [
      null,
      "2026-11-27T08:00:00.000Z",
      "2026-11-28T08:00:00.000Z",
      "2026-11-28T08:10:00.000Z",
    ]);
    assert.ok(trace.run.spent < HOUR, "waits do not count as running time");
    const wrong = await bench.run(
      codeRule(`await step.wait("pause", "soon", { timeout: "1h" });`, { id: "ops/wrong" }),
    );
    assert.match(wrong.run.error!.message, /Cannot run step "pause": .*a wait step does not take this/);
  }));

Deno.test("a function that is about to get an answer works, although its word that it had nothing to do came last", () => {
  let executions = 0;
  // The worker's side of two branches: one waits for 900 days, the other one takes a while to begin.
  const runRule: Isolates["runRule"] = async (_module, _scope, execute, _signal, onQuiet) => {
    executions++;
    const call = (name: string, scope: string, kind: string, args: JsonObject, answered: number): StepCall => {
      return { name, scope, kind, args, answered };
    };
    const both = call("both", "", "all", { all: ["late", "slow"] }, 0);
    await execute(both);
    void execute(call("pause", "both/late", "wait", { wait: "900d" }, 1));
    const slow = call("slow", "both/slow", "all", { all: ["a"] }, 1);
    const asked = execute(slow);
    // All three messages arrive together.
    onQuiet!();
    await asked;
    await new Promise((resolve) => setTimeout(resolve, 100));
    await execute(slow, { output: { a: 1 } });
    return (await execute(both, { output: { slow: 1 }, lost: ["both/late"] }))!.kind;
  };
  return withBench(
    async (bench) => {
      const trace = await bench.run(makeRule("function", { file: "ops/test.ts", modules: { "": "" } }));
      assert.deepEqual([trace.run.state, trace.run.output, executions], ["succeeded", "result", 1]);
    },
    {},
    { runRule, handedSecrets: () => new Map() } as unknown as Isolates,
  );
});

Deno.test("step.wait until a time of day uses the new time after a clock rollback", () =>
  withCode(async (bench) => {
    bench.functions.now = () => new Date(bench.clock.now()).toISOString();
    bench.clock.jumpTo(Date.parse("2099-01-01T08:00:00Z"));
    const run = await bench.send(codeRule(`
      await step.wait("nine", "09:00", { timezone: "UTC" });
      return await call("a", "now");`));
    await idle(bench);
    bench.clock.jumpTo(START);
    await bench.until(async () => (await bench.trace(run)).run.due === START + HOUR);
    assert.equal((await endOf(bench, run)).run.output, "2026-11-21T09:00:00.000Z");
  }));

Deno.test("a missing name and an invalid option are each one error that says what to write", () =>
  withCode(async (bench) => {
    const failed = async (id: string, code: string) => (await bench.run(codeRule(code, { id }))).run.error!.message;
    assert.equal(
      await failed("ops/nameless", 'await step.wait("1h");'),
      'step.wait("1h") needs the step\'s name as its first argument, as in step.wait("name", "1h")',
    );
    assert.equal(
      await failed("ops/soon", 'await step.waitFor("paid", "t", { timeout: "soon" });'),
      'Cannot run step "paid": timeout: expected a duration such as 250ms, 30s, 5m, 2h or 3d, got "soon"',
    );
  }));

Deno.test("step.waitFor returns the event that matches plain values, even one that came earlier, or null", () =>
  withCode(async (bench) => {
    const run = await bench.send(
      codeRule(`
        await step.wait("pause", "1h");
        const match = { "data.id": event.data.id, "data.paid": true, "data.lines": [1], "data.text": "1 + 1" };
        const paid = await step.waitFor("paid", ["payment.received", "payment.made"], { match, timeout: "3d" });
        const late = await step.waitFor("late", "payment.received", { timeout: "3d" });
        return { type: paid.type, amount: paid.data.amount, late };`),
      { id: "A1" },
    );
    await idle(bench);
    const data = { id: "A1", paid: true, lines: [1], amount: 5 };
    await bench.emit("payment.made", { ...data, text: "2" });
    await bench.emit("payment.made", { ...data, text: "1 + 1" });
    const trace = await endOf(bench, run);
    assert.deepEqual(trace.run.output, { type: "payment.made", amount: 5, late: null });
    assert.equal(trace.run.endedAt, START + HOUR + 3 * DAY);
  }));

Deno.test("an event wakes a run at once, whether it is suspended or other branches work", () =>
  withCode(async (bench) => {
    const working = Promise.withResolvers<string>();
    bench.functions.work = () => working.promise;
    const woken = Promise.withResolvers<void>();
    bench.functions.woken = () => {
      woken.resolve();
      return "woken";
    };
    const run = await bench.send(codeRule(`
      return await step.all("both", {
        works: () => call("work", "work"),
        waits: async () => { await step.waitFor("go", "go"); return await call("woken", "woken"); },
      });`));
    await bench.reached(run, "both/waits/go", "waiting");
    await bench.emit("go", {});
    await woken.promise;
    working.resolve("worked");
    assert.deepEqual((await endOf(bench, run)).run.output, { works: "worked", waits: "woken" });
    const suspended = await bench.send(
      codeRule(`return (await step.waitFor("go", "go")).data;`, { id: "ops/suspended" }),
    );
    await idle(bench);
    await bench.emit("go", { n: 1 });
    await idle(bench);
    assert.deepEqual((await bench.trace(suspended)).run.output, { n: 1 });
    assert.equal(bench.clock.now(), START);
  }));

Deno.test("step.form returns the answers with who and when; null after its timeout or if an operator skips it", () =>
  withCode(async (bench) => {
    bench.people = [anna, carl];
    const rule = codeRule(`
      return await step.form("approval", "Refund " + event.data.amount + " EUR?", {
        to: "finance",
        fields: { decision: { type: "choice", choices: ["approve", "reject"] }, reason: { type: "text", required: false } },
        remind: "1d", escalate: { after: "2d", to: "cfo" }, timeout: "5d",
      });`);
    const run = await bench.send(rule, { amount: 250 });
    await idle(bench);
    assert.match((await bench.trace(run)).run.waitingFor!, /^form "Refund 250 EUR\?" for finance/);
    for (const days of [1, 2]) {
      await bench.clock.advanceTo(START + days * DAY);
      await idle(bench);
    }
    await bench.crash();
    await idle(bench);
    const to = ({ email }: Person, what = "") => `${email}: ${what}Refund 250 EUR?`;
    const told = [to(anna), to(anna, "Reminder: "), to(anna, "Reminder: "), to(carl)];
    assert.deepEqual(bench.mails.toSorted(), told);
    assert.equal(await answer(bench, run, carl, { decision: "maybe" }), "invalid");
    assert.equal(await answer(bench, run, carl, { decision: "approve" }), "accepted");
    await idle(bench);
    const at = new Date(START + 2 * DAY).toISOString();
    assert.deepEqual((await bench.trace(run)).run.output, { decision: "approve", reason: null, by: "carl", at });
    const late = await bench.send(rule, { amount: 1 });
    assert.equal((await endOf(bench, late)).run.output, null);
    const skipped = await bench.send(rule, { amount: 2 });
    await idle(bench);
    assert.equal((await bench.store.skipWait(skipped, undefined, "anna", bench.clock.now()))?.kind, "done");
    bench.runner.woken([skipped]);
    await idle(bench);
    assert.deepEqual([(await bench.trace(skipped)).run.state, (await bench.trace(skipped)).run.output], [
      "succeeded",
      null,
    ]);
  }));

Deno.test("forms and waits in branches: the first to finish wins, and the others are closed", () =>
  withCode(async (bench) => {
    bench.people = [anna];
    const rule = codeRule(`
      const { winner, result } = await step.any("race", {
        form: () => step.form("ask", "Go on?", { to: "anna" }),
        event: () => step.waitFor("go", "go"),
        deadline: () => step.wait("end", "7d"),
      });
      return winner === "form" ? result.by : winner;`);
    const answered = await bench.send(rule);
    await idle(bench);
    assert.equal((await bench.trace(answered)).run.waits?.length, 3);
    await answer(bench, answered, anna, {});
    await idle(bench);
    const trace = await bench.trace(answered);
    assert.deepEqual([trace.run.output, trace.run.waits], ["anna", undefined]);
    assert.ok(
      trace.notes.some(({ text }) => /"race\/event", "race\/deadline"/.test(text)),
      JSON.stringify(trace.notes),
    );
    const told = await bench.send(rule);
    await idle(bench);
    const [form] = await bench.store.listForms({ run: told, limit: 1 });
    await bench.emit("go", {});
    await idle(bench);
    assert.equal((await bench.trace(told)).run.output, "event");
    assert.equal((await bench.store.getForm(form.id))?.state, "cancelled");
    const neither = await bench.send(rule);
    assert.equal((await endOf(bench, neither)).run.output, "deadline");
  }));

Deno.test("a form for each item, answered in any order", () =>
  withCode(async (bench) => {
    bench.people = [anna];
    const run = await bench.send(codeRule(`
      const { results } = await step.each("items", ["a", "b", "c"], async (item) => {
        const { ok } = await step.form("ask", item, { to: "anna", fields: { ok: { type: "boolean" } } });
        await step.wait("pause", "1h");
        return item + ok;
      }, { max: 2 });
      return results;`));
    for (const ok of [true, false]) {
      await idle(bench);
      assert.equal(await answer(bench, run, anna, { ok }), "accepted");
    }
    await idle(bench);
    await bench.clock.advanceTo(START + HOUR);
    await idle(bench);
    assert.equal(await answer(bench, run, anna, { ok: true }), "accepted");
    assert.deepEqual((await endOf(bench, run)).run.output, ["atrue", "bfalse", "ctrue"]);
  }));

Deno.test("a YAML action that waits is called by a function's branch like any other step", () =>
  withCode(async (bench) => {
    bench.functions.now = () => bench.clock.now() - START;
    const later = {
      inputs: {},
      then: [makeStep("pause", "wait", { wait: "1h" }), callStep("at", "now")],
      output: "steps.at",
    };
    const run = await bench.send(codeRule(
      `return await step.all("both", {
        yaml: () => step.call("later", "./later.yaml"),
        code: async () => { await step.wait("pause", "2h"); return await call("at", "now"); },
      });`,
      { actions: { "ops/later.yaml": later } },
    ));
    const trace = await endOf(bench, run);
    assert.equal(trace.run.error, undefined);
    assert.deepEqual(trace.run.output, { yaml: HOUR, code: 2 * HOUR });
  }));

Deno.test("1,000 functions wait without staying in memory, and all resume at their time", () =>
  withCode(async (bench) => {
    const rule = codeRule(`await step.wait("pause", "6d"); return event.data.n;`, { max: 2_000 });
    const runs = await Promise.all(Array.from({ length: 1_000 }, (_, n) => bench.send(rule, { n })));
    await idle(bench);
    assert.deepEqual([bench.runner.running(), (await bench.store.countRuns()).waiting], [0, 1_000]);
    await bench.clock.advanceTo(START + 6 * DAY);
    await idle(bench);
    assert.equal((await bench.store.countRuns()).succeeded, 1_000);
    assert.deepEqual((await bench.trace(runs[999])).run.output, 999);
  }));

Deno.test("a function that computes for long between two steps is not suspended by a wait beside it", () =>
  withCode(async (bench) => {
    bench.functions.now = () => bench.clock.now() - START;
    const run = await bench.send(codeRule(`
      const [at] = await Promise.all([
        (async () => {
          await step.do("first", () => 1);
          const end = Date.now() + 200;
          while (Date.now() < end);
          return await call("at", "now");
        })(),
        step.wait("pause", "6d"),
      ]);
      return at;`));
    assert.equal((await endOf(bench, run)).run.output, 0);
  }));
