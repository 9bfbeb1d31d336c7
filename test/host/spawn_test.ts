import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { watch } from "node:fs";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { setTimeout as pause } from "node:timers/promises";
import { LiveOutputs, Tail } from "../../runtime/host/program_output.ts";
import { type ChildOptions, endChildren, runChild } from "../../runtime/host/spawn.ts";
import { until } from "../e2e/until.ts";

const KEEP = { stdout: 1_000_000, stderr: 1_000_000 };

function shell(script: string, options: Partial<ChildOptions> = {}) {
  return runChild({
    program: "sh",
    args: ["-c", script],
    cwd: tmpdir(),
    env: { PATH: process.env.PATH! },
    keep: KEEP,
    signal: new AbortController().signal,
    ...options,
  });
}

async function inFolder(use: (folder: string) => Promise<void>): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), "spawn-"));
  try {
    await use(folder);
  } finally {
    await rm(folder, { recursive: true });
  }
}

/** The pids that a script writes to the file `pids`, as soon as there are that many. */
async function pidsIn(folder: string, count: number): Promise<number[]> {
  const file = join(folder, "pids");
  const watcher = watch(folder);
  try {
    for (;;) {
      const changed = new Promise<void>((resolve) => watcher.once("change", () => resolve()));
      const pids = (await readFile(file, "utf8").catch(() => "")).split("\n").slice(0, -1).map(Number);
      if (pids.length >= count) return pids;
      await changed;
    }
  } finally {
    watcher.close();
  }
}

/** Whether it still runs: a zombie does not. */
async function runs(pid: number): Promise<boolean> {
  const stat = await readFile(`/proc/${pid}/stat`, "utf8").catch(() => undefined);
  return stat !== undefined && !/^\d+ \(.*\) [ZX]/s.test(stat);
}

Deno.test("runChild() returns exit code, standard output and standard error", async () => {
  const end = await shell("echo out; echo err >&2; exit 3");
  assert.deepEqual(end, { code: 3, stdout: { text: "out\n", dropped: 0 }, stderr: { text: "err\n", dropped: 0 } });
});

Deno.test("runChild() gives the child the given environment and nothing else", async () => {
  const end = await shell("env", { env: { PATH: process.env.PATH!, A: "1" } });
  const names = end.stdout.text.trim().split("\n").map((line) => line.split("=")[0]);
  assert.deepEqual(names.filter((name) => !["PWD", "SHLVL", "_", "OLDPWD"].includes(name)).sort(), ["A", "PATH"]);
});

Deno.test("runChild() writes standard input, and leaves it empty if there is none", async () => {
  assert.equal((await shell("cat", { stdin: "żółć" })).stdout.text, "żółć");
  assert.equal((await shell("cat")).stdout.text, "");
});

Deno.test("a child that closes its input early does not fail", async () => {
  const end = await shell("exec 0<&-; echo done", { stdin: "x".repeat(5_000_000) });
  assert.equal(end.code, 0);
  assert.equal(end.stdout.text, "done\n");
});

Deno.test("a child with 100 MB of output ends normally; the first bytes are kept, the rest counted", async () => {
  const end = await shell("echo begin; head -c 100000000 /dev/zero");
  assert.equal(end.code, 0);
  assert.equal(end.stdout.text.length, 1_000_000);
  assert.ok(end.stdout.text.startsWith("begin\n"));
  assert.equal(end.stdout.dropped, 100_000_006 - 1_000_000);
});

Deno.test("the last bytes of standard error are kept", async () => {
  const end = await shell("head -c 3000000 /dev/zero >&2; echo end >&2");
  assert.equal(end.stderr.text.length, 1_000_000);
  assert.ok(end.stderr.text.endsWith("end\n"));
  assert.equal(end.stderr.dropped, 3_000_004 - 1_000_000);
});

Deno.test("a limit within a character leaves that character out", async () => {
  const end = await shell("printf 'aé'; printf 'éa' >&2", { keep: { stdout: 2, stderr: 2 } });
  assert.deepEqual(end.stdout, { text: "a", dropped: 1 });
  assert.deepEqual(end.stderr, { text: "a", dropped: 2 });
});

Deno.test("output gets all of standard output, in order, even if it is slower than the child", async () => {
  const taken: Buffer[] = [];
  let busy = false;
  const end = await shell("seq 20000; echo err >&2", {
    keep: { stdout: 3, stderr: 100 },
    async output(bytes) {
      assert.ok(!busy, "one piece at a time");
      busy = true;
      // Longer in total than a background process may hold the output.
      await pause(600);
      busy = false;
      taken.push(Buffer.from(bytes));
    },
  });
  const all = Array.from({ length: 20_000 }, (_, index) => `${index + 1}\n`).join("");
  assert.equal(Buffer.concat(taken).toString(), all);
  assert.deepEqual([end.code, end.stdout.text, end.stderr.text], [0, "1\n2", "err\n"]);
  assert.equal(end.stdout.dropped, all.length - 3);
});

