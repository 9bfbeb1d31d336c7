import assert from "node:assert/strict";
import type { Step } from "../../runtime/model/rule.ts";
import { check, underlined, withThen } from "./check_support.ts";

/** The steps of a text that has no problem. */
function stepsOf(text: string, more = {}): Step[] {
  const { rule, problems } = check(withThen(text), more);
  assert.deepEqual(problems, []);
  return rule!.then as Step[];
}

Deno.test("branches are lists of steps by name; later steps see their results, other branches do not", () => {
  const [both] = stepsOf(`
- id: both
  parallel:
    crm: [{ id: post, http: POST https://crm.example.org/ }]
    mail: { id: send, log: "\${{ event.type }}" }
  join: any
- log: \${{ steps.both.crm.status }} \${{ steps.post }} \${{ steps.send }}
`);
  assert.deepEqual(both.args, { parallel: ["crm", "mail"], join: "any" });
  assert.deepEqual(Object.entries(both.children).map(([name, steps]) => [name, steps.map(({ id }) => id)]), [
    ["crm", ["post"]],
    ["mail", ["send"]],
  ]);
});

Deno.test("the steps of an each see the item and its index; those of a repeat, and its condition, the turn", () => {
  const [, each, repeat] = stepsOf(`
- { id: list, http: GET https://h/ }
- each: steps.list.body
  as: line
  max: \${{ 2 * 2 }}
  rate: 10/s
  onError: continue
  then:
    - { id: save, http: "PUT https://h/\${{ line.id }}", json: "\${{ index }}" }
    - log: \${{ steps.save.status }}
- repeat: { until: "steps.look.body.done && index > 2", every: 1h, max: 50 }
  then: [{ id: look, http: "GET https://h/\${{ index }}" }]
- log: \${{ steps.look.body }} \${{ steps.each.failed }}
`);
  assert.deepEqual(each.args, {
    each: "steps.list.body",
    as: "line",
    max: "${{ 2 * 2 }}",
    rate: { count: 10, per: 1_000 },
  });
  assert.equal(each.onError, "continue");
  assert.deepEqual(repeat.args, { repeat: { until: "steps.look.body.done && index > 2", every: 3_600_000, max: 50 } });
});

Deno.test("a form has fields, people, reminders, an escalation, notification steps and a timeout", () => {
  const [approval, again] = stepsOf(
    `
- id: approval
  form: Refund \${{ event.data.amount }} EUR?
  to: [finance, a@example.org, "\${{ event.data.manager }}"]
  fields:
    decision: { type: choice, choices: [approve, reject] }
    reason: { type: text, lines: 5, required: false }
  remind: 1d
  escalate: { after: 2d, to: cfo }
  timeout: \${{ event.data.wait }}
  onTimeout: [{ stop: "\${{ error.message }}", as: failed }]
  notify:
    - mail: \${{ form.people.map(p, p.email) }}
      text: "Please answer: \${{ form.url }}"
- { form: Sure?, to: finance, onError: continue, if: steps.approval.decision == "approve" }
`,
    { people: ["finance", "cfo"] },
  );
  const { fields, ...args } = approval.args;
  assert.deepEqual(Object.keys(fields as object), ["decision", "reason"]);
  assert.deepEqual(args, {
    form: "Refund ${{ event.data.amount }} EUR?",
    to: ["finance", "a@example.org", "${{ event.data.manager }}"],
    remind: 86_400_000,
    escalate: { after: 172_800_000, to: ["cfo"] },
    timeout: "${{ event.data.wait }}",
  });
  assert.deepEqual([approval.children.notify.length, approval.onTimeout?.length], [1, 1]);
  assert.deepEqual(again.args, { form: "Sure?", to: ["finance"] });
});

