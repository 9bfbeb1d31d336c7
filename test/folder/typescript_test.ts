import assert from "node:assert/strict";
import { mkdir, readdir, readFile, symlink, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { stepKinds } from "../../runtime/engine/steps/index.ts";
import { describeReload, diff } from "../../runtime/folder/live_rules.ts";
import type { Loaded } from "../../runtime/folder/loaded.ts";
import type { LoaderOptions } from "../../runtime/folder/loader.ts";
import { type LoadedTypeScript, loadTypeScript } from "../../runtime/folder/typescript/typescript.ts";
import { stopEsbuild } from "../../runtime/folder/typescript/typescript_bundle.ts";
import { formatProblem, guarded } from "../../runtime/model/problem.ts";
import { type IsolateOptions, openIsolates } from "../../runtime/workers/open_workers.ts";
import { UserCode } from "../../runtime/workers/user_code.ts";
import type { BundledModule, Isolates } from "../../runtime/workers/workers.ts";
import { simulate } from "../testing/simulating.ts";
import { executor, never, scope, withFolder, withIsolates } from "../workers/harness.ts";
import { heads, shown, TestFolder } from "./loading.ts";

const RULE = `import { manual, rule } from "whenthen";\nexport default rule({ when: manual(), then: () => {} });\n`;

interface Fixture {
  folder: string;
  isolates: Isolates;
  load(file: string): Promise<LoadedTypeScript>;
  /** The problems of a file as printed. */
  problems(file: string): Promise<string>;
}

function withLoader(
  files: Record<string, string>,
  use: (fixture: Fixture) => Promise<void>,
  options: Partial<IsolateOptions> = {},
): Promise<void> {
  return withIsolates(options, ({ isolates }) =>
    withFolder(files, async (folder) => {
      const load = (file: string) =>
        loadTypeScript({ folder, file, isolates, cacheFolder: join(folder, ".data/cache") });
      const problems = async (file: string) => {
        const loaded = await load(file);
        assert.equal(loaded.kind, "problems");
        return loaded.kind === "problems" ? loaded.problems.map(formatProblem).join("\n") : "";
      };
      await use({ folder, isolates, load, problems });
    }));
}

function run(isolates: Isolates, code: string, version = "v") {
  const module: BundledModule = { version, file: "a.ts", code };
  return isolates.runRule(module, scope(), executor(), never);
}

const DECORATED = `import { manual, rule } from "whenthen";
import { three } from "@lib/three.ts";
import { four } from "four";

const seen: unknown[] = [];
function note(target: unknown, key?: unknown) {
  // The decorators of TypeScript get the class, those of the standard a context.
  seen.push(typeof key === "string" ? "experimental" : "standard");
}
class Device {
  @note
  start() {}
}

export default rule({ when: manual(), then: () => \`\${seen} \${three + four} \${new Device().start()}\` });
`;

Deno.test("tsconfig.json maps imports by paths and chooses the kind of decorators, also by what it extends", () =>
  withLoader({
    "tsconfig.json": `{ "extends": "./base.json" } // as for editors`,
    "base.json": `{
      "compilerOptions": {
        "target": "ES2024",
        "experimentalDecorators": true, // legacy
        "paths": { "@lib/*": ["./shared/*"], "four": ["./shared/four"] },
      },
    }`,
    "ops/a.ts": DECORATED,
    "shared/three.ts": "export const three = 3;",
    "shared/four.ts": "export const four = 4;",
  }, async ({ folder, isolates, load }) => {
    const loaded = await load("ops/a.ts");
    assert.equal(loaded.kind, "rule", JSON.stringify(loaded));
    if (loaded.kind !== "rule") return;
    assert.deepEqual(loaded.warnings, []);
    assert.equal(await run(isolates, loaded.code), "experimental 7 undefined");
    const inputs = loaded.inputs.map((path) => path.slice(folder.length + 1)).sort();
    const all = ["base.json", "ops/a.ts", "ops/tsconfig.json", "shared/four.ts", "shared/three.ts", "tsconfig.json"];
    assert.deepEqual(inputs, all);
  }));

Deno.test("without a tsconfig.json decorators are those of the standard", () =>
  withLoader({
    "a.ts": DECORATED.replace("@lib/three.ts", "./three.ts").replace('from "four"', 'from "./four.ts"'),
    "three.ts": "export const three = 3;",
    "four.ts": "export const four = 4;",
  }, async ({ isolates, load }) => {
    const loaded = await load("a.ts");
    assert.equal(loaded.kind, "rule", JSON.stringify(loaded));
    if (loaded.kind === "rule") assert.equal(await run(isolates, loaded.code), "standard 7 undefined");
  }));

Deno.test("a tsconfig.json that maps to nothing, or is none, is a problem that says so", () =>
  withLoader({
    "tsconfig.json": `{ "compilerOptions": { "paths": { "@lib/*": ["./lib/*"] } } }`,
    "a.ts": `import { three } from "@lib/three";\nexport default three;\n`,
    "b/tsconfig.json": "{ no",
    "b/b.ts": RULE,
  }, async ({ folder, load, problems }) => {
    assert.equal(
      await problems("a.ts"),
      'a.ts:1:23: cannot find "@lib/three"\n    import { three } from "@lib/three";\n                          ^^^^^^^^^^^^\n' +
        "    paths in tsconfig.json name lib/three",
    );
    const { inputs } = await load("a.ts");
    assert.ok(inputs.includes(join(folder, "lib/three.ts")), "it is made later");
    assert.match(await problems("b/b.ts"), /^b\/tsconfig\.json:1:3: expected string in JSON but found "no"/);
  }));

Deno.test("a rule is bundled with what it imports, and its declaration read", () =>
  withLoader({
    "ops/disk.ts": `import { manual, rule } from "whenthen";
import { double } from "../lib/double.ts";
import { three } from "three";
import { four } from "npm:four@4";

// rule(…) in a comment
export default rule({ when: manual(), then: () => double(three + four.value) });
`,
    "lib/double.ts": `export const double = (n: number): number => n * 2;`,
    "node_modules/three/package.json": `{ "name": "three", "type": "module", "exports": "./index.js" }`,
    "node_modules/three/index.js": `export const three = 3;`,
    "node_modules/four/package.json": `{ "name": "four" }`,
    "node_modules/four/index.js": `const { sep } = require("path"); exports.four = { value: sep.length * 4 };`,
  }, async ({ folder, isolates, load }) => {
    const loaded = await load("ops/disk.ts");
    assert.ok(loaded.kind === "rule");
    assert.deepEqual(loaded.declaration, { when: { manual: true }, then: { function: true } });
    assert.deepEqual(loaded.at, { line: 7, column: 16, length: 4 });
    assert.match(loaded.sourceLine, /^export default rule/);
    assert.deepEqual(loaded.warnings, []);
    const packages = ["node_modules/four/index.js", "node_modules/three/index.js"];
    const inputs = ["lib/double.ts", ...packages, "ops/disk.ts", "ops/tsconfig.json", "tsconfig.json"];
    assert.deepEqual(loaded.inputs.toSorted(), inputs.map((path) => join(folder, path)));
    assert.equal(await run(isolates, loaded.code), 14);
    const code = new UserCode(loaded.code);
    assert.equal(code.textOf("ops/disk.ts"), await readFile(join(folder, "ops/disk.ts"), "utf8"), "people read it");
    assert.equal(code.textOf("node_modules/three/index.js"), undefined, "sources of packages are not kept");
    assert.deepEqual(code.placesOfText("double(").at(-1), { file: "ops/disk.ts", line: 7, column: 51 });
  }));

Deno.test("the same files give the same code in another folder", async () => {
  const codes: string[] = [];
  for (let n = 0; n < 2; n++) {
    await withLoader({ "a.ts": `import "./b.ts";\n${RULE}`, "b.ts": "export {};" }, async ({ load }) => {
      const loaded = await load("a.ts");
      codes.push(loaded.kind === "rule" ? loaded.code : "");
    });
  }
  assert.notEqual(codes[0], "");
  assert.equal(codes[0], codes[1]);
});

Deno.test("a file without a rule as its default export is a helper", () =>
  withLoader({ "a.ts": `export const read = () => 1; export default function () {}` }, async ({ load }) => {
    const loaded = await load("a.ts");
    assert.ok(loaded.kind === "helper");
    assert.deepEqual(loaded.exports, ["default", "read"]);
  }));

Deno.test("a declaration is read once for the same contents, also with two programs at a time", () =>
  withLoader({ "a.ts": RULE }, async ({ folder, load, isolates }) => {
    const loads = await Promise.all([load("a.ts"), load("a.ts")]);
    assert.deepEqual(loads.map((loaded) => loaded.kind), ["rule", "rule"]);
    const cacheFolder = join(folder, ".data/cache");
    const names = await readdir(cacheFolder);
    assert.equal(names.length, 1);
    const refuse = { describe: () => Promise.reject(new Error("asked again")) };
    const again = await loadTypeScript({ folder, file: "a.ts", isolates: refuse, cacheFolder });
    assert.deepEqual(again, loads[0]);
    await writeFile(join(cacheFolder, names[0]), `{"torn`);
    assert.deepEqual(await loadTypeScript({ folder, file: "a.ts", isolates, cacheFolder }), loads[0]);
    assert.doesNotThrow(async () => JSON.parse(await readFile(join(cacheFolder, names[0]), "utf8")));
  }));

Deno.test("a cache that cannot be written does no harm", () =>
  withLoader({ "a.ts": RULE, "file": "" }, async ({ folder, isolates }) => {
    const loaded = await loadTypeScript({ folder, file: "a.ts", isolates, cacheFolder: join(folder, "file/cache") });
    assert.equal(loaded.kind, "rule");
  }));

Deno.test("a syntax error is a problem with line, column and caret, counted in characters", () =>
  withLoader({ "a.ts": `const ü = "ä"; const x = ];\n` }, async ({ problems }) => {
    assert.equal(
      await problems("a.ts"),
      `a.ts:1:26: unexpected "]"\n    const ü = "ä"; const x = ];\n                             ^`,
    );
  }));

Deno.test("a missing import is a problem with a remedy, and its path is watched", () =>
  withLoader({
    "a.ts":
      `import "./missing.ts";\nimport pad from "left-pad/lib";\nimport { x } from "@scope/name/sub";\nexport default [pad, x];\n`,
    "b.ts": `import "npm:left-pad@1.2";\nimport "jsr:@std/path@1";\nimport "https://deno.land/x/y.ts";`,
    "c.ts": `import { rulle } from "whenthen";\nrulle();`,
  }, async ({ folder, load, problems }) => {
    const shown = await problems("a.ts");
    assert.match(shown, /a\.ts:1:8: cannot find "\.\/missing\.ts"\n {4}import "\.\/missing\.ts";\n {11}\^{14}\n/);
    assert.match(shown, /a\.ts:2:17: cannot find the package "left-pad"\n.*\n.*\n {4}npm install left-pad/);
    assert.match(shown, /a\.ts:3:19: cannot find the package "@scope\/name"\n.*\n.*\n {4}npm install @scope\/name/);
    assert.ok((await load("a.ts")).inputs.includes(join(folder, "missing.ts")));
    const prefixed = await problems("b.ts");
    assert.match(
      prefixed,
      /b\.ts:1:8: cannot find the package "npm:left-pad@1\.2"\n.*\n.*\n {4}npm install left-pad@1\.2/,
    );
    assert.match(prefixed, /b\.ts:2:8: cannot find the package .*\n.*\n.*\n {4}npx jsr add @std\/path@1/);
    assert.match(prefixed, /b\.ts:3:8: cannot import "https:.*\n.*\n.*\n {4}install the package with npm/);
    assert.match(await problems("c.ts"), /c\.ts:1:10: there is no "rulle" to import/);
  }));

Deno.test("a problem in an imported file is reported there", () =>
  withLoader(
    { "a.ts": `import "./lib/b.ts";`, "lib/b.ts": `\nlet x = ;`, "ops/c.ts": "let x y;" },
    async ({ problems }) => {
      assert.match(await problems("a.ts"), /^lib\/b\.ts:2:9: unexpected ";"/);
      assert.match(await problems("ops/c.ts"), /^ops\/c\.ts:1:7: expected ";" but found "y"/);
    },
  ));

Deno.test("APIs that rule code may not use are refused with the alternative", () =>
  withLoader({
    "a.ts": `import { spawn } from "node:child_process";\nimport "worker_threads";\nexport default () => spawn("ls");`,
    "b.ts":
      `// Deno.serve is not meant\nconst text = "Bun.serve";\nconst Bun = { spawn() {} };\nBun.spawn();\nexport const x = () => Deno.serve(() => new Response(text));\nexport const y = new Deno.Command("ls");`,
    "c.ts": `import { version } from "dep";\n${RULE}export { version };`,
    "node_modules/dep/index.js":
      `exports.version = typeof Deno !== "undefined" && Deno.env ? 1 : 2; require("child_process");`,
  }, async ({ load, problems }) => {
    const modules = await problems("a.ts");
    assert.match(modules, /a\.ts:1:23: rule code cannot use "node:child_process"\n.*\n.*\n {4}use step\.run/);
    assert.match(modules, /a\.ts:2:8: rule code cannot use "worker_threads"/);
    const globals = await problems("b.ts");
    assert.match(globals, /b\.ts:5:24: rule code cannot use Deno\.serve\n.*\n {27}\^{10}\n {4}use a webhook trigger/);
    assert.match(globals, /b\.ts:6:22: rule code cannot use Deno\.Command\n.*\n.*\n {4}use step\.run/);
    assert.doesNotMatch(globals, /Bun/);
    assert.equal((await load("c.ts")).kind, "rule");
  }));

Deno.test("an error at the top level is a problem at its position", () =>
  withLoader({
    "a.ts": `import { x } from "./lib.ts";\n${RULE}\nconsole.log(x);`,
    "lib.ts": `export const x = 1;\nfunction fail(): never {\n  throw new Error("no luck");\n}\nfail();\n`,
    "b.ts": `await new Promise(() => {});\n${RULE}`,
    "ops/e.ts": "let",
    "c.ts": `export default { when: {}, then() {} };`,
    "d.ts":
      `import { manual, rule } from "whenthen";\n export default rule({ when: manual(), config: { at: new Date(0) } as never, then() {} });`,
  }, async ({ problems }) => {
    assert.match(
      await problems("a.ts"),
      /^lib\.ts:3:\d+: cannot be loaded: no luck\n {6}throw new Error\("no luck"\);/,
    );
    assert.match(await problems("b.ts"), /^b\.ts:1:1: cannot be loaded: b\.ts was not loaded after 2s: /);
    assert.match(await problems("c.ts"), /^c\.ts:1:1: .*is not made by rule\(\): write export default rule/);
    assert.match(await problems("ops/e.ts"), /^ops\/e\.ts:1:1: cannot be loaded: [^\n]* at ops\/e\.ts:1:1\n/);
    assert.match(await problems("d.ts"), /^d\.ts:.*: cannot be loaded: the rule has a Date at config\.at/);
  }, { blockedAfter: 2_000 }));

Deno.test("a rule behind a symbolic link keeps its name", () =>
  withLoader({ "..2026/a.ts": `${RULE}import "./b.ts";\n`, "..2026/b.ts": "" }, async ({ folder, load }) => {
    await symlink("..2026/a.ts", join(folder, "a.ts"));
    await symlink("..2026/b.ts", join(folder, "b.ts"));
    const loaded = await load("a.ts");
    assert.ok(loaded.kind === "rule", JSON.stringify(loaded));
    assert.equal(loaded.at.line, 2);
    assert.ok(loaded.inputs.includes(join(folder, "b.ts")));
  }));

Deno.test("a folder that is a symbolic link keeps its name", () =>
  withLoader({ "real/ops/a.ts": `import "./b.ts";\n${RULE}`, "real/ops/b.ts": "" }, async ({ folder, isolates }) => {
    await symlink("real", join(folder, "rules"));
    const options = { folder: join(folder, "rules"), isolates, cacheFolder: join(folder, "data") };
    const loaded = await loadTypeScript({ ...options, file: "ops/a.ts" });
    assert.ok(loaded.kind === "rule");
    assert.equal(loaded.at.line, 3);
    const names = ["ops/a.ts", "ops/b.ts", "ops/tsconfig.json", "tsconfig.json"];
    assert.deepEqual(loaded.inputs.toSorted(), names.map((name) => join(folder, "rules", name)));
  }));

Deno.test("import.meta.url and __dirname are those of the rule's file", () =>
  withLoader({
    "ops/a.ts": `import { manual, rule } from "whenthen";
declare const __dirname: string;
export default rule({ when: manual(), then: () => [new URL("./x.txt", import.meta.url).pathname, __dirname] });`,
  }, async ({ folder, isolates, load }) => {
    const loaded = await load("ops/a.ts");
    assert.ok(loaded.kind === "rule");
    assert.deepEqual(await run(isolates, loaded.code), [join(folder, "ops/x.txt"), join(folder, "ops")]);
  }));

Deno.test("esbuild's warnings are reported", () =>
  withLoader({ "a.ts": `${RULE}export const x = { a: 1, a: 2 };\n` }, async ({ load }) => {
    const { warnings } = await load("a.ts");
    assert.match(formatProblem(warnings[0]), /^a\.ts:3:26: warning: "a" is here twice: first in line 3\n/);
  }));

Deno.test("a package in a folder above the rules is found", () =>
  withLoader({
    "rules/a.ts": `import { v } from "up";\n${RULE}export { v };`,
    "node_modules/up/index.js": "exports.v = 1;",
  }, async ({ folder, isolates }) => {
    await mkdir(join(folder, "data"));
    const options = { folder: join(folder, "rules"), isolates, cacheFolder: join(folder, "data") };
    const loaded = await loadTypeScript({ ...options, file: join(folder, "rules/a.ts") });
    assert.equal(loaded.kind, "rule");
    assert.ok(loaded.inputs.includes(join(folder, "node_modules/up/index.js")));
  }));

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

const ruleThat = (then: string, imports = "") =>
  `import { rule } from "whenthen";\n${imports}export default rule({ when: { every: "5m" }, then: async ({ step }) => { ${then} } });\n`;

test("a TypeScript rule includes the actions and functions that its code calls", {
  "a.ts": ruleThat('await step.call("tell", "./lib/tell.yaml"); await step.call("read", "./lib/read.ts#read");'),
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
  "b.ts": ruleThat('await step.call("tell", "./lib/tel.yaml");'),
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
  "rules/a.ts": ruleThat("await step.log('x', text);", 'import { text } from "../lib/text.ts";\n'),
  "rules/b.ts": ruleThat(""),
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
  "a.ts": ruleThat("await step.log('x', text);", 'import { text } from "./text.ts";\n'),
}, async (folder) => {
  const before = await folder.load();
  assert.deepEqual([...before.broken], [["a.ts", "a"]]);
  await folder.write({ "text.ts": 'export const text = "one";\n' });
  const after = await folder.load();
  assert.deepEqual(shown(after), []);
  assert.ok(after.rules.has("a"));
});

test("unchanged files are not bundled again", { "a.ts": ruleThat("") }, async (folder) => {
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
    const files = { "slow.ts": ruleThat(""), "quick.yaml": "when:\n  every: 5m\nthen:\n  - log: hi\n" };
    await using folder = await TestFolder.with(files, { isolates, loadTimeout: 120_000, onLate: late });
    const first = await folder.load();
    assert.ok(first.rules.has("slow"));
    await folder.write({
      "slow.ts": `for (;;);\n${ruleThat("")}`,
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

const ruleWith = (step = "log: hi") => `when:\n  every: 5m\nthen:\n  - ${step}\n`;
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
        "good.yaml": ruleWith("call: ./lib/called.yaml"),
        "other.yaml": ruleWith(),
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
      "bad.yaml": ruleWith(),
      "good.yaml": ruleWith("run: echo"),
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
  await using folder = await TestFolder.with({ "a.yaml": ruleWith("run: echo one") });
  const { version } = (await folder.load()).rules.get("a")!;
  folder.reopen(failingLog("check"));
  await folder.write({ "a.yaml": ruleWith() });
  const loaded = await folder.load();
  assert.deepEqual(heads(loaded), ["a.yaml:1:1: this file cannot be loaded: boom"]);
  assert.equal(loaded.rules.get("a")!.version, version);
});

Deno.test("an exception while a bundle is read is a problem of that file", async () => {
  const strange = Object.defineProperty({ inputs: [], warnings: [] }, "kind", { get: boom });
  const prebuilt = { "bad.ts": strange as unknown as LoadedTypeScript };
  await using folder = await TestFolder.with({ "bad.ts": "", "good.yaml": ruleWith() }, { prebuilt });
  const loaded = await folder.load();
  assert.deepEqual(heads(loaded), ["bad.ts:1:1: this file cannot be loaded: boom"]);
  assert.ok(loaded.rules.has("good"));
});

Deno.test("a test file that cannot be read is a problem of that file; the other tests run", async () => {
  const report = await simulate({
    "good.yaml":
      `${ruleWith()}tests:\n  - name: runs\n    do:\n      - advance: 5m\n      - expect: { run: succeeded }\n`,
    "folder.test.ts/x.txt": "",
    "bad.test.ts": "a\rb\u2028(c: d)",
  });
  assert.deepEqual(report.problems.map(({ file }) => file), ["bad.test.ts"]);
  assert.equal(report.results.length, 1);
});

const TYPESCRIPT = `import { cron, every, poll, rule, webhook } from "whenthen";

interface Disk { mount: string }

/** Not rule({ when: every("1 min") }). */
const slow: Record<string, unknown> = { timeout: "5 min", mode: "often" };
const trigger = every("5 minutes" as never, {
  missed: "never" as never,
});

export default rule({
  name: "Disks",
  when: [
    trigger,
    poll<Disk>({ run: "./disks.sh", every: "soon" as never, key: 'item.mount +' }),
    webhook("/größe", { "auth": "nobody" as never }),
    cron("0 0 31 2 *"),
  ],
  ...slow,
  if: ["event.data.n > 1", "evnt.data.m"],
  config: { limit: { type: "nummer" as never } },
  onError: [{ log: "${"$"}{{ eror.message }}", levl: "info" }],
  then: () => {},
} as never);
`;

/** The position, the underlined text, and the beginning of the message. */
const CARETS = `6:50 "5 min" timeout: expected a duration
6:65 "often" mode: expected one of
7:23 "5 minutes" when[0].every: expected a duration
8:11 "never" when[0].missed: expected one of
15:44 "soon" when[1].every: expected a duration
15:79 ' when[1].key: bad expression
16:33 "nobody" when[2].auth: expected one of
17:10 "0 0 31 2 *" when[3].cron: the cron
20:29 evnt.data.m if[1]: unknown name
21:28 "nummer" config.limit.type: expected one of
22:25 eror.message onError[0].log: unknown name
22:43 levl onError[0]: unknown key`.split("\n");

test(
  "problems of a rule in TypeScript are under the key or value, wherever it is written",
  { "a.ts": TYPESCRIPT, "disks.sh": "" },
  async (folder) => {
    const { problems } = await folder.load();
    const lines = TYPESCRIPT.split("\n");
    const found = problems.map(({ at, message }) => {
      const underlined = lines[at.line - 1].slice(at.column - 1, at.column - 1 + (at.length ?? 1));
      return `${at.line}:${at.column} ${underlined} ${message}`;
    });
    assert.deepEqual(found.map((text, index) => text.slice(0, CARETS[index]?.length)), CARETS);
  },
);

test(
  "a rule in TypeScript that code puts together has its problems at the rule call",
  {
    "a.ts": `import { every, rule } from "whenthen";
const spec = () => ({ when: every("1h"), timeout: "long", then: () => {} });
export default rule(spec() as never);
`,
  },
  async (folder) => {
    const [{ at, message }] = (await folder.load()).problems;
    assert.deepEqual(at, { line: 3, column: 21, length: 6 });
    assert.match(message, /^timeout: expected a duration/);
  },
);

test(
  "a rule loads once its tsconfig.json maps an import, and the file that this names is there",
  { "a.ts": `import { three } from "@lib/three";\n${RULE.replace("() => {}", "() => three")}` },
  async (folder) => {
    assert.match(heads(await folder.load())[0], /cannot find the package "@lib\/three"/);
    await folder.write({ "tsconfig.json": `{ "compilerOptions": { "paths": { "@lib/*": ["./lib/*"] } } }` });
    assert.deepEqual(heads(await folder.load()), ['a.ts:1:23: cannot find "@lib/three"']);
    await folder.write({ "lib/three.ts": "export const three = 3;\n" });
    const { rules, problems } = await folder.load();
    assert.deepEqual([[...rules.keys()], problems], [["a"], []]);
  },
);