Deno.test("if output fails, the child ends, with its error as the reason", async () => {
  const full = new Error("the disk is full");
  await assert.rejects(shell("yes", { output: () => Promise.reject(full) }), full);
  await assert.rejects(shell("echo last", { output: () => Promise.reject(full) }), full);
});

Deno.test("a background process that holds or fills the output does not delay a step that passes it on", async () => {
  let bytes = 0;
  const output = (piece: Uint8Array) => Promise.resolve(void (bytes += piece.length));
  for (const background of ["sleep 1000", "while :; do echo x; sleep 0.01; done"]) {
    bytes = 0;
    assert.equal((await shell(`${background} & echo done`, { output })).code, 0);
    assert.ok(bytes >= "done\n".length);
  }
});

Deno.test("binary output becomes text with replacement characters, and says so", async () => {
  const end = await shell(String.raw`printf 'a\377\000b'`);
  assert.equal(end.stdout.text, "a\ufffd\0b");
  assert.match(end.stdout.undecodable!, /it is not text in utf-8/);
});

Deno.test("a child ended by a signal has the exit code of a shell", async () => {
  const end = await shell("kill -9 $$");
  assert.equal(end.code, 137);
  assert.equal(end.endedBy, "SIGKILL");
});

Deno.test("a program that is missing or not executable rejects with the system's code", async () => {
  await assert.rejects(shell("", { program: "no-such-program" }), { code: "ENOENT" });
  await assert.rejects(shell("", { program: "/etc/passwd" }), { code: "EACCES" });
});

Deno.test("an aborted signal starts nothing", async () => {
  await inFolder(async (cwd) => {
    await assert.rejects(shell("touch started", { cwd, signal: AbortSignal.abort(new Error("too late")) }), /too late/);
    await assert.rejects(readFile(join(cwd, "started")), { code: "ENOENT" });
  });
});

Deno.test("abort ends a child that ignores SIGTERM, and its forks", async () => {
  await inFolder(async (cwd) => {
    const abort = new AbortController();
    const script =
      "trap '' TERM; (trap '' TERM; sleep 1000; sleep 1000) & echo $! >>pids; echo $$ >>pids; sleep 1000; sleep 1000";
    const end = shell(script, { cwd, signal: abort.signal });
    const pids = await pidsIn(cwd, 2);
    assert.deepEqual(await Promise.all(pids.map(runs)), [true, true]);
    abort.abort(new Error("cancelled"));
    await assert.rejects(end, /cancelled/);
    assert.deepEqual(await Promise.all(pids.map(runs)), [false, false]);
  });
});

Deno.test("abort lets a child clean up after SIGTERM", async () => {
  await inFolder(async (cwd) => {
    const abort = new AbortController();
    const script = "trap 'echo cleaned >cleaned; exit' TERM; echo $$ >>pids; while :; do sleep 0.05; done";
    const end = shell(script, { cwd, signal: abort.signal });
    await pidsIn(cwd, 1);
    abort.abort();
    await assert.rejects(end, { name: "AbortError" });
    assert.equal(await readFile(join(cwd, "cleaned"), "utf8"), "cleaned\n");
  });
});

Deno.test("background processes of a command are ended when it ends", async () => {
  await inFolder(async (cwd) => {
    const end = await shell("sleep 1000 >/dev/null 2>&1 & echo $! >>pids; echo done", { cwd });
    assert.equal(end.stdout.text, "done\n");
    const [pid] = await pidsIn(cwd, 1);
    assert.equal(await runs(pid), false);
  });
});

Deno.test("a background process that holds the output does not delay the step", async () => {
  await inFolder(async (cwd) => {
    const end = await shell("sleep 1000 & echo $! >>pids; echo done", { cwd });
    assert.equal(end.stdout.text, "done\n");
    const [pid] = await pidsIn(cwd, 1);
    assert.equal(await runs(pid), false);
  });
});

Deno.test("a background process that finishes soon is awaited, with its output", async () => {
  const end = await shell("(sleep 0.1; echo late) & echo soon");
  assert.equal(end.stdout.text, "soon\nlate\n");
});

Deno.test("endChildren() ends them all", async () => {
  await inFolder(async (cwd) => {
    const ends = [1, 2, 3].map(() => shell("echo $$ >>pids; exec sleep 1000", { cwd }));
    const pids = await pidsIn(cwd, 3);
    await endChildren();
    assert.deepEqual(await Promise.all(pids.map(runs)), [false, false, false]);
    assert.deepEqual((await Promise.all(ends)).map((end) => end.endedBy), ["SIGTERM", "SIGTERM", "SIGTERM"]);
  });
});

/** What is kept of a stream that comes in pieces. */
function lines(bytes: Buffer, { limit = 20, room = 1_000, piece = 7, charset = undefined as string | undefined } = {}) {
  const tail = new Tail(limit);
  for (let at = 0; at < bytes.length; at += piece) tail.add(bytes.subarray(at, at + piece));
  return tail.lines(room, charset);
}

