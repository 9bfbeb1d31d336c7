import assert from "node:assert/strict";
import { check, underlined, withThen, withWhen } from "./check_support.ts";

/** Asserts that a text has exactly one problem: what is underlined, the message, the hint. */
function oneProblem(text: string, expected: [string, string | RegExp, (string | RegExp)?], more = {}) {
  const found = underlined(text, check(text, more).problems);
  assert.equal(found.length, 1, JSON.stringify(found, null, 1));
  for (const [index, part] of expected.entries()) {
    if (part instanceof RegExp) assert.match(found[0][index], part);
    else assert.equal(found[0][index], part);
  }
}

const traps: [string, string, [string, string | RegExp, (string | RegExp)?]][] = [
  ["a word as a time", withWhen("- at: foo"), ["foo", /^expected a time with its offset/]],
  ["an unknown kind of trigger", withWhen("- crn: 0 8 * * *"), [
    "crn",
    /^expected one of "cron", "every", .*, got "crn"$/,
    'did you mean "cron"?',
  ]],
  ["an unknown zone", withWhen('- cron: "0 8 * * *"\n  timezone: Mars/Phobos'), [
    "Mars/Phobos",
    'expected a time zone such as Europe/Berlin, got "Mars/Phobos"',
  ]],
  ["a method beside http", withThen("- http: https://h/\n  method: POST"), [
    "method",
    'unknown key "method"',
    "write it before the URL, as in http: POST https://…",
  ]],
  ["an input beside call", withThen("- call: ./lib/tell.yaml\n  text: hi"), [
    "text",
    'unknown key "text"',
    "arguments go under with, as in with: { text: … }",
  ]],
  ["an unknown kind of step", withThen("- htp: GET https://h/"), [
    "htp",
    /^expected one of "http", .*, got "htp"$/,
    'did you mean "http"?',
  ]],
  ["an entry without a kind", withThen("- id: a"), ["i", /^expected one of .*, got only "id"$/, /^write its kind/]],
  ["two kinds in one entry", withThen("- http: GET https://h/\n  run: ls"), [
    "run",
    'expected one kind, got "http" and "run"',
    /two entries/,
  ]],
  ["a step that is only text", withThen("- hello"), ["hello", 'expected a step, got "hello"', /- log: hello/]],
  ["an unknown option", withThen("- http: GET https://h/\n  jsn: {}"), [
    "jsn",
    'unknown key "jsn"',
    'did you mean "json"?',
  ]],
  ["an unknown option of a poll's source", withWhen("- poll: { http: https://h/, hedaers: {} }"), [
    "hedaers",
    'unknown key "hedaers"',
    'did you mean "headers"?',
  ]],
  ["an unknown key of a rule", `whn: 1\n${withThen("- log: a")}`, ["whn", 'unknown key "whn"', 'did you mean "when"?']],
  ["a rule without then", "when: start", ["w", '"then" is missing', "a rule has when: and then:"]],
  ["when misspelt", "wehn: start\nthen: [{ log: a }]", ["wehn", 'unknown key "wehn"', 'did you mean "when"?']],
  ["an option without a value", withThen("- log: a\n  data:"), [
    "data",
    '"data" has no value',
    /starts with # must be in quotes/,
  ]],
  ["a kind without a value", withThen("- log:"), ["log", '"log" has no value', /give it a value/]],
  ["a required option that is missing", withWhen("- webhook: /a"), [
    "w",
    '"auth" is missing',
    /^expected one of "none"/,
  ]],
  ["a required option that is misspelt", withWhen("- webhook: /a\n  aut: none"), [
    "aut",
    'unknown key "aut"',
    'did you mean "auth"?',
  ]],
  ["a wrong choice", withWhen("- webhook: /a\n  auth: githb"), [
    "githb",
    /^expected one of "none".*, got "githb"$/,
    'did you mean "github"?',
  ]],
  ["a wrong duration", withWhen("- every: 5x"), [
    "5x",
    'expected a duration such as 250ms, 30s, 5m, 2h or 3d, got "5x"',
  ]],
  ["a duration without a unit", `timeout: 30\n${withThen("- log: a")}`, ["30", /^expected a duration .*, got 30$/]],
  ["a wrong rate", `limit: 100\n${withThen("- log: a")}`, ["100", "expected a rate such as 1000/m, or none, got 100"]],
  ["a wrong mode", `mode: single\nmax: 3\n${withThen("- log: a")}`, [
    "max",
    '"max" has no effect in mode "single"',
    /mode parallel/,
  ]],
  ["a cron that can never fire", withWhen("- cron: 0 0 31 2 *"), ["0 0 31 2 *", /never fires/]],
  ["two triggers with one id", withWhen("- start\n- start"), [
    "start",
    'two triggers are called "start"',
    /name: of its own/,
  ]],
  ["a wait for no time", withThen("- wait: soon"), [
    "soon",
    /^expected a duration such as 1h, or a time such as/,
    /^write it as in/,
  ]],
  ["a form without people", withThen("- form: Refund?\n  timeout: 5d"), ["f", '"to" is missing', /a person, a group/]],
  ["an id with a dash", withThen("- id: my-step\n  log: a"), [
    "my-step",
    '"my-step" is not a valid id',
    /a dash would read as minus.*myStep/,
  ]],
  ["a step id used twice", withThen("- { id: a, log: x }\n- { id: a, log: y }"), [
    "a",
    'the step id "a" is used twice',
    /another id/,
  ]],
  ["a step id used again inside", withThen("- { id: a, log: x }\n- if: true\n  then: [{ id: a, log: y }]"), [
    "a",
    'the step id "a" is used twice',
  ]],
  ["an unknown name", withThen('- log: "hi ${{ evnt.data }}"'), [
    "evnt.data",
    'unknown name "evnt"',
    'did you mean "event"?',
  ]],
  ["a name that is a step", withThen('- { id: tell, log: a }\n- log: "${{ tell.x }}"'), [
    "tell.x",
    'unknown name "tell"',
    "the result of a step is steps.tell",
  ]],
  ["a step that comes later", withThen('- log: "${{ steps.tell }}"\n- { id: tell, log: a }'), [
    "steps.tell",
    'unknown step "tell"',
    /comes later/,
  ]],
  ["a step that is misspelt", withThen('- { id: tell, log: a }\n- log: "${{ steps.tel.x }}"'), [
    "steps.tel.x",
    'unknown step "tel"',
    'did you mean "tell"?',
  ]],
  ["a step id with a dash in an expression", withThen("- log: a\n  if: steps.my-step == null"), [
    "steps.my",
    'unknown step "my"',
    /dash reads as minus/,
  ]],
  ["an unknown config key", `config: { threshold: 85 }\n${withThen('- log: "${{ config.treshold }}"')}`, [
    "config.treshold",
    "unknown config.treshold",
    'did you mean "config.threshold"?',
  ]],
  ["an unknown part of the event", withThen('- log: "${{ event.body.x }}"'), [
    "event.body.x",
    "unknown event.body",
    /under event\.data/,
  ]],
  ["steps in a condition of the rule", `if: steps.a == null\n${withThen("- { id: a, log: x }")}`, [
    "steps.a",
    'unknown name "steps"',
  ]],
  ["error outside of onError", withThen('- log: "${{ error.message }}"'), [
    "error.message",
    'unknown name "error"',
    'did you mean "errors"?',
  ]],
  ["bad syntax", "if: event.data.x = 5\n" + withThen("- log: a"), [
    "=",
    'bad expression: did not expect "=" here',
    "equality is written ==",
  ]],
  ["bad syntax inside text", withThen('- log: "so ${{ 1 + }} it is"'), [
    "}",
    "bad expression: the expression ends too early",
  ]],
  ["an expression that is not closed", withThen('- log: "so ${{ 1 "'), [
    "${{",
    "${{ is not closed",
    /close the expression/,
  ]],
  ["an expression in ${{ }} instead of a bare one", "if: ${{ event.data.x }}\n" + withThen("- log: a"), [
    "${{ event.data.x }}",
    "this is an expression already, so it takes no ${{ }}",
    "write event.data.x",
  ]],
  ["an expression where none is allowed", withThen('- log: a\n  level: "${{ event.data.level }}"'), [
    '"${{ event.data.level }}"',
    "an expression is not allowed here",
    "write the value itself",
  ]],
  ["an expression in a shell string", withThen("- run: ./x ${{ event.data.name }}"), [
    "${{ event.data.name }}",
    /inside a shell command/,
    /env: or stdin:/,
  ]],
  ["an expression in the code of a shell", withThen('- run: [bash, -lc, "echo ${{ event.data.name }}"]'), [
    "${{ event.data.name }}",
    /inside a shell command/,
    /as an argument after the code/,
  ]],
  ["a call without a function", withThen("- call: ./x.ts"), ["./x.ts", /^expected a target such as/]],
  ["onError that is neither", withThen("- log: a\n  onError: go"), [
    "go",
    'expected "continue" or a list of steps, got "go"',
    /onError: continue/,
  ]],
  [
    "onError of an each that is none of three",
    withThen('- each: "[1]"\n  as: n\n  onError: go\n  then:\n    - log: a'),
    [
      "go",
      'expected "continue", "stop" or a list of steps, got "go"',
      /onError: stop to end with it/,
    ],
  ],
  ["a config value that must be set", `config: { key: { type: text } }\n${withThen("- log: a")}`, [
    "key",
    "config.key: expected text, got nothing",
    /config\.yaml/,
  ]],
  ["a secret that is not set", withThen('- log: "${{ secrets.NOPE }}"'), [
    "secrets.NOPE",
    "the secret NOPE is not set",
    /environment/,
  ]],
  ["a secret that is not set in an option", withWhen("- webhook: /a\n  auth: github\n  secret: NOPE"), [
    "NOPE",
    "the secret NOPE is not set",
  ]],
  ["a value that is not a rule", "[1]", ["[", "expected a rule, got a list"]],
];

