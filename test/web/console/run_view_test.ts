import fc from "fast-check";
import assert from "node:assert/strict";
import type { Run, StepRecord } from "../../../runtime/model/run.ts";
import { viewSource } from "../../../runtime/web/console/rule_source.ts";
import { actionsOf, type ActionSource } from "../../../runtime/web/console/run_actions.ts";
import { AXIS_WIDTH, joinSpans, layOutAxis, lengthOf } from "../../../runtime/web/console/run_timeline.ts";
import { BEGAN, DAY, drawn, failure, openRecord, record, ruleOf, said, SECOND, step, traceOf, view } from "./traces.ts";

const REFUND = ruleOf([
  step("approval", "form"),
  step("parallel", "parallel", {
    children: { bank: [step("http", "http"), step("booked", "waitFor")], customer: [step("tell", "mail")] },
  }, {
    parallel: ["bank", "customer"],
  }),
  step("report", "http"),
]);

Deno.test("a waiting run says what it waits for, until when and what then; steps not reached stand in the rule's order", () => {
  const until = BEGAN + 3 * DAY;
  const shown = view(
    traceOf([
      record("approval", "form", 0, 2 * DAY, { output: { decision: "approve", by: "anna", at: "x" } }),
      record("parallel/bank/http", "http", 2 * DAY, 2 * DAY + 2 * SECOND, { attempts: 3, output: { status: 200 } }),
      record("parallel/customer/tell", "mail", 2 * DAY, 2 * DAY + SECOND, { output: { messageId: "m" } }),
      openRecord("parallel/bank/booked", "waitFor", 2 * DAY + 2 * SECOND, { due: until }),
    ], {
      state: "waiting",
      spent: 3 * SECOND,
      waits: [{ step: "parallel/bank/booked", kind: "event", what: "bank.booked", since: BEGAN + 2 * DAY, until }],
    }),
    REFUND,
    { now: BEGAN + 2 * DAY + 3_600_000 },
  );
  assert.equal(said(shown.sentence), "waits for bank.booked until +259200s, then null");
  assert.deepEqual(drawn(shown), [
    "✓ approval | form | anna: approve",
    "◐ parallel | all of 2",
    "  ◐ bank",
    "    ✓ http | 200 | 3 attempts",
    "    ◐ booked | waitFor | waits for bank.booked until +259200s, then null",
    "  ✓ customer",
    "    ✓ tell | mail",
    "○ report | http | not reached",
  ]);
  assert.deepEqual([shown.work, shown.wait], [3 * SECOND, 2 * DAY + 3_600_000 - 3 * SECOND]);
  assert.equal(shown.axis.cuts.length, 2, "two days for the approval, then an hour for the booking");
  const approval = shown.rows[0];
  assert.deepEqual([approval.work, approval.wait], [0, 2 * DAY]);
  assert.equal(shown.open, undefined);
});

Deno.test("a failed run opens the innermost step that failed it, not the ones around it", () => {
  const error = { name: "Error", message: "HTTP 503" };
  const lines = step("lines", "each", { children: { then: [step("save", "http")] } });
  const shown = view(
    traceOf([
      record("lines[0]/save", "http", 0, SECOND, { output: { status: 200 } }),
      record("lines[1]/save", "http", SECOND, 2 * SECOND, failure("HTTP 503")),
      record("lines", "each", 0, 2 * SECOND, { ...failure("HTTP 503"), input: { each: 3 } }),
    ], { state: "failed", error, endedAt: BEGAN + 2 * SECOND, spent: 2 * SECOND }),
    ruleOf([lines, step("report", "log")]),
  );
  assert.equal(said(shown.sentence), "failed +2s at lines[1]/save: HTTP 503");
  assert.equal(shown.open, "lines[1]/save");
  assert.deepEqual(drawn(shown), [
    "✕ lines | each | HTTP 503 | ×2 1✓ 1✕ 0◐",
    "  ✓ #0",
    "  ✕ #1",
    "    ✕ save | http | HTTP 503",
    "○ report | log | not reached",
  ]);
  assert.deepEqual(shown.rows[0].loop!.cells, ["done", "failed", "none"]);
  assert.equal(shown.rows[3].open?.path, "lines[1]/save");
});

