import assert from "node:assert/strict";
import { command } from "./command.ts";
import { ask, PEOPLE, REFUND, until, Visitor } from "./forms.ts";
import { rulesFolder } from "./folder.ts";
import { start } from "./program.ts";
import { MailServer } from "./smtp_server.ts";

const smtp = (port: number) => `smtp: { host: 127.0.0.1, port: ${port}, from: rules@example.org }\n`;

Deno.test("each person gets a mail with a link of their own; the first answer resumes the run, the second gets 409", async () => {
  await using server = await MailServer.start();
  await using folder = await rulesFolder({ "refund.yaml": REFUND, "whenthen.yaml": PEOPLE + smtp(server.port) });
  await using program = start(folder.rules, { data: folder.data });
  const form = await ask(program, "A1");
  const mails = await server.waitFor(2);
  assert.deepEqual(mails.map(({ to }) => to.join()).sort(), ["anna@example.org", "bob@example.org"]);
  const url = await program.url();
  const links = new Map(mails.map(({ to: [to], body }) => {
    const [link] = /http:\S+/.exec(body)!;
    assert.ok(link.startsWith(`${url}/forms/${form}?`), link);
    return [to, link.slice(url.length)];
  }));
  assert.equal(new Set(links.values()).size, 2);
  const visitor = new Visitor(program);
  const invalid = await visitor.fill(links.get("bob@example.org")!, { decision: "approve", amount: "1000" });
  assert.equal(invalid.status, 422);
  const answered = await visitor.fill(links.get("bob@example.org")!, { decision: "approve", amount: "50" });
  assert.equal(answered.status, 303);
  assert.match((await visitor.get(answered.location!)).text, /Thank you/);
  await program.waitForMessage("A1: approve by bob");
  const late = await visitor.get(links.get("anna@example.org")!);
  assert.equal(late.status, 409);
  assert.match(late.text, /Bob answered this form/);
  const { notes, steps } = await program.api(`runs/${(await program.api(`forms/${form}`)).run}`);
  assert.ok(notes.some(({ text }: { text: string }) => /answered by bob \(link\)/.test(text)), JSON.stringify(notes));
  const approval = steps.find(({ path }: { path: string }) => path === "approval");
  assert.deepEqual({ ...approval.output, at: "" }, {
    decision: "approve",
    amount: 50,
    pause: null,
    reason: null,
    by: "bob",
    at: "",
  });
});

Deno.test("a session, a link and an open form outlive a crash; a person removed from people loses session and link at once", async () => {
  await using server = await MailServer.start();
  const settings = PEOPLE + smtp(server.port);
  await using folder = await rulesFolder({ "refund.yaml": REFUND, "whenthen.yaml": settings });
  const at = { data: folder.data, args: ["--port", "0"] };
  let session: Visitor;
  let form: string;
  let link: string;
  {
    await using program = start(folder.rules, at);
    form = await ask(program, "A1");
    const [mail] = await server.waitFor(1, ({ to }) => to.includes("bob@example.org"));
    link = new URL(/http:\S+/.exec(mail.body)![0]).pathname + new URL(/http:\S+/.exec(mail.body)![0]).search;
    session = new Visitor(program);
    assert.equal((await session.signIn("anna")).status, 303);
    await program.kill();
  }
  await using program = start(folder.rules, at);
  await program.url();
  const visitor = session.at(program);
  assert.match((await visitor.get("/forms")).text, /Refund 250 EUR\?/);
  assert.equal((await visitor.get(link)).status, 200);
  await folder.write(
    "whenthen.yaml",
    settings.replace(/^ {2}(anna|bob).*\n/gm, "").replace("people:", "people:\n  eve: { groups: [finance] }"),
  );
  await until("the end of the link", async () => (await visitor.get(link)).status === 403 || undefined);
  assert.equal((await visitor.get(`/forms/${form}`)).location, `/forms/sign-in?to=%2Fforms%2F${form}`);
});

