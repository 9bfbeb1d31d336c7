import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { chmod, mkdir, mkdtemp, readdir, readFile, realpath, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ActionContext } from "../../runtime/actions/action.ts";
import { run } from "../../runtime/actions/run.ts";
import { realDisk } from "../../runtime/host/disk.ts";
import { RunFiles } from "../../runtime/host/run_files.ts";
import type { SavedFile } from "../../runtime/model/event.ts";
import { TerminalError } from "../../runtime/model/errors.ts";
import type { Json, JsonObject } from "../../runtime/model/json.ts";
import { parseArgs } from "../../runtime/language/checker/check_rule.ts";
import { makeContext } from "./context.ts";

interface Result {
  code: number;
  stdout: string;
  stderr: string;
  json: Json;
  dropped?: { stdout: number; stderr: number };
}

async function execute(args: JsonObject, context: ActionContext = makeContext()): Promise<Result> {
  return (await run.execute(args, context)).output as unknown as Result;
}

async function failureOf(args: JsonObject, context?: ActionContext): Promise<Error & { detail?: Result }> {
  return await execute(args, context).then(() => assert.fail("it succeeded"), (error) => error);
}

type Saved = Omit<Result, "stdout"> & { stdout: SavedFile };

/** A context whose files are real, of up to 30 MB each. */
async function withFiles(use: (context: ActionContext, folder: string) => Promise<void>): Promise<void> {
  const folder = await realpath(await mkdtemp(join(tmpdir(), "run-save-")));
  const files = new RunFiles(folder, realDisk, 30_000_000);
  try {
    await use(makeContext({ services: { createFile: (file) => files.create(file) } }), folder);
  } finally {
    await rm(folder, { recursive: true });
  }
}

async function filesIn(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  return entries.filter((entry) => entry.isFile()).map(({ name }) => name);
}

/** A rule folder with an executable `list.sh` in it. */
async function inRuleFolder(
  script: string,
  use: (context: ActionContext, folder: string) => Promise<void>,
): Promise<void> {
  const folder = await realpath(await mkdtemp(join(tmpdir(), "run-")));
  try {
    await writeFile(join(folder, "list.sh"), script);
    await chmod(join(folder, "list.sh"), 0o755);
    await use(makeContext({ folder, ruleFolder: folder }), folder);
  } finally {
    await rm(folder, { recursive: true });
  }
}

Deno.test("run returns code, standard output and error, and the JSON in its output", async () => {
  assert.deepEqual(await execute({ run: ["echo", '{"a": 1}'] }), {
    code: 0,
    stdout: '{"a": 1}\n',
    stderr: "",
    json: { a: 1 },
  });
  assert.deepEqual(await execute({ run: "echo no json; echo err >&2" }), {
    code: 0,
    stdout: "no json\n",
    stderr: "err\n",
    json: null,
  });
});

Deno.test("a list is passed as arguments unchanged; a string is a shell command", async () => {
  assert.equal((await execute({ run: ["printf", "%s|", "$HOME", "a b", "; ls"] })).stdout, "$HOME|a b|; ls|");
  assert.equal((await execute({ run: "printf %s $((1 + 2)) | tr 3 4" })).stdout, "4");
});

Deno.test("stdin gets text unchanged and anything else as JSON", async () => {
  assert.equal((await execute({ run: ["cat"], stdin: "text" })).stdout, "text");
  assert.deepEqual((await execute({ run: ["cat"], stdin: { a: [1, "ż"] } })).json, { a: [1, "ż"] });
  assert.equal((await execute({ run: ["true"], stdin: "x".repeat(5_000_000) })).code, 0);
});

Deno.test("format parses standard output; a parse error fails the step", async () => {
  assert.deepEqual((await execute({ run: "printf 'a,b\\n1,2\\n'", format: "csv" })).json, [{ a: "1", b: "2" }]);
  assert.match(
    (await failureOf({ run: ["echo", "x"], format: "json" })).message,
    /Cannot read the output of "echo x" as json/,
  );
});

Deno.test("format with columns fails the step if the header lacks one", async () => {
  const format = { csv: { columns: ["a", "c"] } };
  assert.deepEqual((await execute({ run: "printf 'c,a\\n1,2\\n'", format })).json, [{ c: "1", a: "2" }]);
  const { message } = await failureOf({ run: "printf 'a,b\\n1,2\\n'", format });
  assert.match(message, /as csv: expected csv with the columns "a", "c", got "a", "b": "c" is missing$/);
});

