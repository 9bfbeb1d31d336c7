import assert from "node:assert/strict";
import { type RuleTester, testRule } from "whenthen";
import discussion from "./discussion_in_code.ts";

const now = "2027-01-04T08:00:00Z"; // Monday, nine o'clock in Berlin: T0
const list = "https://list.example.org";
const mails = [{ from: "ann", subject: "Hello" }, { from: "bob", subject: "Me too" }];

// A list of answers is used up: one request more than it has fails the test.
const stub = {
  announce: [{ status: 201 }],
  calls: [{ body: [{ subject: "Talk", at: "2027-01-06" }] }],
  block: [{ status: 201 }],
  mails: { body: [] },
  "mails#2": { body: mails },
  tell: [{ status: 200 }],
  warn: [{ status: 201 }],
  evaluate: [{ status: 200 }],
};

/** The names of the steps that have succeeded; which of several branches was first does not matter. */
function done({ seen }: RuleTester): string[] {
  const succeeded = seen.steps.filter(({ state }) => state === "succeeded");
  return succeeded.map(({ step }) => step.slice(step.lastIndexOf("/") + 1)).sort();
}

testRule(discussion, "one week, with mail after an hour", { now, stub }, async (t) => {
  const sixDays = { step: "sixDays", until: "2027-01-10T08:00:00Z" };
  const deadline = { step: "deadline/wait", until: "2027-01-11T08:00:00Z" };
  const steps = ["announce", "calls", "block", "mails"];
  const see = (...waits: { step: string; until?: string }[]) => {
    t.expect({ run: "waiting", waits }, { exact: true });
    assert.deepEqual(done(t), steps.toSorted());
  };

  await t.send({});
  see(sixDays, deadline, { step: "hour", until: "2027-01-04T09:00:00Z" });

  await t.advance("1h"); // there is mail
  steps.push("hour", "mails#2");
  see(sixDays, deadline, { step: "moderate" });
  t.expect({ form: { step: "moderate", title: "Mails to moderate: 2", to: ["moderators"], until: null } });

  await t.advance("2h");
  await t.answer("moderate", { as: "val", with: { decision: "reject" }, refused: "forbidden" });
  see(sixDays, deadline, { step: "moderate" });
  await t.answer("moderate", { as: "meg", with: { decision: "reject", note: "Spam" } });
  steps.push("moderate", "tell");
  see(sixDays, deadline, { step: "hour#2", until: "2027-01-04T12:00:00Z" });
  t.expect({ form: "none", calls: [{ http: `POST ${list}/reject`, json: { mails, by: "meg", note: "Spam" } }] });

  await t.advance("1h"); // four hours after T0
  steps.push("hour#2", "mails#3");
  see(sixDays, deadline, { step: "hour#3", until: "2027-01-04T13:00:00Z" });

  await t.advance("2027-01-10T07:59:59Z"); // six days after T0, nearly
  for (let turn = 4; turn <= 142; turn++) steps.push(`hour#${turn - 1}`, `mails#${turn}`);
  see(sixDays, deadline, { step: "hour#142", until: "2027-01-10T08:00:00Z" });
  await t.advance("1s");
  steps.push("sixDays", "warn", "hour#142", "mails#143");
  see(deadline, { step: "hour#143", until: "2027-01-10T09:00:00Z" });

  await t.advance("1d"); // joined, evaluated once, ended
  for (let turn = 144; turn <= 166; turn++) steps.push(`hour#${turn - 1}`, `mails#${turn}`);
  steps.push("hour#166", "wait", "discussion", "week", "evaluate");
  assert.deepEqual(done(t), steps.toSorted());
  t.expect({ run: "succeeded", steps: { "discussion/loop": "cancelled" }, waits: [] }, { exact: true });
  t.expect({ calls: [{ http: `POST ${list}/evaluations`, json: { call: true } }] });
});

testRule(discussion, "the deadline ends it, also while a form is open", {
  stub: { ...stub, mails: { body: mails }, calls: { body: [] } },
}, async (t) => {
  await t.send({});
  t.expect({ form: { step: "moderate" } });
  await t.advance("7d");
  t.expect({ run: "succeeded", form: "none", steps: { moderate: "cancelled" } });
  t.expect({ calls: [{ http: `POST ${list}/evaluations`, json: { call: false } }] });
  await t.answer("moderate", { with: { decision: "publish" }, refused: "closed" });
});

testRule(discussion, "a list that cannot be asked, or does not take the decision, is asked again in an hour", {
  stub: { ...stub, mails: { status: 404 }, "mails#3": { body: mails }, tell: { status: 400 } },
}, async (t) => {
  await t.send({});
  t.expect({ form: "none", logs: ["answered 404"] });
  await t.advance("1h");
  await t.answer("moderate", { with: { decision: "publish" } });
  t.expect({ steps: { tell: "failed" }, waits: [{ step: "hour#2" }], logs: ["answered 400"] });
  await t.advance("1h");
  t.expect({ form: { step: "moderate" } });
});
