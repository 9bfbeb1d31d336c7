import assert from "node:assert/strict";
import type { Person } from "../../runtime/model/form.ts";
import type { JsonObject } from "../../runtime/model/json.ts";
import type { Field, Rule, Trigger } from "../../runtime/model/rule.ts";
import { hashToken } from "../../runtime/secrets/passwords.ts";
import { onEvent, openBench, rule, webhook } from "./harness.ts";

const AT = { line: 1, column: 1 };
const manual = (to?: string[]): Trigger => ({
  id: "manual",
  kind: "manual",
  at: AT,
  args: { manual: true, ...to && { to } },
});
const INPUTS: Record<string, Field> = {
  bits: { type: "integer", required: true, max: 8192 },
  out: { type: "path", required: false, default: "key.pem" },
};
const keys = (...triggers: Trigger[]): Rule => ({ ...rule("ops/keys", triggers), inputs: INPUTS });
const person = (id: string, ...groups: string[]): Person => ({ id, name: id, groups, token: hashToken(`${id}-token`) });
const as = (id: string) => ({ authorization: `Bearer ${id}-token` });
const START = "/api/rules/ops/keys/start";

Deno.test("a start takes typed inputs; the run has them, with who started it", async () => {
  await using bench = await openBench([keys(manual())]);
  const { status, body } = await bench.post(START, { inputs: { bits: 4096 }, by: "root" });
  assert.equal(status, 202);
  const { run } = (await bench.store.getRun(body.runs[0]))!;
  assert.deepEqual(run.inputs, { bits: 4096, out: "key.pem" });
  assert.deepEqual([run.event.type, run.event.by, run.event.data], ["manual", "root", { bits: 4096 }]);
});

Deno.test("inputs that do not fit are 422 with all problems, and nothing happens", async () => {
  await using bench = await openBench([keys(manual())]);
  const { status, body } = await bench.post(START, { inputs: { bit: 1, out: "/etc/passwd" } });
  assert.equal(status, 422);
  assert.deepEqual(body.problems, {
    bit: 'unknown key "bit"; did you mean "bits"?',
    bits: "bits is missing: expected a whole number",
    out: 'out: expected a relative path without .., such as reports/may.csv, got "/etc/passwd"',
  });
  assert.deepEqual(await bench.store.listEvents({ limit: 9 }), []);
  assert.equal((await bench.post("/api/rules/nope/start", {})).status, 404);
});

Deno.test("a rule that declares no inputs takes none, but data for its event", async () => {
  await using bench = await openBench([rule("a", [webhook("/a")])]);
  assert.equal((await bench.post("/api/rules/a/start", { inputs: { x: 1 } })).status, 422);
  const { body } = await bench.post("/api/rules/a/start", { data: { x: 1 } });
  const { run } = (await bench.store.getRun(body.runs[0]))!;
  assert.deepEqual([run.inputs, run.event.data], [undefined, { x: 1 }]);
});

Deno.test("two equal submissions are one run", async () => {
  await using bench = await openBench([keys(manual())]);
  const submit = () => bench.post(START, { inputs: { bits: 1 }, id: "once" });
  const [one, two] = await Promise.all([submit(), submit()]);
  assert.deepEqual([one.status, two.status].sort(), [200, 202]);
  assert.deepEqual(one.body.runs, two.body.runs);
  assert.equal((await bench.store.listRuns({ limit: 9 })).length, 1);
});

Deno.test("a start that a pause refuses does not use up its id", async () => {
  await using bench = await openBench([keys(manual())]);
  const submit = () => bench.post(START, { inputs: { bits: 1 }, id: "once" });
  await bench.context.operators.pause("ops/keys", "the disk is full", "olga");
  const refused = await submit();
  assert.deepEqual([refused.body.runs, refused.body.verdicts[0].verdict.kind], [[], "disabled"]);
  await bench.context.operators.resume("ops/keys", "olga");
  const started = await submit();
  assert.deepEqual([started.body.runs.length, started.body.duplicate], [1, false]);
  assert.deepEqual((await submit()).body.runs, started.body.runs);
});

