import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { readAddress } from "../../../runtime/host/private_file.ts";
import { rulesFolder } from "../folder.ts";
import { type Program, start, whenthen } from "../program.ts";
import { TIMEOUT, until, within } from "../until.ts";
import { eightAtATime } from "./provider.ts";
import { size } from "./size.ts";
import { mountSmallDisk } from "./small_disk.ts";

const RULE = {
  "in.yaml": `
when: { webhook: /in, auth: none, dedupe: event.data.id }
limit: none
then:
  - log: "seen \${{ event.data.id }}"
`,
};

/** A rule that is saved while there is no space. */
const LATE = `
import { event, rule } from "whenthen";
export default rule({ when: event("late"), then: async ({ step }) => { await step.log("say", "late"); } });
`;

/** Deliveries with unique ids, each noted with its answer. */
class Deliveries {
  readonly accepted = new Set<string>();
  readonly refused = new Set<string>();
  #count = 0;

  /** Sends one; padding fills a disk sooner. */
  async send(program: Program, padding = 0): Promise<number> {
    const id = `e${this.#count++}`;
    const response = await program.fetch("/hooks/in", {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ id, padding: "x".repeat(padding) }),
    });
    const { error } = await response.json();
    if (response.status === 202) this.accepted.add(id);
    else {
      assert.equal(response.status, 503, error);
      assert.ok(Number(response.headers.get("retry-after")) > 0);
      assert.match(error, /disk/i);
      this.refused.add(id);
    }
    return response.status;
  }

  /** Accepted events are there, refused ones are not. */
  async check(program: Program): Promise<void> {
    const statusOf = async (id: string) => (await program.post("/hooks/in", { id })).status;
    await eightAtATime(this.accepted, async (id) => assert.equal(await statusOf(id), 200, `${id} was accepted`));
    await eightAtATime(this.refused, async (id) => assert.equal(await statusOf(id), 202, `${id} was refused`));
  }
}

/** Resolves when all accepted events have run. */
async function allSeen(program: Program, { accepted }: Deliveries): Promise<void> {
  const seen = () => new Set(program.lines.flatMap(({ message }) => /^seen (\w+)$/.exec(message)?.[1] ?? []));
  await program.waitFor("the runs of all that was accepted", () => {
    const there = seen();
    return [...accepted].every((id) => there.has(id));
  });
}

function assertUndamaged(program: Program): void {
  assert.doesNotMatch(program.output, /DAMAGED|recovered/);
}

/** Writes fail from `refuse` to `allow`: intake is refused in between, and resumes by itself afterwards. */
async function interrupt(program: Program, deliveries: Deliveries, refuse: () => unknown, allow: () => unknown) {
  const saidBefore = program.lines.length;
  await refuse();
  // In flight: these are neither accepted nor refused before the write has succeeded or failed.
  const caught: Promise<number>[] = [];
  const refusing = () => program.lines.slice(saidBefore).some(({ message }) => /nothing new is accepted/.test(message));
  while (!refusing()) {
    caught.push(deliveries.send(program, 20_000));
    await Promise.race([caught.at(-1), program.waitForMessage("nothing new is accepted")]);
  }
  for (let count = 0; count < size(20, 200); count++) assert.equal(await deliveries.send(program), 503);
  assert.equal((await program.fetch("/healthz")).status, 200);
  assert.equal((await program.fetch("/readyz")).status, 503);
  await allow();
  await program.waitFor("the disk's return", ({ message }) => /accepts writes again/.test(message));
  await Promise.all(caught);
  const accepted = async () => {
    while (await deliveries.send(program) !== 202);
  };
  await within(TIMEOUT, "something that is accepted again", accepted());
  assert.equal((await program.fetch("/readyz")).status, 200);
}

