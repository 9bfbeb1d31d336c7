import ajv from "ajv-draft-04";
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { runProgram } from "../../bin/cli/main.ts";
import { githubAnnotations, junitOfCheck, pathFrom, sarifLog } from "../../bin/cli/print/reports.ts";
import { ExitCode } from "../../bin/cli/session.ts";
import { parseXml } from "../../runtime/formats/xml.ts";
import type { Problem } from "../../runtime/model/problem.ts";
import { rulesFolder } from "../e2e/folder.ts";
import { whenthen } from "../e2e/program.ts";

/** Runs a command line in this process. */
async function run(...words: string[]) {
  let [out, complaints] = ["", ""];
  const code = await runProgram(words, {
    terminal: { write: (text) => out += text, width: Infinity, colours: false, now: Date.UTC(2026, 10, 30) },
    complain: (text) => complaints += text,
  });
  return { code, out, complaints };
}

const WRONG = 'when: { event: a }\nthen: [{ lgo: "100 %, twice" }]\n';
const DOUBTFUL = 'when: { event: a }\nthen: [{ log: "{{ event.id }}" }]\n';
const GOOD = "when: { cron: 30 8 * * 1-5, timezone: Europe/Berlin }\nthen: [{ log: hi }]\n";
const FILES = { "wrong.yaml": WRONG, "sub folder/doubtful.yaml": DOUBTFUL, "good.yaml": GOOD };

/** The problems that are hardest to write: of several lines, with markup and control characters. */
const HARD: Problem[] = [
  {
    severity: "error",
    file: "a,b:c%.yaml",
    at: { line: 3, column: 5, length: 4 },
    message: 'expected <a> & "b", got \u0000\u001b[31m]]>',
    hint: "one\r\ntwo: 100 %, ::error::no",
    sourceLine: "  \u0007<!-- ${{ x }}",
  },
  { severity: "warning", file: "/elsewhere/ä b.yaml", at: { line: 1, column: 1 }, message: "half of a pair: \ud800" },
];

/** A line of a workflow: `::command name=value,…::text`, with what the runner (`ActionCommand.cs`) takes out of it. */
function readAnnotation(line: string) {
  const [, command, properties, text] = /^::(error|warning) ([^\r\n]*?)::([^\r\n]*)$/.exec(line) ?? [];
  assert.ok(command, line);
  const unescape = (value: string) =>
    value.replaceAll("%0D", "\r").replaceAll("%0A", "\n").replaceAll("%3A", ":").replaceAll("%2C", ",")
      .replaceAll("%25", "%");
  const pairs = properties.split(",").map((pair) => {
    const [name, value] = pair.split("=", 2);
    return [name, unescape(value)];
  });
  return { command, properties: Object.fromEntries(pairs), text: unescape(text) };
}

Deno.test("check --format github prints annotations that the runner reads back, whatever is in them", () => {
  const lines = githubAnnotations(HARD).trimEnd().split("\n");
  assert.deepEqual(lines.map(readAnnotation), [
    {
      command: "error",
      properties: { file: "a,b:c%.yaml", line: "3", endLine: "3", col: "5", endColumn: "9", title: "whenthen" },
      text: `${HARD[0].message}\n${HARD[0].hint}`,
    },
    {
      command: "warning",
      properties: { file: "/elsewhere/ä b.yaml", line: "1", endLine: "1", col: "1", endColumn: "2", title: "whenthen" },
      text: HARD[1].message,
    },
  ]);
});

/** The JSON Schema of SARIF 2.1.0 as OASIS published it. */
function sarifSchema() {
  const main = fileURLToPath(import.meta.resolve("@microsoft/jest-sarif"));
  const folder = main.slice(0, main.lastIndexOf("/jest-sarif/") + "/jest-sarif".length);
  return JSON.parse(readFileSync(join(folder, "lib/schemas/sarif-2.1.0-rtm.5.json"), "utf8"));
}

const validate = new ajv.default({ strict: false, validateFormats: false, unicodeRegExp: false }).compile(
  sarifSchema(),
);

function expectSarif(log: unknown): void {
  assert.ok(validate(log), JSON.stringify(validate.errors, null, 2));
}

