import assert from "node:assert/strict";
import { writeStatus } from "../status_text.ts";
import { Asana } from "./asana.ts";
import { rulesFor } from "./rules.ts";

const CALLS = `
import { event, rule, start } from "whenthen";
import { comment, complete, create, move, status } from "whenthen-asana";

const at = { url: "URL" };
const auth = { auth: { connection: "asana" } };
export default rule({
  when: start(),
  then: async ({ step }) => {
    const { gid } = await step.call(comment, "say", { task: "1", text: "hello", ...at }, auth);
    const made = await step.call(create, "make", { name: "New", section: "772", due: "2026-12-01", ...at }, auth);
    const child = await step.call(create, "below", { name: "Child", parent: "1", notes: "n", ...at }, auth);
    await step.call(move, "move", { task: "1", section: "880", from: "77", ...at }, auth);
    await step.call(complete, "done", { task: "1", ...at }, auth);
    await step.call(complete, "again", { task: "2", completed: false, ...at }, auth);
    const facts = { task: "3", rule: "welcome", state: "failed", run: "r1", error: "no", ...at };
    await step.call(status, "status", { ...facts, config: '{"greeting":"Hi","days":3}', revision: "abc123\\n" }, auth);
    await step.call(status, "other", { ...facts, rule: "stale", state: "succeeded", error: undefined, config: "days: 3\\ngreeting: Hi" }, auth);
    await step.call(status, "told", { ...facts, comment: true }, auth);
    return { gid, made, child };
  },
});
`;

Deno.test("actions: comment, create, move, complete and status, with 429 and a 5xx between", async () => {
  await using asana = await Asana.start();
  asana.add({ gid: "1", in: ["77"] });
  asana.add({ gid: "2", in: ["77"], completed: true });
  asana.add({ gid: "3", notes: "Our own words" });
  await using folder = await rulesFor(asana, {
    "a.ts": CALLS.replace("...at }, auth)", '...at }, { ...auth, retry: { attempts: 3, delay: "1h" } })'),
  });
  asana.refuseOnce(/^POST .tasks.1.stories/, 429, { "retry-after": "0.1" });
  const { outputs: [output], failed, failures, broken } = await folder.once();
  assert.deepEqual([failed, failures, broken], [[], [], []]);
  assert.equal(asana.stories.get(output.gid)?.text, "hello");
  const made = asana.tasks.get(output.made.gid)!;
  assert.deepEqual([made.name, made.memberships[0].section.gid], ["New", "772"]);
  assert.deepEqual(asana.tasks.get(output.child.gid)!.parent, { gid: "1", resource_type: "task" });
  const one = asana.tasks.get("1")!;
  assert.deepEqual([one.memberships.map(({ section }) => section.gid), one.completed], [["880"], true]);
  assert.equal(asana.tasks.get("2")!.completed, false);
  assert.equal(
    asana.tasks.get("3")!.notes,
    `Our own words

── whenthen: welcome ──
failed
Last run: r1
Error: no
Config:
  greeting: Hi
  days: 3
Rules: revision abc123
──

── whenthen: stale ──
succeeded
Last run: r1
Config:
  days: 3
  greeting: Hi
──`,
  );
  assert.ok([...asana.stories.values()].some(({ target, text }) => target.gid === "3" && text.includes("Error: no")));
});

Deno.test("status: the block of a rule is replaced where it stands; text around it stays", () => {
  const facts = { rule: "a", run: null, error: null, config: null, revision: null, at: null };
  const first = writeStatus({ ...facts, state: "failed", error: "no" }, "before");
  const changed = `${first}\nafter`;
  const second = writeStatus({ ...facts, state: "succeeded" }, changed);
  assert.equal(second, "before\n\n── whenthen: a ──\nsucceeded\n──\nafter");
  const torn = writeStatus({ ...facts, state: "failed" }, "── whenthen: a ──\nsomebody's text");
  assert.equal(torn, "── whenthen: a ──\nfailed\n──\nsomebody's text");
});
