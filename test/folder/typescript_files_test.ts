import assert from "node:assert/strict";
import { utimes } from "node:fs/promises";
import { join } from "node:path";
import type { Isolates } from "../../runtime/workers/workers.ts";
import { openIsolates } from "../../runtime/workers/open_workers.ts";
import type { LoaderOptions } from "../../runtime/folder/loader.ts";
import type { Loaded } from "../../runtime/folder/loaded.ts";
import { describeReload, diff } from "../../runtime/folder/reload.ts";
import { stopEsbuild } from "../../runtime/folder/typescript/esbuild.ts";
import { heads, shown, TestFolder } from "./loading.ts";

type Files = Record<string, string>;

/** A test in a folder whose TypeScript is evaluated in real workers. */
function test(
  name: string,
  files: Files,
  use: (folder: TestFolder) => Promise<void>,
  options: Partial<LoaderOptions> = {},
) {
  Deno.test(name, async () => {
    const isolates: Isolates = openIsolates({
      secrets: () => ({}),
      onSecret: () => {},
      env: () => ({}),
      onLog: () => {},
    });
    {
      await using folder = await TestFolder.with(files, { isolates, ...options });
      await use(folder);
    }
    await isolates.close();
    await stopEsbuild();
  });
}

const rule = (then: string, imports = "") =>
  `import { rule } from "whenthen";\n${imports}export default rule({ when: { every: "5m" }, then: async ({ step }) => { ${then} } });\n`;

test("a TypeScript rule includes the actions and functions that its code calls", {
  "a.ts": rule('await step.call("tell", "./lib/tell.yaml"); await step.call("read", "./lib/read.ts#read");'),
  "lib/tell.yaml": "inputs: {}\nthen:\n  - log: hi\n",
  "lib/read.ts": "export const read = () => 1;\n",
}, async (folder) => {
  const loaded = await folder.load();
  assert.deepEqual(shown(loaded), []);
  const { actions, modules, language } = loaded.rules.get("a")!;
  assert.equal(language, "typescript");
  assert.deepEqual([Object.keys(actions), Object.keys(modules)], [["lib/tell.yaml"], ["", "lib/read.ts"]]);
});

test("missing exports and files that are called are problems, in YAML and in code", {
  "a.yaml": "when:\n  poll: { call: ./lib/read.ts#raed }\n  key: item.id\nthen:\n  - call: ./lib/bad.ts#x\n",
  "b.ts": rule('await step.call("tell", "./lib/tel.yaml");'),
  "lib/read.ts": "export const read = () => ({ items: [] });\nexport const other = 1;\n",
  "lib/bad.ts": "export const x = ;\n",
  "lib/tell.yaml": "inputs: {}\nthen:\n  - log: hi\n",
}, async (folder) => {
  assert.deepEqual(heads(await folder.load()), [
    'a.yaml:2:17: ./lib/read.ts exports no "raed"',
    "a.yaml:5:11: ./lib/bad.ts does not load",
    "b.ts:2:16: ./lib/tel.yaml does not exist",
    'lib/bad.ts:1:18: unexpected ";"',
    "lib/tell.yaml:2:1: warning: nothing calls this action, so it never runs",
  ]);
});

test("a change of an imported file is a new version, also outside the folder", {
  "rules/a.ts": rule("await step.log('x', text);", 'import { text } from "../lib/text.ts";\n'),
  "rules/b.ts": rule(""),
  "lib/text.ts": 'export const text = "one";\n',
}, async (folder) => {
  folder.reopen({ ...folder.options, folder: join(folder.path, "rules") });
  const before = await folder.load();
  assert.deepEqual(shown(before), []);
  assert.ok(before.outside.includes(join(folder.path, "lib/text.ts")));
  await folder.write({ "lib/text.ts": 'export const text = "two";\n' });
  const after = await folder.load();
  assert.deepEqual(diff(before, after), { loaded: ["a"], kept: [], failed: [], removed: [], unchanged: ["b"] });
});

test("a missing import is found as soon as it exists", {
  "a.ts": rule("await step.log('x', text);", 'import { text } from "./text.ts";\n'),
}, async (folder) => {
  const before = await folder.load();
  assert.deepEqual([...before.broken], [["a.ts", "a"]]);
  await folder.write({ "text.ts": 'export const text = "one";\n' });
  const after = await folder.load();
  assert.deepEqual(shown(after), []);
  assert.ok(after.rules.has("a"));
});

test("unchanged files are not bundled again", { "a.ts": rule("") }, async (folder) => {
  await utimes(join(folder.path, "a.ts"), 1, 1);
  const before = await folder.load();
  const after = await folder.load();
  assert.equal(after.rules.get("a"), before.rules.get("a"));
});

Deno.test("a module that hangs delays the YAML rules no longer than the loadTimeout, and then is a problem", async () => {
  const isolates = openIsolates({
    secrets: () => ({}),
    onSecret: () => {},
    env: () => ({}),
    onLog: () => {},
    blockedAfter: 3_000,
  });
  let late = () => {};
  const ready = new Promise<void>((resolve) => late = resolve);
  {
    const files = { "slow.ts": rule(""), "quick.yaml": "when:\n  every: 5m\nthen:\n  - log: hi\n" };
    await using folder = await TestFolder.with(files, { isolates, loadTimeout: 120_000, onLate: late });
    const first = await folder.load();
    assert.ok(first.rules.has("slow"));
    await folder.write({
      "slow.ts": `for (;;);\n${rule("")}`,
      "quick.yaml": "when:\n  every: 6m\nthen:\n  - log: hi\n",
    });
    await utimes(join(folder.path, "slow.ts"), 1, 1);
    folder.reopen({ isolates, loadTimeout: 100, onLate: late });
    const second = await folder.load();
    assert.deepEqual(diff(first, second), {
      loaded: ["quick"],
      kept: [],
      failed: [],
      removed: [],
      unchanged: ["slow"],
    });
    assert.deepEqual([...second.late], [["slow.ts", "slow"]]);
    const says = (from?: Loaded) =>
      describeReload(from, second).map(({ text }) => text).filter((text) => /slow/.test(text));
    assert.deepEqual(says(first), [
      "late slow: its code is still being evaluated; until then the last good version stays live",
    ]);
    assert.deepEqual(says(second), [], "it is reported once");
    await ready;
    const third = await folder.load();
    assert.match(heads(third)[0], /^slow\.ts:\d+:\d+: cannot be loaded/);
    assert.equal(third.rules.get("slow"), first.rules.get("slow"));
    assert.deepEqual(third.late.size, 0);
  }
  await isolates.close();
  await stopEsbuild();
});