Deno.test("a failure that its step handles does not fail what is around it", () => {
  const pay = step("pay", "http", { onError: [step("note", "log")] });
  const shown = view(
    traceOf([
      record("pay", "http", 0, SECOND, failure("refused")),
      record("pay/onError/note", "log", SECOND, SECOND),
    ], { endedAt: BEGAN + SECOND, spent: SECOND }),
    ruleOf([pay]),
  );
  assert.deepEqual(drawn(shown), ["✓ pay | http | refused; handled by its onError", "  ✓ onError", "    ✓ note | log"]);
  assert.equal(said(shown.sentence), "succeeded +1s");
});

Deno.test("a run of 1,000 turns is one row: counts, rate, a strip of 100 cells, failures by message, 20 turns", () => {
  const steps: StepRecord[] = [];
  for (let turn = 0; turn < 1_000; turn++) {
    const from = turn * 5 * SECOND;
    const wrong = turn === 871 ? failure("timeout") : turn % 125 === 12 ? failure("HTTP 503") : {};
    steps.push(record(`look[${turn}]/get`, "http", from, from + SECOND, { output: { status: 200 }, ...wrong }));
    if (turn < 999) steps.push(record(`look[${turn}]/keep`, "state", from + SECOND, from + SECOND));
  }
  steps.push(record("look[items]", "each", 0, 0, { output: Array(2_000).fill(1) }));
  const then = [step("get", "http"), step("keep", "state")];
  const rule = ruleOf([step("look", "each", { children: { then } }), step("report", "log")]);
  const trace = traceOf(steps, { state: "running" });
  const closed = view(trace, rule, { now: BEGAN + 5_000 * SECOND });
  assert.deepEqual(drawn(closed), ["◐ look | each | ×1000 990✓ 9✕ 1◐", "○ report | log | not reached"]);
  const { loop } = closed.rows[0];
  assert.equal(Math.round(loop!.perMinute!), 12);
  assert.equal(loop!.cells.length, 100);
  assert.equal(loop!.total, 2_000);
  assert.deepEqual(loop!.cells.filter((cell) => cell === "failed").length, 9);
  assert.deepEqual(loop!.failures.map(({ message, turns }) => [message, turns.map(({ number }) => number)]), [
    ["HTTP 503", [12, 137, 262, 387, 512, 637, 762, 887]],
    ["timeout", [871]],
  ]);
  const opened = view(trace, rule, { step: "look[137]/get" });
  assert.equal(opened.rows.filter(({ name }) => name.startsWith("#")).length, 20);
  assert.ok(drawn(opened).includes("    ✕ get | http | HTTP 503"));
  assert.ok(drawn(opened).includes("    ✓ keep | state"));
});

Deno.test("a TypeScript run shows its rows as recorded; a name that repeats folds from five on", () => {
  const looks = (count: number) =>
    Array.from(
      { length: count },
      (_, at) => record(at === 0 ? "look" : `look#${at + 1}`, "http", at * 10, at * 10 + 5),
    );
  const rule = ruleOf("function", { language: "typescript" });
  const running = { state: "running" } as const;
  const few = view(traceOf([record("first", "do", 0, 0), ...looks(4)], running), rule);
  assert.deepEqual(drawn(few).length, 5);
  const trace = traceOf([record("first", "do", 0, 0), ...looks(7), record("a%2Fb", "do", 90, 95)], running);
  const many = view(trace, rule);
  assert.deepEqual(drawn(many), ["✓ first | do", "✓ look | http | ×7 7✓ 0✕ 0◐", "✓ a/b | do"]);
  assert.ok(many.isOpenEnded);
  const opened = view(trace, rule, { step: "look#3" });
  assert.deepEqual(drawn(opened).slice(1, 5), [
    "✓ look | http | ×7 7✓ 0✕ 0◐",
    "  ✓ #1 | http",
    "  ✓ #2 | http",
    "  ✓ #3 | http",
  ]);
  assert.equal(opened.rows.find(({ open }) => open)?.name, "#3");
});

