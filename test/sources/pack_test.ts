import assert from "node:assert/strict";
import { join } from "node:path";
import { collect } from "../../bin/build/pack/collect.ts";
import { openApp } from "../../runtime/app/app.ts";
import { placePrebuilt } from "../../runtime/folder/typescript/prebuilt.ts";
import { ask, Folder, installed } from "./app.ts";

Deno.test("a packed folder has the packages that its rules call, without node_modules", async () => {
  const rules = {
    "a.yaml":
      "when: { poll: { call: whenthen-list#list }, first: emit }\nthen: [{ call: whenthen-list#shout, with: { n: 1 } }]\n",
    "b.ts": `
import { poll, rule } from "whenthen";
import { list } from "whenthen-list";
export default rule({ when: poll(list(), { first: "emit" }), then: ({ event }) => event.data.new!.id });
`,
  };
  const code = `
import { action, source } from "whenthen";
export const list = source({ key: "item.id", read: () => ({ items: [{ id: "x" }], complete: true }) });
export const shout = action({ inputs: { n: 0 }, run: ({ inputs }) => inputs.n + 1 });
`;
  await using made = await Folder.with({ ...rules, ...installed("whenthen-list", { "mod.ts": code }) });
  const { packed, problems } = await collect({
    folder: made.rules,
    data: join(made.root, "cache"),
    out: join(made.root, "packed"),
  });
  assert.deepEqual(problems, []);
  assert.deepEqual(packed!.files.map(({ path }) => path), ["a.yaml", "b.ts"]);
  await using other = await Folder.with(rules);
  const prebuilt = placePrebuilt(packed!.prebuilt, other.rules);
  const app = await openApp({ folder: other.rules, data: join(other.root, "data"), version: "test", prebuilt });
  try {
    const { failures, failedRuns, broken } = await app.once();
    assert.deepEqual([failures, failedRuns, broken], [[], [], []]);
    const runs: { output: unknown }[] = await ask(app, "/api/runs");
    assert.deepEqual(runs.map(({ output }) => output).filter((output) => output !== null), ["x"]);
    assert.equal(runs.length, 2);
  } finally {
    await app.stop();
  }
});
