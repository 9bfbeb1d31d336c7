import assert from "node:assert/strict";
import { z } from "zod";
import { duration, expression, json, number, type Template, template } from "../../runtime/language/arg_types.ts";
import { checkRule, parseArgs } from "../../runtime/language/checker/check_rule.ts";
import { asIn, parseWith } from "../../runtime/language/checker/sentences.ts";
import { isStep, stepNames, withoutIterations } from "../../runtime/language/expectation.ts";
import { resolveArgs } from "../../runtime/language/expressions/template.ts";
import { nearest } from "../../runtime/language/hints.ts";
import { type Args, defineKind, type ReadArgs, resolvedArgs } from "../../runtime/language/kind.ts";
import type { Json, JsonObject } from "../../runtime/model/json.ts";
import { check, checkActionText, kinds, underlined, withThen, withWhen } from "./check_support.ts";

function ruleOf(text: string, more = {}) {
  const { rule, problems } = check(text, more);
  assert.deepEqual(problems, []);
  return rule!;
}

Deno.test("the rule in the language reference is read with all its defaults", () => {
  const rule = ruleOf(`
name: Disk alert
when:
  poll: { run: ./disks.sh }
  every: 5m
  key: item.mount
  on: [changed]
if: event.data.old.used <= config.threshold && event.data.new.used > config.threshold
config:
  threshold: 85
then:
  - id: tell
    http: POST https://hooks.example.org/ops
    json: { text: "\${{ event.subject }} is \${{ event.data.new.used }} % full" }
    retry: 5
`);
  const { triggers: [trigger], if: clauses, then: [step], ...rest } = rule as typeof rule & { then: never[] };
  assert.deepEqual(rest, {
    id: "x",
    name: "Disk alert",
    file: "x.yaml",
    language: "yaml",
    enabled: true,
    mode: "parallel",
    max: 10,
    timeout: 3_600_000,
    limit: { count: 1_000, per: 60_000 },
    onError: [],
    config: { threshold: 85 },
  });
  assert.equal(trigger.kind, "poll");
  assert.deepEqual(trigger.args.poll, { run: "./disks.sh" });
  assert.equal(trigger.args.every, 300_000);
  assert.deepEqual(clauses, [{
    text: "event.data.old.used <= config.threshold && event.data.new.used > config.threshold",
    at: { line: 8, column: 5, length: 81 },
  }]);
  assert.deepEqual(step, {
    id: "tell",
    kind: "http",
    at: { line: 13, column: 5, length: 4 },
    retry: { attempts: 5, delay: 1_000, max: 60_000 },
    args: {
      http: "POST https://hooks.example.org/ops",
      json: { text: "${{ event.subject }} is ${{ event.data.new.used }} % full" },
    },
    children: {},
  });
});

Deno.test("all common options of a rule are read", () => {
  const rule = ruleOf(`
id: ops/disk
when: [start, { cron: "0 8 * * *", name: morning, if: event.type == 'cron' }]
if: [true, event.data == null]
key: event.subject
mode: queued
timeout: 90s
limit: none
enabled: false
tests: [{ anything: goes }]
onError: [{ log: "\${{ error.step }} \${{ steps.log.x }}" }]
then: [{ log: hi }]
`);
  assert.deepEqual([rule.id, rule.key, rule.mode, rule.timeout, rule.limit, rule.enabled], [
    "ops/disk",
    "event.subject",
    "queued",
    90_000,
    null,
    false,
  ]);
  assert.deepEqual(rule.triggers.map(({ id }) => id), ["start", "morning"]);
  assert.deepEqual((rule.if as { text: string }[]).map(({ text }) => text), ["true", "event.data == null"]);
  assert.deepEqual(rule.onError.map(({ id }) => id), ["log"]);
});

