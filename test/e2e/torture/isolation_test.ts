import assert from "node:assert/strict";
import { rulesFolder } from "../folder.ts";
import { start } from "../program.ts";
import { until } from "../until.ts";

/** Milliseconds within which the program ends on SIGTERM. */
const LONGEST_STOP = 25_000;

Deno.test("a TypeScript rule whose `if` loops forever delays no webhook answer of any rule", async () => {
  await using folder = await rulesFolder({
    "loop.ts": `
import { rule, webhook } from "whenthen";
export default rule({
  when: webhook("/loop", { auth: "none" }),
  if: () => { while (true); },
  then: async ({ step }) => { await step.log("never", "never"); },
});
`,
    "healthy.yaml": "when: { webhook: /healthy, auth: none }\nthen:\n  - log: healthy\n",
  });
  await using program = start(folder.rules, { data: folder.data });
  await program.url();
  const looping = await program.post("/hooks/loop", {});
  assert.equal(looping.status, 202);
  const [run] = looping.body.runs;
  let last = run;
  for (let count = 0; count < 20; count++) {
    assert.equal((await program.post("/hooks/healthy", {})).status, 202);
    const { status, body: { runs } } = await program.post("/hooks/loop", {});
    assert.equal(status, 202);
    // A looping condition is ended after ten seconds: an answer that waited for it would come after its run has ended.
    const { run: { state } } = await program.api(`runs/${last}`);
    assert.ok(["queued", "running"].includes(state), `the run before is ${state} when the next event is answered`);
    [last] = runs;
  }
  await program.waitForMessage("healthy");
  await program.waitFor("the verdict", ({ message }) => message.startsWith("loop: error"), 60_000);
  const trace = await program.api(`runs/${run}`);
  assert.equal(trace.run.state, "failed");
});

const native = (path: string, options: string) => `
import { pbkdf2Sync } from "node:crypto";
import { rule, webhook } from "whenthen";
export default rule({
  when: webhook("${path}", { auth: "none" }),
  ${options}
  then: ({ step }) => step.do("hash", () => pbkdf2Sync("a", "b", 2 ** 31 - 1, 64, "sha512").length),
});
`;

Deno.test("code in a native call of an hour ends by its timeout, delays no other code, and does not delay the exit", async () => {
  await using folder = await rulesFolder({
    "timed.ts": native("/timed", 'timeout: "1s",'),
    "held.ts": native("/held", ""),
    "healthy.ts": native("/healthy", "").replace("2 ** 31 - 1", "1"),
  });
  await using program = start(folder.rules, { data: folder.data });
  for (let count = 0; count < 2; count++) {
    const { body: { runs: [run] } } = await program.post("/hooks/timed", {});
    await program.waitFor("its timeout", ({ message, properties }) => {
      return properties.rule === "timed" && message.includes(`longer than its timeout of 1s; whenthen show ${run}`);
    });
  }
  const { body: { runs: [held] } } = await program.post("/hooks/held", {});
  await program.post("/hooks/healthy", {});
  await program.waitForMessage("healthy succeeded");
  await until("the call to have begun", () => program.api(`runs/${held}`), ({ run }) => run.state === "running");
  const told = performance.now();
  assert.equal(await program.stop(), 0);
  const took = performance.now() - told;
  assert.ok(took < LONGEST_STOP, `${took} ms`);
});

Deno.test("a secret used in URL, header and body is nowhere in logs or API, although the echoed data is stored unchanged", async () => {
  const { WebServer } = await import("../web_server.ts");
  await using peer = await WebServer.start((seen, response) =>
    response.end(JSON.stringify({ echo: seen.headers, path: seen.path }))
  );
  const secret = "s3cr3t+/=Value&<>\"'\\42";
  await using folder = await rulesFolder({
    "use.yaml": `
when: { webhook: /use, auth: bearer, secret: HOOK_TOKEN }
then:
  - http: POST ${peer.url}/x/\${{ secrets.API_TOKEN }}?q=\${{ secrets.API_TOKEN }}
    headers: { x-token: "\${{ hash(secrets.API_TOKEN) }}", authorization: "Bearer \${{ secrets.PLAIN_TOKEN }}" }
    json: { token: "\${{ secrets.API_TOKEN }}", nested: ["a \${{ secrets.API_TOKEN }} b"] }
  - run: [sh, -c, 'echo "$T"; printf %s "$T" | base64; echo "$T" >&2']
    env: { T: "\${{ secrets.API_TOKEN }}" }
  - log: "token \${{ secrets.API_TOKEN }}"
  - emit: leaked
    data: { token: "\${{ secrets.API_TOKEN }}" }
`,
    "use.ts": `
import { event, rule } from "whenthen";
export default rule({
  when: event("leaked"),
  then: async ({ step, secrets }) => {
    console.log("in code", secrets.API_TOKEN);
    await step.do("compute", () => ({ token: secrets.API_TOKEN }));
    throw new Error("failed with " + secrets.API_TOKEN);
  },
});
`.replace("use.ts", "use.ts"),
  });
  await folder.write("code.ts", await Deno.readTextFile(`${folder.rules}/use.ts`));
  await Deno.remove(`${folder.rules}/use.ts`);
  const env = { API_TOKEN: secret, HOOK_TOKEN: "hook-token-12345", PLAIN_TOKEN: "plain-token-67890" };
  await using program = start(folder.rules, { data: folder.data, env });
  const answer = await program.post("/hooks/use", { hello: 1 }, { authorization: "Bearer hook-token-12345" });
  assert.equal(answer.status, 202);
  const [sent] = await peer.waitFor(1);
  assert.ok(sent.path.includes(encodeURIComponent(secret)), "the peer got the real one");
  assert.equal(JSON.parse(sent.body).token, secret);
  const failed = async () => (await program.api("runs?state=failed")).length === 1;
  await program.waitForMessage("failed with");
  assert.ok(await failed());
  const runs = await program.api("runs");
  const pages = await Promise.all(
    ["runs", "events", "rules", ...runs.map(({ id }: { id: string }) => `runs/${id}`)].map(async (path) =>
      JSON.stringify(await program.api(path))
    ),
  );
  assert.equal(await program.stop(), 0);
  const needles = [secret, "plain-token-67890", "hook-token-12345"].flatMap((value) => [
    value,
    encodeURIComponent(value),
    JSON.stringify(value).slice(1, -1),
    btoa(value).replace(/=*$/, "").slice(0, -2),
  ]);
  const places: [string, string][] = [
    ["log", program.output],
    ...pages.map((page): [string, string] => ["api", page]),
  ];
  for (const [place, text] of places) {
    for (const needle of needles) assert.ok(!text.includes(needle), `${needle} stands in ${place}`);
  }
});