const each = (then: string, rest = "") => withThen(`- each: event.data\n${rest}  then: ${then}`);
const slips: [string, string, string[], object?][] = [
  ["a name outside its each", `${each("[{ id: save, log: hi }]")}\n  - log: \${{ item }}`, [
    "item",
    'unknown name "item"',
    "known here: event, steps, errors, config, env, secrets, state, run, rule; write text in quotes",
  ]],
  ["a step inside an each, from outside", `${each("[{ id: save, log: hi }]")}\n  - log: \${{ steps.save }}`, [
    "steps.save",
    'unknown step "save"',
    "it is executed separately each time; its results are in steps.each",
  ]],
  [
    "a step in a branch beside",
    withThen("- parallel:\n    a: [{ id: x, log: a }]\n    b: [{ log: '${{ steps.x }}' }]"),
    [
      "steps.x",
      'unknown step "x"',
      "it is in a concurrent branch, which may not have finished",
    ],
  ],
  ["an id in two branches", withThen("- parallel:\n    a: [{ id: x, log: a }]\n    b: [{ id: x, log: b }]"), [
    "x",
    'the step id "x" is used twice',
    "give one of the two another id",
  ]],
  ["a branch whose name is not an id", withThen("- parallel:\n    my-crm: [{ log: a }]"), [
    "my-crm",
    '"my-crm" is not a valid branch name',
    "begin with a small letter, then letters, digits and _; onError and onTimeout are taken",
  ]],
  ["a branch whose name is taken", withThen("- parallel:\n    onError: [{ log: a }]"), [
    "onError",
    '"onError" is not a valid branch name',
    "begin with a small letter, then letters, digits and _; onError and onTimeout are taken",
  ]],
  ["a list instead of branches", withThen("- parallel: [{ log: a }]"), [
    "[",
    "expected branches with their names, such as { crm: [...], mail: [...] }, got a list",
  ]],
  ["more to join than there is", withThen("- parallel: { a: [{ log: a }] }\n  join: 2"), [
    "2",
    "2 of 1 branches can never succeed",
    "write at most 1",
  ]],
  ["a join of no kind", withThen("- parallel: { a: [{ log: a }] }\n  join: some"), [
    "some",
    'expected one of "all", "any", or a number, got "some"',
  ]],
  ["a timeout on a step that contains others", each("[{ log: a }]", "  timeout: 5m\n"), [
    "5m",
    "an each step does not take this; write it on the steps under then",
  ]],
  ["a retry on a wait", withThen("- wait: 1h\n  retry: 3"), [
    "3",
    "a wait step does not take this: it ends at its time; write until for the latest one",
  ]],
  ["a retry on a form", withThen("- form: Ok?\n  to: a@b.org\n  retry: 3"), [
    "3",
    "a form has one attempt, which lasts until its timeout",
  ]],
  ["a name for items that is taken", each("[{ log: a }]", "  as: event\n"), [
    "event",
    '"event" is already the name of something else',
    "choose another one",
  ]],
  ["an invalid name for items", each("[{ log: a }]", "  as: my-item\n"), [
    "my-item",
    "expected a name of letters, digits and _",
  ]],
  ["each without steps", withThen("- each: event.data"), [
    "each",
    '"then" is missing',
    "add then: with a list of steps",
  ]],
  ["a loop without end", withThen("- repeat: { every: 1h }\n  then: [{ log: a }]"), [
    "{",
    'expected one of "while", "until" and "times", got none of them',
    "write until: with the condition that ends it",
  ]],
  ["a loop with two ends", withThen("- repeat: { until: 'true', times: 3 }\n  then: [{ log: a }]"), [
    "{",
    'expected one of "while", "until" and "times", got until and times',
    "write until: with the condition that ends it",
  ]],
  ["a condition of a loop with a name that is none", withThen("- repeat: { until: stps.a }\n  then: [{ log: a }]"), [
    "stps.a",
    'unknown name "stps"',
    'did you mean "steps"?',
  ]],
  ["a path that is not a part of an event", withThen("- waitFor: paid\n  match: { dta.id: event.id }"), [
    "{",
    '"dta.id" is not a part of an event',
    "write a path such as data.id, which begins with one of id, source, type, subject, time, data, http, files, ce, cause",
  ]],
  ["a template instead of an expression", withThen('- waitFor: paid\n  match: { data.id: "${{ event.id }}" }'), [
    '"${{ event.id }}"',
    "this is an expression already, so it takes no ${{ }}",
    "write event.id",
  ]],
  ["an unknown person", withThen("- form: Ok?\n  to: [anna, finanze]"), [
    "finanze",
    'unknown person or group "finanze"',
    'did you mean "finance"?',
  ], { people: ["anna", "finance"] }],
  ["an escalation to nobody", withThen("- form: Ok?\n  to: a@b.org\n  escalate: { after: 1d, to: boss }"), [
    "boss",
    'unknown person or group "boss"',
    "add it under people: in whenthen.yaml, or write an e-mail address; known here: none",
  ], { people: [] }],
  [
    "an escalation after the end",
    withThen("- form: Ok?\n  to: a@b.org\n  timeout: 1d\n  escalate: { after: 2d, to: b@b.org }"),
    [
      "{",
      "it would come after the timeout",
      "write a shorter time",
    ],
  ],
  ["a field that hides who answered", withThen("- form: Ok?\n  to: a@b.org\n  fields: { by: { type: text } }"), [
    "{",
    'the field "by" would hide who answered and when',
    "give it another name",
  ]],
  ["a field of no type", withThen("- form: Ok?\n  to: a@b.org\n  fields: { a: { type: txt } }"), [
    "txt",
    'expected one of "text", "number", "integer", "boolean", "choice", "list", "duration", "date", "email", "url", "ip", "port", "path", "secret", "file", got "txt"',
    'did you mean "text"?',
  ]],
  ["a choice without choices", withThen("- form: Ok?\n  to: a@b.org\n  fields: { a: { type: choice } }"), [
    "choice",
    "a choice needs its choices",
    "add choices: [a, b]",
  ]],
  [
    "an expression in a field",
    withThen('- form: Ok?\n  to: a@b.org\n  fields: { a: { type: text, title: "${{ event.id }}" } }'),
    [
      '"${{ event.id }}"',
      "an expression is not allowed here",
      "write the value itself",
    ],
  ],
  ["reminders without end", withThen("- form: Ok?\n  to: a@b.org\n  remind: 5ms"), [
    "5ms",
    "the interval is too short",
    "write at least 1s",
  ]],
  ["form.people outside notify", withThen("- form: Ok?\n  to: a@b.org\n- log: ${{ form.url }}"), [
    "form.url",
    'unknown name "form"',
    "known here: event, steps, errors, config, env, secrets, state, run, rule; write text in quotes",
  ]],
];

for (const [name, text, expected, more] of slips) {
  Deno.test(`${name} is one problem at its position`, () => {
    assert.deepEqual(underlined(text, check(text, more).problems), [expected]);
  });
}