Deno.test("every and if are kinds only if no other kind key is present", () => {
  const rule = ruleOf(`
when:
  - every: 10m
  - poll: https://example.org/
    every: 1m
    if: event.type == 'added'
then:
  - if: event.type == 'added'
    then: [{ log: a }]
  - if: event.type == 'added'
    log: b
`);
  assert.deepEqual(rule.triggers.map(({ kind, args }) => [kind, args.every]), [["every", 600_000], ["poll", 60_000]]);
  assert.deepEqual((rule.then as { kind: string; if?: string }[]).map((step) => [step.kind, step.if]), [[
    "if",
    undefined,
  ], ["log", "event.type == 'added'"]]);
});

Deno.test("a trigger's id is its name, else its kind and address, whatever its position", () => {
  const entries = ["- cron: 0 8 * * *", "- webhook: /a\n  auth: none", "- poll: https://example.org/\n  name: feed"];
  const ids = (order: string[]) => ruleOf(withWhen(order.join("\n"))).triggers.map(({ id }) => id).sort();
  assert.deepEqual(ids(entries), ids(entries.toReversed()));
  assert.ok(ids(entries).includes("feed"));
});

Deno.test("steps without an id are named after their kind, then kind#2", () => {
  const rule = ruleOf(
    withThen(
      "- log: a\n- log: b\n- { id: tell, log: c }\n- log: d\n- { log: e, if: \"steps['log#2'] == null && steps.tell == null\" }",
    ),
  );
  assert.deepEqual((rule.then as { id: string }[]).map(({ id }) => id), ["log", "log#2", "tell", "log#3", "log#4"]);
});

Deno.test("results of earlier and enclosing steps, and of steps inside earlier ones, are known", () => {
  ruleOf(withThen(`- { id: a, log: x }
- if: steps.a == null
  then:
    - { id: b, log: "\${{ steps.a }}" }
    - { id: c, log: "\${{ steps.b }}", onError: [{ log: "\${{ error.message }} \${{ errors.b.message }}" }] }
  else:
    - { id: b, log: y }
- { log: "\${{ steps.c }}" }`));
});

Deno.test("retry and timeout are read, from config too", () => {
  const config = "config: { patience: 10s, tries: 2 }\n";
  const rule = ruleOf(
    config + withThen(`- { log: a, timeout: "\${{ config.patience }}", retry: "\${{ config.tries }}" }
- { log: b, retry: { delay: 2m } }
- { log: c, onError: continue, onTimeout: [{ stop: late }] }`),
  );
  const steps = rule.then as { timeout?: number; retry?: unknown; onError?: unknown }[];
  assert.deepEqual(steps.map(({ timeout, retry, onError }) => [timeout, retry, onError]), [
    [10_000, { attempts: 2, delay: 1_000, max: 60_000 }, undefined],
    [undefined, { attempts: 3, delay: 120_000, max: 120_000 }, undefined],
    [undefined, undefined, "continue"],
  ]);
});

Deno.test("config and environment are inserted into triggers at load; secrets are not", () => {
  const text = withWhen(
    `- poll: https://\${{ config.host }}/\${{ env.HOME }}
  every: \${{ config.pace }}
  headers: { authorization: "Bearer \${{ secrets.KEY }}" }
- poll: { run: [./list, "\${{ config.host }}"] }`,
    "config: { host: a.example.org, pace: 1m }\n",
  );
  const { triggers: [url, source] } = ruleOf(text, { config: { pace: "2m" } });
  assert.equal(url.args.poll, "https://a.example.org/%2Fhome%2Fx");
  assert.equal(url.args.every, 120_000);
  assert.deepEqual(url.args.headers, { authorization: "Bearer ${{ secrets.KEY }}" });
  assert.deepEqual(source.args.poll, { run: ["./list", "a.example.org"] });
});

Deno.test("values and enabled in config files override those of the rule", () => {
  const text = withWhen("- start", "config: { a: 1, b: { type: text, required: false } }\nenabled: true\n");
  const rule = ruleOf(text, { config: { a: 2, other: 3 }, enabled: false });
  assert.deepEqual([rule.config, rule.enabled], [{ a: 2, b: null }, false]);
});

