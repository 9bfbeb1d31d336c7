import assert from "node:assert/strict";
import fc from "fast-check";
import type { Rule, Step } from "../../runtime/model/rule.ts";
import { isFinal, isFinalStep, type StepRecord } from "../../runtime/model/run.ts";
import type { Store, Trace } from "../../runtime/store/store.ts";
import { type Bench, callStep, makeRule, makeStep, withBench } from "./harness.ts";

const HOUR = 3_600_000;
const act = (id: string, n: string | number = id, more: Partial<Step> = {}) => callStep(id, "act", more, { n });

/** A moment at which the runner changes the store, counted from 0, and whether the change is on disk when the program dies. */
interface Moment {
  at: number;
  isKept: boolean;
}

/** Kills the program at some of the moments at which its runner changes the store. */
class Killer {
  /** Changes so far, in all starts. */
  moments = 0;
  #killed = Promise.withResolvers<void>();
  /** Calls whose records are on disk, by path. */
  readonly #recorded = new Set<string>();
  /** Those that were nevertheless made again. */
  readonly repeated: string[] = [];

  constructor(private readonly deadly: Moment[]) {}

  between = (store: Store): Store =>
    new Proxy(store, {
      get: (target, name) => {
        const method = Reflect.get(target, name).bind(target);
        if (!["recordStep", "suspendRun", "finishRun", "claimRuns"].includes(String(name))) return method;
        return async (...args: unknown[]) => {
          const now = this.moments++;
          const deadly = this.deadly.find(({ at }) => at === now);
          if (deadly?.isKept === false) return await this.#kill();
          const result = await method(...args);
          if (name === "recordStep") this.#note(args[1] as StepRecord);
          return deadly === undefined ? result : await this.#kill();
        };
      },
    });

