import fc from "fast-check";
import assert from "node:assert/strict";
import { z } from "zod";
import * as field from "../../runtime/language/arg_types.ts";
import { findShellExpression } from "../../runtime/language/checker/check_args.ts";
import { ExpressionError } from "../../runtime/language/expressions/expression.ts";
import { callTargets, secretNames } from "../../runtime/language/expressions/check_expression.ts";
import { resolve, resolveArgs, resolveKnown } from "../../runtime/language/expressions/template.ts";
import type { Kind } from "../../runtime/language/kind.ts";
import type { Json, JsonObject } from "../../runtime/model/json.ts";
import { check, checkActionText, kinds } from "./check_support.ts";

const scope = { $now: 0, x: 5, name: "a/b c", items: [1, "t"], nothing: null, text: "${{ secrets.KEY }}" };

Deno.test("a string that is one expression keeps its type, at any depth", () => {
  assert.deepEqual(resolve({ a: "${{ x }}", b: ["${{ items }}", "${{ nothing }}"] }, scope), {
    a: 5,
    b: [[1, "t"], null],
  });
  assert.equal(resolve(" ${{ x }}", scope), " 5");
});

Deno.test("inside text null is empty, lists and objects are JSON", () => {
  assert.equal(resolve("<${{ nothing }}|${{ items }}|${{ {'a': 1} }}|${{ x > 4 }}>", scope), '<|[1,"t"]|{"a":1}|true>');
});

Deno.test("an expression ends at the first }} outside strings and maps", () => {
  assert.equal(resolve("${{ '}}' + \"}}\" + '\\\\' + r'\\}}' }}", scope), "}}}}\\\\}}");
  assert.deepEqual(resolve("${{ {'a': {'b': 1}} }}", scope), { a: { b: 1 } });
  assert.deepEqual(resolve("${{{'a': {'b': 1}}}}", scope), { a: { b: 1 } });
});

Deno.test("$${{ is a literal ${{", () => {
  assert.equal(resolve("$${{ x }} ${{ x }}", scope), "${{ x }} 5");
});

Deno.test("an expression that is not closed fails", () => {
  assert.throws(() => resolve("${{ x }", scope), ExpressionError);
});

Deno.test("the value of an expression is never an expression", () => {
  assert.equal(resolve("${{ text }}", scope), "${{ secrets.KEY }}");
  assert.equal(resolve("<${{ text }}>", scope), "<${{ secrets.KEY }}>");
});

Deno.test("a missing key fails and is named", () => {
  assert.throws(() => resolve("${{ event.data.y }}", { event: { data: {} } }), /event\.data has no key "y"/);
});

Deno.test("parsing and resolving keeps any value that is passed on, and any text without templates", () => {
  fc.assert(fc.property(fc.jsonValue(), fc.string(), (value, text) => {
    const json = JSON.parse(JSON.stringify(value)) as Json;
    assert.deepEqual(resolve({ v: "${{ v.w }}" }, { v: { w: json } }), { v: json });
    const plain = text.replaceAll("${{", "");
    assert.equal(resolve(plain, {}), plain);
    assert.equal(resolve(text.replaceAll("${{", "$${{"), {}), text.replaceAll("$${{", "$${{"));
  }));
});

const kind: Kind = {
  kind: "http",
  summary: "",
  main: field.url(),
  options: {
    json: field.json().optional(),
    headers: z.record(z.string(), field.template()).optional(),
    each: field.expression().optional(),
    wait: field.duration().optional(),
    rate: field.rate().optional(),
    most: field.number().optional(),
    on: field.boolean().optional(),
    body: field.size().optional(),
    run: field.command().optional(),
    auth: z.union([z.enum(["none"]), z.strictObject({ bearer: field.template() })]).optional(),
    source: z.union([field.url(), field.source()]).optional(),
  },
};
const resolved = (args: JsonObject, extra = {}) => resolveArgs(kind, args, { ...scope, ...extra });

Deno.test("in a URL the values of expressions are percent-encoded", () => {
  assert.equal(
    resolved({ http: "GET https://h/${{ name }}?q=${{ name }}" }).http,
    "GET https://h/a%2Fb%20c?q=a%2Fb%20c",
  );
});

Deno.test("an expression at the start of a URL must give a URL and is not encoded", () => {
  const base = { base: "https://api.example.org:8080/v1" };
  assert.equal(
    resolved({ http: "POST ${{ base }}/x/${{ name }}" }, base).http,
    "POST https://api.example.org:8080/v1/x/a%2Fb%20c",
  );
  assert.equal(resolved({ http: "${{ base }}/x" }, base).http, "https://api.example.org:8080/v1/x");
  assert.throws(() => resolved({ http: "${{ name }}/x" }), /expected a URL/);
  assert.throws(() => resolved({ http: "${{ base }}" }, { base: "file:///etc/passwd" }), /expected a URL/);
});