Deno.test("check --format sarif is SARIF 2.1.0 by its schema, with a level, a place and a relative path for each problem", async () => {
  assert.equal(validate({ version: "2.1.0", runs: [{ tool: { driver: { nme: "x" } } }] }), false, "it finds mistakes");
  expectSarif(JSON.parse(JSON.stringify(sarifLog(HARD, "/repo"))));
  const { runs: [hard] } = JSON.parse(JSON.stringify(sarifLog(HARD, "/repo")));
  const places = hard.results.map((result: { locations: [{ physicalLocation: { artifactLocation: unknown } }] }) =>
    result.locations[0].physicalLocation.artifactLocation
  );
  assert.deepEqual(places, [
    { uri: "a%2Cb%3Ac%25.yaml", uriBaseId: "SRCROOT" },
    { uri: "file:///elsewhere/%C3%A4%20b.yaml" },
  ]);
  assert.deepEqual(hard.originalUriBaseIds, { SRCROOT: { uri: "file:///repo/" } });

  await using folder = await rulesFolder(FILES);
  const { code, out } = await run("check", folder.rules, "--format", "sarif");
  assert.equal(code, ExitCode.broken);
  const log = JSON.parse(out);
  expectSarif(log);
  const seen = log.runs[0].results.map((result: Record<string, unknown>) => [result.ruleId, result.level]);
  assert.deepEqual(seen, [["warning", "warning"], ["problem", "error"]]);
});

type Xml = Record<string, never>;

Deno.test("check --format junit is read back by an XML parser: a case for each problem, and one for each good file", async () => {
  const hard = parseXml(await junitOfCheck([], HARD)) as Xml;
  assert.equal(hard.testsuites["@failures"], "1");
  await using folder = await rulesFolder(FILES);
  const { code, out } = await run("check", folder.rules, "--format", "junit");
  assert.equal(code, ExitCode.broken);
  const { testsuites } = parseXml(out) as Xml;
  assert.deepEqual(
    [testsuites["@tests"], testsuites["@failures"], testsuites["@errors"]],
    ["3", "1", "0"],
  );
  const cases = [testsuites["testsuite"]].flat().map(({ testcase }: Xml) => testcase as Xml);
  const [doubtful, wrong, good] = ["doubtful", "wrong", "good"].map((name) =>
    cases.find((one) => String(one["@file"]).endsWith(`${name}.yaml`))!
  );
  assert.deepEqual(Object.keys(good).filter((key) => !key.startsWith("@")), []);
  assert.match(String(doubtful["system-out"]), /warning: \{\{ event\.id \}\} is plain text/);
  const { "@message": message, "#text": text } = wrong["failure"] as Record<string, string>;
  assert.match(message, /^expected one of "http", .* got "lgo"$/);
  assert.match(text, /wrong\.yaml:2:10: expected one of [^]*did you mean "log"\?$/);
});

Deno.test("check: warnings alone exit with 0 in each format", async () => {
  await using folder = await rulesFolder({ "doubtful.yaml": DOUBTFUL });
  for (const format of ["text", "json", "github", "sarif", "junit"]) {
    const { code, out } = await run("check", folder.rules, "--format", format);
    assert.equal(code, ExitCode.ok, format);
    assert.match(out, /is plain text/, format);
  }
});

Deno.test("check FILE is about this file, by the path that was given; its rules folder is found", async () => {
  await using folder = await rulesFolder({ ...FILES, "lib/tell.yaml": "inputs: {}\nthen: [{ lgo: a }]\n" });
  const file = join(folder.rules, "sub folder/doubtful.yaml");
  const doubtful = await run("check", file);
  assert.equal(doubtful.code, ExitCode.ok, doubtful.out);
  assert.match(
    doubtful.out,
    /\/rules\/sub folder\/doubtful\.yaml:2:16: warning: [^]*\n1 rule, 0 problems, 1 warning\n$/,
  );
  const two = JSON.parse((await run("check", file, join(folder.rules, "wrong.yaml"), "--json")).out);
  assert.deepEqual(two.rules.map(({ id }: { id: string }) => id), ["sub folder/doubtful"], "by its id in the folder");
  assert.equal(two.problems.length, 2);
  // A file outside of a folder called "rules" belongs to its own folder, or to the one that is named.
  const other = await run(
    "check",
    join(folder.rules, "lib/tell.yaml"),
    "--folder",
    join(folder.rules, "lib"),
    "--json",
  );
  assert.equal(other.code, ExitCode.broken);
  assert.equal(JSON.parse(other.out).problems.length, 1);
});

