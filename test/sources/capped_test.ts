import assert from "node:assert/strict";
import { Folder } from "./app.ts";

const RULE = (max: number) => `
when:
  poll: { call: "./list.ts#list" }
  key: item.id
  max: ${max}
then: [{ log: x }]
`;

const LIST = "export const list = () => Array.from({ length: 30 }, (_, id) => ({ id }));\n";

Deno.test("a poll above max fails, is told once as an event, and works again when max is raised", async () => {
  await using folder = await Folder.with({
    "list.ts": LIST,
    "a.yaml": RULE(20),
    "tell.ts": `
import { event, rule } from "whenthen";
export default rule({ when: event("whenthen.poll.capped"), then: ({ event }) => event.data });
`,
  });
  const first = await folder.once();
  assert.match(first.failures.join(), /more than 20 items, so nothing was compared; raise it with "max"/);
  const [told] = first.outputs;
  assert.deepEqual({ rule: told.rule, max: told.max }, { rule: "a", max: 20 });
  const again = await folder.once();
  assert.deepEqual([again.failures.length, again.outputs.length], [1, 1], "told only when it changes");
  await folder.write({ "list.ts": 'export const list = () => { throw new Error("answered 500") };\n' });
  assert.match((await folder.once()).failures.join(), /answered 500/);
  await folder.write({ "list.ts": LIST });
  assert.equal((await folder.once()).outputs.length, 1, "not told again after a failure of another kind");
  await folder.write({ "a.yaml": RULE(30) });
  assert.deepEqual((await folder.once()).failures, []);
  await folder.write({ "a.yaml": RULE(29) });
  assert.equal((await folder.once()).outputs.length, 2);
});