Deno.test("an exit code that is not in ok is a failure with the last lines of standard error", async () => {
  const script = "for i in 1 2 3 4 5 6 7; do echo line $i >&2; done; echo out; exit 3";
  const error = await failureOf({ run: script });
  assert.match(error.message, /^"for i in .*" ended with exit code 3: line 3\nline 4\nline 5\nline 6\nline 7$/);
  assert.deepEqual([error.detail!.code, error.detail!.stdout], [3, "out\n"]);
  assert.equal((await execute({ run: script, ok: [0, 3] })).code, 3);
  assert.match((await failureOf({ run: ["true"], ok: [1] })).message, /^"true" ended with exit code 0$/);
});

Deno.test("a command ended by a signal names the signal", async () => {
  assert.match((await failureOf({ run: "kill -9 $$" })).message, /ended with signal SIGKILL/);
});

Deno.test("a command that does not exist is a final failure that names it and PATH", async () => {
  const error = await failureOf({ run: ["no-such-command", "x"], env: { PATH: "/bin:/usr/bin" } });
  assert.ok(error instanceof TerminalError);
  assert.equal(
    error.message,
    'Cannot run "no-such-command x": there is no command "no-such-command" in PATH (/bin:/usr/bin)',
  );
});

Deno.test("the script and its working directory are relative to the rule file, wherever the program runs", async () => {
  await inRuleFolder("#!/bin/sh\npwd\n", async (context, folder) => {
    await mkdir(join(folder, "sub"));
    assert.equal((await execute({ run: ["./list.sh"] }, context)).stdout, `${folder}\n`);
    assert.equal((await execute({ run: "./list.sh" }, context)).stdout, `${folder}\n`);
    assert.equal((await execute({ run: ["./list.sh"], cwd: "./sub" }, context)).stdout, `${folder}/sub\n`);
  });
});

Deno.test("a script that cannot be started is an error with a remedy", async () => {
  await inRuleFolder("#!/no/such/interpreter\n", async (context, folder) => {
    const messages = [
      (await failureOf({ run: ["./list.sh"] }, context)).message,
      (await failureOf({ run: ["./nothing.sh"] }, context)).message,
      (await failureOf({ run: ["true"], cwd: "./nowhere" }, context)).message,
      (await chmod(join(folder, "list.sh"), 0o644), await failureOf({ run: ["./list.sh"] }, context)).message,
    ];
    assert.deepEqual(messages, [
      `Cannot run "./list.sh": the interpreter in the first line of ${folder}/list.sh does not exist`,
      `Cannot run "./nothing.sh": there is no file ${folder}/nothing.sh`,
      `Cannot run "true" in ${folder}/nowhere: there is no such folder`,
      `Cannot run "./list.sh": it is not executable; run chmod +x on it`,
    ]);
  });
});

Deno.test("a child has the inherited environment, that of the step, and the id of its run", async () => {
  const services = { childEnv: () => ({ PATH: "/bin:/usr/bin", A: "inherited", B: "inherited" }) };
  const context = makeContext({ services, attempt: 2, path: "check/then/tell" });
  const { stdout } = await execute({ run: ["env"], env: { B: "step" } }, context);
  const variables = stdout.split("\n").filter((line) => /^(A|B|WHENTHEN_\w+)=/.test(line)).sort();
  assert.deepEqual(variables, [
    "A=inherited",
    "B=step",
    "WHENTHEN_ATTEMPT=2",
    "WHENTHEN_CAUSE=1.r1.signed",
    "WHENTHEN_RULE=test",
    "WHENTHEN_RUN=r1",
    "WHENTHEN_STEP=check/then/tell",
  ]);
});

Deno.test("an argument that the system refuses is a final failure", async () => {
  assert.ok(await failureOf({ run: ["echo", "a\0b"] }) instanceof TerminalError);
  assert.ok(await failureOf({ run: ["echo", "x".repeat(5_000_000)] }) instanceof TerminalError);
});

Deno.test("output up to 10 MB is kept; more is a failure that says how much there was and what would work", async () => {
  const whole = await execute({ run: "head -c 10000000 /dev/zero | tr '\\0' x; yes line | head -c 300000 >&2" });
  assert.equal(whole.stdout, "x".repeat(10_000_000));
  assert.equal(whole.stderr, "line\n".repeat(60_000));
  for (const [run, stream] of [["cat", "output"], ["cat >&2", "error"]]) {
    const error = await failureOf({ run: `head -c 10000001 /dev/zero | ${run}` });
    assert.ok(error instanceof TerminalError);
    const says = new RegExp(
      `standard ${stream} of .*: it wrote 10000001 bytes, at most 10000000 are kept; .*"keep: tail"`,
    );
    assert.match(error.message, says);
    assert.equal(error.message.includes('"save: name"'), stream === "output", "a file takes standard output only");
  }
});

