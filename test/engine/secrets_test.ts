import assert from "node:assert/strict";
import type { Json, JsonObject } from "../../runtime/model/json.ts";
import type { CalledAction, Rule } from "../../runtime/model/rule.ts";
import { type Bench, callStep, codeRule, makeRule, makeStep, withBench, withCode } from "./harness.ts";

const SECRETS = { TOKEN: "s3cret-value", REGION: "lisbon" };
const options = { secrets: SECRETS };

/** A bench whose functions return their arguments, with everything that it records. */
function seeing(bench: Bench): Json[] {
  const seen: Json[] = [];
  bench.functions.see = (args) => {
    const { signal: _signal, ...given } = args as JsonObject;
    seen.push(given);
    return null;
  };
  return seen;
}

/** A rule whose only step calls an action of one step. */
function callingRule(given: JsonObject, inner: JsonObject, inputs: CalledAction["inputs"]): Rule {
  const action: CalledAction = { inputs, then: [callStep("see", "see", {}, inner)] };
  return makeRule([makeStep("go", "call", { call: "./inner.yaml", with: given })], {
    actions: { "ops/inner.yaml": action },
    modules: { "ops/lib.ts": "" },
  });
}

Deno.test("a secret reaches the action, and is recorded as its expression", () =>
  withBench(async (bench) => {
    const seen = seeing(bench);
    const args = {
      token: "${{ secrets.TOKEN }}",
      header: "Bearer ${{secrets.TOKEN}} for ${{ event.data.city }}",
      basic: "${{ upper('me:' + secrets.TOKEN) }}",
      isHome: "${{ secrets.REGION == event.data.city }}",
      city: "${{ event.data.city }}",
      nested: { list: ["${{ secrets['TOKEN'] }}", 7] },
    };
    const trace = await bench.run(makeRule([callStep("a", "see", {}, args)]), { city: "lisbon" });
    assert.deepEqual(seen, [{
      token: "s3cret-value",
      header: "Bearer s3cret-value for lisbon",
      basic: "ME:S3CRET-VALUE",
      isHome: true,
      city: "lisbon",
      nested: { list: ["s3cret-value", 7] },
    }]);
    assert.deepEqual((trace.steps[0].input as JsonObject).with, {
      token: "${{ secrets.TOKEN }}",
      header: "Bearer ${{ secrets.TOKEN }} for lisbon",
      basic: "${{ upper('me:' + secrets.TOKEN) }}",
      isHome: "${{ secrets.REGION == event.data.city }}",
      city: "lisbon",
      nested: { list: ["${{ secrets['TOKEN'] }}", 7] },
    });
  }, options));

Deno.test("a URL is recorded with the secret as expression and everything else percent-encoded", () =>
  withBench(async (bench) => {
    const url = "http://127.0.0.1:1/${{ event.data }}?key=${{ secrets.TOKEN }}";
    const trace = await bench.run(makeRule([makeStep("get", "http", { http: url }, { timeout: 1 })]), "a b");
    assert.equal((trace.steps[0].input as JsonObject).http, "http://127.0.0.1:1/a%20b?key=${{ secrets.TOKEN }}");
  }, options));

Deno.test("inputs of a called action are recorded as the caller wrote them, inside the action too", () =>
  withBench(async (bench) => {
    const seen = seeing(bench);
    const rule = callingRule(
      { token: "${{ secrets.TOKEN }}", city: "${{ event.data.city }}" },
      { token: "${{ inputs.token }}", line: "${{ inputs.token + inputs.city }}", city: "${{ inputs.city }}" },
      { token: { type: "text", required: true }, city: { type: "text", required: true } },
    );
    const { steps } = await bench.run(rule, { city: "lisbon" });
    const inputs = new Map(steps.map(({ path, input }) => [path, (input as JsonObject).with]));
    assert.deepEqual(seen, [{ token: "s3cret-value", line: "s3cret-valuelisbon", city: "lisbon" }]);
    assert.deepEqual(inputs.get("go"), { token: "${{ secrets.TOKEN }}", city: "lisbon" });
    assert.deepEqual(inputs.get("go/then/see"), {
      token: "${{ secrets.TOKEN }}",
      line: "${{ inputs.token + inputs.city }}",
      city: "lisbon",
    });
    assert.ok(!JSON.stringify(steps).includes("s3cret-value"));
  }, options));

