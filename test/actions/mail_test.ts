import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ActionContext } from "../../runtime/actions/action.ts";
import { mail } from "../../runtime/actions/mail.ts";
import { Mailer, type SmtpSettings } from "../../runtime/actions/mailer.ts";
import { realDisk } from "../../runtime/host/disk.ts";
import { RunFiles } from "../../runtime/host/run_files.ts";
import { TerminalError } from "../../runtime/model/errors.ts";
import type { Json, JsonObject } from "../../runtime/model/json.ts";
import { MailServer } from "../e2e/smtp_server.ts";
import { makeContext } from "./context.ts";

const FROM = { name: "Rules", address: "rules@example.org" };

/** A context whose mails go to a server. */
function contextOf(smtp: Partial<SmtpSettings> | undefined, changes: Partial<ActionContext> = {}) {
  const mailer = new Mailer((name) => ({ SMTP_PASSWORD: "correct horse" })[name]);
  if (smtp) mailer.setSmtp({ host: "127.0.0.1", port: 25, secure: false, from: FROM, ...smtp });
  return makeContext({ ...changes, services: { sendMail: (mail, signal) => mailer.send(mail, signal) } });
}

async function execute(args: JsonObject, context: ActionContext): Promise<JsonObject> {
  return (await mail.execute(args, context)).output as JsonObject;
}

/** The error that a mail ends with. */
async function failureOf(args: JsonObject, context: ActionContext): Promise<Error & { detail?: Json }> {
  return await execute(args, context).then(() => assert.fail("it was sent"), (error) => error);
}

Deno.test("mail goes to one or several with subject, text and HTML; the result says who was accepted", async () => {
  await using server = await MailServer.start();
  const context = contextOf({ port: server.port });
  const result = await execute({
    mail: ["anna@example.org", "Carl Ü <carl@example.org>", null, ""],
    subject: "Grüße: 5 €",
    text: "Hallo Anna",
    html: "<p>Hallo Anna</p>",
    from: "Shop <shop@example.org>",
  }, context);
  assert.deepEqual(result.accepted, ["anna@example.org", "carl@example.org"]);
  assert.deepEqual(result.rejected, []);
  const [got] = server.mails;
  assert.equal(got.from, "shop@example.org");
  assert.deepEqual(got.to, ["anna@example.org", "carl@example.org"]);
  assert.equal(got.headers.from, "Shop <shop@example.org>");
  assert.equal(got.headers.to, "anna@example.org, =?UTF-8?Q?Carl_=C3=9C?= <carl@example.org>");
  assert.equal(got.headers.subject, "=?UTF-8?B?R3LDvMOfZTogNSDigqw=?=");
  assert.equal(got.headers["message-id"], result.messageId);
  assert.equal(got.headers["auto-submitted"], "auto-generated");
  assert.match(got.body, /Hallo Anna/);
  assert.match(got.body, /<p>Hallo Anna<\/p>/);
  assert.equal(got.headers["x-mailer"], undefined);
});

Deno.test("without from and subject, they come from the settings and the rule; a mail with only text has one part", async () => {
  await using server = await MailServer.start();
  await execute({ mail: "anna@example.org", text: "x".repeat(2_000) + "\nÜ" }, contextOf({ port: server.port }));
  const [got] = server.mails;
  assert.equal(got.headers.from, "Rules <rules@example.org>");
  assert.equal(got.headers.subject, "test");
  assert.match(got.headers["content-type"], /^text\/plain; charset=utf-8/);
  assert.equal(got.body.trimEnd(), "x".repeat(2_000) + "\r\nÜ");
});

Deno.test("all attempts of a step have one Message-ID, other steps and runs another", async () => {
  await using server = await MailServer.start();
  const args = { mail: "anna@example.org", text: "x" };
  const idOf = async (changes: Partial<ActionContext>) =>
    (await execute(args, contextOf({ port: server.port }, changes))).messageId;
  const first = await idOf({ attempt: 1 });
  assert.match(String(first), /^<[0-9a-f]{32}@example\.org>$/);
  assert.equal(await idOf({ attempt: 2 }), first);
  assert.notEqual(await idOf({ path: "other" }), first);
  assert.notEqual(await idOf({ run: { ...contextOf({}).run, id: "r2" } }), first);
});

