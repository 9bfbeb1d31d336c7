import assert from "node:assert/strict";
import { outcomes, simulate } from "./simulating.ts";

const APPROVAL = `when: { event: refund.requested }
if: event.data.amount > config.limit
config: { limit: 100 }
then:
  - id: approval
    form: Refund \${{ event.data.amount }} EUR?
    to: finance
    fields:
      decision: { type: choice, choices: [approve, reject] }
      reason: { type: text, lines: 5, required: false }
    remind: 1d
    escalate: { after: 2d, to: cfo }
    timeout: 5d
    onTimeout: [{ stop: Nobody answered, as: failed }]
  - id: pay
    if: steps.approval.decision == 'approve'
    http: POST https://pay.example.org/refunds/\${{ event.data.orderId }}
tests:
`;

const PEOPLE = `people:
  anna: { name: Anna, email: anna@shop.example, groups: [finance] }
  carl: { name: Carl, email: carl@shop.example, groups: [cfo] }
`;

Deno.test("the example of the language reference: the CFO decides after two days", async () => {
  const report = await simulate({
    "whenthen.yaml": PEOPLE,
    "refund.yaml": `${APPROVAL}
  - name: the CFO decides after two days
    people: { finance: [anna], cfo: [carl] }
    config: { limit: 100 }
    stub: { http: { status: 200 }, mail: {}, disk: { stdout: "42" } }
    do:
      - send: { type: refund.requested, data: { orderId: A1, amount: 250 } }
      - expect: { run: waiting, form: { step: approval, to: [finance] } }
      - advance: 2d
      - answer: approval
        as: carl
        with: { decision: approve }
      - expect: { run: succeeded, steps: [approval, pay], calls: [{ http: POST https://pay.example.org/refunds/A1 }] }
`.replace(', disk: { stdout: "42" }', ""),
  });
  assert.deepEqual(report.problems, []);
  assert.deepEqual(outcomes(report), ["the CFO decides after two days"]);
});

Deno.test("answers: by whom, the reason of a refusal, and the state of the form", async () => {
  const report = await simulate({
    "whenthen.yaml": PEOPLE,
    "refund.yaml": `${APPROVAL}
  - name: only those whom it is for
    people: { finance: [anna, ben], cfo: [carl] }
    stub: { mail: {} }
    do:
      - send: { type: refund.requested, data: { orderId: A1, amount: 250 } }
      - { answer: approval, as: carl, with: { decision: approve }, refused: forbidden }
      - { answer: approval, as: mallory, with: { decision: approve }, refused: forbidden }
      - { answer: approval, as: ben, with: { decision: perhaps }, refused: invalid }
      - { answer: approval, with: { decision: reject, reason: too late } }
      - expect:
          run: succeeded
          form: none
          steps: { approval: { output: { decision: reject, reason: too late, by: anna } }, pay: skipped }
      - { answer: approval, as: ben, with: { decision: approve }, refused: closed }
  - name: reminded, escalated, given up
    people: { finance: [anna, ben], cfo: [carl] }
    stub: { mail: {} }
    do:
      - send: { type: refund.requested, data: { orderId: A1, amount: 250 } }
      - expect:
          waits: [{ step: approval, kind: form, until: 2027-01-09T09:00:00.000Z }]
          form: { title: Refund 250 EUR?, fields: [decision, reason], until: 2027-01-09T09:00:00.000Z }
          calls: [{ mail: [anna@shop.example] }, { mail: [ben@example.org] }]
        exact: true
      - advance: 1d
      - expect: { calls: [{}, {}, { mail: [anna@shop.example] }, { mail: [ben@example.org] }] }
        exact: true
      - advance: 1d
      - expect: { form: { to: [finance, cfo] }, calls: [{ mail: [carl@shop.example] }] }
      - advance: 3d
      - expect: { run: failed, error: Nobody answered, form: none }
  - name: an operator skips it
    people: { finance: [anna], cfo: [carl] }
    do:
      - send: { type: refund.requested, data: { orderId: A1, amount: 250 } }
      - skip: approval
      - expect: { run: failed, steps: { approval: skipped } }
  - name: nobody is there
    people: { cfo: [carl] }
    do:
      - send: { type: refund.requested, data: { orderId: A1, amount: 250 } }
      - { answer: approval, with: { decision: approve } }
  - name: a wrong refusal
    people: { finance: [anna], cfo: [carl] }
    do:
      - send: { type: refund.requested, data: { orderId: A1, amount: 250 } }
      - { answer: approval, as: anna, with: { decision: approve }, refused: forbidden }
  - name: a refusal that was not expected
    people: { finance: [anna], cfo: [carl] }
    do:
      - send: { type: refund.requested, data: { orderId: A1, amount: 250 } }
      - { answer: approval, as: anna, with: { decision: maybe } }
`,
  });
  assert.deepEqual(report.problems, []);
  assert.deepEqual(outcomes(report), [
    "only those whom it is for",
    "reminded, escalated, given up",
    "an operator skips it",
    'nobody is there: There is no open form "approval"; open are: none',
    "a wrong refusal: The answer of anna was accepted, not refused as forbidden",
    'a refusal that was not expected: The answer of anna was refused: invalid, decision: expected one of "approve", ' +
    '"reject", got "maybe"',
  ]);
});

