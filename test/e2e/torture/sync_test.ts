import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readdir, readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { rulesFolder } from "../folder.ts";
import { size } from "./size.ts";
import { until } from "../until.ts";
import { start } from "../program.ts";
import { WebServer } from "../web_server.ts";

const CALLS = "read,readv,recvfrom,recvmsg,write,writev,?pwritev2,sendto,sendmsg,fsync,fdatasync";
/** Those with a question mark may be missing on a machine. */
const FILE_CALLS = "write,writev,pwrite64,fsync,fdatasync,?rename,renameat,renameat2,?unlink,unlinkat";

/** A command that executes the program and traces the system calls of all its threads; undefined if that is not possible here. */
function tracing(file: string, calls = CALLS): string[] | undefined {
  const strace = ["strace", "-D", "-f", "-y", "-s", "200", "-o", file, "-e", `trace=${calls}`];
  return spawnSync(strace[0], [...strace.slice(1), "true"]).status === 0 ? strace : undefined;
}

/** A successful system call: its name, file and data; where in the trace it began and ended. */
interface Call {
  name: string;
  on: string;
  text: string;
  begun: number;
  done: number;
}

/** All calls of a trace, in the order of their ends. */
function callsOf(trace: string): Call[] {
  const unfinished = new Map<string, { begun: number; text: string }>();
  return trace.split("\n").flatMap((line, at) => {
    const [, thread, part = ""] = /^(\d+) +(.*)$/.exec(line) ?? [];
    if (part.endsWith("<unfinished ...>")) {
      unfinished.set(thread, { begun: at, text: part });
      return [];
    }
    const begin = part.startsWith("<...") ? unfinished.get(thread) : undefined;
    const text = `${begin?.text ?? ""}${part}`;
    const [, name, on] = /^(\w+)\(\d+<([^>]*)>/.exec(text) ?? /^(\w+)\(.*"([^"]*)"/.exec(text) ?? [];
    return name === undefined || /= -1 /.test(part) ? [] : [{ name, on, text, begun: begin?.begun ?? at, done: at }];
  });
}

const isSync = ({ name, on }: Call) => /^f(data)?sync$/.test(name) && /\/log-\d+$/.test(on);
const isRead = ({ name }: Call) => /^(read|recv)/.test(name);

/** The order of events: `"sync"`, else the name of the first pattern that the call's data matches. */
function happenings(calls: Call[], patterns: Record<string, RegExp>): string[] {
  return calls.flatMap((call) => {
    if (isSync(call)) return ["sync"];
    return Object.entries(patterns).find(([, pattern]) => pattern.test(call.text))?.[0] ?? [];
  });
}

Deno.test("the system calls show a sync before each 202, before an action, and between two steps", async (t) => {
  await using folder = await rulesFolder({});
  const file = join(folder.rules, "..", "calls");
  const under = tracing(file);
  if (under === undefined) return void await t.step({ name: "strace is not available here", ignore: true, fn() {} });
  await using peer = await WebServer.start();
  await folder.write(
    "in.yaml",
    `
when: { webhook: /in, auth: none, dedupe: event.data.id }
then:
  - http: POST ${peer.url}/one
  - http: POST ${peer.url}/two
`,
  );
  await using program = start(folder.rules, { data: folder.data, under });
  for (let id = 1; id <= 5; id++) {
    assert.equal((await program.post("/hooks/in", { id })).status, 202);
    await peer.waitFor(2 * id);
    await program.waitFor(
      "the run's end",
      () => program.lines.filter(({ message }) => message.startsWith("in succeeded")).length === id,
    );
  }
  assert.equal(await program.stop(), 0);
  const calls = callsOf(await readFile(file, "utf8"));
  const folders = calls.filter(({ name }) => name === "fsync").map(({ on }) => on);
  assert.ok(folders.includes(dirname(folder.data)), "the new data folder is synced, too");
  const order = happenings(calls, {
    asked: /"POST \/hooks\/in/,
    answered: /"HTTP\/1\.1 202/,
    one: /"POST \/one/,
    two: /"POST \/two/,
  });
  assert.equal(order.filter((what) => what === "answered").length, 5, order.join(" "));
  for (const [before, after] of [["asked", "answered"], ["asked", "one"], ["one", "two"]]) {
    let seen = false;
    let synced = false;
    for (const what of order) {
      if (what === before) [seen, synced] = [true, false];
      else if (what === "sync") synced = true;
      else if (what === after) {
        assert.ok(seen && synced, `a sync between ${before} and ${after} in: ${order.join(" ")}`);
      }
    }
  }
});

Deno.test("a log line and a reply come after the sync of what they say, which is that of the event, too", async (t) => {
  await using folder = await rulesFolder({
    "line.yaml": "when: { webhook: /line, auth: none }\nthen:\n  - log: noted ${{ event.data.id }}\n",
    "reply.yaml": "when: { webhook: /reply, auth: none }\nthen:\n  - { reply: 201, body: done }\n",
  });
  const file = join(folder.rules, "..", "calls");
  const under = tracing(file);
  if (under === undefined) return void await t.step({ name: "strace is not available here", ignore: true, fn() {} });
  await using program = start(folder.rules, { data: folder.data, under });
  for (let id = 1; id <= 5; id++) {
    assert.equal((await program.post("/hooks/reply", { id })).status, 201);
    assert.equal((await program.post("/hooks/line", { id })).status, 202);
    await program.waitFor("the line", () => program.lines.some(({ message }) => message === `noted ${id}`));
  }
  assert.equal(await program.stop(), 0);
  // The log of the store holds the same texts.
  const calls = callsOf(await readFile(file, "utf8")).filter((call) => isSync(call) || !/\/log-\d+$/.test(call.on));
  const order = happenings(calls, {
    asked: /"POST \/hooks\/(line|reply)/,
    replied: /"HTTP\/1\.1 201/,
    noted: /noted \d/,
  });
  const seen = order.join(" ");
  assert.equal(seen.match(/asked (sync )+replied/g)?.length, 5, seen);
  assert.equal(seen.match(/asked (sync )+noted/g)?.length, 5, seen);
});

