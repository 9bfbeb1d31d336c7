import assert from "node:assert/strict";
import { dirname } from "node:path";
import { TestClock } from "../e2e/clock.ts";
import { type Program, start } from "../e2e/program.ts";
import { MailServer } from "../e2e/smtp_server.ts";
import { copyExample } from "./example.ts";

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const T0 = Date.parse("2027-01-04T08:00:00Z");

for (const [type, language] of [["comment.added", "YAML"], ["remark.added", "TypeScript"]]) {
  Deno.test(`example 15 in ${language}: one mail an hour for each customer, also if the program is killed meanwhile`, async () => {
    await using server = await MailServer.start();
    await using folder = await copyExample("15-hourly-digest", {
      "whenthen.yaml": `smtp: { host: 127.0.0.1, port: ${server.port}, from: rules@example.org }\n`,
    });
    const clock = await TestClock.in(dirname(folder.rules), T0);
    const at = async (time: number, execute: (program: Program) => Promise<void>) => {
      await clock.set(T0 + time);
      await using program = start(folder.rules, { data: folder.data, env: clock.env });
      await program.url();
      await execute(program);
    };
    const add = async (program: Program, customer: string, text: string, spam = false) => {
      const { body } = await program.post("/api/emit", { type, data: { customer, text, spam } });
      return body.verdicts.map(({ verdict }: { verdict: { kind: string } }) => verdict.kind).join();
    };
    const sent = () => server.mails.map(({ headers, body }) => `${headers.subject} | ${body.trim()}`).sort();

    await at(0, async (program) => {
      assert.equal(await add(program, "c1", "Hello"), "batched");
      assert.equal(await add(program, "c2", "Hi"), "batched");
      assert.equal(await add(program, "c1", "Buy this", true), "condition");
    });
    await at(30 * MINUTE, async (program) => void await add(program, "c1", "And goodbye"));
    assert.deepEqual(sent(), []);
    await at(HOUR + MINUTE, async (program) => {
      await server.waitFor(2);
      assert.deepEqual(sent(), ["c1: 2 new comments | Hello\r\n\r\nAnd goodbye", "c2: 1 new comment | Hi"]);
      assert.deepEqual(server.mails.map(({ to }) => to.join()), ["team@example.org", "team@example.org"]);
      await clock.set(T0 + 2 * HOUR);
      await add(program, "c2", "Still here");
      await clock.set(T0 + 3 * HOUR + MINUTE);
      await server.waitFor(3);
    });
    assert.equal(sent().at(-1), "c2: 1 new comment | Still here");
    assert.equal(server.mails.length, 3);
  });
}
