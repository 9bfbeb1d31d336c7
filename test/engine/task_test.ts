import assert from "node:assert/strict";
import type { TaskFleets } from "../../runtime/actions/action.ts";
import type { TaskOrder, TaskResult } from "../../runtime/model/fleet.ts";
import type { Json, JsonObject } from "../../runtime/model/json.ts";
import type { Step } from "../../runtime/model/rule.ts";
import type { Trace } from "../../runtime/store/store.ts";
import { type Bench, codeRule, endOf, makeRule, makeStep, withBench, withCode } from "./harness.ts";

/** A fleet of `press-1` to `press-4`; devices answer as `answers` says. */
function fleetOf(
  bench: Bench,
  answers: Record<string, (order: TaskOrder) => Promise<string | null> | string | null> = {},
) {
  const sent: string[] = [];
  const jobs = new Set<string>();
  const fleets: TaskFleets = {
    async task(order, onResults) {
      jobs.add(order.job);
      const one = typeof order.to === "string" && order.to !== "all" ? [order.to] : undefined;
      const all = ["press-1", "press-2", "press-3", "press-4"];
      for (const device of Array.isArray(order.to) ? order.to : one ?? all) {
        if (order.done?.has(device)) continue;
        order.signal?.throwIfAborted();
        sent.push(device);
        const error = await answers[device]?.(order) ?? null;
        const result: TaskResult = {
          job: order.job,
          device,
          worker: "here",
          success: error === null,
          error,
          return: error === null ? order.inputs : null,
          at: "2026-11-29T19:00:00.000Z",
          executionTime: 1,
        };
        await onResults([result]);
      }
      order.signal?.throwIfAborted();
    },
  };
  bench.fleets = fleets;
  return { sent, jobs };
}

function taskStep(args: JsonObject, more: Partial<Step> = {}): Step {
  return makeStep("fix", "task", { task: "reboot", fleet: "plant/plc", ...args }, more);
}

function outputOf({ steps }: Trace): Json | undefined {
  return steps.find(({ path }) => path === "fix")?.output;
}

Deno.test("a task for one device has its result; its failure fails the step, with the result as detail", () =>
  withBench(async (bench) => {
    const { jobs } = fleetOf(bench, { "press-2": () => "no answer" });
    const rule = makeRule([taskStep({ to: "${{ event.data }}", with: { delay: 5 } })]);
    const one = await bench.run(rule, "press-1");
    assert.deepEqual(one.run.state, "succeeded");
    const { job, ...result } = outputOf(one) as JsonObject;
    assert.equal(job, `${one.run.id}/fix`);
    assert.deepEqual(result, {
      device: "press-1",
      worker: "here",
      success: true,
      error: null,
      return: { delay: 5 },
      at: "2026-11-29T19:00:00.000Z",
      executionTime: 1,
    });
    const failed = await bench.run(rule, "press-2");
    assert.equal(failed.run.error?.message, "no answer");
    assert.equal((failed.run.error?.detail as JsonObject).device, "press-2");
    assert.equal(jobs.size, 2);
  }));

Deno.test("a task for many devices: with onError: continue all get it, else the first failure ends the step; [] does nothing, null fails", () =>
  withBench(async (bench) => {
    const { sent } = fleetOf(bench, { "press-2": () => "no answer" });
    const continues = await bench.run(makeRule([taskStep({ to: "all" }, { onError: "continue" })]));
    const { total, failed, results } = outputOf(continues) as unknown as {
      total: number;
      failed: number;
      results: TaskResult[];
    };
    assert.deepEqual([total, failed, results.map(({ device }) => device)], [4, 1, [
      "press-1",
      "press-2",
      "press-3",
      "press-4",
    ]]);
    assert.equal(results[1].error, "no answer");
    sent.length = 0;
    const stops = await bench.run(makeRule([taskStep({ to: { tags: ["press"] } })]));
    assert.equal(stops.run.error?.message, "Cannot reboot on press-2: no answer");
    assert.equal((stops.run.error?.detail as JsonObject).failed, 1);
    assert.deepEqual(sent, ["press-1", "press-2"]);
    const data = makeRule([taskStep({ to: "${{ event.data.to }}" })]);
    assert.deepEqual(outputOf(await bench.run(data, { to: [] })), { total: 0, failed: 0, results: [] });
    assert.match(
      (await bench.run(data, { to: null })).run.error!.message,
      /^Cannot send the task to null: expected a name/,
    );
  }));

Deno.test("after a crash only devices without a result are sent the task, with the same job; a further attempt goes to those that failed", () =>
  withBench(async (bench) => {
    let hangs = true;
    let fails = true;
    const reached = Promise.withResolvers<void>();
    const { sent, jobs } = fleetOf(bench, {
      "press-1": () => fails ? "not yet" : null,
      "press-3"() {
        reached.resolve();
        return hangs ? new Promise<null>(() => {}) : null;
      },
    });
    const retry = { attempts: 1, delay: 1_000, max: 1_000 };
    const run = await bench.send(makeRule([taskStep({ to: "all" }, { onError: "continue" })]));
    await reached.promise;
    assert.deepEqual(sent.splice(0), ["press-1", "press-2", "press-3"]);
    hangs = false;
    await bench.crash();
    await bench.finish();
    assert.deepEqual(sent.splice(0), ["press-3", "press-4"]);
    assert.deepEqual([(await bench.trace(run)).run.state, jobs.size], ["succeeded", 1]);

    const again = await bench.send(makeRule([taskStep({ to: "all" }, { retry: { ...retry, attempts: 2 } })]));
    await bench.until(() => sent.length === 1);
    fails = false;
    await bench.finish();
    assert.deepEqual(sent, ["press-1", "press-1", "press-2", "press-3", "press-4"]);
    assert.deepEqual([(await bench.trace(again)).run.state, jobs.size], ["succeeded", 2]);
  }));

Deno.test("step.task in a TypeScript rule: one, and many with onError: continue; also after a crash", () =>
  withCode(async (bench) => {
    const { sent } = fleetOf(bench, { "press-2": () => "no answer" });
    const run = await bench.send(codeRule(`
      const one = await step.task("one", "reboot", { fleet: "plant/plc", to: "press-1", with: { delay: 5 }, timeout: "10s" });
      await step.wait("pause", "1h");
      const many = await step.task("many", "reboot", { fleet: "plant/plc", to: "all", onError: "continue" });
      await step.wait("another", "1h");
      return [one.return, many.total, many.failed];`));
    await bench.reached(run, "pause", "waiting");
    await bench.crash();
    bench.clock.wakeNext(Infinity);
    await bench.reached(run, "another", "waiting");
    await bench.crash();
    const trace = await endOf(bench, run);
    assert.deepEqual(trace.run.output, [{ delay: 5 }, 4, 1]);
    assert.deepEqual(sent, ["press-1", "press-1", "press-2", "press-3", "press-4"]);
  }));
