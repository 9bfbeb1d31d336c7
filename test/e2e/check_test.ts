import assert from "node:assert/strict";
import { rulesFolder } from "./folder.ts";
import { whenthen } from "./program.ts";

/** Twelve mistakes in six files, each with its position and a word of its remedy. */
const FILES = {
  "a.yaml": `when:
  crn: "0 8 * * *"
then:
  - log: a
  - lgo: b
`,
  "b.yaml": `when: { webhook: /b, auth: none }
if: event.data.x > confg.limit
then:
  - id: one
    log: a
  - id: one
    log: b
`,
  "c.yaml": `when: { cron: "0 0 31 2 *" }
then:
  - log: a
    retry: often
  - http: GET https://example.org
    query: #deals
`,
  "d.yaml": `when: { webhook: /d, auth: github }
then:
  - run: "echo \${{ event.data.name }}"
  - call: ./missing.ts#read
`,
  "e.ts": `import { cron, rule } from "whenthen";

export default rule({
  when: cron("0 8 * * *"),
  mode: "sometimes",
  then: async () => {},
});
`,
  "f/g.yaml": `when: { event: order.created }
if: !event.data.paid
then:
  - log: a
`,
};

const EXPECTED: [place: string, text: RegExp][] = [
  ["a.yaml:2:3", /"crn".*|cron/],
  ["a.yaml:5:5", /"lgo"|log/],
  ["b.yaml:2:20", /confg|config/],
  ["b.yaml:6:9", /one/],
  ["c.yaml:1:", /never/],
  ["c.yaml:4:12", /retry|often/],
  ["c.yaml:6:12", /comment/],
  ["d.yaml:1:", /secret/],
  ["d.yaml:3:", /argument|env|stdin/],
  ["d.yaml:4:11", /missing\.ts/],
  ["e.ts:3:16", /mode|sometimes/],
  ["f/g.yaml:2:5", /tag|quote/],
];

Deno.test("twelve mistakes in six files are twelve problems, each at its position with a remedy", async () => {
  await using folder = await rulesFolder(FILES);
  const text = await whenthen(["check", folder.rules]);
  assert.notEqual(text.code, 0);
  for (const [place, words] of EXPECTED) {
    const line = text.stdout.split("\n").find((line) => line.startsWith(place));
    assert.ok(line, `a problem at ${place} in:\n${text.stdout}${text.stderr}`);
    const block = text.stdout.slice(text.stdout.indexOf(line)).split("\n").slice(0, 4).join("\n");
    assert.match(block, words);
    assert.match(block, /^ +\^/m, `a caret below ${place}`);
  }
  const json = await whenthen(["check", folder.rules, "--json"]);
  assert.equal(json.code, text.code);
  const { problems } = JSON.parse(json.stdout);
  assert.equal(problems.length, 12, text.stdout);
  for (const { hint, message } of problems) assert.ok(hint ?? /expected /.test(message), `a remedy for: ${message}`);
});

Deno.test("a correct folder has no problems and shows when its crons fire", async () => {
  await using folder = await rulesFolder({
    "ok.yaml": `when: { cron: "30 8 * * 1-5", timezone: Europe/Berlin }\nthen:\n  - log: good morning\n`,
  });
  const { code, stdout } = await whenthen(["check", folder.rules]);
  assert.equal(code, 0, stdout);
  assert.equal(stdout.match(/\d{4}-\d\d-\d\d.\d\d:\d\d/g)?.length, 5, stdout);
});