Deno.test("a TypeScript declaration has functions for if and then", () => {
  const at = { line: 3, column: 16 };
  const origin = { file: "x.ts", language: "typescript" as const, at: () => at, within: () => at };
  const raw = { when: { event: "a" }, if: { function: true }, then: { function: true } };
  const known = { id: "x", config: {}, env: {}, now: 0 };
  const { rule, problems } = checkRule(raw, origin, kinds, known);
  assert.deepEqual([rule?.if, rule?.then, problems], ["function", "function", []]);
  const bad = checkRule({ ...raw, when: { cron: "99 * * * *" } }, origin, kinds, known);
  assert.deepEqual(bad.problems.map(({ file, at }) => [file, at]), [["x.ts", at]]);
});

Deno.test("an action has inputs, steps and an output", () => {
  const { action, problems } = checkActionText(`
inputs:
  channel: "#ops"
  text: { type: text }
then:
  - { id: post, http: POST https://h/, json: { t: "\${{ inputs.text }}" } }
output: steps.post.body.id
`);
  assert.deepEqual(problems, []);
  assert.deepEqual(Object.keys(action!.inputs), ["channel", "text"]);
  assert.equal(action!.output, "steps.post.body.id");
});

Deno.test("an action knows its inputs but not the config of its caller", () => {
  const text =
    'inputs: { text: { type: text } }\nthen:\n  - log: "${{ inputs.txt }} ${{ config.a }}"\noutput: steps.nope';
  assert.deepEqual(underlined(text, checkActionText(text).problems).map(([part, message]) => [part, message]), [
    ["inputs.txt", "unknown inputs.txt"],
    ["config.a", 'unknown name "config"'],
    ["steps.nope", 'unknown step "nope"'],
  ]);
});

Deno.test("arguments from code are read with defaults, or their problems are named", () => {
  const { args } = parseArgs(kinds.steps.state, { state: "up", value: { a: 1 }, ttl: "1h" }) as { args: JsonObject };
  assert.deepEqual(args, { state: "up", value: { a: 1 }, ttl: 3_600_000 });
  assert.deepEqual(parseArgs(kinds.steps.http, { http: "ftp://x", jsn: 1, format: "xls" }), {
    problems: [
      'http: expected a URL such as https://example.org/, got "ftp://x"',
      'format: expected one of "json", "feed", "xml", "csv", "lines", "text", "base64", or an object such as { csv: { delimiter: ";" } }, got "xls"',
      'unknown key "jsn"; did you mean "json"?',
    ],
  });
});

Deno.test("columns of csv are a list of names, at least one", () => {
  const problemsOf = (format: unknown) => {
    const parsed = parseArgs(kinds.steps.http, { http: "https://example.org/", format } as JsonObject);
    return "problems" in parsed ? parsed.problems : [];
  };
  assert.deepEqual(problemsOf({ csv: { columns: ["id", "name"] } }), []);
  assert.deepEqual(problemsOf({ csv: { columns: [] } }), ["format.csv.columns: expected at least 1 item, got 0"]);
  assert.deepEqual(problemsOf({ csv: { columns: "id" } }), ['format.csv.columns: expected a list, got "id"']);
  assert.deepEqual(problemsOf({ csv: { colums: ["id"] } }), [
    'unknown key "colums"; did you mean "columns"?',
  ]);
});

Deno.test("the options of a format are checked", () => {
  const problemsOf = (format: unknown) => {
    const parsed = parseArgs(kinds.steps.run, { run: "cat x", format } as JsonObject);
    return "problems" in parsed ? parsed.problems : [];
  };
  const all = { delimiter: "|", quote: "'", header: false, columns: ["id"], skip: 2, relaxed: true };
  assert.deepEqual(problemsOf({ csv: all }), []);
  assert.deepEqual(problemsOf({ csv: { quote: false } }), []);
  assert.deepEqual(problemsOf({ xml: { lists: ["item"] } }), []);
  assert.deepEqual(problemsOf({ csv: { skip: -1 } }), ["format.csv.skip: expected at least 0, got -1"]);
  assert.deepEqual(problemsOf({ csv: { header: "no" } }), ['format.csv.header: expected true or false, got "no"']);
  assert.deepEqual(problemsOf({ xml: { list: ["item"] } }), ['unknown key "list"; did you mean "lists"?']);
});

