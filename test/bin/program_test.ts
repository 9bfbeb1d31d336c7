import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { execPath } from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { describeProgram, runProgram } from "../../bin/cli/main.ts";
import { ExitCode } from "../../bin/cli/session.ts";
import { LogLines } from "../../bin/cli/start_log.ts";

/** Runs a command line in this process. */
async function run(...words: string[]) {
  let [out, complaints] = ["", ""];
  const code = await runProgram(words, {
    terminal: { write: (text) => out += text, width: Infinity, colours: false, now: 0 },
    complain: (text) => complaints += text,
  });
  return { code, out, complaints };
}

Deno.test("help and version exit with 0", async () => {
  const help = await run("--help");
  assert.equal(help.code, ExitCode.ok);
  const names = [
    "run",
    "once",
    "check",
    "config",
    "emit",
    "events",
    "runs",
    "show",
    "replay",
    "cancel",
    "pause",
    "resume",
    "init",
    "schema",
    "pack",
  ];
  for (const name of names) assert.match(help.out, new RegExp(`^ {2}${name}\\b`, "m"));
  assert.match((await run("--version")).out, /^\d+\.\d+\.\d+ \(from source, Deno .+\)\n$/);
});

Deno.test("an invalid command line exits with 64 and says what would work", async () => {
  const lines: [words: string[], complaint: RegExp][] = [
    [["rnu"], /Did you mean run/],
    [["runs", "--state", "done"], /queued, running/],
    [["runs", "--limit", "many"], /expected a count, got "many"/],
    [["emit"], /name the type of an event/],
    [["emit", "--rule", "b"], /whenthen start b name=value/],
    [["start", "b", "bits"], /Cannot start with "bits": write name=value/],
    [["start", "b", "a=1", "--data", "{}"], /give one of them/],
    [["emit", "a", "--data", "./state"], /whenthen --data DIR emit/],
    [["pack", "rules", "-o", "packed"], /Cannot pack from source: .+ deno task compile/],
    [["check", "/nowhere/at/all"], /whenthen init/],
    [["check", "/nowhere/a.yaml"], /Cannot find the file "\/nowhere\/a\.yaml"/],
    [["check", "rules", "examples"], /Cannot check the folder "rules" besides others: name one folder, or files/],
    [["check", "README.md"], /Cannot check "README\.md": a rules folder has \*\.yaml, \*\.yml and \*\.ts files/],
    [
      ["check", "examples/13-issue-discussion/discussion_in_code.test.ts"],
      /it has tests; run them with: whenthen test/,
    ],
    [
      ["check", "rules/hello.yaml", "--folder", "examples"],
      /it is not in the rules folder examples; name its folder with --folder/,
    ],
    [["check", "rules", "--format", "xml"], /Allowed choices are text, json, github, sarif, junit/],
    [["check", "rules", "--format", "github", "--json"], /cannot be used with option '--json'/],
    [["test", "rules", "--format", "sarif"], /Allowed choices are text, json, junit/],
    [["test", "rules", "--filter", "/(/"], /Cannot filter tests by "\/\(\/": Invalid regular expression/],
    [["--data", "/nowhere/at/all", "events"], /nothing has run here yet/],
  ];
  for (const [words, complaint] of lines) {
    const { code, complaints } = await run(...words);
    assert.equal(code, ExitCode.usage, words.join(" "));
    assert.match(complaints, complaint);
  }
});

Deno.test("with --json an error is one line of JSON, with the exit code", async () => {
  const lines: [words: string[], error: RegExp][] = [
    [["rnu", "--json"], /^unknown command 'rnu'\n\(Did you mean run\?\)$/],
    [["runs", "--json", "--limit", "many"], /^option .+ expected a count, got "many"$/],
    [["runs", "--nonsense", "--json"], /^unknown option '--nonsense'/],
    [["show", "--json"], /^missing required argument 'run'$/],
    [["emit", "--json"], /^Cannot emit: name the type of an event$/],
    [["--data", "/nowhere/at/all", "events", "--json"], /nothing has run here yet/],
  ];
  for (const [words, error] of lines) {
    const { code, out, complaints } = await run(...words);
    assert.equal(code, ExitCode.usage, words.join(" "));
    assert.equal(out, "");
    const { error: message, ...rest } = JSON.parse(complaints);
    assert.equal(complaints, `${JSON.stringify({ error: message, ...rest })}\n`);
    assert.match(message, error);
    assert.deepEqual(rest, { exitCode: 64 });
  }
  const value = await run("emit", "--", "--json");
  assert.match(value.complaints, /^Cannot find the data folder/, "behind -- it is a value");
});

Deno.test("schema prints a JSON Schema", async () => {
  const { code, out } = await run("schema");
  assert.equal(code, ExitCode.ok);
  assert.match(JSON.parse(out).$schema, /json-schema/);
});

