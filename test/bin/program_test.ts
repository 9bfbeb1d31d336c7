import assert from "node:assert/strict";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { runProgram } from "../../bin/cli/main.ts";
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
    [["--data", "/nowhere/at/all", "events"], /nothing has run here yet/],
  ];
  for (const [words, complaint] of lines) {
    const { code, complaints } = await run(...words);
    assert.equal(code, ExitCode.usage, words.join(" "));
    assert.match(complaints, complaint);
  }
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
    const again = await run("init", folder);
    assert.equal(again.code, ExitCode.usage);
    assert.match(again.complaints, /exists already/);
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