Deno.test("an expression in a URL cannot climb out of its folder", () => {
  for (const name of [".", ".."]) {
    assert.throws(() => resolved({ http: "https://h/u/${{ name }}/x" }, { name }), /another folder/);
  }
});

Deno.test("bare expressions stay text; templates and JSON are resolved", () => {
  const args = {
    http: "https://h/",
    each: "items",
    headers: { a: "${{ x }}" },
    json: { n: "${{ x }}" },
    auth: { bearer: "${{ name }}" },
  };
  assert.deepEqual(resolved(args), {
    http: "https://h/",
    each: "items",
    headers: { a: "5" },
    json: { n: 5 },
    auth: { bearer: "a/b c" },
  });
});

Deno.test("durations, rates, sizes, numbers and booleans in templates are read when they are resolved", () => {
  const texts = { d: "5m", r: "10/s", s: "1MB", n: "7", b: "true" };
  const args = {
    http: "https://h/",
    wait: "${{ d }}",
    rate: "${{ r }}",
    body: "${{ s }}",
    most: "${{ n }}",
    on: "${{ b }}",
  };
  const { http: _, ...rest } = resolved(args, texts);
  assert.deepEqual(rest, { wait: 300_000, rate: { count: 10, per: 1_000 }, body: 1_000_000, most: 7, on: true });
  assert.throws(
    () => resolved({ http: "https://h/", wait: "${{ d }}" }, { d: "5x" }),
    /gave "5x", expected a duration such as/,
  );
  assert.throws(() => resolved({ http: "https://h/", most: "${{ n }}" }, { n: "x" }), /expected a number/);
});

Deno.test("arguments of a command are text, a shell string is never resolved", () => {
  assert.deepEqual(resolved({ http: "https://h/", run: ["echo", "${{ items }}", "${{ name }}"] }).run, [
    "echo",
    '[1,"t"]',
    "a/b c",
  ]);
  assert.equal(resolved({ http: "https://h/", run: "echo ${{ name }}" }).run, "echo ${{ name }}");
});

Deno.test("the step in a source is resolved with its trigger, URLs in it percent-encoded", () => {
  const source = { http: "https://h/${{ name }}", json: { n: "${{ x }}" } };
  assert.deepEqual(resolved({ http: "https://h/", source }).source, { http: "https://h/a%2Fb%20c", json: { n: 5 } });
});

Deno.test("values known at load are inserted, the rest stays, and nothing is resolved twice", () => {
  const args = {
    http: "https://${{ config.host }}/x",
    headers: { a: "${{ secrets.A }}", b: "${{ config.evil }}", c: "$${{ x }}" },
  };
  const config = { host: "h", evil: "${{ secrets.B }}" };
  const known = resolveKnown(kind, args, ["config", "env"], { config, env: {} }) as JsonObject;
  assert.deepEqual(known.headers, { a: "${{ secrets.A }}", b: "$${{ secrets.B }}", c: "$${{ x }}" });
  const attached = resolveArgs(kind, known, { secrets: { A: "1", B: "2" } });
  assert.deepEqual(attached, { http: "https://h/x", headers: { a: "1", b: "${{ secrets.B }}", c: "${{ x }}" } });
});

Deno.test("a request goes only to the hosts of the config fields that decide its host, whatever else is in the URL", () => {
  const kind: Kind = { kind: "http", summary: "", main: field.url(), options: {} };
  const send = (http: string, more: JsonObject = {}) => {
    const config = { url: "https://a.example", host: "a.example", ...more };
    const event = { data: ".evil.example" };
    return resolveArgs(kind, { http }, { config, event, $now: 0, $hosts: { url: ["a.example"], host: ["a.example"] } })
      .http;
  };
  assert.equal(send("POST ${{ config.url }}/x"), "POST https://a.example/x");
  assert.equal(send("https://${{ config.host }}:8443/${{ event.data }}"), "https://a.example:8443/.evil.example");
  const refused = /config\.(url|host) decides the host of this request, which would be .*; its "hosts" are a\.example/;
  assert.throws(() => send("POST ${{ config.url }}${{ event.data }}/x"), refused);
  assert.throws(() => send("https://${{ config.host + event.data }}/x"), refused);
  assert.throws(() => send("https://${{ config.host }}/x", { host: "b.example" }), refused);
});

const code: [unknown, number[]][] = [
  ["echo ${{ x }}", []],
  [["sh", "-c", "echo ${{ x }}"], [2]],
  [["/bin/bash", "-lc", "${{ x }}"], [2]],
  [["env", "A=1", "zsh", "-e", "-c", "echo ${{ x }}"], [5]],
  [["cmd.exe", "/c", "echo ${{ x }}"], [2]],
  [["pwsh", "-Command", "echo ${{ x }}"], [2]],
  [["python3", "-c", "print('${{ x }}')"], [2]],
  [["node", "--eval", "console.log('${{ x }}')"], [2]],
];