Deno.test("null that somebody gives means not set, so a default does not take its place", async () => {
  await using bench = await openBench([{
    ...keys(manual()),
    inputs: { ...INPUTS, level: { type: "integer", required: false, default: 6 } },
  }]);
  const valuesOf = async (inputs: JsonObject) => {
    const { body } = await bench.post(START, { inputs: { bits: 1, ...inputs } });
    return (await bench.store.getRun(body.runs[0]))!.run.inputs!.level;
  };
  assert.deepEqual([await valuesOf({}), await valuesOf({ level: null })], [6, null]);
  assert.equal((await bench.post(START, { inputs: { bits: null } })).status, 422, "what is required must be set");
});

Deno.test("an event whose values fit no rule that listens is answered 422 by /events, too", async () => {
  const strict: Rule = { ...keys({ ...onEvent("k"), inputs: { bits: "${{ event.data.bits }}" } }) };
  await using bench = await openBench([strict]);
  const refused = await bench.post("/events", { type: "k", id: "1", data: { bits: "abc" } });
  assert.equal(refused.status, 422);
  assert.deepEqual(refused.body.problems, { bits: 'bits: expected a whole number, got "abc"' });
  const right = await bench.post("/events", { type: "k", id: "1", data: { bits: 1 } });
  assert.deepEqual([right.status, right.body.duplicate, right.body.runs.length], [202, false, 1]);
});

Deno.test("an event of a batch whose values fit no rule has its problems at its place; if none fits, the answer is 422", async () => {
  const inputs = { bits: "${{ event.data.bits }}" };
  await using bench = await openBench([keys({ ...onEvent("k"), inputs }, { ...webhook("/x"), inputs })]);
  const event = (id: string, bits: JsonObject[string]) => {
    return { specversion: "1.0", id, source: "/s", type: "k", data: { bits } };
  };
  const headers = { "content-type": "application/cloudevents-batch+json" };
  for (const [path, id] of [["/events", "e"], ["/hooks/x", "h"]]) {
    const { status, body } = await bench.post(path, [event(`${id}1`, 1), event(`${id}2`, "abc")], headers);
    assert.deepEqual([status, body.events[0].runs.length], [202, 1]);
    assert.deepEqual(body.events[1].problems, { bits: 'bits: expected a whole number, got "abc"' });
    const none = await bench.post(path, [event(`${id}3`, "abc")], headers);
    assert.deepEqual([none.status, none.body.events.length], [422, 1]);
  }
});

Deno.test("a person's token starts what `to` allows, and the run says who it was", async () => {
  await using bench = await openBench([keys(manual(["ops"])), rule("closed", [manual()])]);
  bench.people.push(person("anna", "ops"), person("ben"), person("olga", "operators"));
  const start = (who: string, path = START) => bench.post(path, { inputs: { bits: 1 }, by: "somebody else" }, as(who));
  const { status, body } = await start("anna");
  assert.equal(status, 202);
  assert.equal((await bench.store.getRun(body.runs[0]))!.run.event.by, "anna");
  assert.deepEqual([(await start("ben")).status, (await start("anna", "/api/rules/closed/start")).status], [403, 403]);
  const [there, nowhere] = await Promise.all([start("ben"), start("ben", "/api/rules/none/start")]);
  assert.equal(there.body.error, 'ben may not start a rule "ops/keys"; what ben may start: none');
  assert.deepEqual([nowhere.status, nowhere.body.error], [403, there.body.error.replace("ops/keys", "none")]);
  const looks = await Promise.all(
    ["/api/rules/none/start", START].map((path) => bench.ask("GET", path, { headers: as("ben") })),
  );
  assert.deepEqual(looks.map(({ status }) => status), [403, 403]);
  assert.match((await start("anna", "/api/rules/closed/start")).body.error, /what anna may start: ops\/keys$/);
  assert.equal((await start("olga")).status, 202);
  assert.equal((await start("nobody")).status, 401);
  assert.equal((await bench.ask("GET", START, { headers: as("ben") })).status, 403);
  assert.deepEqual((await bench.ask("GET", START, { headers: as("anna") })).body, {
    rule: "ops/keys",
    inputs: INPUTS,
    to: ["ops"],
  });
});