Deno.test("a full disk: nothing is accepted until there is space, then intake resumes; no stop, start or fold loses data", async (t) => {
  await using disk = await mountSmallDisk(12);
  if (disk === undefined) {
    return void await t.step({
      name: "a small file system cannot be mounted here: that needs root",
      ignore: true,
      fn() {},
    });
  }
  await using folder = await rulesFolder(RULE);
  const data = join(disk.path, "data");
  const deliveries = new Deliveries();
  {
    await using program = start(folder.rules, { data });
    for (let count = 0; count < 20; count++) assert.equal(await deliveries.send(program), 202);
    const refuse = async () => {
      disk.fill(0);
      await folder.write("late.ts", LATE);
    };
    await interrupt(program, deliveries, refuse, () => disk.empty());
    await allSeen(program, deliveries);
    await program.waitForMessage("loaded late");
    await program.kill();
  }
  {
    await using program = start(folder.rules, { data });
    await program.url();
    disk.fill(0);
    assert.equal(await within(25_000, "the stop on a full disk", program.stop()), 0);
    assertUndamaged(program);
  }
  const refused = await whenthen(["run", folder.rules, "--data", data, "--port", "0"]);
  assert.equal(refused.code, 64);
  assert.match(refused.stderr, /^Cannot (write to|lock) the data folder .*full|no space/i);
  assert.doesNotMatch(refused.stderr, /\n {4}at /);
  disk.empty();
  await using program = start(folder.rules, { data });
  await deliveries.check(program);
  assertUndamaged(program);
  assert.ok(!(await readdir(data)).some((name) => name.startsWith("set-aside")));
});

Deno.test("no space for a fold: it says so, nothing is lost, and the fold succeeds once there is space", async (t) => {
  await using disk = await mountSmallDisk(48);
  if (disk === undefined) {
    return void await t.step({
      name: "a small file system cannot be mounted here: that needs root",
      ignore: true,
      fn() {},
    });
  }
  await using folder = await rulesFolder(RULE);
  const data = join(disk.path, "data");
  const deliveries = new Deliveries();
  const files = () => readdir(data);
  {
    await using program = start(folder.rules, { data });
    await program.url();
    // Enough for a segment of 6 MB, but not also for its part.
    disk.fill(10_000_000);
    for (let count = 0; count < 7; count++) assert.equal(await deliveries.send(program, 900_000), 202);
    await program.waitForMessage("Cannot fold the log of the store: ");
    assert.match(
      program.output,
      /Cannot fold [^"]*(ENOSPC|no space)[^"]*nothing is lost, and it is tried again later/i,
    );
    assert.ok((await files()).includes("log-000000000001"));
    assert.equal(await deliveries.send(program), 202);
    disk.empty();
    await until("the fold", files, (names) => !names.includes("log-000000000001"));
    assert.equal((await files()).filter((name) => /^(part|ids|delta)-/.test(name)).length, 3, "and no draft is left");
    await allSeen(program, deliveries);
    await program.kill();
  }
  await using program = start(folder.rules, { data });
  await deliveries.check(program);
  assertUndamaged(program);
});

Deno.test("a read-only folder is refused and left unchanged; once it is writable, everything is there", async (t) => {
  await using disk = await mountSmallDisk(12);
  if (disk === undefined) {
    return void await t.step({
      name: "a small file system cannot be mounted here: that needs root",
      ignore: true,
      fn() {},
    });
  }
  await using folder = await rulesFolder(RULE);
  const data = join(disk.path, "data");
  {
    await using program = start(folder.rules, { data });
    assert.equal((await program.post("/hooks/in", { id: "a" })).status, 202);
    assert.equal(await program.stop(), 0);
  }
  const before = (await readdir(data)).sort();
  disk.mayWrite(false);
  for (const command of ["run", "once"]) {
    const refused = await whenthen([command, folder.rules, "--data", data]);
    assert.equal(refused.code, 64, refused.stderr);
    assert.match(refused.stderr, /^Cannot (write to|lock) the data folder .*read-?only/i);
    assert.doesNotMatch(refused.stderr, /\n {4}at /);
  }
  assert.deepEqual((await readdir(data)).sort(), before);
  disk.mayWrite(true);
  await using program = start(folder.rules, { data });
  assert.equal((await program.post("/hooks/in", { id: "a" })).status, 200);
  assertUndamaged(program);
});