Deno.test("under load, too, there is a sync between receiving a request and its 202", async (t) => {
  await using folder = await rulesFolder({
    "in.yaml": "when: { webhook: /in, auth: none }\nlimit: none\nthen:\n  - log: seen\n",
  });
  const file = join(folder.rules, "..", "calls");
  const under = tracing(file);
  if (under === undefined) return void await t.step({ name: "strace is not available here", ignore: true, fn() {} });
  await using program = start(folder.rules, { data: folder.data, under });
  await program.url();
  const each = size(20, 500);
  await Promise.all(Array.from({ length: 8 }, async (_, client) => {
    for (let count = 0; count < each; count++) {
      assert.equal((await program.post("/hooks/in", { client, count })).status, 202);
    }
  }));
  assert.equal(await program.stop(), 0);
  const calls = callsOf(await readFile(file, "utf8"));
  const syncs = calls.filter(isSync);
  const received = new Map<string, Call>();
  let answers = 0;
  for (const call of calls) {
    if (isRead(call)) received.set(call.on, call);
    if (isRead(call) || !call.text.includes('"HTTP/1.1 202')) continue;
    answers++;
    const asked = received.get(call.on)!;
    assert.ok(
      syncs.some(({ begun, done }) => begun > asked.done && done < call.begun),
      `no sync between ${asked.text} and ${call.text}`,
    );
  }
  assert.equal(answers, 8 * each);
  console.log(`${answers} answers, ${syncs.length} syncs`);
});

/** A file of the store that was renamed to its name. */
interface Published {
  file: string;
  renamed: Call;
}

/** Finds each rename of a draft; asserts that the whole draft was synced before, and its name after, before the next rename. */
function publishedFiles(calls: Call[], data: string): Published[] {
  const isStores = (path: string) => dirname(path) === data && /\/(part|ids|delta|base)-/.test(path);
  const renames = calls.filter(({ name, on }) => name.startsWith("rename") && isStores(on));
  return renames.map((renamed, at) => {
    const draft = `${renamed.on}.tmp`;
    const writes = calls.filter(({ name, on }) => /write/.test(name) && on === draft);
    const synced = calls.findLast(({ name, on, done }) => {
      return /^f(data)?sync$/.test(name) && on === draft && done < renamed.begun;
    });
    assert.ok(writes.length > 0 && synced, `${renamed.on} was written and synced before it got its name`);
    for (const { done } of writes) assert.ok(done < synced.begun, `${renamed.on} was synced to its end`);
    const next = renames[at + 1]?.begun ?? Infinity;
    assert.ok(
      calls.some(({ name, on, begun, done }) => {
        return name === "fsync" && on === data && begun > renamed.done && done < next;
      }),
      `the folder was synced after ${renamed.on} got its name`,
    );
    return { file: renamed.on.slice(data.length + 1), renamed };
  });
}

Deno.test("the system calls show the order of folds and merges: part, ids, delta, then the segment is removed; ids, then the base", async (t) => {
  await using folder = await rulesFolder({
    "in.yaml": "when: { webhook: /in, auth: none }\nlimit: none\nthen:\n  - wait: 30d\n",
  });
  const trace = join(folder.rules, "..", "calls");
  const under = tracing(trace, FILE_CALLS);
  if (under === undefined) return void await t.step({ name: "strace is not available here", ignore: true, fn() {} });
  const { data } = folder;
  await using program = start(folder.rules, { data, under });
  await program.url();
  const isMerged = async () => (await readdir(data)).some((name) => /^base-\d+$/.test(name));
  for (let count = 0; !await isMerged(); count++) {
    assert.ok(count < 120, "no merge after 100 MB of live state");
    assert.equal((await program.post("/hooks/in", { ballast: "x".repeat(900_000) })).status, 202);
    // Folds give way to intake on a busy machine.
    await until(
      "the folds",
      () => readdir(data),
      (names) => names.filter((name) => name.startsWith("log-")).length < 4,
    );
  }
  assert.equal(await program.stop(), 0);
  const calls = callsOf(await readFile(trace, "utf8"));
  const published = publishedFiles(calls, data);
  const order = published.map(({ file }) => file.replace(/-[0-9a-f]{8}\.sqlite$/, ""));
  const removed = (file: string) => calls.find(({ name, on }) => name.startsWith("unlink") && on === join(data, file));
  let [folds, merges] = [0, 0];
  for (let at = 0, group: string[]; at < order.length; at += group.length) {
    const [kind, first, last] = order[at].split("-");
    group = kind === "part"
      ? [order[at], `ids-${first}-${last}`, `delta-${first}-${last}`]
      : [`ids-000000000001-${last}`, `base-${last}`];
    const done = order.slice(at, at + group.length);
    assert.deepEqual(done, group.slice(0, done.length), order.join(" "));
    // The last one may have been cut short by the stop.
    if (done.length < group.length) break;
    if (kind !== "part") merges++;
    else {
      folds++;
      const gone = removed(`log-${first}`);
      assert.ok(gone && gone.begun > published[at + 2].renamed.done, `log-${first} goes after its delta has its name`);
    }
  }
  assert.ok(folds > 0 && merges > 0, order.join(" "));
  console.log(`${folds} folds, ${merges} merges`);
});
