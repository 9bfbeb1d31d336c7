import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { execPath } from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { describeProgram } from "../../bin/cli/main.ts";
import { ExitCode } from "../../bin/cli/session.ts";
import { runCommand as run } from "./run_command.ts";
import { FileReport, LogLines } from "../../bin/cli/start_log.ts";
import { writeAddress } from "../../runtime/host/private_file.ts";

/** Runs a command line in this process. */
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
    "replicas",
    "pack",
    "health",
    "completion",
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
    [
      ["once", "rules", "--log-file", "/nowhere/at/all"],
      /^Cannot write the log file .+; name another with --log-file\n$/,
    ],
    [["run", "rules", "--log-file-size", "0"], /expected a number of megabytes, got "0"/],
    [["completion", "tcsh"], /Allowed choices are bash, zsh, fish/],
    [["completion"], /missing required argument 'shell'/],
    [["health", "now"], /too many arguments for 'health'/],
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

Deno.test("replicas of a data folder: one line that says how several come about; no folder is made", async () => {
  const { code, out } = await run("--data", "/nowhere/at/all", "replicas");
  assert.equal(code, ExitCode.ok);
  assert.match(out, /^The data folder \/nowhere\/at\/all has one program\. .+--data postgres:\/\/…\n$/);
  assert.equal((await run("replicas", "--json")).out, "[]\n");
  const wrong = await run("--data", "postgres://u:p#w@h/d", "replicas");
  assert.equal(wrong.code, ExitCode.usage);
  assert.match(wrong.complaints, /^Cannot read the URL of the database in --data: /);
});