Deno.test("check shows a cron in words, and its next times in its own zone, across the change to winter time", async () => {
  const cron = "when: { cron: 30 8 * * 1, timezone: America/New_York }\nthen: [{ log: hi }]\n";
  await using folder = await rulesFolder({ "weekly.yaml": cron });
  let out = "";
  const now = Date.UTC(2026, 9, 20);
  const terminal = { write: (text: string) => out += text, width: Infinity, colours: false, now };
  assert.equal(await runProgram(["check", folder.rules], { terminal, complain: () => {} }), ExitCode.ok);
  assert.equal(
    out,
    `weekly cron 30 8 * * 1 America/New_York (at 08:30, only on Monday) fires next at
  Mon 2026-10-26 08:30:00 -04:00
  Mon 2026-11-02 08:30:00 -05:00
  Mon 2026-11-09 08:30:00 -05:00
  Mon 2026-11-16 08:30:00 -05:00
  Mon 2026-11-23 08:30:00 -05:00
1 rule, 0 problems
`,
  );
});

Deno.test("in CI the paths of check are those of the repository, wherever in it the program runs", async () => {
  await using folder = await rulesFolder({
    "wrong.yaml": WRONG,
    "sub/.git": "gitdir: elsewhere\n",
    "sub/x/a.yaml": WRONG,
  });
  const cwd = join(folder.rules, "sub/x");
  const github = await whenthen(["check", "a.yaml", "--format", "github"], { cwd, env: { GITHUB_WORKSPACE: "" } });
  assert.equal(github.code, ExitCode.broken, github.stdout + github.stderr);
  assert.match(github.stdout, /^::error file=x\/a\.yaml,line=2,endLine=2,col=10,endColumn=13,/);
  assert.equal(pathFrom("/repo", "/repo/my rules", "a/b.yaml"), "my rules/a/b.yaml");
  assert.equal(pathFrom("/repo", "/other", "b.yaml"), "/other/b.yaml");
});

const TESTED = `when: { event: a }
then: [{ id: tell, log: hi }]
tests:
  - { name: says hi, do: [{ send: { type: a } }, { expect: { run: succeeded } }] }
  - { name: fails & is <told>, do: [{ send: { type: a } }, { expect: { run: failed } }] }
`;

Deno.test("test --filter runs the tests with a text in their name or file, or that match a pattern", async () => {
  await using folder = await rulesFolder({ "a.yaml": TESTED, "b.yaml": TESTED });
  const named = async (filter: string) => {
    const { code, out } = await run("test", folder.rules, "--filter", filter, "--json");
    const { results, leftOut } = JSON.parse(out);
    return [code, results.map(({ file, name }: { file: string; name: string }) => `${file} ${name}`), leftOut];
  };
  assert.deepEqual(await named("says"), [ExitCode.ok, ["a.yaml says hi", "b.yaml says hi"], 2]);
  assert.deepEqual(await named("b.yaml"), [ExitCode.failed, ["b.yaml says hi", "b.yaml fails & is <told>"], 2]);
  assert.deepEqual(await named("/^s.ys/"), [ExitCode.ok, ["a.yaml says hi", "b.yaml says hi"], 2]);
  assert.deepEqual(await named("nothing"), [ExitCode.failed, [], 4]);
  assert.match(
    (await run("test", folder.rules, "--filter", "nothing")).out,
    /^0 tests passed, 0 failed, 4 left out\n$/,
  );
});

Deno.test("test --format junit is read back by an XML parser, with the difference of a failure", async () => {
  await using folder = await rulesFolder({ "a.yaml": TESTED, "wrong.yaml": WRONG });
  const { code, out } = await run("test", folder.rules, "--format", "junit");
  assert.equal(code, ExitCode.broken);
  const { testsuites } = parseXml(out, { lists: ["testcase"] }) as Xml;
  assert.deepEqual([testsuites["@tests"], testsuites["@failures"], testsuites["@errors"]], ["3", "1", "1"]);
  const cases = [testsuites["testsuite"]].flat().flatMap(({ testcase }: Xml) => testcase as Xml[]);
  assert.deepEqual(cases.map((one) => one["@name"]), ["says hi", "fails & is <told>", "loads"]);
  assert.match(cases[0]["@time"], /^\d+\.\d{3}$/);
  assert.match((cases[1]["failure"] as Xml)["#text"], /- "failed"\n +\+ "succeeded"/);
  assert.match((cases[2]["error"] as Xml)["@message"], /got "lgo"/);
});