Deno.test("waits, events, branches, loops and items with a rate use the simulated clock", async () => {
  const report = await simulate({
    "wait.yaml": `when: { event: a }
then:
  - { id: pause, wait: "09:00", timezone: Europe/Berlin }
  - { id: paid, waitFor: payment.received, match: { data.id: event.data.id }, timeout: 3d, onTimeout: [{ stop: not paid, as: failed }] }
  - log: "paid \${{ steps.paid.data.amount }}"
tests:
  - name: paid in time
    do:
      - send: { type: a, data: { id: A1 } }
      - expect: { waits: [{ step: pause, kind: time, until: 2027-01-05T08:00:00.000Z }] }
      - send: { type: payment.received, data: { id: A2, amount: 5 } }
      - advance: 1d
      - expect: { waits: [{ step: paid, kind: event, until: 2027-01-08T08:00:00.000Z }] }
      - send: { type: payment.received, data: { id: A1, amount: 7 } }
      - expect: { run: succeeded, logs: [paid 7], verdict: accepted }
  - name: paid before it is waited for
    do:
      - send: { type: a, data: { id: A1 } }
      - send: { type: payment.received, data: { id: A1, amount: 7 } }
      - expect: { run: waiting }
      - skip: pause
      - expect: { run: succeeded, logs: [paid 7] }
  - name: not paid
    do:
      - send: { type: a, data: { id: A1 } }
      - advance: 4d
      - expect: { run: failed, error: not paid }
`,
    "branches.yaml": `when: { event: a }
then:
  - id: both
    parallel:
      hours:
        - id: hourly
          repeat: { until: steps.look.body == 'done', every: 1h }
          then: [{ id: look, http: https://example.org/ }]
      warning:
        - wait: 6d
        - log: warned
  - id: items
    each: "[1, 2, 3]"
    rate: 1/m
    then: [{ log: "item \${{ item }}" }]
tests:
  - name: a week
    stub: { look: [{ body: a }, { body: b }, { body: done }] }
    do:
      - send: { type: a }
      - expect: { calls: [{}] }
        exact: true
      - advance: 1h
      - expect: { calls: [{}, {}] }
        exact: true
      - advance: 6d
      - expect: { run: succeeded, calls: [{}, {}, {}], logs: [warned, item 1, item 2, item 3] }
        exact: true
`,
  });
  assert.deepEqual(report.problems, []);
  assert.deepEqual(outcomes(report), ["a week", "paid in time", "paid before it is waited for", "not paid"]);
});

Deno.test("a process of seven days that repeats hourly is tested in well under a second", async () => {
  const report = await simulate({
    "week.yaml": `when: { event: a }
then:
  - id: all
    parallel:
      hours:
        - repeat: { times: 168, every: 1h }
          then: [{ id: look, http: https://example.org/ }]
      warning: [{ wait: 6d }, { log: warned }]
tests:
  - { name: warm, stub: { http: {} }, do: [{ send: { type: a } }, { advance: 2h }] }
  - { name: a week, stub: { http: {} }, do: [{ send: { type: a } }, { advance: 7d }, { expect: { run: succeeded } }] }
`,
  });
  assert.deepEqual(report.problems, []);
  assert.deepEqual(outcomes(report), ["warm", "a week"]);
  console.log(`168 turns took ${Math.round(report.results[1].took)} ms`);
});