Deno.test("an item of a list of secrets is recorded by its index, but not one of an inner list with the same name", () =>
  withBench(async (bench) => {
    const seen = seeing(bench);
    const inner = makeStep("plain", "each", { each: "event.data" }, {
      children: { then: [callStep("b", "see", {}, { of: "${{ item }}" })] },
    });
    const { steps } = await bench.run(
      makeRule([
        makeStep("all", "each", { each: "[secrets.TOKEN]" }, {
          children: { then: [callStep("a", "see", {}, { of: "${{ item }}" }), inner] },
        }),
      ]),
      ["lisbon"],
    );
    assert.deepEqual(seen, [{ of: "s3cret-value" }, { of: "lisbon" }]);
    const recorded = steps.filter(({ kind }) => kind === "call").map(({ input }) => (input as JsonObject).with);
    assert.deepEqual(recorded, [{ of: "${{ ([secrets.TOKEN])[0] }}" }, { of: "lisbon" }]);
  }, options));

Deno.test("a wait matches the secret's value and is recorded with the expression", () =>
  withBench(async (bench) => {
    const waitFor = makeStep("paid", "waitFor", { waitFor: "paid", match: { "data.code": "secrets.TOKEN" } });
    const run = await bench.send(makeRule([waitFor]));
    await bench.reached(run, "paid", "waiting");
    const { steps, run: { waitingFor } } = await bench.trace(run);
    assert.deepEqual((steps[0].input as JsonObject).match, { "data.code": "${{ secrets.TOKEN }}" });
    assert.ok(!String(waitingFor).includes("s3cret-value"));
    await bench.emit("paid", { code: "s3cret-value" });
    await bench.finish();
    assert.equal((await bench.trace(run)).run.state, "succeeded");
  }, options));

Deno.test("data that is equal to a secret is data: in conditions, arguments, results and errors", () =>
  withBench(async (bench) => {
    const seen = seeing(bench);
    bench.functions.fail = ({ city }) => {
      throw new Error(`no way to ${city}`);
    };
    const rule = makeRule([
      callStep("yes", "see", { if: "event.data.city == 'lisbon'" }, { city: "${{ event.data.city }}" }),
      callStep("no", "fail", {}, { city: "${{ event.data.city }}", region: "${{ secrets.REGION }}" }),
    ]);
    const { steps, run } = await bench.run(rule, { city: "lisbon" });
    assert.deepEqual(run.event.data, { city: "lisbon" });
    assert.deepEqual(seen, [{ city: "lisbon" }]);
    assert.deepEqual((steps[0].input as JsonObject).with, { city: "lisbon" });
    assert.deepEqual((steps[1].input as JsonObject).with, { city: "lisbon", region: "${{ secrets.REGION }}" });
    assert.equal(run.error?.message, "no way to lisbon");
    assert.equal(bench.finished[0].error?.message, "no way to lisbon");
  }, options));

Deno.test("arguments from a function are recorded with the names of the secrets that it read", () =>
  withCode(async (bench) => {
    const seen = seeing(bench);
    const rule = codeRule(`
      const token = secrets.TOKEN;
      const auth = "Basic " + btoa("me:" + token);
      await step.call("see", "./lib.ts#see", { with: { token, auth, city: event.data.city } });
      await step.all("both", { [event.data.city]: () => step.log("say", token) });
      return event.data.city === "lisbon" ? await step.do("home", () => token) : null;`);
    const { steps, run } = await bench.run(rule, { city: "lisbon" });
    assert.deepEqual(seen, [{ token: "s3cret-value", auth: `Basic ${btoa("me:s3cret-value")}`, city: "lisbon" }]);
    const { auth, ...rest } = (steps[0].input as { with: JsonObject }).with;
    assert.deepEqual(rest, { token: "${{ secrets.TOKEN }}", city: "lisbon" });
    assert.match(String(auth), /^Basic .*\$\{\{ secrets\.TOKEN \}\}/);
    assert.equal(
      (steps.find(({ path }) => path === "both/lisbon/say")?.input as JsonObject).log,
      "${{ secrets.TOKEN }}",
    );
    assert.equal(run.output, "s3cret-value");
  }, options));

Deno.test("a function that branches on a value equal to a secret takes the same branch in its replay", () =>
  withCode(async (bench) => {
    const begun = Promise.withResolvers<void>();
    const hang = () => {
      begun.resolve();
      return new Promise<never>(() => {});
    };
    bench.functions = { where: () => "lisbon", home: () => "home", away: () => "away", slow: hang };
    const run = await bench.send(codeRule(`
      const region = secrets.REGION;
      const where = await step.call("where", "./lib.ts#where");
      const name = where === region ? "home" : "away";
      const went = await step.call(name, "./lib.ts#" + name);
      return [where, went, await step.call("slow", "./lib.ts#slow")];`));
    await begun.promise;
    bench.functions.slow = () => "done";
    await bench.crash();
    await bench.finish();
    assert.deepEqual((await bench.trace(run)).run.output, ["lisbon", "home", "done"]);
    assert.deepEqual(bench.calls, ["where", "home", "slow", "slow"]);
  }, options));