Deno.test("writes that fail for a while: the same", async (t) => {
  if (spawnSync("prlimit", ["--version"]).status !== 0) {
    return void await t.step({ name: "prlimit is not available here", ignore: true, fn() {} });
  }
  await using folder = await rulesFolder(RULE);
  const deliveries = new Deliveries();
  {
    // If SIGXFSZ is ignored, the write fails instead.
    const under = ["sh", "-c", 'trap "" XFSZ; exec "$@"', "sh"];
    await using program = start(folder.rules, { data: folder.data, under });
    assert.equal(await deliveries.send(program), 202);
    const mayWrite = (limit: string) => {
      const { status, stderr } = spawnSync("prlimit", ["--pid", String(program.child.pid), `--fsize=${limit}:`]);
      assert.equal(status, 0, String(stderr));
    };
    await interrupt(program, deliveries, () => mayWrite("0"), () => mayWrite("unlimited"));
    await allSeen(program, deliveries);
    await program.kill();
  }
  await using program = start(folder.rules, { data: folder.data });
  await deliveries.check(program);
  assertUndamaged(program);
});

Deno.test("syncs that fail in the middle: accepted events are there, and no sync after a failed one is trusted", async (t) => {
  // The system calls fail as on a dying disk.
  const under = ["strace", "-D", "-f", "-qq", "-o", "/dev/null", "-e", "trace=fdatasync"];
  under.push("-e", `inject=fdatasync:error=EIO:when=3+9`);
  if (spawnSync(under[0], [...under.slice(1), "true"]).status !== 0) {
    return void await t.step({ name: "strace is not available here", ignore: true, fn() {} });
  }
  await using folder = await rulesFolder(RULE);
  const deliveries = new Deliveries();
  {
    await using program = start(folder.rules, { data: folder.data, under });
    const enough = async () => {
      while (deliveries.accepted.size < size(50, 500)) await deliveries.send(program);
    };
    await within(300_000, "the events between failing syncs", enough());
    assert.match(program.output, /Cannot write to .*(EIO|Input.output error)/i);
    assert.match(program.output, /accepts writes again/);
    await allSeen(program, deliveries);
    const segments = (await readdir(folder.data)).filter((name) => name.startsWith("log-"));
    assert.ok(segments.length > 1, "the failed one is left behind");
    await program.kill();
  }
  await using program = start(folder.rules, { data: folder.data });
  await deliveries.check(program);
  assertUndamaged(program);
});

Deno.test("a disk on which files or folders cannot be synced is refused at the start", async (t) => {
  await using folder = await rulesFolder(RULE);
  for (const call of ["fdatasync", "fsync"]) {
    const under = ["strace", "-D", "-f", "-qq", "-o", "/dev/null", "-e", `trace=${call}`];
    under.push("-e", `inject=${call}:error=EIO`);
    if (spawnSync(under[0], [...under.slice(1), "true"]).status !== 0) {
      return void await t.step({ name: "strace is not available here", ignore: true, fn() {} });
    }
    await using program = start(folder.rules, { data: folder.data, under });
    assert.equal(await program.end(), 64);
    assert.match(program.output, /^Cannot (make|write to) the data folder .*(EIO|Input.output error)/i);
    assert.doesNotMatch(program.output, /\n {4}at /);
  }
});

Deno.test("a log that cannot be written stops nothing", async () => {
  await using folder = await rulesFolder({ "in.yaml": `${RULE["in.yaml"]}  - run: [sh, -c, "echo >> ran"]\n` });
  const under = ["sh", "-c", 'exec "$@" 2>/dev/full', "sh"];
  await using program = start(folder.rules, { data: folder.data, under });
  // Its folder stands there from the start; where it listens follows.
  const url = async () => (await readAddress(folder.data))?.url;
  const listening = await until("the program", url, (url) => url !== undefined);
  for (let id = 1; id <= 20; id++) {
    const body = JSON.stringify({ id });
    const response = await fetch(`${listening}/hooks/in`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body,
    });
    assert.equal(response.status, 202, await response.text());
  }
  const ran = () => readFile(join(folder.rules, "ran"), "utf8").catch(() => "");
  await until("all runs", ran, (lines) => lines.length === 20);
  assert.equal(await program.stop(), 0);
});
