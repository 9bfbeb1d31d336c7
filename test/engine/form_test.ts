import assert from "node:assert/strict";
import type { Json, JsonObject } from "../../runtime/model/json.ts";
import type { Person } from "../../runtime/model/form.ts";
import type { Step } from "../../runtime/model/rule.ts";
import { answerForm } from "../../runtime/engine/form_answers.ts";
import { type Bench, callStep, makeRule, makeStep, NO_FILES, START, states, withBench } from "./harness.ts";

const HOUR = 3_600_000;
const DAY = 24 * HOUR;

const person = (id: string, ...groups: string[]): Person => ({
  id,
  name: id.toUpperCase(),
  email: `${id}@example.org`,
  groups,
});
const PEOPLE = [person("anna", "finance"), person("ben", "finance"), person("carl", "cfo")];
const fields = { decision: { type: "choice", choices: ["approve", "reject"], required: true } };

function form(args: JsonObject = {}, more: Partial<Step> = {}): Step {
  return makeStep(
    "approval",
    "form",
    { form: "Refund ${{ event.data }} EUR?", to: ["finance"], fields, ...args },
    more,
  );
}

/** A bench with people, and a run that asks them a form. */
async function asked(bench: Bench, steps: Step[], data: Json = 250) {
  bench.people = PEOPLE;
  bench.functions.see = (args) => args;
  // The clock advances by days while the run works: that must not count as its running time.
  const run = await bench.send(makeRule(steps, { timeout: 30 * DAY }), data);
  await bench.runner.settled(0);
  const [open] = await bench.store.listForms({ run, limit: 1 });
  const answer = (by: Person, values: JsonObject) =>
    answerForm(
      { store: bench.store, files: NO_FILES, clock: bench.clock, onWoken: (runs) => bench.runner.woken(runs) },
      open.id,
      by,
      { values, via: "page" },
    );
  return { run, form: open, answer };
}

const seeApproval = callStep("after", "see", {}, { approval: "${{ steps.approval }}" });

Deno.test("a form waits until one of those asked has answered; the answer is the step's result", () =>
  withBench(async (bench) => {
    const { run, form: open, answer } = await asked(bench, [form({ timeout: 5 * DAY }), seeApproval]);
    assert.equal(open.title, "Refund 250 EUR?");
    assert.deepEqual([open.to, open.fields, open.due, open.state], [["finance"], fields, START + 5 * DAY, "open"]);
    const suspended = await bench.trace(run);
    assert.equal(suspended.run.waitingFor, 'form "Refund 250 EUR?" for finance');
    assert.equal(suspended.run.due, START + 5 * DAY);
    await bench.crash();
    await bench.clock.advanceTo(START + HOUR);
    assert.equal((await answer(PEOPLE[1], { decision: "approve" })).kind, "accepted");
    await bench.finish();
    assert.deepEqual((await bench.trace(run)).steps.at(-1)?.output, {
      approval: { decision: "approve", by: "ben", at: "2026-11-21T09:00:00.000Z" },
    });
  }));

Deno.test("a title is one line, and a longer one is cut at the end of a character and marked", () =>
  withBench(async (bench) => {
    const { form: { title } } = await asked(bench, [form({ form: "${{ event.data }}" })], `a\n  b ${"😀".repeat(600)}`);
    assert.equal(title, `a b ${"😀".repeat(495)}…`);
  }));