Deno.test("a running run shows the step that is attempted, which has no record yet", () => {
  const rule = ruleOf([step("one", "log"), step("two", "http"), step("three", "log")]);
  const shown = view(traceOf([record("one", "log", 0, SECOND)], { state: "running" }), rule, {
    now: BEGAN + 5 * SECOND,
  });
  assert.deepEqual(drawn(shown), ["✓ one | log", "◐ two | http | is attempted", "○ three | log | not reached"]);
  assert.equal(said(shown.sentence), "is running at two");
  assert.deepEqual([shown.work, shown.wait, shown.axis.cuts], [5 * SECOND, 0, []]);
});

Deno.test("in branches side by side each shows the step that it attempts", () => {
  const children = { a: [step("one", "log"), step("two", "http")], b: [step("three", "http"), step("four", "log")] };
  const rule = ruleOf([step("both", "parallel", { children }, { parallel: ["a", "b"] }), step("after", "log")]);
  const shown = view(traceOf([record("both/a/one", "log", 0, SECOND)], { state: "running" }), rule, {
    now: BEGAN + 5 * SECOND,
  });
  assert.deepEqual(drawn(shown), [
    "◐ both | parallel | all of 2",
    "  ◐ a",
    "    ✓ one | log",
    "    ◐ two | http | is attempted",
    "  ◐ b",
    "    ◐ three | http | is attempted",
    "    ○ four | log | not reached",
    "○ after | log | not reached",
  ]);
});

Deno.test("a step between two attempts says when the next one is, and after what", () => {
  const again = openRecord("pay", "http", 0, {
    state: "retrying",
    attempts: 2,
    due: BEGAN + 60_000,
    ...{ error: { name: "Error", message: "HTTP 503\nmore" } },
  });
  const shown = view(
    traceOf([again], { state: "waiting", waitingFor: 'attempt 3 of step "pay"', due: BEGAN + 60_000 }),
    ruleOf([step("pay", "http")]),
    { now: BEGAN + SECOND },
  );
  assert.equal(said(shown.sentence), 'waits for attempt 3 of step "pay" until +60s');
  assert.deepEqual(drawn(shown), ["◐ pay | http | attempt 3 at +60s after HTTP 503 | 2 attempts"]);
});

Deno.test("of many steps those that are done fold, those beside a failure or the open one do not", () => {
  const steps = Array.from({ length: 60 }, (_, at) => record(`s${at}`, "log", at, at + 1));
  steps[40] = record("s40", "log", 40, 41, failure("boom"));
  const trace = traceOf(steps, { state: "failed", error: { name: "Error", message: "boom" }, endedAt: BEGAN + 60 });
  const done = (from: number, to: number) => steps.slice(from, to + 1).map(({ path }) => `✓ ${path} | log`);
  const failed = "✕ s40 | log | boom";
  const folded = (from: number, to: number) => `✓ s${from} to s${to} | ${to - from + 1} steps succeeded`;
  const shown = view(trace);
  assert.deepEqual(drawn(shown), [
    ...done(0, 1),
    folded(2, 31),
    ...[...done(32, 39), failed, ...done(41, 48)],
    folded(49, 57),
    ...done(58, 59),
  ]);
  const link = shown.rows[2].path;
  assert.equal(link, "s2");
  assert.deepEqual(drawn(view(trace, undefined, { step: link })), [
    ...done(0, 10),
    folded(11, 37),
    ...[...done(38, 39), failed, ...done(41, 42)],
    folded(43, 57),
    ...done(58, 59),
  ]);
});

Deno.test("a run that has ended has nothing open: what a stop left behind counts as cancelled", () => {
  const both = step("both", "parallel", {
    children: { a: [step("end", "stop")], b: [step("one", "log"), step("two", "log")] },
  });
  const output = { reason: "nothing to do", as: "succeeded" };
  const shown = view(
    traceOf([record("both/b/one", "log", 0, 1), record("both/a/end", "stop", 0, 1, { output })], {
      output: "nothing to do",
      endedAt: BEGAN + 1,
    }),
    ruleOf([both, step("after", "log")]),
  );
  assert.equal(said(shown.sentence), "succeeded +0.001s: nothing to do");
  assert.deepEqual(drawn(shown), [
    "- both | parallel | all of 2",
    "  ✓ a",
    "    ✓ end | stop | stops the run: nothing to do",
    "  - b",
    "    ✓ one | log",
    "    ○ two | log | not reached",
    "○ after | log | not reached",
  ]);
});

