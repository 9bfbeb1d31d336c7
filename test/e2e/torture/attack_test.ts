/**
 * Attacks on a running program, one after the other, by the numbers of the review that found them:
 *
 * - 1, rule files that stop the loader, and 5, irregular files: `folder_test.ts`
 * - 2, forms of very many fields: here, and beside other requests in `input_test.ts`
 * - 3, a proxy on the same machine: here by its headers, and with a real one in `proxy_test.ts`
 * - 6, a data folder that is deleted: here, and `stop_test.ts`
 * - 7, secrets in packed files: here
 * - 8: here; a full disk in `disk_test.ts`, forged lines of the log in `../log_test.ts`, native calls in `isolation_test.ts`, signals in
 *   `stop_test.ts`
 *
 * @module
 */
import assert from "node:assert/strict";
import { chmod, readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { BINARY, type Machine, machine, runAlone } from "../../binary/binary.ts";
import { rulesFolder } from "../folder.ts";
import { ask, HASH, PASSWORD, PEOPLE, REFUND } from "../forms.ts";
import { type Program, start } from "../program.ts";
import { TIMEOUT, within } from "../until.ts";
import { rawRequest } from "./raw_request.ts";

const FILES = {
  "in.yaml": "when: { webhook: /in, auth: none }\nlimit: none\nthen:\n  - log: seen\n",
  "memory.yaml": `
when: { webhook: /memory, auth: none, replyWithin: 60s }
then:
  - { id: before, state: "\${{ event.data.key }}" }
  - { state: "\${{ event.data.key }}", value: "\${{ event.data.key }}" }
  - { reply: 200, json: { before: "\${{ steps.before }}", now: "\${{ state[event.data.key] }}" } }
`,
};

const FORM = { "content-type": "application/x-www-form-urlencoded" };
const fields = (count: number) => Array.from({ length: count }, (_, at) => `${at}=`).join("&");

Deno.test("attacks from outside on a program without a token: each is refused, and other requests are served", async (t) => {
  await using folder = await rulesFolder(FILES);
  await using program = start(folder.rules, { data: folder.data });
  const url = await program.url();
  const send = (path: string, init: RequestInit = {}) => program.fetch(path, { method: "POST", body: "{}", ...init });
  const statusOf = async (path: string, init: RequestInit = {}) => {
    const response = await send(path, init);
    await response.body?.cancel();
    return response.status;
  };

  await t.step("2: 20,000 and 100,000 fields in a form, and as many as a query takes", async () => {
    for (const count of [20_000, 100_000]) {
      const sent = statusOf("/hooks/in", { body: fields(count), headers: FORM });
      assert.equal(await within(TIMEOUT, "a form", sent), 400);
    }
    // Hosts accept URLs of different lengths.
    for (const count of [1_000, 10_500]) {
      const status = await within(TIMEOUT, "a query", statusOf(`/hooks/in?${"a&".repeat(count)}`));
      assert.ok((count === 1_000 ? [202] : [400, 414, 431]).includes(status), `${count}: ${status}`);
    }
  });

  await t.step("3: a request marked by a proxy", async () => {
    for (const name of ["forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "via"]) {
      assert.equal(await statusOf("/events", { body: '{"type":"x"}', headers: { [name]: "127.0.0.1" } }), 401, name);
    }
    assert.equal((await program.fetch("/api/rules")).status, 200, "an unknown one");
  });

  await t.step("8: no Host, an invalid Host, and a foreign Host", async () => {
    const { host } = new URL(url);
    const lineOf = async (head: string) => (await rawRequest(url, [`${head}\r\n\r\n`])).split("\r\n")[0];
    assert.match(await lineOf("GET /healthz HTTP/1.0"), /^HTTP\/1\.[01] 200 /);
    assert.match(await lineOf("GET /api/rules HTTP/1.0"), /^HTTP\/1\.[01] 200 /);
    const hook = "POST /hooks/in HTTP/1.0\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}";
    assert.match((await rawRequest(url, [hook])).split("\r\n")[0], /^HTTP\/1\.[01] 202 /);
    assert.match(await lineOf("GET /healthz HTTP/1.1\r\nhost: a b"), /^HTTP\/1\.1 400 /);
    assert.match(await lineOf("GET /api/rules HTTP/1.1\r\nhost: evil.example"), /^HTTP\/1\.1 403 /);
    const nobody = async (host: string) =>
      await rawRequest(url, [`POST /hooks/none HTTP/1.1\r\nhost: ${host}\r\ncontent-length: 0\r\n\r\n`]);
    for (const foreign of ["evil.example", "169.254.169.254", "localhost.evil.example:80"]) {
      assert.doesNotMatch(await nobody(foreign), /\/hooks\/in/, `${foreign} is told no paths`);
    }
    assert.match(await nobody(host), /^HTTP\/1\.1 404 /);
    const known = await (await send("/hooks/none")).json();
    assert.deepEqual(known.paths.toSorted(), ["/hooks/in", "/hooks/memory"], "local requests see them");
  });

  await t.step("8: state under names that every object inherits", async () => {
    for (const key of ["constructor", "__proto__", "toString", "hasOwnProperty"]) {
      assert.deepEqual((await program.post("/hooks/memory", { key })).body, { before: null, now: key });
    }
  });

  await t.step("6: the data folder is deleted: nothing more is accepted, and it exits with 1", async () => {
    assert.equal(await statusOf("/hooks/in"), 202);
    await rm(folder.data, { recursive: true });
    const { level } = await program.waitForMessage("was deleted or replaced while the program runs");
    assert.equal(level, "ERROR");
    // Refused, or the program has already ended.
    const status = await statusOf("/hooks/in").catch(() => 503);
    assert.equal(status, 503);
    assert.equal(await program.end(), 1);
  });
});

/** Signs in, and returns the status and the cookies. */
async function signIn(program: Program, password: string, from: string, cookie = "") {
  const body = new URLSearchParams({ name: "anna", password });
  const headers = { "x-forwarded-for": from, cookie };
  const init = { method: "POST", body, headers, redirect: "manual" as const };
  const response = await program.fetch("/forms/sign-in", init);
  await response.body?.cancel();
  return { status: response.status, cookies: response.headers.getSetCookie().map((set) => set.split(";")[0]) };
}

Deno.test("8: a cookie is refused after its sign-out, after a restart, too; a sign-out ends no other session", async () => {
  await using folder = await rulesFolder({ "refund.yaml": REFUND, "whenthen.yaml": PEOPLE });
  let stolen = "";
  const open = async (program: Program, cookie: string) => {
    const response = await program.fetch("/forms", { headers: { cookie }, redirect: "manual" });
    return { status: response.status, text: await response.text() };
  };
  let other = "";
  {
    await using program = start(folder.rules, { data: folder.data });
    await ask(program, "A1");
    [stolen] = (await signIn(program, PASSWORD, "198.51.100.8")).cookies;
    [other] = (await signIn(program, PASSWORD, "198.51.100.8")).cookies;
    const { status, text } = await open(program, stolen);
    assert.equal(status, 200);
    const [, token] = /name="csrf-token" value="([^"]+)"/.exec(text)!;
    const body = new URLSearchParams({ "csrf-token": token });
    const init = { method: "POST", body, headers: { cookie: stolen }, redirect: "manual" as const };
    assert.equal((await program.fetch("/forms/sign-out", init)).status, 303);
    assert.equal((await open(program, stolen)).status, 303, "it is redirected to sign in");
    assert.equal((await open(program, other)).status, 200);
    assert.equal(await program.stop(), 0);
  }
  await using program = start(folder.rules, { data: folder.data });
  assert.equal((await open(program, stolen)).status, 303, "after a restart");
  assert.equal((await open(program, other)).status, 200);
});