Deno.test("an answer is checked: the person, each field, and whether somebody was quicker", () =>
  withBench(async (bench) => {
    const { run, form: { id }, answer } = await asked(bench, [
      form({ fields: { ...fields, reason: { type: "text", required: true } }, timeout: DAY }),
    ]);
    assert.equal((await answer(PEOPLE[2], { decision: "approve" })).kind, "forbidden");
    const invalid = await answer(PEOPLE[0], { decision: "maybe", reason: "  ", resaon: "x" });
    assert.deepEqual(invalid.kind === "invalid" && invalid.problems, {
      decision: 'expected one of "approve", "reject", got "maybe"',
      reason: "expected text, got nothing",
      resaon: 'unknown field; did you mean "reason"?',
    });
    const good = { decision: "reject", reason: "late" };
    const both = await Promise.all([answer(PEOPLE[0], good), answer(PEOPLE[1], good)]);
    assert.deepEqual(both.map(({ kind }) => kind).sort(), ["accepted", "closed"]);
    const options = { store: bench.store, files: NO_FILES, clock: bench.clock, onWoken: () => {} };
    assert.equal((await answerForm(options, "none", PEOPLE[0], { values: {}, via: "api" })).kind, "unknown");
    await bench.finish();
    assert.equal((await bench.trace(run)).run.state, "succeeded");
    assert.equal((await bench.store.getForm(id))?.state, "answered");
  }));

Deno.test("a person without group, of whom only the address is known, may be asked", () =>
  withBench(async (bench) => {
    const { answer } = await asked(bench, [form({ to: ["Dora@Example.org", "anna"] })]);
    assert.deepEqual(bench.mails, ["Dora@Example.org: Refund 250 EUR?", "anna@example.org: Refund 250 EUR?"]);
    const dora = { id: "dora@example.org", name: "Dora", email: "dora@example.org", groups: [] };
    assert.equal((await answer(PEOPLE[1], { decision: "approve" })).kind, "forbidden");
    assert.equal((await answer(dora, { decision: "approve" })).kind, "accepted");
  }));

Deno.test("no answer in time: the result is null, onTimeout runs, and the form is closed", () =>
  withBench(async (bench) => {
    const onTimeout = [makeStep("end", "stop", { stop: "Nobody answered", as: "failed" })];
    const { run, form: { id }, answer } = await asked(bench, [form({ timeout: 5 * DAY }, { onTimeout }), seeApproval]);
    await bench.finish();
    const trace = await bench.trace(run);
    assert.equal(trace.run.state, "failed");
    assert.equal(trace.run.error?.message, "Nobody answered");
    assert.equal(trace.run.endedAt, START + 5 * DAY);
    assert.equal((await bench.store.getForm(id))?.state, "expired");
    assert.equal((await answer(PEOPLE[0], { decision: "approve" })).kind, "closed");
    const quiet = await asked(bench, [form({ timeout: DAY }), seeApproval]);
    await bench.finish();
    assert.deepEqual((await bench.trace(quiet.run)).steps.at(-1)?.output, { approval: null });
  }));

Deno.test("each of those asked gets a mail with a link of their own, which the trace does not show", () =>
  withBench(async (bench) => {
    const { run, form: { id } } = await asked(bench, [form({ timeout: DAY })]);
    assert.deepEqual(bench.mails, ["anna@example.org: Refund 250 EUR?", "ben@example.org: Refund 250 EUR?"]);
    const { steps } = await bench.trace(run);
    assert.deepEqual(steps.map(({ path }) => path), ["approval", "approval/notify/mail", "approval/notify/mail#2"]);
    const link = `https://example.org/forms/${id}?as=ben&until=${START + DAY}`;
    assert.match(bench.texts[1], new RegExp(`Please answer: ${link.replace("?", "\\?")}\n`));
    const { text } = steps[2].input as { text: string };
    assert.equal(
      text,
      `Refund 250 EUR?\n\nPlease answer: https://example.org/forms/${id}?***\n\nIt can be answered until 2026-11-22 08:00 UTC.\n`,
    );
  }));