for (const [command, path] of code) {
  Deno.test(`${JSON.stringify(command)} would execute the value of the expression`, () => {
    assert.deepEqual(findShellExpression(command)?.path, path);
  });
}

for (
  const command of [
    "echo hi",
    ["echo", "${{ x }}"],
    ["sh", "-c", 'echo "$1"', "sh", "${{ x }}"],
    ["sh", "./script.sh", "${{ x }}"],
    ["grep", "-c", "${{ x }}", "file"],
    ["git", "commit", "-m", "${{ x }}"],
  ]
) {
  Deno.test(`${JSON.stringify(command)} passes it as data`, () =>
    assert.equal(findShellExpression(command), undefined));
}

const text = `
when:
  - webhook: /a
    auth: github
    secret: [NEW, OLD]
  - poll: { call: ./feed.ts#read, with: { key: "\${{ secrets.FEED }}" } }
    if: event.data.new.token == secrets.CLAUSE
key: secrets.PEPPER + event.subject
if: event.subject != secrets["a.b"]
then:
  - http: POST https://h/\${{ secrets.URL }}
    headers: { a: "x \${{ secrets.HEADER }}" }
    onError:
      - call: ./lib/tell.yaml
        with: { t: "\${{ secrets.TELL }}" }
  - if: secrets.NESTED == ''
    then: [{ run: [./x, "\${{ secrets.ARGUMENT }}"], if: secrets.CONDITION == '' }]
onError: [{ call: ./x.ts#failed }]
`;

Deno.test("the secrets of a rule are those of its options, expressions and templates, at any depth", () => {
  const { rule, problems } = check(text);
  assert.deepEqual(problems, []);
  assert.deepEqual(secretNames(rule!, kinds).sort(), [
    "ARGUMENT",
    "CLAUSE",
    "CONDITION",
    "FEED",
    "HEADER",
    "NESTED",
    "NEW",
    "OLD",
    "PEPPER",
    "TELL",
    "URL",
    "a.b",
  ]);
});

Deno.test("the targets of a rule are those of its sources and steps, with their places", () => {
  assert.deepEqual(callTargets(check(text).rule!, kinds).map(({ target, at }) => [target, at.line]), [
    ["./feed.ts#read", 6],
    ["./lib/tell.yaml", 14],
    ["./x.ts#failed", 18],
  ]);
});

Deno.test("an action's secrets and targets are found too", () => {
  const { action } = checkActionText("then: [{ call: ./a.yaml }, { log: hi, if: secrets.A == '' }]\noutput: secrets.B");
  assert.deepEqual(secretNames(action!, kinds), ["A", "B"]);
  assert.deepEqual(callTargets(action!, kinds).map(({ target }) => target), ["./a.yaml"]);
});

Deno.test("nested steps of a process are included", () => {
  const { rule, problems } = check(`
when: { event: a }
then:
  - parallel:
      crm: [{ call: "./a.yaml", with: { t: "\${{ secrets.BRANCH }}" } }]
      ask:
        - form: Ok?
          to: [a@example.org, "\${{ secrets.BOSS }}"]
          escalate: { after: 1d, to: "\${{ secrets.HIS_BOSS }}" }
          notify: { call: "./b.ts#tell" }
          onTimeout: [{ log: "\${{ secrets.LATE }}" }]
  - each: secrets.LIST.split(",")
    then: [{ call: ./c.yaml }]
  - repeat: { until: secrets.UNTIL == "" }
    then: [{ waitFor: paid, match: { data.id: secrets.MATCH } }, { wait: "\${{ secrets.WAIT }}" }]
`);
  assert.deepEqual(problems, []);
  const names = ["BOSS", "BRANCH", "HIS_BOSS", "LATE", "LIST", "MATCH", "UNTIL", "WAIT"];
  assert.deepEqual(secretNames(rule!, kinds).sort(), names);
  assert.deepEqual(callTargets(rule!, kinds).map(({ target }) => target), ["./a.yaml", "./b.ts#tell", "./c.yaml"]);
});

Deno.test("the secrets that an input chooses from are those of the rule, beside those in its conditions", () => {
  const { rule, problems } = check(`
inputs: { token: { type: secret, choices: [ONE, NOPE] }, more: { type: list, of: { type: secret, choices: [TWO] } } }
when: manual
if: secrets.CLAUSE != ''
key: secrets.KEY
then: [{ log: hi }]
`);
  assert.deepEqual(problems.map(({ severity, message, at }) => [severity, message, at.line, at.column]), [
    ["warning", "the secret NOPE is not set", 2, 49],
  ]);
  assert.deepEqual(secretNames(rule!, kinds).sort(), ["CLAUSE", "KEY", "NOPE", "ONE", "TWO"]);
});
