import assert from "node:assert/strict";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import process from "node:process";
import fc from "fast-check";
import { rulesFolder } from "../folder.ts";
import { type Answered, start, whenthen } from "../program.ts";
import { size } from "./size.ts";
import { within } from "../until.ts";

const EXAMPLES = new URL("../../../examples", import.meta.url).pathname;

/** All files of a kind among the examples. */
async function examples(extension: string): Promise<string[]> {
  const names = (await readdir(EXAMPLES, { recursive: true })).filter((name) => name.endsWith(extension));
  return await Promise.all(names.sort().map((name) => readFile(join(EXAMPLES, name), "utf8")));
}

const PIECES = fc.constantFrom(
  ..."null|~| |\n|\n  |\n- |: |when|then|if:|each|${{ |}}|{|}|[|]|'|\"|!|*a|&a|#|1e999|-1|true|x: y\n|é😀|\t|__proto__|\u0000|\r|\u2028|<<: *a|%|@"
    .split("|"),
);

/** A text with pieces cut out, duplicated or replaced. */
function mutated(texts: string[]): fc.Arbitrary<string> {
  const edit = fc.tuple(fc.double({ min: 0, max: 1, noNaN: true }), fc.nat(30), PIECES);
  return fc.tuple(fc.constantFrom(...texts), fc.array(edit, { minLength: 1, maxLength: 2 })).map(([text, edits]) =>
    edits.reduce((now, [where, cut, put]) => {
      const at = Math.floor(where * now.length);
      return now.slice(0, at) + put + now.slice(at + cut);
    }, text)
  );
}

/** A random expression of the names, functions and operators of the language, roughly well typed. */
const { expression } = fc.letrec<{ expression: string }>((tie) => ({
  expression: fc.oneof(
    { depthSize: "small", withCrossShrink: true },
    fc.constantFrom(
      ..."event event.data event.data.a event.data.list event.subject event.time rule.id config.x env.HOME state['k'] item now()"
        .split(" "),
      ...'1 0 -1 1.5 9223372036854775807 true null "" "a" "2026-03-29T01:30:00Z" [] {} b"x" 1u'.split(" "),
    ),
    fc.tuple(tie("expression"), fc.constantFrom(..."+ - * / % == != < > <= >= && || in".split(" ")), tie("expression"))
      .map((parts) => `(${parts.join(" ")})`),
    fc.tuple(
      fc.constantFrom(
        ..."size string int double bool sum number json fromJson hash lower upper trim sort unique duration timestamp type"
          .split(" "),
      ),
      tie("expression"),
    )
      .map(([name, of]) => `${name}(${of})`),
    fc.tuple(tie("expression"), fc.constantFrom(..."map filter exists all exists_one".split(" ")), tie("expression"))
      .map(([of, name, body]) => `${of}.${name}(x, ${body})`),
    fc.tuple(
      tie("expression"),
      fc.constantFrom(..."matches replace split join contains startsWith date default".split(" ")),
      fc.array(tie("expression"), { maxLength: 2 }),
    )
      .map(([of, name, args]) => `${of}.${name}(${args.join(", ")})`),
    fc.tuple(tie("expression"), tie("expression"), tie("expression")).map(([a, b, c]) => `(${a} ? ${b} : ${c})`),
    fc.tuple(tie("expression"), tie("expression")).map(([of, at]) => `${of}[${at}]`),
    tie("expression").map((of) => `!${of}`),
    fc.string({ maxLength: 12 }),
  ),
}));

const sane = fc.constantFrom(..."* */5 0 1 5 1-5 1,2,3 */2".split(" "));
const field = fc.oneof(
  sane,
  fc.constantFrom(..."59 60 -1 5-1 L W 5L 15W #3 ? MON JAN 31 0/0 */0 99 1-99/7 @daily".split(" ")),
  fc.string({ maxLength: 5 }),
);
const cron = fc.oneof(
  fc.array(sane, { minLength: 5, maxLength: 6 }).map((fields) => fields.join(" ")),
  fc.array(field, { minLength: 1, maxLength: 7 }).map((fields) => fields.join(" ")),
  fc.string(),
);

