import assert from "node:assert/strict";
import { rulesFolder } from "./folder.ts";
import { start } from "./program.ts";

const ALERT = `
when:
  event: [whenthen.run.failed, whenthen.rule.broken, whenthen.hook.refused]
then:
  - log: "told: \${{ event.type }} \${{ event.subject }}"
  - run: [sh, -c, "exit 3"]
    if: event.type == "whenthen.run.failed"
`;
const PAY = `
when: { webhook: /pay, auth: basic, secret: USERS }
then:
  - run: [sh, -c, "exit 4"]
`;

Deno.test("the program tells what goes wrong, once, and nobody else can send its events", async () => {
  await using folder = await rulesFolder({ "alert.yaml": ALERT, "pay.yaml": PAY });
  await using program = start(folder.rules, { data: folder.data, env: { USERS: "shop:open" } });
  const url = await program.url();
  const pay = (password: string) =>
    fetch(`${url}/hooks/pay`, { method: "POST", headers: { authorization: `Basic ${btoa(`shop:${password}`)}` } })
      .then(async (response) => (await response.body?.cancel(), response.status));
  assert.equal(await pay("open"), 202);
  await program.waitForMessage("told: whenthen.run.failed pay");
  assert.deepEqual([await pay("shut"), await pay("shut")], [401, 401]);
  await program.waitForMessage("told: whenthen.hook.refused /pay");
  await folder.write("pay.yaml", PAY.replace("run:", "rnu:"));
  await program.waitForMessage("told: whenthen.rule.broken pay.yaml");
  // The alert's own run failed, too, which starts no further run.
  await program.waitFor("the verdict of its own failure", ({ message }) => message.includes("looped"));
  const told = program.lines.map(({ message }) => message).filter((message) => message.startsWith("told: "));
  assert.equal(told.length, 3, told.join("\n"));
  const sent = await program.post("/events", { type: "whenthen.run.failed", data: {} });
  assert.equal(sent.status, 400);
  assert.match(sent.body.error, /whenthen\..*own/);
});