Deno.test("with --json an error is one line of JSON, with the exit code", async () => {
  const lines: [words: string[], error: RegExp][] = [
    [["rnu", "--json"], /^unknown command 'rnu'\n\(Did you mean run\?\)$/],
    [["runs", "--json", "--limit", "many"], /^option .+ expected a count, got "many"$/],
    [["runs", "--nonsense", "--json"], /^unknown option '--nonsense'/],
    [["replay", "--json"], /^missing required argument 'run'$/],
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
  const value = await run("--data", "/nowhere/at/all", "emit", "--", "--json");
  assert.match(value.complaints, /^Cannot find the data folder/, "behind -- it is a value");
});

Deno.test("health exits with 1 if no program answers, or it does not accept events; it makes no data folder", async () => {
  const folder = await mkdtemp(join(tmpdir(), "whenthen-health-"));
  const server = createServer((_, response) => response.writeHead(503).end("draining\n"));
  try {
    const nowhere = join(folder, "nowhere");
    const none = await run("health", "--data", nowhere);
    assert.deepEqual([none.code, none.out], [1, `No program runs on the data folder ${nowhere}\n`]);
    assert.deepEqual(await readdir(folder), []);
    await writeAddress(folder, { folder: "/rules" });
    const past = await run("health", "--data", folder);
    assert.deepEqual([past.code, past.out], [1, `No program runs on the data folder ${folder}\n`], "as after `once`");
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const address = server.address();
    assert.ok(address !== null && typeof address === "object");
    const url = `http://127.0.0.1:${address.port}`;
    await writeAddress(folder, { url, token: "", folder: "/rules" });
    const draining = await run("health", "--data", folder);
    assert.deepEqual([draining.code, draining.out], [1, "not ready: draining\n"]);
    await new Promise((resolve) => server.close(resolve).closeAllConnections());
    const gone = await run("health", "--data", folder, "--json");
    const { state, ...rest } = JSON.parse(gone.out);
    assert.deepEqual([gone.code, rest], [1, { ready: false, url }]);
    assert.ok(state.startsWith(`No answer from ${url}: `), state);
    assert.match(state, /refused/i, "the cause, not only that it failed");
  } finally {
    server.close();
    await rm(folder, { recursive: true });
  }
});

Deno.test("a log file that cannot be written is reported once, until it works again", () => {
  const report = new FileReport();
  const failure = { properties: { path: "/dev/full", error: new Error("No space left on device") } };
  const told =
    "Cannot write the log file /dev/full: No space left on device; its lines are lost until it can be written again";
  assert.equal(report.failed(failure), told);
  for (const timestamp of [1_000, 2_000, 4_000]) report.added({ timestamp });
  assert.equal(report.failed(failure), undefined, "three seconds are not over");
  for (const timestamp of [5_000, 8_001]) report.added({ timestamp });
  assert.equal(report.failed(failure), told, "it worked meanwhile");
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
  const program = await describeProgram();
  const all = [program, ...program.commands.flatMap((command) => [command, ...command.commands])];
  assert.ok(all.length > 30);
  for (const { path, options, commands, arguments: values, notes } of all) {
    const { out } = await run(...path, "--help");
    const listed = out.split(/^Commands:\n/m);
    const flags = [...listed[0].matchAll(/^ {2}(-\S.*?)(?: {2}|$)/gm)].map(([, text]) => text);
    assert.deepEqual(options.map((option) => option.flags), flags, path.join(" "));
    const names = [...(listed[1] ?? "").matchAll(/^ {2}([\w-]+)/gm)].map(([, name]) => name);
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

/** Command lines up to the cursor, and what completes their last word in a folder with `rules/`, `other/` and `oto.json`. */
const COMPLETED: [line: string, words: string[]][] = [
  ["whenthen ru", ["rules", "run", "runs"]],
  ["whenthen --data other ru", ["rules", "run", "runs"]],
  ["whenthen run --p", ["--port"]],
  ["whenthen run --log ", ["json", "pretty"]],
  ["whenthen run o", ["other"]],
  ["whenthen events --data r", ["rules"]],
  ["whenthen hooks ", ["open", "remove"]],
  ["whenthen hooks open --f", ["--folder", "--for"]],
  ["whenthen pause run --r", ["--reason"]],
  ["whenthen import o", ["other", "oto.json"]],
  ["whenthen completion ", ["bash", "fish", "zsh"]],
  ["whenthen show ", []],
];

async function completionFolder() {
  const path = await mkdtemp(join(tmpdir(), "whenthen-completion-"));
  for (const shell of ["bash", "zsh", "fish"]) await writeFile(join(path, shell), (await run("completion", shell)).out);
  for (const folder of ["rules", "other"]) await mkdir(join(path, "in", folder), { recursive: true });
  await writeFile(join(path, "in/oto.json"), "{}");
  return { path, cwd: join(path, "in"), [Symbol.asyncDispose]: () => rm(path, { recursive: true }) };
}

Deno.test("completion in a real bash", async () => {
  await using folder = await completionFolder();
  const script = `source ../bash
while IFS= read -r line; do
  read -ra COMP_WORDS <<<"$line"
  [[ $line == *" " ]] && COMP_WORDS+=("")
  COMP_CWORD=$((\${#COMP_WORDS[@]} - 1)) _whenthen 2>&1
  printf '%s|%s\\n' "$line" "\${COMPREPLY[*]}"
done
complete -p whenthen`;
  // bash splits at "=".
  const lines: typeof COMPLETED = [...COMPLETED, ["whenthen run --log = p", ["pretty"]], ["whenthen run --data =", [
    "other",
    "rules",
  ]]];
  const input = lines.map(([line]) => `${line}\n`).join("");
  const { stdout, stderr } = spawnSync("bash", ["--norc", "-c", script], { cwd: folder.cwd, input, encoding: "utf8" });
  assert.equal(stderr, "");
  const seen = stdout.trimEnd().split("\n");
  assert.equal(seen.pop(), "complete -F _whenthen whenthen");
  assert.deepEqual(
    seen.map((text) => text.split("|")).map(([line, words]) => [line, words.split(" ").filter(Boolean).sort()]),
    lines,
  );
});

const has = (shell: string) => spawnSync(shell, ["-c", "true"]).status === 0;

Deno.test({ name: "completion in a real fish", ignore: !has("fish") }, async () => {
  await using folder = await completionFolder();
  // Without `-d`, `read` drops the blank at the end of a line.
  const script = `source ../fish
while read -l -d \\n line
  set -l words (complete -C $line | cut -f1)
  echo "$line|$words"
end`;
  const input = COMPLETED.map(([line]) => `${line}\n`).join("");
  const { stdout, stderr } = spawnSync("fish", ["--no-config", "-c", script], {
    cwd: folder.cwd,
    input,
    encoding: "utf8",
  });
  assert.equal(stderr, "");
  const seen = stdout.trimEnd().split("\n").map((text) => text.split("|"));
  assert.deepEqual(
    seen.map(([line, words]) => [line, words.split(" ").filter(Boolean).map((word) => word.replace("/", "")).sort()]),
    COMPLETED,
  );
});

Deno.test({ name: "completion loads in a real zsh, which knows every command", ignore: !has("zsh") }, async () => {
  await using folder = await completionFolder();
  const script =
    "autoload -U compinit; compinit -u -D; source ../zsh; print $_comps[whenthen]; print -l ${(k)functions}";
  const { stdout, stderr } = spawnSync("zsh", ["-f", "-c", script], { cwd: folder.cwd, encoding: "utf8" });
  assert.equal(stderr, "");
  const lines = stdout.split("\n");
  assert.equal(lines[0], "_whenthen");
  const { commands } = await describeProgram();
  for (const { path } of [...commands, ...commands.flatMap((command) => command.commands)]) {
    assert.ok(lines.includes(["_whenthen", ...path].join("_")), path.join(" "));
  }
});
