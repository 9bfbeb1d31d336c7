import assert from "node:assert/strict";
import { command } from "./command.ts";
import { rulesFolder } from "./folder.ts";
import { until } from "./forms.ts";
import { start } from "./program.ts";
import { AUTHORITY, MailServer } from "./smtp_server.ts";

const ACCOUNT = { user: "rules", password: "correct horse" };
const RULE = `
when: { event: order.paid }
then:
  - id: tell
    mail: \${{ event.data.to }}
    subject: Order \${{ event.subject }}
    text: It is paid
`;

const settings = (port: number, more: string) =>
  `smtp: { host: 127.0.0.1, port: ${port}, user: rules, password: SMTP_PASSWORD, from: rules@example.org, ${more} }\n`;

for (const secure of [true, false]) {
  Deno.test(`a mail goes out over ${secure ? "TLS" : "STARTTLS"} with an account, and its password appears nowhere`, async () => {
    await using server = await MailServer.startSecure(secure, ACCOUNT);
    await using folder = await rulesFolder({
      "tell.yaml": RULE,
      "whenthen.yaml": settings(server.port, `secure: ${secure}`),
      ".env": `SMTP_PASSWORD=${ACCOUNT.password}\n`,
    });
    await using program = start(folder.rules, { data: folder.data, env: { NODE_EXTRA_CA_CERTS: AUTHORITY } });
    const { body: { runs: [run] } } = await program.post("/api/emit", {
      type: "order.paid",
      subject: "A1",
      data: { to: ["anna@example.org", "carl@example.org"] },
    });
    const [mail] = await server.waitFor(1);
    assert.deepEqual([mail.secure, mail.user, mail.to], [true, "rules", ["anna@example.org", "carl@example.org"]]);
    assert.equal(mail.headers.subject, "Order A1");
    await program.waitForMessage("tell succeeded");
    const trace = await program.api(`runs/${run}`);
    assert.deepEqual(trace.steps[0].output, {
      messageId: mail.headers["message-id"],
      accepted: ["anna@example.org", "carl@example.org"],
      rejected: [],
    });
    assert.doesNotMatch(JSON.stringify(trace) + program.output, /correct horse/);
  });
}

Deno.test("a busy server gets the same mail again, a refusal fails the step, and new settings apply at once", async () => {
  const busy = { code: 451, message: "come back later" };
  await using first = await MailServer.start({}, { mail: (count) => count === 1 ? busy : undefined });
  await using second = await MailServer.start({}, { recipient: () => ({ code: 550, message: "nobody here" }) });
  await using folder = await rulesFolder({
    "tell.yaml": `${RULE}    retry: { attempts: 2, delay: 1ms }\n`,
    "whenthen.yaml": `smtp: { host: 127.0.0.1, port: ${first.port}, from: rules@example.org }\n`,
  });
  await using program = start(folder.rules, { data: folder.data });
  const emit = (id: string) =>
    program.post("/api/emit", { type: "order.paid", id, subject: id, data: { to: "a@b.org" } });
  const { body: { runs: [run] } } = await emit("A1");
  const [mail] = await first.waitFor(1);
  await program.waitForMessage("tell succeeded");
  const { steps: [step] } = await program.api(`runs/${run}`);
  assert.deepEqual([step.attempts, step.output.messageId], [2, mail.headers["message-id"]]);

  await folder.write("whenthen.yaml", `smtp: { host: 127.0.0.1, port: ${second.port}, from: rules@example.org }\n`);
  let count = 1;
  const failed = await until("a mail to the other server", async () => {
    const { body: { runs: [run] } } = await emit(`A${++count}`);
    await program.waitFor("the end of the run", ({ properties }) => properties.run === run && "state" in properties);
    const { steps: [step] } = await program.api(`runs/${run}`);
    return step.state === "failed" ? step : undefined;
  });
  assert.equal(failed.attempts, 1);
  assert.match(failed.error.message, /550 nobody here/);
  assert.equal(failed.error.detail.command, "RCPT TO");
});

Deno.test("check finds a password that is not set and an invalid address", async () => {
  await using folder = await rulesFolder({
    "tell.yaml": RULE.replace("\${{ event.data.to }}", '[anna, "a@b.org, c@d.org", carl@example.org]'),
    "whenthen.yaml": settings(587, "secure: false"),
  });
  const { stdout } = await command("check", folder.rules);
  assert.match(stdout, /whenthen\.yaml:1:60: warning: the secret SMTP_PASSWORD is not set/);
  assert.match(
    stdout,
    /tell\.yaml:5:11: expected an e-mail address such as anna@example\.org or Anna <anna@example\.org>, got "anna"/,
  );
  assert.match(stdout, /, got "a@b\.org, c@d\.org"/);
});
