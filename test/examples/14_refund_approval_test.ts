import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { TestClock } from "../e2e/clock.ts";
import { Visitor } from "../e2e/forms.ts";
import { type Answered, type Program, start } from "../e2e/program.ts";
import { MailServer, type Received } from "../e2e/smtp_server.ts";
import { until } from "../e2e/until.ts";
import { WebServer } from "../e2e/web_server.ts";
import { copyExample, ROOT } from "./example.ts";

const EXAMPLE = "14-refund-approval";
const MINUTE = 60_000;
const DAY = 24 * 60 * MINUTE;
const T0 = Date.parse("2027-01-04T08:00:00Z");

const QUESTION = (order: string) => `Refund 250 EUR for order ${order}?`;

/** The path of the page in a mail's link. */
function linkIn({ body }: Received): string {
  const { pathname, search } = new URL(/http:\S+/.exec(body)![0]);
  return pathname + search;
}

for (const type of ["refund.requested", "refund.wanted"]) {
  const language = type === "refund.requested" ? "YAML" : "TypeScript";
  Deno.test(`example 14 in ${language}: reminded, escalated, decided by a link, timed out; each mail once, whenever it is killed`, async () => {
    await using server = await MailServer.start();
    await using bank = await WebServer.start();
    const settings = await readFile(join(ROOT, "examples", EXAMPLE, "whenthen.yaml"), "utf8");
    await using folder = await copyExample(EXAMPLE, {
      "config.yaml": `all: { bank: "${bank.url}" }\n`,
      "whenthen.yaml": `${settings}smtp: { host: 127.0.0.1, port: ${server.port}, from: rules@example.org }\n`,
    });
    const clock = await TestClock.in(dirname(folder.rules), T0);
    const at = async (time: number, execute: (program: Program) => Promise<void>) => {
      await clock.set(T0 + time);
      await using program = start(folder.rules, { data: folder.data, env: clock.env });
      await program.url();
      await execute(program);
    };
    const states = async (program: Program) => {
      const runs: Answered[] = await program.api("runs");
      return runs.map(({ event, state }) => `${event.data.order} ${state}`).sort().join();
    };
    const see = (program: Program, wanted: string) => until(wanted, () => states(program), (seen) => seen === wanted);
    const request = (program: Program, order: string, amount: number) =>
      program.post("/api/emit", { type, data: { order, amount } });
    const sent = () => server.mails.map(({ to, headers }) => `${to}: ${headers.subject}`).sort();
    const mail = (who: string[], text: string) =>
      who.flatMap((name) => ["A1", "B1"].map((order) => `${name}@example.org: ${text}${QUESTION(order)}`));
    const expected: string[] = mail(["anna", "ben"], "");

    await at(0, async (program) => {
      for (const [order, amount] of [["A1", 250], ["B1", 250], ["C1", 20]] as const) {
        await request(program, order, amount);
      }
      await server.waitFor(4);
      await see(program, "A1 waiting,B1 waiting,C1 succeeded");
    });
    assert.deepEqual(bank.seen.map(({ path, body }) => `${path} ${body}`), ['/refunds/C1 {"amount":20}']);
    assert.deepEqual(sent(), expected.sort());

    await at(DAY + MINUTE, async (program) => {
      await server.waitFor(8);
      await see(program, "A1 waiting,B1 waiting,C1 succeeded");
    });
    expected.push(...mail(["anna", "ben"], "Reminder: "));
    assert.deepEqual(sent(), expected.sort());

    await at(2 * DAY + 2 * MINUTE, async (program) => {
      const isForCarl = ({ to, headers }: Received) =>
        to[0] === "carl@example.org" && headers.subject === QUESTION("A1");
      const [toCarl] = await server.waitFor(1, isForCarl);
      await server.waitFor(14);
      expected.push(...mail(["anna", "ben"], "Reminder: "), ...mail(["carl"], ""));
      assert.deepEqual(sent(), expected.sort());
      const carl = new Visitor(program);
      assert.equal((await carl.fill(linkIn(toCarl), { decision: "approve" })).status, 303);
      await see(program, "A1 succeeded,B1 waiting,C1 succeeded");
    });

    await at(5 * DAY + 3 * MINUTE, async (program) => {
      await see(program, "A1 succeeded,B1 failed,C1 succeeded");
      const [{ error }] = await program.api("runs?state=failed");
      assert.equal(error.message, "Nobody answered");
      const [late] = server.mails.filter(({ headers }) => headers.subject === QUESTION("B1"));
      assert.equal((await new Visitor(program).get(linkIn(late))).status, 409);
      assert.deepEqual(await program.api("forms"), []);
    });
    assert.deepEqual(sent(), expected.sort());
    assert.deepEqual(bank.seen.map(({ path }) => path), ["/refunds/C1", "/refunds/A1"]);
  });
}