Deno.test("8: wrong passwords lock out their sender only", async () => {
  const people = `people: { anna: { name: Anna, email: anna@example.org, password: ${HASH} } }\n`;
  await using folder = await rulesFolder({ "in.yaml": FILES["in.yaml"], "whenthen.yaml": people });
  await using program = start(folder.rules, { data: folder.data });
  const statusOf = async (...args: [string, string, string?]) => (await signIn(program, ...args)).status;
  const [, device] = (await signIn(program, PASSWORD, "198.51.100.1")).cookies;

  for (let count = 0; count < 5; count++) assert.equal(await statusOf(`guess ${count}`, "198.51.100.7"), 401);
  assert.equal(await statusOf(PASSWORD, "198.51.100.7"), 429, "the attacker, who has guessed it");
  assert.equal(await statusOf(PASSWORD, "198.51.100.8"), 303, "the person, from elsewhere");

  for (let from = 0; from < 45; from++) assert.equal(await statusOf("guess", `203.0.113.${from}`), 401);
  assert.equal(await statusOf(PASSWORD, "203.0.113.99"), 429, "guesses from many addresses");
  assert.equal(await statusOf(PASSWORD, "203.0.113.99", device), 303, "the person, in a known browser");
});

Deno.test("8: a token that can be guessed and a .env that everybody can read cause warnings", async () => {
  await using folder = await rulesFolder({ "in.yaml": FILES["in.yaml"], ".env": "TOKEN=a-long-random-text\n" });
  await chmod(join(folder.rules, ".env"), 0o644);
  await using program = start(folder.rules, { data: folder.data, env: { WHENTHEN_TOKEN: "a" } });
  await program.url();
  const warnings = program.lines.filter(({ level }) => level === "WARN").map(({ message }) => message).join("\n");
  assert.match(warnings, /WHENTHEN_TOKEN has under 16 characters and can be guessed/);
  assert.match(program.output, /\.env:1:1: warning: every user of this machine can read the secrets in this file/);
});

Deno.test("7: files of secrets in whenthen.yaml are in no packed file", { ignore: BINARY === "" }, async () => {
  await using alone = await machine({
    "in.yaml": FILES["in.yaml"],
    "whenthen.yaml": `secrets: { files: prod.env }\npeople: { anna: { password: ${HASH} } }\n`,
    "prod.env": "TOKEN=a-long-random-text\n",
    "beside.txt": "packed\n",
  });
  for (const name of ["in.yaml", "whenthen.yaml", "prod.env"]) await chmod(join(alone.rules, name), 0o644);
  const packed = join(alone.home, "packed");
  const { code, stdout } = await runAlone(alone, ["pack", alone.rules, "-o", packed, "--data", alone.data]);
  assert.equal(code, 0, stdout);
  assert.match(stdout, /prod\.env:1:1: warning: left out: whenthen\.yaml names it as a file of secrets/);
  assert.match(stdout, /the hash of the password of anna is packed/);
  const names = await unpackedNames(alone, packed);
  assert.ok(names.includes("beside.txt"), names.join());
  assert.ok(!names.includes("prod.env"), names.join());
});

/** The files that a packed file unpacks where it is started. */
async function unpackedNames(alone: Machine, packed: string): Promise<string[]> {
  const data = join(alone.home, "elsewhere");
  const checked = await runAlone({ ...alone, binary: packed }, ["check", "--data", data]);
  assert.equal(checked.code, 0, checked.stdout);
  return (await readdir(alone.home, { recursive: true })).map((path) => path.split("/").at(-1)!);
}