Deno.test("in TypeScript, too: waits, forms and branches; step.do may have a stub", async () => {
  const report = await simulate({
    "whenthen.yaml": PEOPLE,
    "refund.ts": `import { event, rule, type } from "whenthen";
export default rule({
  when: event("refund.requested", type<{ orderId: string; amount: number }>()),
  then: async ({ event, step }) => {
    const rate = await step.do("rate", () => 1.5);
    const answer = await step.form("approval", \`Refund \${event.data.amount * rate} EUR?\`, {
      to: "finance",
      fields: { decision: { type: "choice", choices: ["approve", "reject"] } },
      escalate: { after: "2d", to: "cfo" },
      timeout: "5d",
    });
    if (answer === null) return await step.stop("late", "Nobody answered", { as: "failed" });
    if (answer.decision !== "approve") return "rejected";
    await step.wait("cool", "1h");
    await step.all("both", {
      pay: () => step.http("send", \`POST https://pay.example.org/\${event.data.orderId}\`),
      tell: () => step.waitFor("seen", "refund.seen", { match: { "data.orderId": event.data.orderId }, timeout: "1d" }),
    });
    return "paid";
  },
});
`,
    "refund.test.ts": `import { testRule } from "whenthen";
import refund from "./refund.ts";

const people = { finance: ["anna"], cfo: ["carl"] };
const data = { orderId: "A1", amount: 100 };

testRule(refund, "the CFO decides", { people, stub: { http: {}, mail: {} } }, async (t) => {
  await t.send({ type: "refund.requested", data });
  t.expect({ run: "waiting", form: { step: "approval", title: "Refund 150 EUR?", to: ["finance"] } });
  await t.answer("approval", { as: "carl", with: { decision: "approve" }, refused: "forbidden" });
  await t.advance("2d");
  await t.answer("approval", { as: "carl", with: { decision: "approve" } });
  t.expect({ waits: [{ step: "cool", kind: "time" }] });
  await t.advance("1h");
  t.expect({ run: "waiting", waits: [{ kind: "event" }], calls: [{ http: "POST https://pay.example.org/A1" }] });
  await t.send({ type: "refund.seen", data: { orderId: "A1" } });
  t.expect({ run: "succeeded", output: "paid" });
});

testRule(refund, "nobody decides", { people, stub: { rate: 2 } }, async (t) => {
  await t.send({ type: "refund.requested", data });
  t.expect({ form: { title: "Refund 200 EUR?" } });
  await t.advance("5d");
  t.expect({ run: "failed", error: "Nobody answered" });
});

testRule(refund, "an operator is quicker", { people }, async (t) => {
  await t.send({ type: "refund.requested", data });
  await t.answer("approval", { with: { decision: "approve" } });
  await t.skip("cool");
  t.expect({ steps: { cool: "skipped" } });
});
`,
  });
  assert.deepEqual(report.problems, []);
  const [decided, late, skipped] = outcomes(report);
  assert.deepEqual([decided, late], ["the CFO decides", "nobody decides"]);
  assert.match(skipped, /^an operator is quicker: Step "both\/pay\/send" acts on the outside world and has no stub/);
});

Deno.test("code that is not deterministic in a replay fails in a test, too", async () => {
  const report = await simulate({
    "a.ts": `import { event, rule } from "whenthen";
let life = 0;
export default rule({
  when: event("a"),
  then: async ({ step }) => {
    if (++life === 1) await step.log("first", "hi");
    await step.wait("pause", "1d");
  },
});
`,
    "a.test.ts": `import { testRule } from "whenthen";
import a from "./a.ts";
testRule(a, "asks for other steps", async (t) => {
  await t.send({ type: "a" });
  await t.advance("1d");
  t.expect({ run: "failed", error: "first" });
});
`,
  });
  assert.deepEqual(outcomes(report), ["asks for other steps"]);
});
