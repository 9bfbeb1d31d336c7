import assert from "node:assert/strict";
import { checkFolder } from "../../runtime/app/check_folder.ts";
import { Folder } from "./app.ts";

Deno.test("a command file can be polled: its output is the list", async () => {
  await using folder = await Folder.with({
    "commands/list.yaml": "command: sh\ninputs: { -c: { type: text } }\n",
    "a.yaml": `
when:
  poll: { call: ./commands/list.yaml, with: { -c: 'echo "[{\\"id\\": 1}, {\\"id\\": 2}]"' } }
  key: item.id
  first: emit
then: [{ log: x }]
`,
    "lines.yaml": `
when:
  poll: { call: ./commands/list.yaml, with: { -c: "echo one; echo two; echo three" } }
  format: lines
  key: item
  first: emit
then: [{ log: x }]
`,
  });
  const { outputs, failures, broken } = await folder.once();
  assert.deepEqual([failures, broken, outputs.length], [[], [], 5]);
});

Deno.test("an action in YAML cannot be polled: a problem says so", async () => {
  await using folder = await Folder.with({
    "lib/list.yaml": "inputs: { a: 1 }\nthen: [{ log: x }]\n",
    "a.yaml": "when: { poll: { call: ./lib/list.yaml }, key: item.id }\nthen: [{ log: x }]\n",
  });
  const { problems } = await checkFolder({ folder: folder.rules, data: `${folder.root}/data` });
  assert.match(problems.map(({ message }) => message).join(), /is an action, whose steps a poll cannot execute/);
});