Deno.test("a step works in its attempts and waits between them", () => {
  const failed = (attempt: number, from: number) => ({
    attempt,
    startedAt: BEGAN + from * SECOND,
    endedAt: BEGAN + (from + 1) * SECOND,
    error: { name: "Error", message: "HTTP 503" },
  });
  const pay = record("pay", "http", 0, 12 * SECOND, {
    attempts: 3,
    failures: [failed(1, 0), failed(2, 5)],
    attemptedAt: BEGAN + 10 * SECOND,
  });
  const [row] = view(traceOf([pay], { endedAt: BEGAN + 12 * SECOND, spent: 4 * SECOND })).rows;
  assert.deepEqual([row.work, row.wait], [4 * SECOND, 8 * SECOND]);
  assert.equal(row.times.work.length, 3);
});

Deno.test("of many branches those that are done fold, too", () => {
  const names = Array.from({ length: 60 }, (_, at) => `b${at}`);
  const children = Object.fromEntries(names.map((name) => [name, [step("one", "log"), step("two", "log")]]));
  const records = names.flatMap((
    name,
  ) => [record(`wide/${name}/one`, "log", 0, 1), record(`wide/${name}/two`, "log", 1, 2)]);
  records[101] = record("wide/b50/two", "log", 1, 2, failure("boom"));
  const rule = ruleOf([step("wide", "parallel", { children }, { parallel: names })]);
  const { rows } = view(
    traceOf(records, { state: "failed", error: { name: "Error", message: "boom" }, endedAt: BEGAN + 2 }),
    rule,
  );
  assert.ok(rows.length < 70, `${rows.length} rows`);
  assert.equal(rows.find(({ open }) => open)?.path, "wide/b50/two");
});

Deno.test("layOutAxis() draws to scale where nothing waits for long", () => {
  const axis = layOutAxis({ from: 0, to: 1_000 }, [{ from: 0, to: 500 }, { from: 550, to: 1_000 }]);
  assert.deepEqual(axis.cuts, []);
  assert.deepEqual([0, 250, 1_000].map(axis.place), [0, 250, AXIS_WIDTH]);
});

Deno.test("layOutAxis() cuts a wait of all branches, so that two seconds of work beside two days are seen", () => {
  const DAYS = 2 * 86_400_000;
  const axis = layOutAxis({ from: 0, to: DAYS + 2_000 }, [{ from: 0, to: 1_000 }, {
    from: DAYS + 1_000,
    to: DAYS + 2_000,
  }]);
  assert.deepEqual(axis.cuts.map(({ from, to }) => [from, to]), [[1_000, DAYS + 1_000]]);
  const [cut] = axis.cuts;
  assert.ok(cut.x > 400 && cut.x + cut.width < 600, "work on both sides has nearly half of the axis");
});

Deno.test("layOutAxis() also cuts a wait that is long only beside what is left after a longer one was cut", () => {
  const hour = 3_600_000;
  const work = [0, 1, 60].map((at) => ({ from: at * hour, to: at * hour + 1_000 }));
  const axis = layOutAxis({ from: 0, to: 60 * hour + 1_000 }, work);
  assert.equal(axis.cuts.length, 2);
});

Deno.test("layOutAxis() keeps the order of time, within the axis, whatever worked when", () => {
  const spans = fc.array(fc.tuple(fc.nat(10_000_000), fc.nat(10_000_000)), { maxLength: 20 });
  fc.assert(fc.property(spans, fc.array(fc.nat(10_000_000)), (pairs, moments) => {
    const work = joinSpans(pairs.map(([a, b]) => ({ from: Math.min(a, b), to: Math.max(a, b) })));
    const axis = layOutAxis({ from: 0, to: 10_000_000 }, work);
    const places = moments.sort((a, b) => a - b).map(axis.place);
    assert.ok(places.every((x, index) => x >= 0 && x <= AXIS_WIDTH + 1e-6 && (index === 0 || x >= places[index - 1])));
    assert.ok(axis.cuts.every(({ from, to }) => work.every((span) => span.to <= from || span.from >= to)));
  }));
});