Deno.test("id beside emit names the step; with an expression in it, it is the event's identity", () => {
  const steps = '- { id: said, emit: a.b }\n- { emit: a.c, id: "paid/${{ event.id }}" }\n- log: ${{ steps.said.id }}';
  const [said, paid] = ruleOf(withThen(steps)).then as { id: string; args: JsonObject }[];
  assert.deepEqual([said.id, said.args], ["said", { emit: "a.b" }]);
  assert.deepEqual([paid.id, paid.args], ["emit", { emit: "a.c", id: "paid/${{ event.id }}" }]);
});

Deno.test("the steps of onError see the error of the failed step, under errors too, but no result", () => {
  const steps = (text: string) => `- id: a\n  http: https://h/\n  onError:\n    - log: ${text}`;
  assert.deepEqual(check(withThen(steps("${{ errors.a.message }} ${{ error.step }}"))).problems, []);
  const [problem] = check(withThen(steps("${{ steps.a.body }}"))).problems;
  assert.equal(problem.message, 'unknown step "a"');
});

Deno.test("a problem of a TypeScript declaration names the part concerned", () => {
  const at = { line: 2, column: 16 };
  const origin = { file: "a.ts", language: "typescript" as const, at: () => at, within: () => at };
  const raw = {
    when: [{ every: "5 m" }, { cron: "0 8 * * *", timezone: "Mars/Phobos" }],
    mod: "single",
    if: "evnt.data",
    then: { function: true },
  };
  const { problems } = checkRule(raw, origin, kinds, { id: "a", config: {}, env: {}, now: 0 });
  assert.deepEqual(problems.map(({ message }) => message), [
    'unknown key "mod"',
    'when[0].every: expected a duration such as 250ms, 30s, 5m, 2h or 3d, got "5 m"',
    'when[1].timezone: expected a time zone such as Europe/Berlin, got "Mars/Phobos"',
    'if: unknown name "evnt"',
  ]);
});

Deno.test("under when, an interval or a number is a value that is known when the rule loads: from config or env, no secret", () => {
  const text = (when: string) => `config: { x: 5m, n: 5 }\nwhen: { ${when} }\nthen: [{ log: hi }]`;
  for (
    const [when, at] of [
      ['every: "${{ secrets.X }}"', "2:16"],
      ['poll: https://x.org, key: item.id, stagnant: "${{ secrets.X }}"', "2:54"],
      ['poll: https://x.org, key: item.id, max: "${{ state.x }}"', "2:49"],
    ]
  ) {
    const { problems } = check(text(when));
    const found = problems.map(({ at: { line, column }, message, hint }) => [`${line}:${column}`, message, hint]);
    const remedy = "write the value itself, or ${{ config.x }}";
    assert.deepEqual(found, [[at, "only config and env can be used here", remedy]]);
  }
  const { rule, problems } = check(
    text('poll: https://x.org, key: item.id, every: "${{ config.x }}", max: "${{ config.n }}"'),
  );
  assert.deepEqual(problems, []);
  assert.deepEqual([rule!.triggers[0].args.every, rule!.triggers[0].args.max], [300_000, 5]);
});

const schemas = {
  kind: "remind",
  main: template(),
  options: {
    after: duration(),
    times: number({ min: 1 }).default(3),
    on: z.enum(["any", "all"]).optional(),
    if: expression().optional(),
    data: z.record(z.string(), json()).optional(),
    pages: z.strictObject({ sizes: z.array(number()) }).optional(),
  },
} as const;

type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends (<T>() => T extends B ? 1 : 2) ? true : false;
type Flat<T> = { [Key in keyof T]: T[Key] };