Deno.test("data from outside never adds a header or a recipient", async () => {
  await using server = await MailServer.start();
  const context = () => contextOf({ port: server.port });
  await execute({
    mail: "anna@example.org",
    subject: "Hello\r\nBcc: victim@example.org\n\nbody",
    text: "\r\n.\r\nRCPT TO:<victim@example.org>\r\n",
  }, context());
  const [got] = server.mails;
  assert.equal(server.mails.length, 1);
  assert.deepEqual(got.to, ["anna@example.org"]);
  assert.equal(got.headers.subject, "Hello Bcc: victim@example.org body");
  assert.equal(got.headers.bcc, undefined);
  const addresses = [
    "a@b.org, victim@example.org",
    "a@b.org\r\nBcc: victim@example.org",
    "a@b.org\0",
    "group: a@b.org, victim@example.org;",
    "x\r\nBcc: y <a@b.org>",
    "<a@b.org> <victim@example.org>",
    "nobody",
    { address: "a@b.org" },
    7,
  ];
  for (const address of addresses) {
    const failure = await failureOf({ mail: address as Json, text: "x" }, context());
    assert.ok(failure instanceof TerminalError, JSON.stringify(address));
    assert.match(failure.message, /expected an e-mail address/);
    await failureOf({ mail: "a@b.org", from: String(address), text: "x" }, context());
  }
  assert.equal(server.mails.length, 1);
});