Deno.test("forms are listed and answered from a terminal, with the program running or not", async () => {
  await using folder = await rulesFolder({ "refund.yaml": REFUND, "whenthen.yaml": PEOPLE });
  const cli = (...args: string[]) => command("--data", folder.data, ...args);
  let form: string;
  {
    await using program = start(folder.rules, { data: folder.data });
    const first = await ask(program, "A1");
    form = await ask(program, "A2");
    const listed = await cli("forms");
    assert.match(listed.stdout, /^FORM +RULE +FOR +SINCE +UNTIL +TITLE\n/);
    assert.match(listed.stdout, new RegExp(`${first} +refund +finance +\\S.* in \\S+ +Refund 250 EUR\\?\\n${form} `));
    assert.equal((await cli("forms", "--for", "carl")).stdout, "No forms\n");
    const wrong = await cli("answer", form, "--as", "anna", "decision=perhaps", "amount=5", "reson=x");
    assert.equal(wrong.code, 1);
    assert.match(
      wrong.stderr,
      /decision: expected one of "approve", "reject", got "perhaps"; reson: unknown field; did you mean "reason"\?/,
    );
    const forbidden = await cli("answer", form, "--as", "carl", "decision=approve", "amount=5");
    assert.deepEqual([forbidden.code, forbidden.stderr], [1, `The form "${form}" is not for carl\n`]);
    const answered = await cli(
      "answer",
      first,
      "--as",
      "anna@example.org",
      "decision=reject",
      "amount=5",
      "reason=too late = no",
    );
    assert.equal(answered.code, 0, answered.stderr);
    assert.match(answered.stdout, /^Answered as anna; run \w+ resumes\n$/);
    await program.waitForMessage("A1: reject by anna");
    assert.equal((await cli("answer", first, "--as", "anna", "decision=reject", "amount=5")).code, 1);
    assert.match((await cli("forms", "--state", "answered")).stdout, /Refund 250 EUR\?; answered by anna .*\(api\)/);
    assert.equal(await program.stop(), 0);
  }
  const data = JSON.stringify({ decision: "approve", amount: 7 });
  const answered = await cli("answer", form, "--as", "bob", "--data", data, "--json");
  assert.equal(answered.code, 0, answered.stderr);
  assert.deepEqual(JSON.parse(answered.stdout).answer.values, {
    decision: "approve",
    amount: 7,
    pause: null,
    reason: null,
  });
  await using program = start(folder.rules, { data: folder.data });
  await program.waitForMessage("A2: approve by bob");
  for (
    const args of [["answer", form], ["answer", form, "--as", "bob", "x"], [
      "answer",
      form,
      "--as",
      "bob",
      "--data",
      "[]",
    ]]
  ) {
    assert.equal((await cli(...args)).code, 64, args.join(" "));
  }
});

Deno.test("people are added from a terminal, and answer with their token at once", async () => {
  await using folder = await rulesFolder({
    "refund.yaml": REFUND.replace("finance", "eve"),
    "whenthen.yaml": "# ours\nport: 0\n",
  });
  const people = (...args: string[]) => command("people", ...args, "--folder", folder.rules);
  const added = await people("add", "eve", "--name", "Eve", "--group", "board", "--token", "--json");
  assert.equal(added.code, 0, added.stderr);
  const { token } = JSON.parse(added.stdout);
  assert.match((await people()).stdout, /^eve +Eve +token +board$/m);
  assert.equal((await people("add", "eve", "--name", "Eva", "--token")).code, 64);
  await using program = start(folder.rules, {
    data: folder.data,
    env: { WHENTHEN_TOKEN: "operator" },
    args: ["--host", "0.0.0.0"],
  });
  const headers = { authorization: "Bearer operator" };
  const { body: { runs: [run] } } = await program.post("/api/emit", {
    type: "refund.requested",
    id: "A1",
    data: { amount: 1 },
  }, headers);
  const mine = async () =>
    await (await program.fetch("/api/forms", { headers: { authorization: `Bearer ${token}` } })).json();
  const forms = await until("a form", async () => {
    const found = await mine();
    return found.length > 0 ? found : undefined;
  });
  assert.equal(forms[0].run, run);
  assert.equal((await program.fetch("/api/runs", { headers: { authorization: `Bearer ${token}` } })).status, 401);
  assert.equal((await new Visitor(program).get("/forms/sign-in")).status, 200);
  const values = { decision: "approve", amount: 1 };
  const answered = await program.post(`/api/forms/${forms[0].id}`, { values }, { authorization: `Bearer ${token}` });
  assert.equal(answered.status, 200);
  await program.waitForMessage("A1: approve by eve");
});

Deno.test("behind a proxy wrong passwords are counted by client address", async () => {
  await using folder = await rulesFolder({ "refund.yaml": REFUND, "whenthen.yaml": PEOPLE });
  await using program = start(folder.rules, { data: folder.data });
  const signIn = async (from: string) => {
    const body = new URLSearchParams({ name: "anna", password: "wrong" });
    const response = await program.fetch("/forms/sign-in", {
      method: "POST",
      body,
      headers: { "x-forwarded-for": from },
    });
    await response.body?.cancel();
    return response.status;
  };
  for (let count = 0; count < 5; count++) assert.equal(await signIn("198.51.100.1, 198.51.100.7"), 401);
  assert.equal(await signIn("198.51.100.99, 198.51.100.7"), 429, "the address from the nearest proxy counts");
  assert.equal(await signIn("198.51.100.1, 198.51.100.8"), 401);
});