  /** Executes a run to its end, across all kills. */
  async execute(bench: Bench, rule: Rule): Promise<Trace> {
    const run = await bench.send(rule);
    for (;;) {
      const end = bench.finish().then(() => true, () => false);
      if (await Promise.race([end, this.#killed.promise.then(() => false)])) break;
      this.#killed = Promise.withResolvers();
      await bench.crash();
    }
    return await bench.trace(run);
  }

  #note({ path, kind, state }: StepRecord): void {
    if (kind !== "call" || !isFinalStep(state)) return;
    if (this.#recorded.has(path)) this.repeated.push(path);
    this.#recorded.add(path);
  }

  #kill(): Promise<never> {
    this.#killed.resolve();
    return new Promise(() => {});
  }
}

/** A trace without values that differ between runs: times, and the ids of mails. */
function outcome({ run, steps }: Trace) {
  const ended = steps.map(({ path, kind, state, output, error }) => {
    return { path, state, ...(kind !== "mail" && { output }), error: error?.message };
  });
  return { state: run.state, error: run.error?.message, steps: ended.sort((a, b) => a.path < b.path ? -1 : 1) };
}

/** Runs a rule; the program is killed at these moments. */
async function execute(rule: Rule, deadly: Moment[] = []): Promise<{ outcome: unknown; moments: number }> {
  const killer = new Killer(deadly);
  let result: { outcome: unknown; moments: number } | undefined;
  await withBench(async (bench) => {
    bench.people = [{ id: "anna", name: "Anna", email: "anna@example.org", groups: [] }];
    bench.functions.act = ({ n }) => `result ${n}`;
    bench.functions.fail = () => {
      throw new Error("by nature");
    };
    const trace = await killer.execute(bench, rule);
    assert.deepEqual(killer.repeated, []);
    assert.ok(isFinal(trace.run.state), `${trace.run.state}: ${trace.run.waitingFor}`);
    assert.equal(trace.run.waits, undefined);
    assert.equal(await bench.store.nextDue(), undefined);
    for (const { path, state } of trace.steps) assert.ok(isFinalStep(state), `${path} ${state}`);
    assert.deepEqual(await bench.store.listForms({ state: "open", limit: 10 }), []);
    result = { outcome: outcome(trace), moments: killer.moments };
  }, { between: killer.between });
  return result!;
}

Deno.test("killed at any moment, a process resumes as if nothing had happened, and no step is executed twice", async () => {
  const rule = makeRule([
    makeStep("both", "parallel", { parallel: ["sync", "mod", "race", "ask"] }, {
      children: {
        sync: [
          makeStep("lines", "each", { each: "[1, 2, 3]", max: 2 }, {
            children: { then: [act("save", "save ${{ item }}"), act("check", "check ${{ item }}")] },
          }),
        ],
        mod: [
          makeStep("loop", "repeat", { repeat: { until: "index == 2", every: HOUR } }, {
            children: { then: [act("turn", "turn ${{ index }}")] },
          }),
          makeStep("known", "if", { if: "steps.turn == 'result turn 2'" }, { children: { then: [act("yes")] } }),
        ],
        race: [
          makeStep("any", "parallel", { parallel: ["quick", "slow"], join: "any" }, {
            children: {
              quick: [makeStep("nap", "wait", { wait: "30m" }), act("won")],
              slow: [act("begun"), makeStep("long", "wait", { wait: "3d" }), act("never")],
            },
          }),
        ],
        ask: [
          makeStep("approval", "form", { form: "Ok?", to: ["anna"], remind: 24 * HOUR, timeout: 36 * HOUR }, {
            onTimeout: [act("unanswered")],
          }),
          makeStep("paid", "waitFor", { waitFor: "paid", timeout: HOUR }),
        ],
      },
    }),
    act("last", "last ${{ json(steps.both) }} ${{ json(steps.turn) }} ${{ json(steps.begun) }}"),
  ], { timeout: 1_000 * HOUR });
  const undisturbed = await execute(rule);
  assert.match(JSON.stringify(undisturbed.outcome), /"state":"succeeded","steps":.*"path":"last"/);
  const all = Array.from({ length: undisturbed.moments }, (_, at) => [{ at, isKept: true }, { at, isKept: false }])
    .flat();
  while (all.length > 0) {
    await Promise.all(
      all.splice(0, 16).map(async (moment) => {
        const { outcome } = await execute(rule, [moment]);
        assert.deepEqual(outcome, undisturbed.outcome, `killed at moment ${moment.at}, kept: ${moment.isKept}`);
      }),
    );
  }
});

type Shape =
  | { kind: "act"; fails: boolean }
  | { kind: "wait"; hours: number }
  | { kind: "if" | "call"; then: Shape[] }
  | { kind: "all" | "any"; branches: Shape[][] }
  | { kind: "each"; items: number; max: number; then: Shape[] }
  | { kind: "repeat"; times: number; every: number; then: Shape[] };

const { shapes } = fc.letrec<{ shapes: Shape[]; shape: Shape }>((tie) => {
  const then = tie("shapes");
  const few = fc.integer({ min: 0, max: 3 });
  return {
    shapes: fc.array(tie("shape"), { minLength: 1, maxLength: 3, depthIdentifier: "d" }),
    shape: fc.oneof(
      { depthIdentifier: "d", maxDepth: 3 },
      fc.record({ kind: fc.constant("act" as const), fails: fc.boolean() }),
      fc.record({ kind: fc.constant("wait" as const), hours: fc.integer({ min: 1, max: 5 }) }),
      fc.record({ kind: fc.constantFrom("if" as const, "call" as const), then }),
      fc.record({
        kind: fc.constantFrom("all" as const, "any" as const),
        branches: fc.array(then, { minLength: 1, maxLength: 3 }),
      }),
      fc.record({ kind: fc.constant("each" as const), items: few, max: fc.integer({ min: 1, max: 3 }), then }),
      fc.record({ kind: fc.constant("repeat" as const), times: few, every: fc.integer({ min: 0, max: 2 }), then }),
    ),
  };
});

/** Steps of that shape, whose results do not depend on which branch is faster. */
function build(shapes: Shape[], actions: Rule["actions"], around: string, next: { n: number }): Step[] {
  return shapes.map((shape): Step => {
    const n = next.n++;
    const id = `s${n}`;
    const list = (shapes: Shape[], inner = around) => build(shapes, actions, inner, next);
    switch (shape.kind) {
      case "act":
        return shape.fails
          ? callStep(id, "fail", { onError: [act(`${id}b`, `${around} ${n} instead`)] })
          : act(id, `${around} ${n}`);
      case "wait":
        return makeStep(id, "wait", { wait: `${shape.hours}h` });
      case "if":
        return makeStep(id, "if", { if: "true" }, { children: { then: list(shape.then) } });
      case "call": {
        const inputs = { around: { type: "text" as const, required: true } };
        const then = list(shape.then, "${{ inputs.around }}");
        actions[`ops/${id}.yaml`] = { inputs, then, output: "json(steps)" };
        return makeStep(id, "call", { call: `./${id}.yaml`, with: { around: `${around} in` } });
      }
      case "all":
      case "any": {
        const children = Object.fromEntries(shape.branches.map((branch, index) => [`b${index}`, list(branch)]));
        // All but the first one lose.
        const late = (name: string) => [makeStep(`${name}of${n}`, "wait", { wait: "900d" }), ...children[name]];
        const names = Object.keys(children);
        const racing = Object.fromEntries(names.map((name, at) => [name, at === 0 ? children[name] : late(name)]));
        const isRace = shape.kind === "any";
        return makeStep(id, "parallel", { parallel: names, join: isRace ? "any" : "all" }, {
          children: isRace ? racing : children,
        });
      }
      case "each": {
        const items = Array.from({ length: shape.items }, (_, item) => item);
        const then = list(shape.then, `${around} item \${{ i${n} }}`);
        return makeStep(id, "each", { each: JSON.stringify(items), as: `i${n}`, max: shape.max }, {
          children: { then },
        });
      }
      case "repeat": {
        const { times, every } = shape;
        const then = list(shape.then, `${around} turn \${{ index }}`);
        const repeat = { times, ...(every > 0 && { every: every * HOUR }) };
        return makeStep(id, "repeat", { repeat }, { children: { then } });
      }
    }
  });
}

Deno.test("no kill changes the result of a process with nested steps, and no step is executed twice", async () => {
  const moments = fc.array(fc.record({ at: fc.nat(40), isKept: fc.boolean() }), { minLength: 1, maxLength: 6 });
  await fc.assert(
    fc.asyncProperty(shapes, moments, async (shapes, moments) => {
      const actions: Rule["actions"] = {};
      const steps = build(shapes, actions, "", { n: 0 });
      const rule = makeRule([...steps, act("last", "${{ json(steps) }}")], { actions, timeout: 1e6 * HOUR });
      rule.modules = { "ops/lib.ts": "" };
      const [undisturbed, killed] = await Promise.all([execute(rule), execute(rule, moments)]);
      assert.match(JSON.stringify(undisturbed.outcome), /"state":"succeeded","steps"/);
      assert.deepEqual(killed.outcome, undisturbed.outcome);
    }),
    { numRuns: 20 },
  );
});