Deno.test("init makes rules, types and a schema for editors, and never replaces a rule", async () => {
  const folder = await mkdtemp(join(tmpdir(), "whenthen-init-"));
  try {
    assert.equal((await run("init", folder)).code, ExitCode.ok);
    const read = (path: string) => readFile(join(folder, path), "utf8");
    assert.match(await read("hello.yaml"), /^# yaml-language-server: \$schema=\.\/\.editor\/rule\.schema\.json\n/);
    assert.match(await read("count.ts"), /from "whenthen"/);
    const { compilerOptions: { paths } } = JSON.parse(await read("tsconfig.json"));
    assert.match(await read(paths.whenthen[0]), /export \{ rule \}/);
    JSON.parse(await read(".editor/rule.schema.json"));
    JSON.parse(await read(".vscode/settings.json"));
    assert.match(await read(".gitignore"), /^\.env$/m);
    assert.match(await read(".env.example"), /^#SHOP_TOKEN=$/m);
    const own = "# mine\n";
    for (const path of ["hello.yaml", ".env.example"]) await writeFile(join(folder, path), own);
    await rm(join(folder, "count.ts"));
    const again = await run("init", folder);
    assert.equal(again.code, ExitCode.ok, again.complaints);
    assert.match(again.out, /^Made \S+\/count\.ts\. Try:\n/);
    assert.match(
      again.out,
      /as they are: hello\.yaml, tsconfig\.json, deno\.json, \.vscode\/settings\.json, \.gitignore, \.env\.example\n/,
    );
    for (const path of ["hello.yaml", ".env.example"]) assert.equal(await read(path), own);
  } finally {
    await rm(folder, { recursive: true });
  }
});

Deno.test("init writes nothing if one of its files cannot be made", async () => {
  const folder = await mkdtemp(join(tmpdir(), "whenthen-init-"));
  try {
    await writeFile(join(folder, ".vscode"), "");
    const { code, complaints } = await run("init", folder);
    assert.equal(code, ExitCode.usage);
    assert.match(complaints, /\.vscode is there, and is no folder; name another folder/);
    assert.deepEqual(await readdir(folder), [".vscode"]);
  } finally {
    await rm(folder, { recursive: true });
  }
});

Deno.test("lines of one event loop turn are written together, in order; those of the next turn separately", async () => {
  const writes: string[] = [];
  const lines = new LogLines({ write: (text) => writes.push(text) });
  lines.add("a\n");
  lines.add("b\n");
  assert.deepEqual(writes, []);
  await sleep(0);
  lines.add("c\n");
  await sleep(0);
  assert.deepEqual(writes, ["a\nb\n", "c\n"]);
});

Deno.test("a folder made by init passes tsc and deno check, and a wrong duration in it does not", async () => {
  const folder = await mkdtemp(join(tmpdir(), "whenthen-init-"));
  try {
    assert.equal((await run("init", folder)).code, ExitCode.ok);
    const tsc = new URL("../../node_modules/typescript/bin/tsc", import.meta.url).pathname;
    const checks = [["run", "-A", tsc, "-p", "."], ["check"]];
    for (const args of checks) {
      const { status, stdout, stderr } = spawnSync(execPath, args, { cwd: folder, encoding: "utf8" });
      assert.equal(status, 0, `${args.join(" ")}: ${stdout}${stderr}`);
    }
    const wrong =
      'import { every, rule } from "whenthen";\nexport default rule({ when: every("5 min"), then: () => {} });\n';
    await writeFile(join(folder, "wrong.ts"), wrong);
    for (const args of checks) {
      const { status, stdout, stderr } = spawnSync(execPath, args, { cwd: folder, encoding: "utf8" });
      assert.notEqual(status, 0, args.join(" "));
      assert.match(stdout + stderr, /5 min/);
    }
  } finally {
    await rm(folder, { recursive: true });
  }
});

Deno.test("the description of the commands has all that --help shows of each", async () => {
  const program = describeProgram();
  const all = [program, ...program.commands.flatMap((command) => [command, ...command.commands])];
  assert.ok(all.length > 30);
  for (const { path, options, commands, arguments: values, notes } of all) {
    const { out } = await run(...path, "--help");
    const listed = out.split(/^Commands:\n/m);
    const flags = [...listed[0].matchAll(/^ {2}(-\S.*?)(?: {2}|$)/gm)].map(([, text]) => text);
    assert.deepEqual(options.map((option) => option.flags), flags, path.join(" "));
    const names = [...(listed[1] ?? "").matchAll(/^ {2}(\w+)/gm)].map(([, name]) => name);
    assert.deepEqual(commands.map((command) => command.path.at(-1)), names.filter((name) => name !== "help"));
    for (const { name } of values) assert.match(out, new RegExp(`^ {2}${name}( {2}|$)`, "m"));
    assert.ok(out.replaceAll(/\s+/g, " ").includes(notes.replaceAll(/\s+/g, " ")), notes);
  }
  const log = program.commands.flatMap(({ options }) => options).find(({ names }) => names.includes("--log"));
  assert.deepEqual(log, {
    flags: "--log <format>",
    names: ["--log"],
    description: "the format of log lines",
    value: {
      name: "format",
      description: "",
      isRequired: true,
      isList: false,
      kind: "choice",
      choices: ["pretty", "json"],
    },
    default: "pretty",
  });
});