Deno.test("notify says how people are notified: with form.people, each with a link, and form.url", () =>
  withBench(async (bench) => {
    const notify = [
      callStep("tell", "see", {}, {
        names: "${{ form.people.map(p, p.name) }}",
        links: "${{ form.people.map(p, p.url) }}",
        page: "${{ form.url }}",
        title: "${{ form.title }}",
      }),
      callStep("broken", "broken"),
      callStep("never", "see"),
    ];
    bench.functions.broken = () => {
      throw new Error("no line");
    };
    const { run, form: { id }, answer } = await asked(bench, [form({}, { children: { notify } }), seeApproval]);
    const { steps } = await bench.trace(run);
    assert.deepEqual(states({ steps } as never), [
      "approval waiting",
      "approval/notify/tell succeeded",
      "approval/notify/broken failed",
    ]);
    const page = `https://example.org/forms/${id}`;
    assert.deepEqual(steps[1].output, {
      names: ["ANNA", "BEN"],
      links: [`${page}?***`, `${page}?***`],
      page,
      title: "Refund 250 EUR?",
    });
    assert.deepEqual(bench.mails, []);
    await answer(PEOPLE[0], { decision: "approve" });
    await bench.finish();
    assert.equal((await bench.trace(run)).run.state, "succeeded");
  }));

Deno.test("reminders and the escalation come at their times, each once, whenever the program is restarted", () =>
  withBench(async (bench) => {
    const { run, form: { id }, answer } = await asked(bench, [
      form({ to: ["anna"], remind: DAY, escalate: { after: 2 * DAY + HOUR, to: ["cfo"] }, timeout: 5 * DAY }),
      seeApproval,
    ]);
    const sent: [number, string][] = [];
    for (let hours = 0; hours <= 80; hours += 8) {
      await bench.clock.advanceTo(START + hours * HOUR);
      await bench.runner.settled(0);
      await bench.crash();
      await bench.runner.settled(0);
      sent.push(...bench.mails.splice(0).map((mail): [number, string] => [hours, mail.replace("@example.org", "")]));
    }
    assert.deepEqual(sent, [
      [0, "anna: Refund 250 EUR?"],
      [24, "anna: Reminder: Refund 250 EUR?"],
      [48, "anna: Reminder: Refund 250 EUR?"],
      [56, "carl: Refund 250 EUR?"],
      [72, "anna: Reminder: Refund 250 EUR?"],
      [72, "carl: Reminder: Refund 250 EUR?"],
    ]);
    assert.deepEqual((await bench.store.getForm(id))?.to, ["anna", "cfo"]);
    assert.equal((await bench.trace(run)).run.waitingFor?.split("; ")[0], 'form "Refund 250 EUR?" for anna, cfo');
    assert.equal((await answer(PEOPLE[2], { decision: "approve" })).kind, "accepted");
    await bench.finish();
    const { run: { endedAt }, steps } = await bench.trace(run);
    assert.equal(endedAt, START + 80 * HOUR);
    assert.deepEqual(steps.filter(({ kind }) => kind === "mail").map(({ path }) => path), [
      "approval/notify/mail",
      "approval/remind@1/mail",
      "approval/remind@2/mail",
      "approval/escalate/mail",
      "approval/remind@3/mail",
      "approval/remind@3/mail#2",
    ]);
  }));

Deno.test("an escalation does not notify people who were asked before", () =>
  withBench(async (bench) => {
    await asked(bench, [form({ to: ["anna"], escalate: { after: DAY, to: ["finance"] } })]);
    await bench.clock.advanceTo(START + DAY);
    await bench.runner.settled(0);
    assert.deepEqual(bench.mails, ["anna@example.org: Refund 250 EUR?", "ben@example.org: Refund 250 EUR?"]);
  }));

Deno.test("a person to whom a form is escalated at the time of a reminder is notified once", () =>
  withBench(async (bench) => {
    await asked(bench, [form({ to: ["anna"], remind: DAY, escalate: { after: 2 * DAY, to: ["cfo"] } })]);
    bench.mails.length = 0;
    await bench.clock.advanceTo(START + 2 * DAY);
    await bench.runner.settled(0);
    assert.deepEqual(bench.mails.toSorted(), [
      "anna@example.org: Reminder: Refund 250 EUR?",
      "anna@example.org: Reminder: Refund 250 EUR?",
      "carl@example.org: Refund 250 EUR?",
    ]);
  }));