Deno.test("attach sends saved files with name, type and content", async () => {
  await using server = await MailServer.start();
  const folder = await mkdtemp(join(tmpdir(), "mail-attach-"));
  const files = new RunFiles(folder, realDisk);
  const content = Buffer.from([0, 1, 2, 255, 10, 13]);
  const draft = await files.create({ run: "r1", step: "get", name: "grüße.bin", what: "an answer" });
  await draft.write(content);
  const saved = await draft.keep("application/x-thing");
  const context = contextOf({ port: server.port });
  context.services.readFile = (file) => files.read(file);
  const attach: JsonObject[] = [saved, { status: 200, headers: {}, body: saved }, {
    code: 0,
    stdout: saved,
    stderr: "",
  }];
  await execute({ mail: "anna@example.org", text: "three files", attach }, context);
  await execute({ mail: "anna@example.org", text: "one file", attach: saved }, context);
  const parts = server.mails.map(({ body }) => body.split("--").filter((part) => part.includes("attachment")));
  assert.deepEqual(parts.map(({ length }) => length), [3, 1]);
  for (const part of parts.flat()) {
    assert.match(part, /^content-type: application\/x-thing; name=/im);
    assert.match(part, /filename\*0?\*?=utf-8\'\'gr%C3%BC%C3%9Fe\.bin/i);
    assert.ok(part.includes(content.toString("base64")));
  }
  const wrong = await failureOf({ mail: "anna@example.org", text: "x", attach: ["/etc/passwd"] }, context);
  assert.ok(wrong instanceof TerminalError);
  assert.match(
    wrong.message,
    /^Cannot send mail: expected a file, such as the result of a step with save, .* got "\/etc\/passwd"$/,
  );
  await rm(folder, { recursive: true });
});

Deno.test("text is never read as a file name or URL", async () => {
  await using server = await MailServer.start();
  await execute({ mail: "a@b.org", html: '<img src="file:///etc/passwd">' }, contextOf({ port: server.port }));
  assert.match(server.mails[0].body, /file:\/\/\/etc\/passwd/);
});

Deno.test("without smtp, without its secret, without recipients or text the step fails, once", async () => {
  const args = { mail: "anna@example.org", text: "x" };
  const failures: [JsonObject, ActionContext, RegExp][] = [
    [args, contextOf(undefined), /whenthen\.yaml names no server; add smtp:/],
    [args, contextOf({ user: "rules", password: "MISSING" }), /the secret MISSING is not set/],
    [{ mail: [], text: "x" }, contextOf({}), /the list of recipients is empty/],
    [{ mail: [null], text: "x" }, contextOf({}), /the list of recipients is empty/],
    [{ mail: "a@b.org" }, contextOf({}), /neither text nor html/],
  ];
  for (const [given, context, message] of failures) {
    const failure = await failureOf(given, context);
    assert.ok(failure instanceof TerminalError);
    assert.match(failure.message, message);
  }
});

Deno.test("a 4xx answer and a network error are worth another attempt, a 5xx answer is not", async () => {
  const answers = { 421: false, 451: false, 503: false, 550: true, 554: true };
  for (const [code, final] of Object.entries(answers)) {
    const refusal = { code: Number(code), message: "because" };
    for (const refusals of [{ mail: () => refusal }, { recipient: () => refusal }]) {
      await using server = await MailServer.start({}, refusals);
      const failure = await failureOf({ mail: "a@b.org", text: "x" }, contextOf({ port: server.port }));
      assert.equal(failure instanceof TerminalError, final, `${code}: ${failure.message}`);
      assert.match(JSON.stringify(failure.detail), new RegExp(`${code} because`));
    }
  }
  const closed = createServer();
  await new Promise<void>((resolve) => closed.listen(0, "127.0.0.1", resolve));
  const { port } = closed.address() as AddressInfo;
  await new Promise((resolve) => closed.close(resolve));
  const failure = await failureOf({ mail: "a@b.org", text: "x" }, contextOf({ port }));
  assert.ok(!(failure instanceof TerminalError));
  assert.match(failure.message, new RegExp(`^Cannot send mail by 127\\.0\\.0\\.1:${port}: .*ECONNREFUSED`));
});

Deno.test("if some recipients are refused, the others get the mail, and the result names both", async () => {
  const recipient = (address: string) => address === "gone@b.org" ? { code: 550, message: "gone" } : undefined;
  await using server = await MailServer.start({}, { recipient });
  const result = await execute({ mail: ["a@b.org", "gone@b.org"], text: "x" }, contextOf({ port: server.port }));
  assert.deepEqual([result.accepted, result.rejected], [["a@b.org"], ["gone@b.org"]]);
});

Deno.test("a silent server does not delay the end of an aborted step", async () => {
  const silent = createServer();
  await new Promise<void>((resolve) => silent.listen(0, "127.0.0.1", resolve));
  const stop = new AbortController();
  const connected = new Promise<void>((resolve) => silent.once("connection", () => resolve()));
  const context = contextOf({ port: (silent.address() as AddressInfo).port }, { signal: stop.signal });
  const failing = failureOf({ mail: "a@b.org", text: "x" }, context);
  await connected;
  stop.abort(new Error("the run was cancelled"));
  assert.equal((await failing).message, "the run was cancelled");
  await new Promise((resolve) => silent.close(resolve));
});

Deno.test("a hundred mails at once share a few connections, and all arrive", async () => {
  await using server = await MailServer.start({ maxClients: 10 });
  const mailer = new Mailer(() => undefined);
  mailer.setSmtp({ host: "127.0.0.1", port: server.port, secure: false, from: FROM });
  const signal = new AbortController().signal;
  const to = [{ name: "", address: "a@b.org" }];
  const mails = Array.from({ length: 100 }, (_, id) => ({ id: String(id), to, subject: "x", text: "x" }));
  await Promise.all(mails.map((mail) => mailer.send(mail, signal)));
  assert.equal(new Set(server.mails.map(({ headers }) => headers["message-id"])).size, 100);
});

Deno.test("no mail goes to a server with an untrusted certificate", async () => {
  const account = { user: "rules", password: "correct horse" };
  for (const secure of [true, false]) {
    await using server = await MailServer.startSecure(secure, account);
    const smtp = { port: server.port, secure, user: "rules", password: "SMTP_PASSWORD" };
    const failure = await failureOf({ mail: "a@b.org", text: "x" }, contextOf(smtp));
    assert.match(failure.message, /self.signed|certificate|UnknownIssuer/i);
    assert.equal(server.mails.length, 0);
  }
});

Deno.test("credentials are not sent to another machine in plain text", async () => {
  const asked: unknown[] = [];
  await using server = await MailServer.start({
    allowInsecureAuth: true,
    disabledCommands: ["STARTTLS"],
    onAuth: (auth, _session, done) => {
      asked.push(auth);
      done(null, { user: "rules" });
    },
  });
  // It resolves to loopback, too, but is not one of the known names.
  const smtp = { host: "localhost.", port: server.port, user: "rules", password: "SMTP_PASSWORD" };
  const failure = await failureOf({ mail: "a@b.org", text: "x" }, contextOf(smtp));
  assert.match(failure.message, /STARTTLS/);
  assert.deepEqual(asked, []);
});

Deno.test("a wrong password is a final failure, the right one works", async () => {
  const authorize = (expected: string) =>
    MailServer.start({
      authOptional: false,
      allowInsecureAuth: true,
      disabledCommands: ["STARTTLS"],
      onAuth: ({ username, password }, _session, done) =>
        username === "rules" && password === expected ? done(null, { user: username }) : done(new Error("No")),
    });
  const smtp = { user: "rules", password: "SMTP_PASSWORD" };
  {
    await using server = await authorize("correct horse");
    await execute({ mail: "a@b.org", text: "x" }, contextOf({ ...smtp, port: server.port }));
    assert.equal(server.mails[0].user, "rules");
  }
  await using server = await authorize("another");
  const failure = await failureOf({ mail: "a@b.org", text: "x" }, contextOf({ ...smtp, port: server.port }));
  assert.ok(failure instanceof TerminalError);
  assert.match(failure.message, /535/);
});
