import assert from "node:assert/strict";
import { guarded } from "../../runtime/folder/guard.ts";
import type { LoaderOptions } from "../../runtime/folder/loader.ts";
import type { LoadedTypeScript } from "../../runtime/folder/typescript/typescript.ts";
import { stepKinds } from "../../runtime/engine/steps/index.ts";
import { simulate } from "../testing/simulating.ts";
import { heads, shown, TestFolder } from "./loading.ts";

const rule = (step = "log: hi") => `when:\n  every: 5m\nthen:\n  - ${step}\n`;
const boom = () => {
  throw new TypeError("boom");
};

Deno.test("guarded() returns the result of the work, or the exception as a problem of the file", () => {
  assert.equal(guarded("a.yaml", () => 1, () => 2), 1);
  assert.equal(
    guarded("a.yaml", boom, ({ file, message }) => `${file}: ${message}`),
    "a.yaml: this file cannot be loaded: boom",
  );
});

const LINE_BREAKS = { "a bare CR": "\r", "U+2028": "\u2028", "U+2029": "\u2029", "U+0085": "\u0085", "NUL": "\0" };

for (const [name, character] of Object.entries(LINE_BREAKS)) {
  Deno.test(`${name} in a line with an error is a problem of that file, whatever the file is`, async () => {
    const text = `a${character}b\n(c: d)`;
    const files = ["a.yaml", "config.yaml", "lib/called.yaml", "code.ts", "whenthen.yaml"];
    for (const file of files) {
      await using folder = await TestFolder.with({
        "good.yaml": rule("call: ./lib/called.yaml"),
        "other.yaml": rule(),
        [file]: text,
      });
      const { rules, problems } = await folder.load();
      assert.ok(problems.some((problem) => problem.file === file), `${file}: ${heads({ problems } as never)}`);
      assert.ok(problems.every(({ message }) => !message.startsWith("this file cannot be loaded")), file);
      if (file !== "config.yaml") assert.ok(rules.has("other"), file);
    }
  });
}

/** Kinds of steps, of which `log` fails in an unexpected way. */
function failingLog(part: "check" | "options"): Partial<LoaderOptions> {
  const log = { ...stepKinds.log };
  Object.defineProperty(log, part, { get: boom });
  return { stepKinds: { ...stepKinds, log } };
}

for (const part of ["check", "options"] as const) {
  Deno.test(`an exception in the check of a rule or an action is a problem of that file, here in ${part}`, async () => {
    await using folder = await TestFolder.with({
      "act.yaml": "inputs: {}\nthen:\n  - log: hi\n",
      "bad.yaml": rule(),
      "good.yaml": rule("run: echo"),
    }, failingLog(part));
    const loaded = await folder.load();
    assert.deepEqual(
      shown(loaded),
      ["act.yaml", "bad.yaml"].map((file) =>
        `${file}:1:1: this file cannot be loaded: boom\n    ${file === "act.yaml" ? "inputs: {}" : "when:"}\n    ^\n` +
        "    this is a fault of whenthen; please report it together with the file"
      ),
    );
    assert.deepEqual([...loaded.rules.keys()], ["good"]);
    assert.deepEqual([...loaded.broken.keys()], ["bad.yaml"]);
  });
}

Deno.test("a rule whose check throws keeps its last good version", async () => {
  await using folder = await TestFolder.with({ "a.yaml": rule("run: echo one") });
  const { version } = (await folder.load()).rules.get("a")!;
  folder.reopen(failingLog("check"));
  await folder.write({ "a.yaml": rule() });
  const loaded = await folder.load();
  assert.deepEqual(heads(loaded), ["a.yaml:1:1: this file cannot be loaded: boom"]);
  assert.equal(loaded.rules.get("a")!.version, version);
});

Deno.test("an exception while a bundle is read is a problem of that file", async () => {
  const strange = Object.defineProperty({ inputs: [], warnings: [] }, "kind", { get: boom });
  const prebuilt = { "bad.ts": strange as unknown as LoadedTypeScript };
  await using folder = await TestFolder.with({ "bad.ts": "", "good.yaml": rule() }, { prebuilt });
  const loaded = await folder.load();
  assert.deepEqual(heads(loaded), ["bad.ts:1:1: this file cannot be loaded: boom"]);
  assert.ok(loaded.rules.has("good"));
});

Deno.test("a test file that cannot be read is a problem of that file; the other tests run", async () => {
  const report = await simulate({
    "good.yaml": `${rule()}tests:\n  - name: runs\n    do:\n      - advance: 5m\n      - expect: { run: succeeded }\n`,
    "folder.test.ts/x.txt": "",
    "bad.test.ts": "a\rb\u2028(c: d)",
  });
  assert.deepEqual(report.problems.map(({ file }) => file), ["bad.test.ts"]);
  assert.equal(report.results.length, 1);
});
