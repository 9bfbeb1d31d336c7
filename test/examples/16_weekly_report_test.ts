import assert from "node:assert/strict";
import { dirname } from "node:path";
import { TestClock } from "../e2e/clock.ts";
import { type Program, start } from "../e2e/program.ts";
import { WebServer } from "../e2e/web_server.ts";
import { copyExample } from "./example.ts";

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
/** A Wednesday. */
const T0 = Date.parse("2027-01-06T12:00:00Z");
/** Eight o'clock in Berlin. */
const MONDAY = Date.parse("2027-01-11T07:00:00Z");

for (const [type, rule] of [["order.paid", "report"], ["order.settled", "report_in_code"]]) {
  Deno.test(`example 16, ${rule}: one report for each Monday, even without events, or if the program was down`, async () => {
    await using office = await WebServer.start();
    await using folder = await copyExample("16-weekly-report", {
      // The other rule is removed.
      "config.yaml": `${rule}: { office: "${office.url}/reports" }\n${
        rule === "report" ? "report_in_code" : "report"
      }: { enabled: false }\n`,
    });
    const clock = await TestClock.in(dirname(folder.rules), T0);
    const at = async (time: number, execute: (program: Program) => Promise<unknown>) => {
      await clock.set(time);
      await using program = start(folder.rules, { data: folder.data, env: clock.env });
      await program.url();
      await execute(program);
    };
    const pay = async (program: Program, amount: number) => {
      const { status } = await program.post("/events", { type, data: { amount } });
      assert.equal(status, 202);
    };
    const reports = () => office.seen.map(({ body }) => JSON.parse(body));
    const reported = (program: Program) => program.waitForMessage(`${rule} succeeded`);
    const expected: unknown[] = [];

    await at(T0, (program) => pay(program, 12.5));
    await at(T0 + DAY, (program) => pay(program, 7));
    assert.deepEqual(reports(), []);

    // Down at eight, up at noon.
    await at(MONDAY + 4 * HOUR, reported);
    expected.push({ until: "2027-01-11T07:00:00.000Z", orders: 2, total: 19.5 });
    assert.deepEqual(reports(), expected);

    // Up at eight; no events.
    await at(MONDAY + 6 * DAY, async (program) => {
      await clock.set(MONDAY + 7 * DAY + MINUTE);
      await reported(program);
      expected.push({ until: "2027-01-18T07:00:00.000Z", orders: 0, total: 0 });
      assert.deepEqual(reports(), expected);
    });

    // Down for two Mondays: one report.
    await at(MONDAY + 23 * DAY, async (program) => {
      await reported(program);
      await pay(program, 1);
      await clock.set(MONDAY + 28 * DAY + MINUTE);
      await program.waitFor("two reports", counting(2, (message) => message.includes(`${rule} succeeded`)));
    });
    expected.push({ until: "2027-02-01T07:00:00.000Z", orders: 0, total: 0 });
    expected.push({ until: "2027-02-08T07:00:00.000Z", orders: 1, total: 1 });
    assert.deepEqual(reports(), expected);
  });
}

/** Matches the line that completes this number of matches. */
function counting(count: number, matches: (message: string) => boolean) {
  let seen = 0;
  return ({ message }: { message: string }) => matches(message) && ++seen === count;
}