Deno.test("the kept end of a stream begins with a whole line, however it was chunked", () => {
  const text = Buffer.from("one\ntwo\nthree\nfour\nfive\nsix\n");
  for (let piece = 1; piece <= text.length; piece++) {
    assert.deepEqual(lines(text, { piece, limit: 14 }), { text: "four\nfive\nsix\n", dropped: 14 }, `${piece}`);
    // If it starts within a line, from the next one.
    assert.deepEqual(lines(text, { piece, limit: 13 }), { text: "five\nsix\n", dropped: 19 }, `${piece}`);
    assert.deepEqual(lines(text, { piece, limit: 100 }), { text: `${text}`, dropped: 0 }, `${piece}`);
  }
});

Deno.test("of one long line the last whole characters are kept", () => {
  assert.deepEqual(lines(Buffer.from("żżżżżż\n"), { limit: 6 }), { text: "żż\n", dropped: 8 });
  const wide = Buffer.from("\ufeff😀😀😀\n", "utf16le");
  assert.deepEqual(lines(wide, { limit: 8 }), { text: "😀\n", dropped: 10 });
});

Deno.test("space is counted as JSON, in which a newline takes two bytes and a control character six", () => {
  assert.deepEqual(lines(Buffer.from("a\nb\nc\n"), { room: 8 }), { text: "b\nc\n", dropped: 2 });
  const { text, dropped } = lines(Buffer.alloc(20), { room: 62 });
  assert.ok(text.length > 0 && text.length <= 10);
  assert.equal(text.length + dropped, 20);
});

Deno.test("the charset is taken from the beginning of the stream, even if that is dropped", () => {
  assert.equal(lines(Buffer.from("\ufeffżółć\nźdźbło\n", "utf16le"), { limit: 17 }).text, "źdźbło\n");
  const declared = Buffer.concat([
    Buffer.from('<?xml version="1.0" encoding="windows-1251"?>\n<a>'),
    Buffer.from([0xcf, 0xf0]),
    Buffer.from("</a>\n<b>"),
    Buffer.from([0xcf]),
    Buffer.from("</b>\n"),
  ]);
  assert.equal(lines(declared, { limit: 12 }).text, "<b>П</b>\n");
  const japanese = Buffer.concat([Buffer.from("ab\n"), Buffer.from([0x83, 0x5c, 0x83, 0x5c, 0x0a])]);
  assert.equal(lines(japanese, { limit: 6, charset: "shift_jis" }).text, "ソソ\n");
  // A line at the end that looks like a declaration says nothing about the stream.
  const later = Buffer.from('é\n<?xml version="1.0" encoding="windows-1251"?>é\n');
  assert.ok(lines(later, { limit: 50 }).text.endsWith("é\n"));
  assert.match(lines(Buffer.from("a\n\xff\n", "latin1"), { limit: 3 }).undecodable!, /^it is not text in utf-8; /);
});

const bytes = (text: string) => new TextEncoder().encode(text);

Deno.test("both streams are one text; a character that comes in two parts is whole", () => {
  const outputs = new LiveOutputs();
  const live = outputs.open("r1", "a");
  const [first, second] = [bytes("grün\n").slice(0, 3), bytes("grün\n").slice(3)];
  live.write("stdout", first);
  live.write("stderr", bytes("beside\n"));
  live.write("stdout", second);
  assert.deepEqual(outputs.of("r1"), [{ step: "a", text: "grbeside\nün\n", isCut: false }]);
  live.close();
});

Deno.test("an unfinished line is shown once it has stayed so for a second: it may be half of a secret", async () => {
  const outputs = new LiveOutputs();
  const live = outputs.open("r1", "a");
  live.write("stdout", bytes("one\nPass"));
  assert.equal(outputs.of("r1")[0].text, "one\n");
  const before = outputs.changes();
  await until("the line", () => Promise.resolve(outputs.of("r1")[0].text), (text) => text === "one\nPass");
  assert.ok(outputs.changes() > before);
  live.close();
});

Deno.test("of much output the end is kept, and outputs are those of their run until they are closed", () => {
  const outputs = new LiveOutputs();
  const [one, two] = [outputs.open("r1", "a"), outputs.open("r1", "b")];
  for (let line = 0; line < 200_000; line++) one.write("stdout", bytes(`line ${line}\n`));
  const [{ text, isCut }] = outputs.of("r1");
  assert.ok(isCut && text.length < 200_000 && text.endsWith("line 199999\n"), String(text.length));
  one.close();
  assert.deepEqual(outputs.of("r1").map(({ step }) => step), ["b"]);
  two.close();
  assert.deepEqual([outputs.of("r1"), outputs.of("r2")], [[], []]);
});

Deno.test("of very many outputs the newest are kept", () => {
  const outputs = new LiveOutputs();
  const all = Array.from({ length: 250 }, (_, index) => outputs.open("r1", String(index)));
  const kept = outputs.of("r1");
  assert.deepEqual([kept.length, kept[0].step], [200, "50"]);
  all.forEach((each) => each.close());
});