const seed = Math.floor(Math.random() * 2 ** 31);
const sample = <T>(what: fc.Arbitrary<T>, count: number) => fc.sample(what, { numRuns: count, seed });

/** Loads files and returns the problems; fails if the program does anything but load a file or report a position. */
async function check(files: Record<string, string>): Promise<{ rules: Answered[]; problems: Answered[] }> {
  await using folder = await rulesFolder(files);
  const args = ["check", folder.rules, "--data", folder.data, "--json"];
  const { code, stdout, stderr } = await within(300_000, "the check", whenthen(args));
  assert.ok(code === 0 || code === 2, `seed ${seed}: exit ${code}\n${stderr}`);
  assert.doesNotMatch(stderr, /\n {4}at |TypeError|RangeError/, `seed ${seed}`);
  const checked = JSON.parse(stdout);
  for (const { file, at, message } of checked.problems) {
    const lines = (files[file] ?? "").split("\n");
    assert.doesNotMatch(message, /^this file cannot be loaded/, `seed ${seed}: ${file}`);
    assert.ok(message.length > 0 && at.line >= 1, `seed ${seed}: ${file}`);
    assert.ok(at.line <= lines.length, `seed ${seed}: ${file}:${at.line}: ${message}`);
  }
  return checked;
}

const numbered = (texts: string[], extension: string) =>
  Object.fromEntries(texts.map((text, index) => [`f${index}.${extension}`, text]));

Deno.test("mutated rule files, YAML and TypeScript: each is a rule, or a problem with its position", async () => {
  const yaml = sample(mutated(await examples(".yaml")), size(200, 5_000));
  const typescript = sample(mutated(await examples(".ts")), size(20, 300));
  const { rules, problems } = await check({ ...numbered(yaml, "yaml"), ...numbered(typescript, "ts") });
  console.log(`${rules.length} rules and ${problems.length} problems`);
  assert.ok(problems.length > yaml.length / 4);
});

Deno.test("crons from random fields: a time or a problem", async () => {
  const crons = sample(cron, size(200, 10_000));
  const rule = (text: string) => `when: { cron: ${JSON.stringify(text)} }\nthen:\n  - log: x\n`;
  const { rules, problems } = await check(numbered(crons.map(rule), "yaml"));
  const told = new Set([...rules.map(({ file }) => file), ...problems.map(({ file }) => file)]);
  assert.equal(told.size, crons.length, "each is a rule or has a problem");
  for (const { triggers: [{ next }] } of rules) assert.ok(next.length > 0 && next.every(Number.isInteger));
  console.log(`${rules.length} of ${crons.length} are crons`);
});

Deno.test("expressions from the whole grammar: evaluated or refused, whatever the events; a healthy rule keeps its pace", async () => {
  const count = size(120, 2_000);
  const rule = (text: string) => `
when: { webhook: /x, auth: none }
limit: none
if: ${JSON.stringify(text)}
then:
  - log: ${JSON.stringify(`\${{ ${text} }}`)}
`;
  const files = numbered(sample(expression, count).map(rule), "yaml");
  const { rules } = await check(files);
  assert.ok(rules.length >= count / 60, `${rules.length} of ${count} load`);
  const healthy = "when: { every: 1s }\nlimit: none\nthen:\n  - log: tick\n";
  await using folder = await rulesFolder({ ...files, "healthy.yaml": healthy });
  await using program = start(folder.rules, { data: folder.data, env: { HOME: process.env.HOME ?? "" } });
  await program.url();
  const data = fc.oneof(
    fc.jsonValue(),
    fc.record({ a: fc.jsonValue(), list: fc.array(fc.jsonValue()) }, { requiredKeys: [] }),
  );
  for (const body of sample(data, size(40, 500))) {
    const { status } = await program.post("/hooks/x", body);
    assert.equal(status, 202, `seed ${seed}: ${JSON.stringify(body)}`);
  }
  await program.waitForMessage("tick");
  assert.doesNotMatch(program.output, /Cannot answer|TypeError|\\n {4}at /, `seed ${seed}`);
  assert.equal(await program.stop(), 0);
  console.log(`${rules.length} of ${count} are expressions`);
});