Deno.test("joinSpans() and lengthOf() count time once that several steps share", () => {
  const spans = joinSpans([{ from: 5, to: 9 }, { from: 0, to: 6 }, { from: 20, to: 21 }]);
  assert.deepEqual(spans, [{ from: 0, to: 9 }, { from: 20, to: 21 }]);
  assert.equal(lengthOf(spans), 10);
});

const SOURCE = `export default rule({
  then: async ({ step }) => {
    await step.http("get", "https://example.org/");
    await step.do(
      "a/b",
      () => 1,
    );
    await step.log("twice", "1");
    await step.log("twice", "2");
  },
});
`;

Deno.test("viewSource() marks the line of the step, in a branch and for a repeated name too", () => {
  const lines = ["get", "both/crm/get#3", "a%2Fb"].map((path) => viewSource(SOURCE, { path }).marked);
  assert.deepEqual(lines, [3, 3, 5]);
});

Deno.test("viewSource() marks nothing where a name is not unique, or no step is open", () => {
  const whole = { text: SOURCE.trimEnd(), first: 1, lines: 11, total: 11 };
  assert.deepEqual(viewSource(SOURCE, { path: "twice" }), whole);
  assert.deepEqual(viewSource(SOURCE, undefined), whole);
});

Deno.test("viewSource() shows the lines beside the step of a long source", () => {
  const lines = Array.from({ length: 500 }, (_, at) => at === 299 ? '  step.log("here")' : `// ${at + 1}`);
  const { text, ...rest } = viewSource(lines.join("\n"), { path: "here" });
  assert.deepEqual(rest, { first: 260, lines: 81, total: 500, marked: 300 });
  assert.equal(text.split("\n")[40], '  step.log("here")');
});

function actions(run: Partial<Run>, more: Partial<ActionSource> = {}): Record<string, string> {
  const source = { trace: traceOf([], run), rule: ruleOf([]), current: "b2c4d5", failed: undefined, ...more };
  return Object.fromEntries(
    actionsOf(source).map((
      { label, effect, refused },
    ) => [label, refused === undefined ? said(effect) : `no: ${refused}`]),
  );
}

Deno.test("of a failed run one can retry from the failed step by its version, or replay all by the current one", () => {
  const shown = actions({ state: "failed" }, { failed: "pay" });
  assert.deepEqual(Object.keys(shown).slice(0, 2), ["Retry", "Replay"], "what can be done comes first");
  assert.equal(shown.Retry, "resumes with step pay, by version a1f3");
  assert.equal(shown.Replay, "repeats all steps in a new run, by the current version b2c4");
  assert.equal(shown.Cancel, "no: it has failed");
  assert.equal(shown.Move, "no: it has failed; replay it with the current version");
  assert.match(shown.Skip, /^no: none of its steps waits/);
});

Deno.test("each wait of a run can be skipped by itself", () => {
  const wait = { kind: "event" as const, what: "bank.booked", since: BEGAN };
  const trace = traceOf([], { state: "waiting", waits: [{ ...wait, step: "a" }, { ...wait, step: "b" }] });
  const skips = actionsOf({ trace, rule: ruleOf([]), current: "a1f3", failed: undefined }).filter(({ name }) =>
    name === "skip"
  );
  assert.deepEqual(skips.map(({ step, effect }) => [step, said(effect)]), [["a", "a ends with null"], [
    "b",
    "b ends with null",
  ]]);
  const explained = "Step b no longer waits for bank.booked: its result is null, and the run continues by version a1f3";
  assert.equal(said(skips[1].explained!), explained);
});

Deno.test("a run on the current version cannot be moved, nor one that is running", () => {
  assert.equal(actions({ state: "waiting" }, { current: "a1f3" }).Move, "no: it is on the current version");
  assert.match(actions({ state: "running" }).Move, /^no: it is running/);
  assert.equal(actions({ state: "waiting" }, { current: undefined }).Move, "no: its rule was removed");
});

Deno.test("without the rule and without its version a run can be neither retried nor replayed", () => {
  const shown = actions({ state: "failed" }, { rule: undefined, current: undefined });
  assert.match(shown.Retry, /^no: version a1f3 of its rule is no longer kept/);
  assert.match(shown.Replay, /^no: its rule was removed/);
});
