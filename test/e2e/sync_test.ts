import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { rulesFolder } from "./folder.ts";
import { start } from "./program.ts";
import { WebServer } from "./web_server.ts";

const CALLS = "read,readv,recvfrom,recvmsg,write,writev,sendto,sendmsg,fsync,fdatasync";

/** Becomes the program, with the system calls of all its threads written to a file; undefined where that is not possible here. */
function tracing(file: string): string[] | undefined {
  const strace = ["strace", "-D", "-f", "-y", "-s", "200", "-o", file, "-e", `trace=${CALLS}`];
  return spawnSync(strace[0], [...strace.slice(1), "true"]).status === 0 ? strace : undefined;
}

/** What happened in which order: `"sync"` for a finished sync of the journal, else the name of the first pattern that the call's data matches. */
function happenings(trace: string, patterns: Record<string, RegExp>): string[] {
  const unfinished = new Map<string, string>();
  return trace.split("\n").flatMap((line) => {
    const [, thread, call = ""] = /^(\d+) +(.*)$/.exec(line) ?? [];
    if (call.endsWith("<unfinished ...>")) {
      unfinished.set(thread, call);
      return [];
    }
    const whole = call.startsWith("<...") ? `${unfinished.get(thread)} ${call}` : call;
    if (/^f(data)?sync\([^)]*journal-[^)]*.*= 0$/.test(whole)) return ["sync"];
    return Object.entries(patterns).find(([, pattern]) => pattern.test(whole))?.[0] ?? [];
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
  const order = happenings(await readFile(file, "utf8"), {
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