Deno.test("a webhook whose values do not fit is answered 422, and may come again corrected", async () => {
  const hook: Trigger = { ...webhook("/k", { dedupe: "event.data.id" }), inputs: { bits: "${{ event.data.bits }}" } };
  await using bench = await openBench([keys(hook)]);
  const refused = await bench.post("/hooks/k", { id: 7, bits: "abc" });
  assert.equal(refused.status, 422);
  assert.deepEqual(refused.body.problems, { bits: 'bits: expected a whole number, got "abc"' });
  const [{ verdicts: [{ verdict }] }] = await bench.store.listEvents({ limit: 1 });
  assert.equal(verdict.kind, "invalid");
  const absent = await bench.post("/hooks/k", { id: 7 });
  assert.equal(absent.status, 422);
  assert.match(absent.body.problems.bits, /bits/);
  const right = await bench.post("/hooks/k", { id: 7, bits: 2048 });
  assert.equal(right.status, 202);
  assert.deepEqual((await bench.store.getRun(right.body.runs[0]))!.run.inputs, { bits: 2048, out: "key.pem" });
  assert.equal((await bench.post("/hooks/k", { id: 7, bits: 2048 })).body.duplicate, true);
});

Deno.test("a replayed run has the inputs of the first one; conditions see them", async () => {
  const asked: Rule = { ...keys(manual()), if: [{ text: "inputs.bits > 1000", at: AT }], key: "inputs.out" };
  await using bench = await openBench([asked]);
  const small = await bench.post(START, { inputs: { bits: 1 } });
  assert.equal(small.body.verdicts[0].verdict.kind, "condition");
  const { body: { runs: [run] } } = await bench.post(START, { inputs: { bits: 2000 } });
  const replayed = await bench.post(`/api/runs/${run}/replay`, {});
  const trace = (await bench.store.getRun(replayed.body.run))!;
  assert.deepEqual([trace.run.inputs, trace.run.key], [{ bits: 2000, out: "key.pem" }, '"key.pem"']);
});

Deno.test("an event that other rules accept starts these, and is invalid for the one that it does not fit", async () => {
  const strict: Rule = { ...keys({ ...onEvent("k"), inputs: { bits: "${{ event.data.bits }}" } }) };
  await using bench = await openBench([strict, rule("any", [onEvent("k")])]);
  const { body } = await bench.post("/api/emit", { type: "k", data: { bits: [] } });
  assert.deepEqual(body.verdicts.map(({ verdict }: { verdict: { kind: string } }) => verdict.kind), [
    "invalid",
    "started",
  ]);
});

Deno.test("a refused event is forgotten, too, if another rule of its hook starts nothing for its own reason", async () => {
  const hook: Trigger = { ...webhook("/k", { dedupe: "event.data.id" }), inputs: { bits: "${{ event.data.bits }}" } };
  const never: Rule = {
    ...rule("never", [webhook("/k", { dedupe: "event.data.id" })]),
    if: [{ text: "false", at: AT }],
  };
  await using bench = await openBench([keys(hook), never]);
  assert.equal((await bench.post("/hooks/k", { id: 7, bits: "abc" })).status, 422);
  const right = await bench.post("/hooks/k", { id: 7, bits: 2048 });
  assert.deepEqual([right.status, right.body.runs.length], [202, 1]);
});

Deno.test("an event of type manual from a sender is no start by hand: its data are not the inputs", async () => {
  await using bench = await openBench([keys({ ...onEvent("*"), inputs: { bits: 2048 } })]);
  const { body } = await bench.post("/events", { type: "manual", data: { bits: 4096, out: "/etc/passwd" } });
  assert.deepEqual((await bench.store.getRun(body.runs[0]))!.run.inputs, { bits: 2048, out: "key.pem" });
});

Deno.test("thousands of unknown inputs get a short answer", async () => {
  await using bench = await openBench([keys(manual())]);
  const inputs = Object.fromEntries(Array.from({ length: 10_000 }, (_, at) => [`unknown${at}`, at]));
  const { status, body } = await bench.post(START, { inputs: { bits: 1, ...inputs } });
  assert.equal(status, 422);
  assert.equal(Object.keys(body.problems).length, 20);
});