Deno.test("with keep: tail output beyond 10 MB is its last lines, and dropped counts the missing bytes", async () => {
  const { stdout, stderr, json, dropped } = await execute({ run: "seq 3000000; echo err >&2", keep: "tail" });
  assert.deepEqual([stderr, json, dropped!.stderr], ["err\n", null, 0]);
  const all = Array.from({ length: 3_000_000 }, (_, index) => `${index + 1}\n`).join("");
  assert.ok(all.endsWith(stdout) && all[all.length - stdout.length - 1] === "\n", "whole lines");
  assert.equal(dropped!.stdout, all.length - stdout.length);
  const size = JSON.stringify({ code: 0, stdout, stderr, json, dropped }).length;
  assert.ok(size <= 10_000_000 && size > 9_800_000, `${size}`);
});

Deno.test("with keep: tail output that fits is kept whole; beyond that, both streams share the space", async () => {
  const small = await execute({ run: "echo 1", keep: "tail" });
  assert.deepEqual(small, { code: 0, stdout: "1\n", stderr: "", json: null, dropped: { stdout: 0, stderr: 0 } });
  const big = await execute({ run: "(seq 3000000 >&2) & seq 3000000; wait", keep: "tail" });
  const size = JSON.stringify(big).length;
  assert.ok(size <= 10_000_000 && size > 9_800_000, `${size}`);
  for (const stream of ["stdout", "stderr"] as const) {
    assert.ok(big[stream].endsWith("\n2999999\n3000000\n"), stream);
    assert.ok(big.dropped![stream] > 0, stream);
  }
  const one = await execute({ run: "seq 1100000 >&2; echo 1", keep: "tail" });
  assert.deepEqual(one.dropped, { stdout: 0, stderr: 0 }, "space that the other stream leaves is shared");
});

Deno.test("with keep: tail lines and text come from the end, even if they need much space as JSON", async () => {
  const lines = await execute({ run: "yes '' | head -c 12000000; echo end", keep: "tail", format: "lines" });
  assert.equal((lines.json as string[]).at(-1), "end");
  assert.equal((lines.json as string[]).length, lines.stdout.split("\n").length - 1);
  assert.ok(JSON.stringify(lines).length <= 10_000_000);
  const text = await execute({ run: "head -c 12000000 /dev/zero; echo end", keep: "tail", format: "text" });
  assert.equal(text.json, text.stdout);
  assert.ok(text.stdout.endsWith("\0end\n") && JSON.stringify(text).length <= 10_000_000);
  assert.equal(text.dropped!.stdout, 12_000_004 - text.stdout.length);
});

Deno.test("keep: tail excludes formats that need the beginning", async () => {
  const message = /"keep: tail" may leave out the beginning, without which csv cannot be read; use lines or text/;
  assert.match(run.check!({ run: "x", keep: "tail", format: "csv" }, 0)[0], message);
  const error = await failureOf({ run: "touch never", keep: "tail", format: { csv: { columns: ["a"] } } });
  assert.match(error.message, message);
});

Deno.test("save puts standard output into a file, byte by byte, whatever its size", async () => {
  await withFiles(async (context) => {
    const script = "seq 3000000; printf '\\377\\000'; echo err >&2; exit 3";
    const { stdout, ...rest } = await execute({ run: script, save: "out.bin", ok: [3] }, context) as unknown as Saved;
    assert.deepEqual(rest, { code: 3, stderr: "err\n", json: null });
    const content = await readFile(stdout.path);
    assert.equal(content.length, 22_888_896 + 2);
    assert.deepEqual([...content.subarray(-3)], [10, 255, 0]);
    const sha256 = createHash("sha256").update(content).digest("hex");
    assert.deepEqual(stdout, {
      path: stdout.path,
      name: "out.bin",
      type: "application/octet-stream",
      bytes: content.length,
      sha256,
    });
  });
});

Deno.test("with save and keep: tail only the errors are cut", async () => {
  await withFiles(async (context) => {
    const run = "seq 3000000; seq 3000000 >&2";
    const { stdout, stderr, dropped } = await execute(
      { run, save: "all.txt", keep: "tail" },
      context,
    ) as unknown as Saved;
    assert.equal(stdout.bytes, 22_888_896);
    assert.deepEqual(dropped, { stdout: 0, stderr: 22_888_896 - stderr.length });
    assert.match((await failureOf({ run, save: "all.txt" }, context)).message, /the standard error of .*"keep: tail"/);
  });
});

