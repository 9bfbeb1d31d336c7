import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { mkdir, readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { newKey } from "../connections/harness.ts";
import { type AuthorizationServer, CLIENT, openAuthorizationServer } from "../connections/provider.ts";
import { rulesFolder } from "./folder.ts";
import { start, whenthen, whenthenAsk } from "./program.ts";
import { until } from "./until.ts";

const env = { ASANA_ID: CLIENT.id, ASANA_SECRET: CLIENT.secret, WHENTHEN_KEY: newKey() };

const filesFor = ({ issuer, api, apiHost }: AuthorizationServer) => ({
  "whenthen.yaml": `
port: 0
connections:
  asana:
    oauth: { issuer: "${issuer}" }
    client: ASANA_ID
    secret: ASANA_SECRET
    scopes: [tasks]
    hosts: ["${apiHost}"]
`,
  "look.yaml": `
when: { poll: { http: "${api}/polled", auth: { connection: asana } }, every: 1s, first: emit }
then: [{ log: "polled for \${{ event.data.new.account }}" }]
`,
  "work.yaml": `
when: { webhook: /work, auth: none }
then:
  - { id: done, http: "POST ${api}/worked", json: {}, auth: { connection: asana } }
  - { log: "worked for \${{ steps.done.body.account }}" }
`,
  "away.yaml": `
when: { webhook: /away, auth: none }
then: [{ http: "GET http://127.0.0.1:9/", auth: { connection: asana } }]
`,
  "alert.yaml": `
when: { event: whenthen.connection.lost }
then: [{ log: "told: \${{ event.subject }}: \${{ event.data.reason }}" }]
`,
});

/** Runs `whenthen connect asana`, and allows it as a person with a browser would. */
async function connect(folder: { data: string }, server: AuthorizationServer): Promise<string> {
  await using asking = whenthenAsk(["connect", "asana", "--data", folder.data], { env });
  const [url] = await until(
    "the address",
    () => Promise.resolve(/http:\/\/\S+\/auth\?\S+/.exec(asking.output) ?? []),
    (found) => found.length > 0,
  );
  const back = await server.allow(url!);
  const page = await fetch(back, { headers: { accept: "text/html" } });
  assert.match(await page.text(), /asana is connected/);
  assert.equal(await asking.end(), 0, asking.output);
  assert.match(asking.output, /asana is connected/);
  return asking.output;
}

async function onDisk(folder: string): Promise<string> {
  const files = await readdir(folder, { recursive: true, withFileTypes: true });
  const texts = files.filter((file) => file.isFile()).map((file) =>
    readFile(join(file.parentPath, file.name), "latin1")
  );
  return (await Promise.all(texts)).join("\n");
}

Deno.test("a connection from the first address to its loss: kept through kill -9, in no output, told once", async () => {
  await using server = await openAuthorizationServer(["http://127.0.0.1/connections/callback"]);
  await using folder = await rulesFolder(filesFor(server));
  const outputs: string[] = [];
  let program = start(folder.rules, { data: folder.data, env });
  const work = async () => void await (await program.fetch("/hooks/work", { method: "POST" })).text();
  const again = async () => {
    await program.kill();
    outputs.push(program.output);
    program = start(folder.rules, { data: folder.data, env });
    await program.url();
  };
  try {
    await work();
    await program.waitForMessage("nobody has connected it yet; connect it with: whenthen connect asana");
    outputs.push(await connect(folder, server));
    await program.waitForMessage("polled for ada");
    await work();
    await program.waitForMessage("worked for ada");
    await (await program.fetch("/hooks/away", { method: "POST" })).text();
    await program.waitForMessage("only, not to 127.0.0.1:9; add 127.0.0.1:9 to its hosts");

    // The first request with a new token kills the program: the token that replaced the old one is on disk by then.
    for (let round = 0; round < 3; round++) {
      const before = server.presented.length;
      const [, token] = server.presented.at(-1)!.split(" ");
      const killed = Promise.withResolvers<void>();
      server.onPresented = async () => {
        if (server.presented.at(-1)!.endsWith(token)) return;
        server.onPresented = () => Promise.resolve();
        await program.kill();
        killed.resolve();
      };
      await server.expire(token);
      await killed.promise;
      assert.ok(server.presented.length > before);
      await again();
      await work();
      await program.waitForMessage("worked for ada");
    }
    const refreshes = server.grants.filter((grant) => grant === "refresh_token").length;
    assert.equal(refreshes, 3);

    await server.revokeGrants();
    await program.waitForMessage("told: asana: Cannot refresh its tokens");
    await work();
    await program.waitForMessage("it is lost: ");
    await again();
    await work();
    await program.waitForMessage("connect it with: whenthen connect asana");
    assert.ok(!program.output.includes("told: "));
    const { stdout } = await whenthen(["rules", "--data", folder.data], { env });
    assert.match(stdout, /work .*connection asana: it is lost/);
    const listed = await whenthen(["connections", "--data", folder.data], { env });
    assert.match(listed.stdout, /asana +lost/);
    outputs.push(await connect(folder, server), stdout, listed.stdout);
    await work();
    await program.waitForMessage("worked for ada");
    const shown = JSON.stringify([
      await program.api("runs"),
      await program.api("events"),
      await program.api("connections"),
    ]);
    const gone = await whenthen(["disconnect", "asana", "--data", folder.data], { env });
    assert.match(gone.stdout, /its tokens are revoked/);
    outputs.push(program.output, shown, gone.stdout);
  } finally {
    await program.kill();
  }
  assert.ok(server.issued.length >= 8);
  assert.ok(server.presented.every((each) => server.issued.includes(each.replace("Bearer ", ""))));
  const all = [await onDisk(folder.data), ...outputs].join("\n");
  for (const token of [...server.issued, CLIENT.secret, env.WHENTHEN_KEY]) assert.ok(!all.includes(token), token);
});

Deno.test("without a running program, connect waits for the browser itself, and refuses without a key", async () => {
  await using server = await openAuthorizationServer(["http://127.0.0.1/connections/callback"]);
  await using folder = await rulesFolder(filesFor(server));
  await mkdir(folder.data);
  const words = ["connect", "asana", "--data", folder.data, "--folder", folder.rules];
  const refused = await whenthen(words, { env: { ...env, WHENTHEN_KEY: "" } });
  assert.equal(refused.code, 1);
  assert.match(
    refused.stderr,
    /Cannot connect "asana": WHENTHEN_KEY is not set: make a key with: openssl rand -base64 32/,
  );
  await connect(folder, server);
  const once = await whenthen(["once", folder.rules, "--data", folder.data, "--log", "json"], { env });
  assert.equal(once.code, 0, once.stderr);
  assert.match(once.stdout + once.stderr, /polled for ada/);
});

Deno.test("hooks open accepts a handshake, hooks shows it, hooks remove ends it", async () => {
  await using folder = await rulesFolder({
    "tasks.yaml": 'when: { webhook: /asana, auth: asana }\nthen: [{ log: "got ${{ event.data.events.size() }}" }]\n',
  });
  await using program = start(folder.rules, { data: folder.data, env });
  const shake = async () => {
    const headers = { "x-hook-secret": "secret-of-a-webhook-0123" };
    const response = await program.fetch("/hooks/asana", { method: "POST", body: "{}", headers });
    await response.body?.cancel();
    return response.status;
  };
  const hooks = async (...args: string[]) => {
    const { code, stdout, stderr } = await whenthen(["hooks", ...args, "--data", folder.data], { env });
    assert.equal(code, 0, stderr);
    return stdout;
  };
  assert.equal(await shake(), 403);
  assert.match(await hooks("open", "tasks", "--for", "10m"), /tasks +\/hooks\/asana +open, closes in/);
  assert.equal(await shake(), 200);
  const body = '{"events":[{"action":"changed"}]}';
  const signature = createHmac("sha256", "secret-of-a-webhook-0123").update(body).digest("hex");
  const headers = { "content-type": "application/json", "x-hook-signature": signature };
  assert.equal((await program.fetch("/hooks/asana", { method: "POST", body, headers })).status, 202);
  await program.waitForMessage("got 1");
  const [, id] = /tasks +\/hooks\/asana +open.* ([0-9a-f]{8}) \(/.exec(await hooks())!;
  assert.match(await hooks("remove", id), /is removed/);
  assert.equal((await program.fetch("/hooks/asana", { method: "POST", body, headers })).status, 401);
  assert.ok(![await onDisk(folder.data), program.output].join("\n").includes("secret-of-a-webhook-0123"));
});