Deno.test("of the reminders that were missed while the program was down only the last is sent", () =>
  withBench(async (bench) => {
    await asked(bench, [form({ to: ["anna"], remind: DAY })]);
    bench.mails.length = 0;
    bench.clock.jumpTo(START + 3 * DAY + HOUR);
    await bench.crash();
    await bench.runner.settled(0);
    assert.deepEqual(bench.mails, ["anna@example.org: Reminder: Refund 250 EUR?"]);
    assert.equal(await bench.store.nextDue(), START + 4 * DAY);
  }));

Deno.test("an answer aborts notices that are being sent, and the run resumes at once", () =>
  withBench(async (bench) => {
    bench.functions.down = () => {
      throw new Error("no line");
    };
    const notify = [
      callStep("tell", "down", { retry: { attempts: 5, delay: DAY, max: DAY } }),
      makeStep("pause", "wait", { wait: "1d" }),
    ];
    const { run, answer } = await asked(bench, [form({}, { children: { notify } }), seeApproval]);
    assert.equal((await bench.trace(run)).run.due, START + DAY);
    await answer(PEOPLE[0], { decision: "approve" });
    await bench.finish();
    const trace = await bench.trace(run);
    assert.equal(trace.run.state, "succeeded");
    assert.equal(trace.run.endedAt, START);
    assert.deepEqual(states(trace), ["approval succeeded", "approval/notify/tell cancelled", "after succeeded"]);
  }));

Deno.test("an unknown person cannot be asked: the step fails and says so", () =>
  withBench(async (bench) => {
    bench.people = PEOPLE;
    const wrong: JsonObject[] = [
      { to: ["${{ event.data }}"] },
      { to: ["anna"], escalate: { after: DAY, to: ["finanze"] } },
    ];
    for (const args of wrong) {
      const { run } = await bench.run(makeRule([form(args)]), "finanze");
      assert.equal(run.state, "failed");
      assert.match(run.error!.message, /^Cannot ask "finanze": there is no such person, nobody is in a group/);
    }
    assert.deepEqual(bench.mails, []);
  }));

Deno.test("a form that loses against another branch is closed, and an answer to it is refused with the reason", () =>
  withBench(async (bench) => {
    const race = makeStep("race", "parallel", { parallel: ["ask", "wait"], join: "any" }, {
      children: { ask: [form()], wait: [makeStep("pay", "waitFor", { waitFor: "paid" })] },
    });
    const { run, form: { id }, answer } = await asked(bench, [race, seeApproval]);
    assert.equal((await bench.trace(run)).run.waitingFor, 'form "Refund 250 EUR?" for finance; paid');
    assert.deepEqual(await bench.emit("paid"), [run]);
    await bench.finish();
    assert.deepEqual((await bench.trace(run)).steps.at(-1)?.output, { approval: null });
    assert.equal((await bench.store.getForm(id))?.state, "cancelled");
    assert.equal((await answer(PEOPLE[0], { decision: "approve" })).kind, "closed");
  }));

Deno.test("an answer resumes its branch at once while another one works", () =>
  withBench(async (bench) => {
    bench.people = PEOPLE;
    const working = Promise.withResolvers<null>();
    bench.functions = { work: () => working.promise, see: (args) => args };
    const run = await bench.send(makeRule([
      makeStep("both", "parallel", { parallel: ["ask", "work"] }, {
        children: { ask: [form({ remind: DAY }), seeApproval], work: [callStep("work", "work")] },
      }),
    ]));
    await bench.reached(run, "both/ask/approval", "waiting");
    const [{ id }] = await bench.store.listForms({ run, limit: 1 });
    await bench.until(() => bench.mails.length === 2 && bench.calls.includes("work"));
    await answerForm(
      { store: bench.store, files: NO_FILES, clock: bench.clock, onWoken: (runs) => bench.runner.woken(runs) },
      id,
      PEOPLE[0],
      { values: { decision: "reject" }, via: "api" },
    );
    await bench.reached(run, "both/ask/after", "succeeded");
    working.resolve(null);
    await bench.finish();
    assert.equal((await bench.trace(run)).run.state, "succeeded");
  }));