Deno.test("a command that fails leaves no file; the detail has the beginning of its output", async () => {
  await withFiles(async (context, folder) => {
    const { message, detail } = await failureOf({ run: "seq 3000000; exit 1", save: "out.txt" }, context);
    assert.match(message, /ended with exit code 1/);
    assert.ok(detail!.stdout.startsWith("1\n2\n3\n"));
    const { dropped } = detail as Result;
    assert.equal(dropped!.stdout, 22_888_896 - detail!.stdout.length);
    const abort = new AbortController();
    const aborted = failureOf({ run: "yes", save: "out.txt" }, { ...context, signal: abort.signal });
    abort.abort(new Error("timed out"));
    assert.equal((await aborted).message, "timed out");
    assert.ok((await failureOf({ run: ["no-such-command"], save: "out.txt" }, context)) instanceof TerminalError);
    assert.deepEqual(await filesIn(folder), []);
  });
});

Deno.test("output beyond the limit of a file ends the command", async () => {
  await withFiles(async (context, folder) => {
    const error = await failureOf({ run: ["yes"], save: "yes.txt" }, context);
    assert.ok(error instanceof TerminalError);
    assert.match(error.message, /^Cannot save the standard output of "yes" as "yes.txt": it has over 30000000 bytes/);
    assert.deepEqual(await filesIn(folder), []);
  });
});

Deno.test("save accepts a plain file name, and no format", async () => {
  const problems = (args: JsonObject) => {
    const parsed = parseArgs(run, { run: "x", ...args });
    return "problems" in parsed ? parsed.problems : run.check!(parsed.args, 0);
  };
  assert.deepEqual(problems({ save: "a.csv" }), []);
  assert.deepEqual(problems({ save: "${{ event.id }}/x" }), [], "checked when it runs");
  for (const save of ["../a", "a/b", "..", ""]) {
    assert.deepEqual(problems({ save }), [
      `save: expected a plain file name such as report.csv, got ${JSON.stringify(save)}`,
    ]);
  }
  assert.match(problems({ save: "a.csv", format: "csv" })[0], /^format: "save" writes standard output to a file/);
  const error = await failureOf({ run: "touch never", save: "1/x" });
  assert.ok(error instanceof TerminalError);
  assert.match(error.message, /as "1\/x": expected a plain file name such as report.csv$/);
});

Deno.test("json and its source text are both complete", async () => {
  const { json, stdout } = await execute({
    run: `printf '["'; head -c 2000000 /dev/zero | tr '\\0' x; printf '"]'`,
  });
  assert.equal((json as string[])[0].length, 2_000_000);
  assert.equal(stdout.length, 2_000_004);
});

Deno.test("a failed command keeps the beginning of its output and the end of its errors, and says how much is missing", async () => {
  const { detail } = await failureOf({
    run: "head -c 300000 /dev/zero | tr '\\0' x; yes line | head -c 300000 >&2; exit 3",
  });
  const { stdout, stderr, dropped } = detail as Result & { dropped: JsonObject };
  assert.ok(stderr.endsWith("line\n"));
  assert.deepEqual(dropped, { stdout: 300_000 - stdout.length, stderr: 300_000 - stderr.length });
});

Deno.test("abort ends the command; the step fails with the reason", async () => {
  const abort = new AbortController();
  const failure = failureOf({ run: ["sleep", "1000"] }, makeContext({ signal: abort.signal }));
  abort.abort(new Error("timed out"));
  assert.equal((await failure).message, "timed out");
});

Deno.test("output is decoded by charset, and output that is not text fails the step", async () => {
  const polish = String.raw`printf '\277\n'; printf '\363' >&2`;
  const { stdout, stderr } = await execute({ run: polish, charset: "iso-8859-2" });
  assert.deepEqual([stdout, stderr], ["ż\n", "ó"]);
  const russian = await execute({
    run: String.raw`printf 'id|\316\301\n1|\360\322\311\n'`,
    charset: "koi8-r",
    format: { csv: { delimiter: "|" } },
  });
  assert.deepEqual(russian.json, [{ id: "1", на: "При" }]);
  const { stdout: none, json } = await execute({ run: String.raw`printf '\377\000'`, format: "base64" });
  assert.deepEqual([none, json], ["", "/wA="]);
  const marked = await execute({ run: String.raw`printf '\377\3761\0002\000'` });
  assert.deepEqual([marked.stdout, marked.json], ["12", 12]);
  for (const [script, stream] of [["printf '\\277'", "output"], ["printf '\\277' >&2", "error"]]) {
    const error = await failureOf({ run: script });
    assert.ok(error instanceof TerminalError);
    assert.ok(error.message.startsWith(`Cannot read the standard ${stream} of `), error.message);
    assert.ok(error.message.endsWith('it is not text in utf-8; "charset" can say in which charset it is'));
  }
  const failed = await failureOf({ run: String.raw`printf 'a\277'; exit 2` });
  assert.match(failed.message, /ended with exit code 2/);
  assert.equal(failed.detail!.stdout, "a\ufffd", "the readable part");
});