const asRead: Same<
  Flat<ReadArgs<typeof schemas>>,
  Flat<{
    remind: string;
    after: number | Template;
    times: number | Template;
    on?: "any" | "all" | undefined;
    if?: string | undefined;
    data?: Record<string, Json> | undefined;
    pages?: { sizes: (number | Template)[] } | undefined;
  }>
> = true;
const resolved: Same<Args<typeof schemas>["after"] | Args<typeof schemas>["times"], number> = true;
const inside: Same<NonNullable<Args<typeof schemas>["pages"]>["sizes"], number[]> = true;
const data: Same<NonNullable<Args<typeof schemas>["data"]>[string], Json> = true;

const remind = defineKind({
  ...schemas,
  summary: "Reminds somebody",
  check: ({ after }) => typeof after === "number" && after < 1_000 ? ["after: at least 1s"] : [],
});

Deno.test("arguments have the types of their schemas: a template is text until it is resolved, then a value", () => {
  assert.ok(asRead && resolved && inside && data);
  const parsed = parseArgs(remind, {
    remind: "hello",
    after: "${{ event.data.after }}",
    pages: { sizes: ["${{ 2 }}"] },
  });
  assert.ok("args" in parsed, JSON.stringify(parsed));
  assert.equal(parsed.args.after, "${{ event.data.after }}");
  assert.deepEqual(remind.check!(parsed.args, 0), []);
  const args = resolvedArgs(schemas, resolveArgs(remind, parsed.args, { event: { data: { after: "2s" } } }));
  const { after, times, on, pages = { sizes: [] } } = args;
  assert.deepEqual([after + 1, times + 1, on, pages.sizes[0] + 1], [2_001, 4, undefined, 3]);
});

const schema = z.object({ repeat: z.strictObject({ times: z.number() }, asIn("repeat: { times: 3 }")) });
const problems = (repeat: unknown) => parseWith(schema, { repeat }).problems;

Deno.test("a value that is not an object gets a hint how to write one; problems inside are reported as usual", () => {
  assert.deepEqual(problems(3), [
    { path: ["repeat"], part: "value", message: "expected an object, got 3", hint: "as in repeat: { times: 3 }" },
  ]);
  assert.deepEqual(problems({ tims: 3 }), [
    { path: ["repeat", "tims"], part: "key", message: 'unknown key "tims"', hint: 'did you mean "times"?' },
  ]);
  assert.deepEqual(problems({ times: "x" }).map(({ message }) => message), ['expected a number, got "x"']);
});

Deno.test("a typo finds the intended word", () => {
  const words = ["cron", "poll", "timeout", "retry", "onError"];
  assert.deepEqual(["crn", "pol", "tiemout", "rety", "onerror"].map((word) => nearest(word, words)), words);
});

Deno.test("another word finds nothing", () => {
  assert.equal(nearest("channel", ["cron", "poll", "timeout"]), undefined);
  assert.equal(nearest("x", ["on", "if"]), undefined);
});

Deno.test("a step is named by its path or a suffix of it, with and without iterations", () => {
  const path = "week/lines[3]/save#2";
  for (const name of [path, "week/lines/save", "lines[3]/save#2", "lines/save", "save#2", "save"]) {
    assert.ok(isStep(name, path), name);
  }
  for (const name of ["week", "lines[3]", "ave", "lines[2]/save#2", "lines[3]/save"]) {
    assert.ok(!isStep(name, path), name);
  }
  assert.ok(isStep("mail", "approval/remind@1/mail"));
  assert.ok(isStep("hourly[2]", "week/hourly[2]"));
});

Deno.test("the longest name comes first", () => {
  assert.deepEqual(stepNames("lines[3]/save"), ["lines[3]/save", "lines/save", "save", "save"]);
});

Deno.test("withoutIterations() leaves items, turns, reminders and repeated names out", () => {
  assert.equal(withoutIterations("a[0]/b@2/c#3/d"), "a/b/c/d");
});
