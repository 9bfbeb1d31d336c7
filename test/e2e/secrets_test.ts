import assert from "node:assert/strict";
import { chmod, mkdir, readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { rulesFolder } from "./folder.ts";
import { type Answered, type Program, start, whenthen } from "./program.ts";
import { WebServer } from "./web_server.ts";

const TOKEN = "tok-5f2e9a77c1b04d";
/** The forms in which it may be in a file. */
const SPELLINGS = [TOKEN, btoa(`me:${TOKEN}`), btoa(TOKEN), encodeURIComponent(TOKEN)];

const files = (peer: string) => ({
  ".env": `REGION=lisbon\nTOKEN=${TOKEN}\n`,
  "in.yaml": `
when: { webhook: /in, auth: none, replyWithin: 30s }
key: event.data.city
then:
  - log: we are in \${{ secrets.REGION }}
  - id: out
    run: [sh, -c, 'cat; printf " %s %s" "$1" "$KEY" | wc -c >&2', sh, "\${{ event.data.city }}"]
    stdin: "\${{ event.data.city }}"
    env: { KEY: "\${{ secrets.TOKEN }}" }
  - id: home
    if: event.data.city == 'lisbon'
    http: POST ${peer}/\${{ event.data.city }}?key=\${{ secrets.TOKEN }}
    headers: { authorization: "Bearer \${{ secrets.TOKEN }}" }
    auth: { basic: "me:\${{ secrets.TOKEN }}" }
    json: { city: "\${{ event.data.city }}", said: "\${{ steps.out.stdout }}" }
  - id: inner
    call: ./inner.yaml
    with: { token: "\${{ secrets.TOKEN }}", city: "\${{ event.data.city }}" }
  - state: last
    value: "\${{ event.data.city }}"
  - emit: city.seen
    subject: "\${{ event.data.city }}"
    data: { city: "\${{ event.data.city }}" }
  - reply: 200
    headers: { x-city: "\${{ state['last'] }}" }
    json: { city: "\${{ event.data.city }}" }
`,
  "inner.yaml": `
inputs: { token: { type: text, required: true }, city: { type: text, required: true } }
then:
  - http: PUT ${peer}/inner
    headers: { x-token: "\${{ inputs.token }}", x-city: "\${{ inputs.city }}" }
`,
  "seen.ts": `
import { event, rule } from "whenthen";
export default rule({
  when: event<{ city: string }>("city.seen"),
  then: async ({ event, step, secrets }) => {
    const city = await step.do("city", () => event.data.city);
    const name = city === secrets.REGION ? "home" : "away";
    await step.http(name, "POST ${peer}/typescript", { headers: { "x-token": secrets.TOKEN }, json: { city } });
    await step.waitFor("again", "again");
    return { city, name };
  },
});
`,
});

const ended = (program: Program, rule: string) =>
  program.waitFor(`the end of a run of ${rule}`, ({ properties }) => properties.rule === rule && !!properties.state);

/** The content of the data folder as text, and the modes of its files. */
async function read(folder: string): Promise<{ text: string; modes: Map<string, string> }> {
  const modes = new Map<string, string>();
  let text = "";
  for (const path of ["", ...await readdir(folder, { recursive: true })]) {
    const entry = await stat(join(folder, path));
    modes.set(`${path}${entry.isDirectory() ? "/" : ""}`, (entry.mode & 0o777).toString(8));
    if (entry.isFile()) text += await readFile(join(folder, path), "latin1");
  }
  return { text, modes };
}

Deno.test("data equal to a secret is stored unchanged and shown masked", async () => {
  await using peer = await WebServer.start();
  await using folder = await rulesFolder(files(peer.url));
  await using program = start(folder.rules, folder);
  const response = await program.fetch("/hooks/in", {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: '{"city":"lisbon"}',
  });
  assert.equal(response.headers.get("x-city"), "lisbon");
  assert.deepEqual(await response.json(), { city: "lisbon" });
  const [home] = await peer.waitFor(1, ({ path }) => path === `/lisbon?key=${TOKEN}`);
  assert.deepEqual(JSON.parse(home.body), { city: "lisbon", said: "lisbon" });
  const [inner] = await peer.waitFor(1, ({ path }) => path === "/inner");
  assert.deepEqual([inner.headers["x-token"], inner.headers["x-city"]], [TOKEN, "lisbon"]);
  const [typescript] = await peer.waitFor(1, ({ path }) => path === "/typescript");
  assert.deepEqual([typescript.headers["x-token"], JSON.parse(typescript.body)], [TOKEN, { city: "lisbon" }]);

  // Its function waited: it is replayed over its records.
  await program.post("/events", { type: "again" });
  assert.match((await ended(program, "seen")).message, /^seen succeeded/);

  const runs: Answered[] = await program.api("runs");
  const trace = await program.api(`runs/${runs.find(({ rule }) => rule === "seen").id}`);
  assert.deepEqual(trace.run.output, { city: "***", name: "home" });
  assert.deepEqual([trace.run.event.subject, trace.run.event.data], ["***", { city: "***" }]);
  const shown = [
    program.output,
    await (await program.fetch("/")).text(),
    await (await program.fetch("/metrics")).text(),
  ];
  for (const path of ["events", "runs", "rules", "forms", ...runs.map(({ id }) => `runs/${id}`)]) {
    shown.push(JSON.stringify(await program.api(path)));
  }
  for (const text of shown) assert.doesNotMatch(text, /lisbon|5f2e9a77/);
  assert.match(program.output, /we are in \*\*\*/);
  assert.equal(await program.stop(), 0);

  for (const words of [["runs"], ["events"], ["rules"], ["show", runs[0].id], ["show", runs[1].id]]) {
    const { code, stdout, stderr } = await whenthen(["--data", folder.data, ...words]);
    assert.equal(code, 0, stderr);
    assert.doesNotMatch(stdout + stderr, /lisbon|5f2e9a77/, words.join(" "));
  }
});

Deno.test("a secret that was only used in arguments never reaches the data folder, which only its user can read", async () => {
  await using peer = await WebServer.start();
  await using folder = await rulesFolder(files(peer.url));
  await mkdir(folder.data, { mode: 0o755 });
  await chmod(folder.data, 0o755);
  await using program = start(folder.rules, folder);
  await program.post("/hooks/in", { city: "lisbon" });
  await peer.waitFor(1, ({ path }) => path === "/typescript");
  await program.post("/events", { type: "again" });
  await ended(program, "seen");
  const [run] = (await program.api("runs?rule=in")) as Answered[];
  const { steps } = await program.api(`runs/${run.id}`);
  const inputs = Object.fromEntries(steps.map(({ path, input }: Answered) => [path, input]));
  assert.equal(inputs.home.http, `POST ${peer.url}/***?key=\${{ secrets.TOKEN }}`);
  assert.deepEqual(inputs.home.auth, { basic: "me:${{ secrets.TOKEN }}" });
  assert.deepEqual(inputs["inner/then/http"].headers, { "x-token": "${{ secrets.TOKEN }}", "x-city": "***" });
  assert.equal(await program.stop(), 0);

  const { text, modes } = await read(folder.data);
  assert.ok(text.includes("lisbon"), "data is stored unchanged");
  for (const spelling of SPELLINGS) assert.ok(!text.includes(spelling), spelling);
  // Folders, and the esbuild that the binary unpacks.
  for (const [path, mode] of modes) assert.equal(mode, /^$|\/$|\/esbuild-/.test(path) ? "700" : "600", path);
});

Deno.test("once masks secrets in what it reports, and the data stays unchanged", async () => {
  await using folder = await rulesFolder({
    ".env": `TOKEN=${TOKEN}\n`,
    "fails.yaml": `
when: start
then:
  - run: [sh, -c, 'echo "no $KEY" >&2; exit 1']
    env: { KEY: "\${{ secrets.TOKEN }}" }
`,
  });
  for (const more of [[], ["--json"]]) {
    const { code, stdout, stderr } = await whenthen([
      "once",
      folder.rules,
      "--data",
      `${folder.data}${more.length}`,
      ...more,
    ]);
    assert.equal(code, 1, stderr);
    assert.match(stdout, /no \*\*\*/);
    assert.doesNotMatch(stdout + stderr, /5f2e9a77/);
  }
});

Deno.test("errors quote recorded arguments: no secret of a URL, a header or a command reaches the data folder", async () => {
  await using peer = await WebServer.start((seen, response) => {
    if (seen.path.includes("/redirect/")) {
      return response.writeHead(302, { location: `ftp://127.0.0.1${seen.path}` }).end();
    }
    response.writeHead(404).end("no such bot");
  });
  const bot = `bot\${{ secrets.TOKEN }}/send?to=\${{ secrets.TOKEN }}`;
  // Nobody listens on a port that only root may take; a port that was free a moment ago may be another test's.
  const closed = { url: "http://127.0.0.1:2" };
  await using folder = await rulesFolder({
    ".env": `TOKEN=${TOKEN}\n`,
    "fails.yaml": `
when: { webhook: /fails, auth: none }
then:
  - { id: status, http: "POST ${peer.url}/${bot}", onError: continue }
  - { id: redirect, http: "${peer.url}/redirect/${bot}", onError: continue }
  - { id: refused, http: "PUT ${closed.url}/${bot}", retry: 1, onError: continue }
  - { id: login, http: "GET http://me:\${{ secrets.TOKEN }}@${
      closed.url.slice("http://".length)
    }/", retry: 1, onError: continue }
  - { id: scheme, http: "\${{ secrets.TOKEN }}/send", onError: continue }
  - { id: header, http: "${peer.url}/", headers: { x-token: "\${{ secrets.TOKEN }}\\n2" }, onError: continue }
  - { id: command, run: [sh, -c, "exit 1", "\${{ secrets.TOKEN }}"], onError: continue }
  - { id: absent, run: [./no-such-file, "\${{ secrets.TOKEN }}"], onError: continue }
  - { id: mail, mail: "\${{ secrets.TOKEN }}", text: hello, onError: continue }
  - { id: input, call: ./inner.yaml, with: { token: "\${{ secrets.TOKEN }}" }, onError: continue }
  - { id: condition, if: secrets.TOKEN, log: hello, onError: continue }
  - { id: reply, reply: 200, headers: { x-token: "\${{ secrets.TOKEN }}\\n2" } }
`,
    "inner.yaml": "inputs: { token: { type: number } }\nthen: [{ log: hello }]\n",
    "code.ts": `
import { event, rule } from "whenthen";
export default rule({
  when: event("code"),
  then: ({ step, secrets }) => step.http("refused", "PUT ${closed.url}/bot" + secrets.TOKEN + "/send", { retry: 1 }),
});
`,
    "polls.yaml":
      `when: { poll: "${closed.url}/bot\${{ secrets.TOKEN }}/items", every: 10s }\nthen: [{ log: hello }]\n`,
  });
  await using program = start(folder.rules, folder);
  await program.post("/hooks/fails", {});
  await program.post("/events", { type: "code" });
  for (const rule of ["fails", "code"]) assert.match((await ended(program, rule)).message, /failed/);
  await program.waitForMessage(`Cannot GET ${closed.url}/bot***/items`);
  const [{ id }] = (await program.api("runs?rule=fails")) as Answered[];
  const { steps } = await program.api(`runs/${id}`);
  const errors = Object.fromEntries(steps.map(({ path, error }: Answered) => [path, error?.message]));
  const host = peer.url;
  assert.equal(errors.status, `POST ${host}/bot\${{ secrets.TOKEN }}/send answered 404 Not Found: no such bot`);
  assert.match(
    errors.redirect,
    /^Cannot GET .*\/redirect\/bot\$\{\{ secrets\.TOKEN \}\}\/send: it redirects to ftp:\/\/127\.0\.0\.1, /,
  );
  assert.match(errors.refused, /^Cannot PUT http:\/\/127\.0\.0\.1:\d+\/bot\$\{\{ secrets\.TOKEN \}\}\/send: \w/);
  assert.match(errors.login, /^Cannot GET http:\/\/127\.0\.0\.1:\d+\/: \w/);
  assert.match(errors.header, /the header "x-token" with the value "\$\{\{ secrets\.TOKEN \}\}\\n2"/);
  assert.match(errors.command, /^"sh -c exit 1 \$\{\{ secrets\.TOKEN \}\}" ended with exit code 1/);
  for (const step of ["scheme", "absent", "mail", "input", "condition", "reply"]) {
    assert.match(errors[step], /secrets\.TOKEN/, step);
  }
  assert.equal(await program.stop(), 0);
  const { text } = await read(folder.data);
  assert.ok(text.includes("no such bot"), "the errors are there");
  for (const spelling of SPELLINGS) {
    const at = text.indexOf(spelling);
    assert.equal(at, -1, text.slice(Math.max(0, at - 200), at + 100));
  }
});

Deno.test("a rule written for Deno reads and writes files and its environment, but no secret", async () => {
  await using folder = await rulesFolder({
    "keep.ts": `
import { rule, webhook } from "whenthen";
export default rule({
  when: webhook("/keep", { auth: "bearer", secret: "HOOK_TOKEN" }),
  then: async ({ step }) => {
    const seen = await step.do("keep", async () => {
      const path = import.meta.dirname + "/kept.txt";
      await Deno.writeTextFile(path, Deno.env.get("GREETING") ?? "nothing");
      return { text: await Deno.readTextFile(path), secret: Deno.env.get("HOOK_TOKEN") ?? null };
    });
    await step.log("tell", JSON.stringify(seen));
  },
});
`,
  });
  const env = { GREETING: "good morning", HOOK_TOKEN: "t0k3n-of-the-hook" };
  await using program = start(folder.rules, { data: folder.data, env });
  const { status } = await program.post("/hooks/keep", {}, { authorization: `Bearer ${env.HOOK_TOKEN}` });
  assert.equal(status, 202);
  await program.waitForMessage('{"text":"good morning","secret":null}');
  assert.equal(await readFile(join(folder.rules, "kept.txt"), "utf8"), "good morning");
});

Deno.test("APIs that rule code may not use are refused at load, with the alternative", async () => {
  await using folder = await rulesFolder({
    "a.ts": `import { spawn } from "node:child_process";\nexport default () => spawn("ls");\n`,
    "b.ts": `Deno.serve(() => new Response("no"));\nnew Deno.Command("ls");\n`,
    "use.yaml": "when: manual\nthen:\n  - call: ./a.ts#default\n  - call: ./b.ts#x\n",
  });
  const { code, stdout, stderr } = await whenthen(["check", folder.rules, "--data", folder.data]);
  assert.equal(code, 2);
  const output = stdout + stderr;
  assert.match(output, /a\.ts:1:\d+: rule code cannot use "node:child_process"[^]*step\.run/);
  assert.match(output, /b\.ts:1:1: rule code cannot use Deno\.serve[^]*use a webhook trigger/);
  assert.match(output, /b\.ts:2:5: rule code cannot use Deno\.Command[^]*step\.run/);
});

const SLOW = "([ab]{0,30}){30}[cd]";

const rules = {
  "slow.yaml": `
when:
  webhook: /slow
  auth: none
if: event.data.text.matches("${SLOW}")
then:
  - log: found
`,
  "quick.yaml": `
when:
  webhook: /quick
  auth: none
if: event.data.text.matches("a+b")
then:
  - log: found
`,
};

/** The largest allowed match: it takes about a second. */
const LONGEST = "ab".repeat(13_000);

Deno.test("a slow pattern: too long a text, or too much in a minute, gives a verdict; the rule is named; others continue", async () => {
  await using folder = await rulesFolder(rules);
  await using program = start(folder.rules, { data: folder.data });
  const send = async (path: string, text: string) => {
    const { status, body } = await program.post(`/hooks/${path}`, { text });
    assert.equal(status, 202);
    const events = await program.api(`events?rule=${path}&limit=1`);
    const event = events.find(({ id }: { id: string }) => id === body.event) ?? events[0];
    return event.verdicts.find(({ rule }: { rule: string }) => rule === path).verdict;
  };

  const tooLong = await send("slow", "ab".repeat(450_000));
  assert.equal(tooLong.kind, "error");
  assert.match(tooLong.reason, /1,863 instructions and the text has 900,000 characters/);

  assert.equal((await send("slow", LONGEST)).kind, "condition");
  const listed = (await program.api("rules")).find(({ id }: { id: string }) => id === "slow");
  assert.equal(listed.longest.expression, `event.data.text.matches("${SLOW}")`);
  assert.ok(listed.longest.ms >= 100);
  const { stdout } = await whenthen(["--data", folder.data, "rules"]);
  assert.match(stdout, /^slow .*slow: \d+ ms for event\.data\.text\.matches/m);
  assert.doesNotMatch(stdout, /^quick .*slow: /m);

  let verdict = tooLong;
  for (let count = 0; count < 200 && !/of the last minute/.test(verdict.reason); count++) {
    verdict = await send("slow", LONGEST);
  }
  assert.equal(verdict.kind, "error");
  assert.match(verdict.reason, /the expressions of the rule slow took [\d.]+ s of the last minute, and may take 10 s/);
  assert.equal((await send("quick", "aab")).kind, "started");
});
