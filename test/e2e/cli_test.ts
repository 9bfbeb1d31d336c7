import assert from "node:assert/strict";
import process from "node:process";
import { command } from "./command.ts";
import { rulesFolder } from "./folder.ts";
import { type LogLine, start, whenthen, whenthenAsk, whenthenUnread } from "./program.ts";
import { until } from "./until.ts";
import { WebServer } from "./web_server.ts";

const FILES = {
  "orders.yaml": `
when: { event: order.created }
if: event.data.amount > 100
then:
  - id: big
    log: "order \${{ event.data.id }}"
  - id: lookup
    if: event.data.amount > 1000
    run: [sh, -c, "echo no such customer >&2; exit 3"]
`,
  "by_hand.yaml": "when: manual\nthen:\n  - log: by hand\n",
};

Deno.test("commands ask the running program, and open the store themselves after it has stopped", async () => {
  await using folder = await rulesFolder(FILES);
  const cli = (...args: string[]) => command("--data", folder.data, ...args);
  const emit = (id: string, amount: number) =>
    cli("emit", "order.created", "--data", JSON.stringify({ id, amount }), "--id", id, "--subject", id);
  {
    await using program = start(folder.rules, { data: folder.data });
    await program.url();
    const emitted = await emit("A1", 500);
    assert.equal(emitted.code, 0, emitted.stderr);
    await program.waitForMessage("order A1");
    assert.match((await emit("A1", 500)).stdout, /duplicate/);
    assert.match((await emit("A2", 5)).stdout, /event\.data\.amount > 100/, "why nothing started");
    await emit("A3", 5_000);
    await program.waitForMessage("orders failed");
    assert.equal((await cli("start", "by_hand")).code, 0);
    await program.waitForMessage("by hand");
    assert.equal(await program.stop(), 0);
  }
  const events = await cli("events");
  assert.match(events.stdout, /order\.created/);
  assert.match(events.stdout, /event\.data\.amount.*5/, "the verdict says why, with the value");

  const runs = JSON.parse((await cli("runs", "--json")).stdout);
  const failed = runs.find(({ state }: { state: string }) => state === "failed");
  const shown = await cli("show", failed.id);
  for (const words of ["order.created", "big", "lookup", "no such customer", "3"]) {
    assert.ok(shown.stdout.includes(words), `"${words}" in:\n${shown.stdout}`);
  }
  assert.match((await cli("runs")).stdout, /orders .*failed|failed .*orders/);

  const about = JSON.parse((await cli("runs", "--subject", "A3", "--json")).stdout);
  assert.deepEqual(about.map(({ id }: { id: string }) => id), [failed.id]);
  const told = await cli("events", "--subject", "A2", "--json");
  assert.deepEqual(JSON.parse(told.stdout).map(({ event }: { event: { id: string } }) => event.id), ["A2"]);
  const own = await cli("emit", "whenthen.run.failed");
  assert.equal(own.code, 1);
  assert.match(own.stderr, /whenthen\. are the program's own/);

  const tried = await cli("try", "orders");
  assert.equal(tried.code, 1, "a run would fail");
  assert.match(
    tried.stdout,
    /3 events: 1 would start and succeed, 1 would not start, .+, 1 would start and fail; none not as/,
  );
  const written = await cli("test", folder.rules, "--from", failed.id);
  assert.equal(written.code, 0, written.stderr);
  const tested = await cli("test", folder.rules);
  assert.match(tested.stdout, /1 test passed, 0 failed/);

  const unknown = await cli("show", "nonsense");
  assert.equal(unknown.code, 1);
  assert.match(unknown.stdout + unknown.stderr, /nonsense/);
  const asJson = await cli("show", "nonsense", "--json");
  assert.deepEqual([asJson.code, asJson.stdout], [1, ""]);
  const { error, exitCode } = JSON.parse(asJson.stderr);
  assert.match(error, /nonsense/);
  assert.equal(exitCode, 1);

  await using program = start(folder.rules, { data: folder.data });
  await program.url();
  const replayed = await cli("replay", failed.id);
  assert.equal(replayed.code, 0, replayed.stderr);
  await program.waitForMessage("orders failed");
});

Deno.test("runs --follow prints each run as it changes, of a program or of other commands; it ends with its reader, and on SIGINT", async () => {
  await using folder = await rulesFolder(FILES);
  const cli = (...args: string[]) => command("--data", folder.data, ...args);
  const startHand = async (): Promise<string> => {
    const { stdout, stderr } = await cli("start", "by_hand", "--json");
    assert.notEqual(stdout, "", stderr);
    return JSON.parse(stdout).runs[0];
  };
  assert.equal((await cli("once", folder.rules)).code, 0);
  const first = await startHand();
  await using json = whenthenAsk(["runs", "--follow", "--json", "--data", folder.data]);
  await using text = whenthenAsk(["runs", "--follow", "--state", "succeeded", "--data", folder.data]);
  const seen = (id: string, state: string) =>
    json.waitFor(`run ${id} ${state}`, (line: LogLine & { id?: string; state?: string }) => {
      return line.id === id && line.state === state;
    });
  await seen(first, "queued");
  assert.doesNotMatch(text.output, new RegExp(first));
  // Nobody runs: another command changes the store, with a broken rule that only those who load rules complain of.
  await folder.write("broken.yaml", "when: { evnt: x }\n");
  const second = await startHand();
  await seen(second, "queued");
  const [listed, rules] = await Promise.all([cli("runs"), cli("rules")]);
  assert.deepEqual([listed.stderr, rules.code], ["", 0]);
  {
    await using program = start(folder.rules, { data: folder.data });
    await seen(first, "succeeded");
    await seen(second, "succeeded");
    const third = await startHand();
    await seen(third, "succeeded");
    json.child.stdout!.destroy();
    await startHand();
    assert.equal(await json.end(), 0);
    assert.equal(await program.stop(), 0);
  }
  const line = new RegExp(`^\\d{4}-\\d\\d-\\d\\d \\S+Z {2}${second} {2}succeeded {2}by_hand {2}manual$`, "m");
  await until("the run as text", () => Promise.resolve(text.output), (output) => line.test(output));
  process.kill(text.child.pid!, "SIGINT");
  assert.equal(await text.end(), 0);
  assert.doesNotMatch(text.output, /queued|rror/);
});

Deno.test("a second program on the same data folder, and a missing folder, are refused with a remedy", async () => {
  await using folder = await rulesFolder(FILES);
  await using program = start(folder.rules, { data: folder.data });
  await program.url();
  const second = await whenthen(["run", folder.rules, "--data", folder.data, "--port", "0"]);
  assert.equal(second.code, 64);
  assert.match(second.stderr, /another whenthen/);
  const missing = await whenthen(["run", `${folder.rules}/nowhere`]);
  assert.equal(missing.code, 64);
  assert.match(missing.stderr, /whenthen init/);
  const open = await whenthen(["run", folder.rules, "--data", `${folder.data}2`, "--port", "0", "--host", "0.0.0.0"]);
  assert.equal(open.code, 64);
  assert.match(open.stderr, /WHENTHEN_TOKEN/);
});

Deno.test("listening on all addresses, everything but hooks and health needs the token", async () => {
  await using folder = await rulesFolder({ "a.yaml": "when: { webhook: /a, auth: none }\nthen:\n  - log: a\n" });
  const env = { WHENTHEN_TOKEN: "a-long-random-token" };
  await using program = start(folder.rules, { data: folder.data, env, args: ["--host", "0.0.0.0"] });
  assert.equal((await program.post("/hooks/a", {})).status, 202);
  const statusOf = async (path: string, headers = {}) => {
    const response = await program.fetch(path, { headers });
    await response.body?.cancel();
    return response.status;
  };
  for (const path of ["/healthz", "/readyz"]) assert.equal(await statusOf(path), 200, path);
  for (const path of ["/", "/metrics", "/api/runs", "/api/events"]) {
    assert.equal(await statusOf(path), 401, path);
    assert.equal(await statusOf(path, { authorization: "Bearer a-long-random-token" }), 200, path);
    assert.equal(await statusOf(path, { authorization: "Bearer wrong" }), 401, path);
  }
  const health = await command("health", "--data", folder.data, "--json");
  assert.deepEqual([health.code, health.stderr], [0, ""]);
  const { ready, state } = JSON.parse(health.stdout);
  assert.deepEqual([ready, state], [true, "ready"]);
});

Deno.test("whenthen init creates a folder that runs", async () => {
  await using folder = await rulesFolder({});
  const made = await command("init", `${folder.rules}/new`);
  assert.equal(made.code, 0, made.stderr);
  const checked = await command("check", `${folder.rules}/new`);
  assert.equal(checked.code, 0, checked.stdout + checked.stderr);
  await using program = start(`${folder.rules}/new`, { data: folder.data });
  const answer = await program.post("/hooks/hello", { name: "Ada" });
  assert.equal(answer.status, 200);
  assert.deepEqual(answer.body, { text: "Hello, Ada" });
  await program.waitForMessage("has 2 words");
});

Deno.test("a reader that closes the pipe, as head does, causes no error", async () => {
  assert.deepEqual(await whenthenUnread(["schema"]), { code: 0, stderr: "" });
});

Deno.test("output that cannot be written is an error with a message, without a stack", async () => {
  const under = ["sh", "-c", 'exec "$@" >/dev/full', "sh"];
  const plain = await whenthen(["--version"], { under });
  assert.equal(plain.code, 1);
  assert.match(plain.stderr, /^Cannot write to standard output: .*no space left[^\n]*\n$/i);
  const json = await whenthen(["--version", "--json"], { under });
  assert.equal(json.code, 1);
  const { error, exitCode } = JSON.parse(json.stderr);
  assert.match(error, /^Cannot write to standard output: /);
  assert.equal(exitCode, 1);
});

const DISK = `
when: { event: paid }
editors: finance
config:
  limit: { type: integer, default: 10, max: 100 }
  place: { type: text, default: here }
then:
  - log: "limit \${{ config.limit }} in \${{ config.place }}"
`;
const ALERT = `
when: { event: whenthen.config.refused }
then:
  - log: "told: \${{ event.data.key }} of \${{ event.subject }} by \${{ event.data.by }} (\${{ event.data.from }})"
`;

Deno.test("config that is set applies at once and after a restart; what a later file makes unfit is told once, and costs itself", async () => {
  await using folder = await rulesFolder({
    "ops/disk.yaml": DISK,
    "alert.yaml": ALERT,
    "config.yaml": "ops/disk: { limit: 20 }\n",
    "whenthen.yaml": "people: { anna: { groups: [finance] } }\n",
  });
  const config = async (...words: string[]) => {
    const { code, stdout, stderr } = await command("config", "ops/disk", ...words, "--data", folder.data);
    return { code, stdout: stdout.replaceAll(/ +/g, " "), stderr };
  };
  const run = (...args: string[]) => start(folder.rules, { data: folder.data, args });
  {
    await using program = run("--set", "ops/disk.place=a.b=c");
    const paid = () => program.post("/events", { type: "paid", data: {} });
    await paid();
    await program.waitForMessage("limit 20 in a.b=c");
    const set = await config("limit=90");
    assert.match(set.stdout, /^limit 90 page, .+, (now|\d+s ago), over 20 \(config\.yaml, over 10 \(default\)\)$/m);
    assert.match(set.stdout, /^place a\.b=c --set, over here \(default\)$/m);
    await paid();
    await program.waitForMessage("limit 90 in a.b=c");
    const [after, before] = (await program.api("runs?rule=ops/disk")).map(({ id }: { id: string }) => id);
    const show = async (run: string) => (await command("show", run, "--data", folder.data)).stdout;
    assert.match(await show(after), /^config +limit 90 \(page, .+, (now|\d+s ago)\)$/m);
    assert.doesNotMatch(await show(before), /^config/m, "that run was not configured by anybody");
    const bad = await config("limit=many");
    assert.deepEqual([bad.code, bad.stderr], [
      1,
      'The config is not valid: limit: expected a whole number, got "many"\n',
    ]);
    await folder.write("ops/disk.yaml", DISK.replace("max: 100", "max: 50"));
    await program.waitFor("the event", ({ message }) => /^told: limit of ops\/disk by .+ \(page\)$/.test(message));
    program.forget();
    await paid();
    await program.waitForMessage("limit 20 in a.b=c");
    assert.match((await config()).stdout, /^ 90 not used: expected at most 50, got 90 \(page, /m);
  }
  {
    await using program = run();
    await program.url();
    await config("--remove", "limit");
    await config("limit=7");
    await program.post("/events", { type: "paid", data: {} });
    await program.waitForMessage("limit 7 in here");
    const told = program.lines.filter(({ message }) => message.startsWith("told: "));
    assert.deepEqual(told, [], "it was told before the restart, and then it was over");
  }
  const sets = ["--set", "ops/disk.limit=500", "--set", "ops/dsk.limit=5", "--set", "ops/disk.limits=5"];
  for (const words of [["check", folder.rules], ["test", folder.rules], ["--data", folder.data, "try", "ops/disk"]]) {
    const refused = await command(...words, ...sets);
    assert.equal(refused.code, 64, refused.stdout);
    assert.match(refused.stderr, /^Cannot set ops\/disk\.limit: expected at most 50, got 500$/m);
    assert.match(refused.stderr, /^Cannot set ops\/dsk\.limit: there is no such rule; did you mean "ops\/disk"\?$/m);
    assert.match(
      refused.stderr,
      /^Cannot set ops\/disk\.limits: the rule declares no "limits"; did you mean "limit"\?$/m,
    );
  }
  const wrong = await whenthen(["once", folder.rules, "--set", "limit=5"]);
  assert.equal(wrong.code, 64);
  assert.match(wrong.stderr, /expected a rule, a key and a value, such as ops\/disk\.threshold=90/);
});

const FORGED = "08:00:00 error: forged";

for (const format of ["pretty", "json"]) {
  Deno.test(`newlines and control characters in data and file names add no lines to the ${format} log`, async () => {
    const items = JSON.stringify([`x\r\n${FORGED}\u001b[2J\u2028y`]);
    await using folder = await rulesFolder({
      "a.yaml": `when: { poll: { run: [echo, ${JSON.stringify(items)}] }, first: emit, key: item }\n` +
        'then:\n  - { log: "got ${{ event.data.new }}", level: error, data: "${{ event.data.new }}" }\n',
      [`b\n${FORGED}.yaml`]: "when: { crn: 5m }\nthen: []\n",
    });
    const { stderr } = await whenthen(["once", folder.rules, "--data", folder.data, "--log", format]);
    const shown = format === "json" ? /got x\\r\\n08/ : /error: got x\\r\\n08:00:00 error: forged\\u001b\[2J\\u2028y/;
    assert.match(stderr, shown);
    assert.match(stderr, /b\\n08:00:00 error: forged/);
    // deno-lint-ignore no-control-regex
    assert.doesNotMatch(stderr, /^08:00:00|[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028]/m);
  });
}

const items = (...prices: number[]) => JSON.stringify(prices.map((price, index) => ({ id: `i${index}`, price })));

Deno.test("whenthen once: polls once, finishes what starts, exits with a code for CI jobs", async () => {
  await using peer = await WebServer.start((_, response) => {
    response.writeHead(200, { "content-type": "application/json" }).end(items(1, 2));
  });
  await using folder = await rulesFolder({
    "watch.yaml": `
when: { poll: "${peer.url}/items", key: item.id }
then:
  - emit: price.changed
    data: { id: "\${{ event.subject }}", price: "\${{ event.data.new.price }}" }
`,
    "tell.yaml": `
when: { event: price.changed }
then:
  - run: [sh, -c, 'cat > "$OUT"']
    stdin: "\${{ event.data.id }} costs \${{ event.data.price }}"
    env: { OUT: "${"$"}{{ env.OUT_FILE }}" }
`,
  });
  const out = `${folder.rules}/../out.txt`;
  const once = (...more: string[]) =>
    whenthen(["once", folder.rules, "--data", folder.data, "--log", "json", ...more], { env: { OUT_FILE: out } });

  assert.equal((await once("--require-state")).code, 3, "a new store, but state is required");
  await Deno.remove(folder.data, { recursive: true }).catch(() => {});
  const seeded = await once();
  assert.equal(seeded.code, 0, seeded.stdout + seeded.stderr);
  await assert.rejects(Deno.readTextFile(out), "the first pass only sets the baseline");

  peer.answer((_, response) => response.writeHead(200, { "content-type": "application/json" }).end(items(1, 3)));
  const changed = await once("--require-state");
  assert.equal(changed.code, 0, changed.stdout + changed.stderr);
  assert.equal(await Deno.readTextFile(out), "i1 costs 3");

  peer.answer((_, response) => response.writeHead(503).end());
  assert.equal((await once()).code, 1, "a poll failed");
  peer.answer((_, response) => response.writeHead(200, { "content-type": "application/json" }).end(items(1, 3)));
  await folder.write("few.yaml", `when: { poll: "${peer.url}/items", key: item.id, max: 1 }\nthen: [{ log: x }]\n`);
  const capped = await once();
  assert.equal(capped.code, 1, "a poll has more than max items");
  assert.match(capped.stdout + capped.stderr, /more than 1 items, so nothing was compared/);
  await folder.write("few.yaml", "when: { event: none }\nthen: [{ log: x }]\n");
  await folder.write("broken.yaml", "when: { crn: '* * * * *' }\nthen: []\n");
  const broken = await once();
  assert.equal(broken.code, 2, "a rule does not load");
  assert.match(broken.stdout + broken.stderr, /broken\.yaml:1:9/);
});

Deno.test("--log-file has the lines of the log, too, without secrets, and is rotated by its size", async () => {
  const rule = `
when: { poll: { run: [cat, items.json] }, first: emit, key: item.id }
then:
  - log: "\${{ event.subject }} \${{ secrets.MARK }} \${{ event.data.new.text }}"
`;
  const items = Array.from({ length: 12 }, (_, index) => ({ id: `item-${index}.`, text: "x".repeat(100_000) }));
  await using folder = await rulesFolder({ "a.yaml": rule });
  const file = `${folder.rules}/../log.txt`;
  const pass = async (count: number) => {
    await folder.write("items.json", JSON.stringify(items.slice(0, count)));
    const { code, stderr } = await whenthen(
      ["once", folder.rules, "--data", folder.data, "--log-file", file, "--log-file-size", "1"],
      { env: { MARK: "correct-horse-battery" } },
    );
    assert.equal(code, 0, stderr.slice(0, 2_000));
    return stderr;
  };
  // What is logged during one write goes into one file together, so each pass logs less than a file holds.
  const stderr = await pass(6) + await pass(12);
  const names = [...Deno.readDirSync(`${folder.rules}/..`)].map(({ name }) => name)
    .filter((name) => name.startsWith("log.txt.")).sort().reverse();
  assert.ok(names.length > 0, "it was rotated");
  const texts = [...names, "log.txt"].map((name) => Deno.readTextFileSync(`${folder.rules}/../${name}`));
  for (const { length } of texts) assert.ok(length > 0 && length <= 1_000_000, String(length));
  assert.ok(texts.join("") === stderr, "the same lines as on standard error");
  for (const { id } of items) assert.ok(stderr.includes(`${id} *** x`), id);
  const full = await whenthen(["once", folder.rules, "--data", folder.data, "--log-file", "/dev/full"], {
    env: { MARK: "correct-horse-battery" },
  });
  assert.equal(full.code, 0, full.stderr);
  assert.match(full.stderr, /^\S+ warning: Cannot write the log file \/dev\/full: [^\n]*no space left[^\n]*\n$/im);
  assert.doesNotMatch(full.stderr, /^ +at /m, "no stack");
});

Deno.test("once, test and pack show their progress on a terminal", async (t) => {
  await using folder = await rulesFolder({
    "a.yaml": "when: manual\nthen: [{ log: x }]\ntests:\n  - { name: first, do: [{ start: {} }] }\n",
  });
  // `script` runs its command on a terminal.
  const under = ["bash", "-c", 'script -qec "${*@Q}" /dev/null </dev/null', "bash"];
  const env = { TERM: "xterm" };
  // The start of a line of progress.
  const shown = ({ stdout }: { stdout: string }) => stdout.replaceAll("\r\x1b[K", "<");
  const once = await whenthen(["once", folder.rules, "--data", folder.data], { under, env });
  assert.match(shown(once), /^<loading the rules<.*<waiting for the runs<.*The pass succeeded\r\n$/s);
  const tested = await whenthen(["test", folder.rules, "--data", folder.data], { under, env });
  assert.match(shown(tested), /1 test so far, the last of a\.yaml</);
  // From source there is no binary to pack into.
  await t.step({
    name: "pack",
    ignore: process.env.WHENTHEN_COMMAND === undefined,
    fn: async () => {
      const packed = await whenthen(["pack", folder.rules, "-o", `${folder.data}-packed`], { under, env });
      assert.match(
        shown(packed),
        /^<checking the folder, bundling its TypeScript<.*<writing \S+-packed<.* runs 1 rule in 1 file .*\r\n$/s,
      );
    },
  });
});