for (const [name, text, expected] of traps) {
  Deno.test(`${name} is one problem at its position, with a remedy`, () => oneProblem(text, expected));
}

Deno.test("a time in the past is a warning, a day that does not exist one error", () => {
  const found = (at: string) =>
    check(withWhen(`- at: ${at}`)).problems.map(({ severity, message }) => [severity, message]);
  assert.deepEqual(found("2020-01-01T00:00:00Z"), [
    ["warning", "2020-01-01T00:00:00Z is in the past: it fires only to catch up on a downtime"],
  ]);
  assert.deepEqual(found("2027-02-30T00:00:00Z"), [["error", "there is no time 2027-02-30T00:00:00Z"]]);
});

Deno.test("a missing secret is a warning: the rule loads", () => {
  const { rule, problems } = check(withThen('- log: "${{ secrets.NOPE }}"'));
  assert.ok(rule);
  assert.deepEqual(problems.map(({ severity }) => severity), ["warning"]);
});

Deno.test("twelve mistakes in one file are twelve problems, each with a hint or what was expected", () => {
  const text = `
when:
  - crn: 0 8 * * *
  - webhook: /a
    auth: githb
  - cron: 0 0 31 2 *
if: evnt.data.x > 1
mode: paralel
config: { threshold: 85 }
then:
  - id: my-step
    log: a
  - http: GET https://h/\${{ steps.later.x }}
    jsn: {}
  - run: ./x \${{ event.data.name }}
  - { id: later, log: "\${{ config.treshold }}" }
  - { id: later, log: b }
  - wait: soon
`;
  const found = underlined(text, check(text).problems);
  assert.deepEqual(found.map(([part]) => part), [
    "crn",
    "githb",
    "0 0 31 2 *",
    "evnt.data.x",
    "paralel",
    "my-step",
    "steps.later.x",
    "jsn",
    "${{ event.data.name }}",
    "config.treshold",
    "later",
    "soon",
  ]);
  for (const [part, message, hint] of found) assert.ok(hint !== undefined, `${part}: ${message}`);
});
