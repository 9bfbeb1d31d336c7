import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { cp, mkdir, readFile, rm, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join, normalize } from "node:path";
import process from "node:process";
import type { z } from "zod";
import { batchSchema } from "../runtime/language/checker/batch.ts";
import { STEP_OPTIONS } from "../runtime/language/checker/check_steps.ts";
import { testKinds, testSchema } from "../runtime/language/checker/test_kinds.ts";
import { stepKinds } from "../runtime/engine/steps/index.ts";
import type { Store } from "../runtime/store/store.ts";
import { triggerKinds } from "../runtime/triggers/index.ts";
import { Metrics } from "../runtime/web/metrics.ts";
import {
  CALL,
  isFile,
  linesOf,
  nameOf,
  openCommands,
  readDocument,
  readDocuments,
  ROOT,
  running,
  shell,
  type UserDocument,
  walk,
  writeBlock,
} from "./documents.ts";
import { temporaryFolder, whenthen } from "./e2e/program.ts";

const documents = await readDocuments();
const [readme] = documents;
const named = (name: string) => documents.find(({ path }) => path === `docs/${name}.md`)!;

/** Its files are saved while the program runs, as a reader would. */
const tutorial = named("tutorial");
/** The other documents, whose links and file names must be correct, too. */
const others = await Promise.all(
  ["CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md", "examples/README.md"].map(readDocument),
);
const contributing = others[0];

/** Commands that run until they are stopped, and those that would run this test again. */
const STARTS = ["npm start", "deno task start"];
const TESTS = ["npm test", "deno task test"];
/** What `npm run -s whenthen --` starts in the end. */
const PROGRAM = "deno run -A --node-modules-dir=manual bin/whenthen.ts";
/** What needs minutes or the binary; test/binary/documents_test.ts runs the binary's commands. */
const COMPILE = "npm run compile";
/** What the program must have printed after a document's commands have run. */
const SEEN: Record<string, string[]> = {
  "README.md": ["(Ada was greeted 1 times so far)", "more.csv has 3 rows, 32 pieces in all"],
  "docs/operating.md": ["(Bob was greeted 1 times so far)"],
  "docs/tutorial.md": ["Order A1 is paid", "Order A1 is refunded with code "],
};

Deno.test("documents: README has at most 200 lines and links to every file in docs/", () => {
  assert.ok(readme.text.split("\n").length <= 201, "more than 200 lines");
  for (const { path } of documents.slice(1)) assert.ok(readme.text.includes(`](${path})`), `a link to ${path}`);
});

Deno.test("documents: every link between them leads to an existing file and heading", () => {
  const all = new Map([...documents, ...others].map((document) => [document.path, document]));
  const wrong = [...all.values()].flatMap(({ path, text }) =>
    linksOf(text).filter((link) => {
      const [file, heading] = link.split("#");
      const target = file === "" ? path : normalize(join(dirname(path), file));
      if (!existsSync(join(ROOT, target))) return true;
      return heading !== undefined && !headingsOf(all.get(target)!).includes(heading);
    }).map((link) => `${path}: ${link}`)
  );
  assert.deepEqual(wrong, []);
});

Deno.test("documents: every source file named in them exists", () => {
  const wrong = [...documents, ...others].flatMap(({ path, text }) =>
    [...text.matchAll(/`((?:runtime|bin|test)\/[\w./-]*(?:\.ts|\/))`/g)].map(([, file]) => file)
      .filter((file) => !existsSync(join(ROOT, file))).map((file) => `${path}: ${file}`)
  );
  assert.deepEqual(wrong, []);
});

Deno.test("documents: every rule, action and setting in them loads, their TypeScript has the right types, their tests pass", async () => {
  await using folder = await temporaryFolder();
  const written = new Set<string>();
  for (const document of documents) {
    for (const block of document.blocks.filter(isFile)) {
      const name = join(document === tutorial ? "tutorial" : "all", nameOf(block));
      assert.ok(!written.has(name), `${document.path}: ${name} is the name of another file already`);
      written.add(name);
      await writeBlock(block, join(folder.path, document === tutorial ? "tutorial" : "all"));
    }
  }
  const env = {
    SHOP_TOKEN: "correct-horse-battery",
    STRIPE_WEBHOOK_SECRET: "whsec_correct-horse-battery",
    ASANA_PAT: "2/1200000000000001:correct-horse-battery",
  };
  for (const [rules, least, passed] of [["all", 17, 6], ["tutorial/rules", 3, 1]] as const) {
    const at = [join(folder.path, rules), "--data", join(folder.path, ".data")];
    const checked = await whenthen(["check", ...at], { env });
    assert.equal(checked.code, 0, checked.stdout);
    const loaded = Number(/^(\d+) rules, 0 problems(?:, \d+ warnings)?$/m.exec(checked.stdout)?.[1]);
    const warnings = checked.stdout.split("\n").filter((line) => line.includes(": warning: "));
    // What they run and watch is on the reader's machine.
    for (const warning of warnings) assert.match(warning, /there is no (?:program|folder) /);
    assert.ok(loaded >= least, checked.stdout);
    const tested = await whenthen(["test", ...at], { env });
    assert.equal(tested.code, 0, tested.stdout);
    const count = Number(/^(\d+) tests? passed, 0 failed$/m.exec(tested.stdout)?.[1]);
    assert.ok(count >= passed, tested.stdout);
  }
  const check = `deno check --config ${join(ROOT, "deno.json")} ${join(folder.path, "**/*.ts")}`;
  const types = await shell(`shopt -s globstar; ${check}`, folder.path);
  assert.equal(types.code, 0, types.output);
});

Deno.test("documents: the tables of triggers and steps list exactly the kinds and options that exist", () => {
  for (const [title, kinds] of [["triggers", triggerKinds], ["steps", stepKinds]] as const) {
    const rows = named(title).text.split("\n").filter((line) => /^\| `(?!whenthen)/.test(line));
    const names = rows.map((row) => /^\| `(\w+)/.exec(row)![1]);
    assert.deepEqual([...new Set(names)].sort(), Object.keys(kinds).sort(), title);
    for (const [name, { options, children = [] }] of Object.entries(kinds)) {
      const row = rows[names.indexOf(name)];
      const own = Object.keys(options).filter((option) => !STEP_OPTIONS.includes(option));
      for (const option of [...own, ...children]) {
        assert.match(row, new RegExp(`\`${option}\\b`), `${option} in the row of ${name}`);
      }
    }
  }
});

Deno.test("documents: the section on batches lists every option of batch", () => {
  const section = named("rules").text.split("\n## Batches\n")[1].split("\n## ")[0];
  for (const option of Object.keys(batchSchema.shape)) assert.match(section, new RegExp(`\\b${option}\\b`), option);
});

Deno.test("documents: the document on tests lists every entry and option of a test", () => {
  const parts = Object.keys((testKinds.expect.main as z.ZodObject).shape);
  const options = Object.values(testKinds).flatMap(({ kind, options }) => [kind, ...Object.keys(options)]);
  for (const name of [...Object.keys(testSchema.shape), ...options, ...parts]) {
    assert.match(named("testing").text, new RegExp("[`{ ]" + name + "\\b"), name);
  }
});

Deno.test("documents: the list of commands is the program's", async () => {
  const listed = linesOf("text", named("operating")).map((line) => /^whenthen (\w+)/.exec(line)![1]);
  const { stdout } = await whenthen(["--help"]);
  const commands = [...stdout.split("Commands:")[1].matchAll(/^ {2}(\w+)/gm)].map(([, name]) => name);
  assert.deepEqual(listed.sort(), commands.filter((name) => name !== "help").sort());
});

Deno.test("documents: the table of metrics is the program's", async () => {
  const store = {
    countVerdicts: () => Promise.resolve({}),
    countRuns: () => Promise.resolve({}),
    countEnds: () => Promise.resolve(new Map()),
    stats: () => Promise.resolve({ bytes: 0, journalBytes: 0 }),
  } as unknown as Store;
  const metrics = new Metrics({
    store,
    build: { version: "1.2.3" },
    rules: () => ({ loaded: 0, broken: 0 }),
    isInForce: () => true,
    fleets: { list: () => [] },
    workers: () => 0,
    replicas: { me: "", list: () => Promise.resolve([]) },
  });
  const exposed = [...(await metrics.expose()).body.matchAll(/^# TYPE (\w+)/gm)].map(([, name]) => name);
  const rows = named("operating").text.split("\n").filter((line) => /^\| `(whenthen|process)_[a-z]/.test(line));
  const listed = rows.flatMap((row) => [...row.split("|")[1].matchAll(/\w+/g)].map(([name]) => name));
  assert.deepEqual(listed.sort(), exposed.sort());
});

Deno.test("documents: every command of README and docs/ runs, in a copy of the project", async (test) => {
  const { scripts } = JSON.parse(await readFile(join(ROOT, "package.json"), "utf8"));
  const { tasks } = JSON.parse(await readFile(join(ROOT, "deno.json"), "utf8"));
  for (const name of ["start", "test", "compile"]) {
    assert.ok(scripts[name].endsWith(`deno@2.9.6 task ${name}`) && tasks[name]);
  }
  const written = documents.flatMap((document) => linesOf("sh", document));
  for (const command of [...STARTS, ...TESTS, COMPILE]) assert.ok(written.includes(command), command);

  for (const document of documents.filter((document) => linesOf("sh", document).length > 0)) {
    // The commands of the README run as written. In other documents npm and npx, which take most of the time, are left out, and the
    // commands of the program run in one process.
    const written = (line: string) => document === readme ? line : line.replace(CALL, PROGRAM);
    const start = document === readme ? STARTS[0] : `${PROGRAM} run`;
    await test.step(document.path, async () => {
      await using copy = await projectCopy();
      await using commands = document === readme ? undefined : openCommands(copy.path);
      const execute = (line: string, cwd: string) =>
        commands && line.startsWith(PROGRAM) ? commands.run(line.slice(PROGRAM.length)) : shell(line, cwd);
      const command = (line: string) => {
        if (isLeftOut(line)) return undefined;
        return STARTS.includes(line) ? { line: start, isStart: true } : { line: written(line), isStart: false };
      };
      await walk(document, { cwd: copy.path, start, command, execute }, document === tutorial, SEEN[document.path]);
    });
  }
});

Deno.test("documents: the folder of npm start does something as soon as the program starts, not only after a minute", async () => {
  await using copy = await projectCopy();
  await using program = await running(STARTS[0], copy.path);
  await program.shown("Pulse 1: ");
  const pulses = await (await fetch(`${program.url}/api/runs?rule=pulse`)).json();
  assert.equal(pulses.at(-1).trigger, "start");
});

Deno.test("documents: every task in CONTRIBUTING exists and takes the options shown", async () => {
  const { tasks } = JSON.parse(await readFile(join(ROOT, "deno.json"), "utf8"));
  const { scripts } = JSON.parse(await readFile(join(ROOT, "package.json"), "utf8"));
  for (const [, name] of contributing.text.matchAll(/\bdeno task ([\w:]+)/g)) assert.ok(tasks[name], name);
  for (const [, name] of contributing.text.matchAll(/\bnpm run ([\w:]+)/g)) assert.ok(scripts[name], name);
  const bench = await readFile(join(ROOT, "test/bench/bench.ts"), "utf8");
  for (const line of linesOf("sh", contributing).filter((line) => line.startsWith("deno task bench "))) {
    for (const [option] of line.matchAll(/--\w+/g)) assert.ok(bench.includes(`"${option} `), option);
  }
});

function isLeftOut(line: string): boolean {
  return [...TESTS, COMPILE].includes(line) || line.startsWith("bin/whenthen");
}

/** Links to files of the project, outside code. */
function linksOf(text: string): string[] {
  const prose = text.replace(/^ *```.*?^ *```$/gms, "").replace(/`[^`\n]*`/g, "");
  return [...prose.matchAll(/\]\(([^)\s]+)\)/g)].map(([, link]) => link).filter((link) => !/^\w+:/.test(link));
}

/** The anchors of its headings, as GitHub makes them. */
function headingsOf({ text }: UserDocument): string[] {
  return [...text.matchAll(/^#+ (.+)$/gm)].map(([, title]) =>
    title.toLowerCase().replace(/[^\p{L}\p{N}\s_-]/gu, "").replaceAll(" ", "-")
  );
}

/**
 * What the commands need of a clone of the project; packages are linked, not copied. Each copy takes the place of the one
 * before, as Deno keeps what it compiled by path: the first start at a new path takes it a second more.
 */
async function projectCopy() {
  const folder = { path: join(tmpdir(), `whenthen-documents-${process.pid}`) };
  const remove = () => rm(folder.path, { recursive: true, force: true });
  await remove();
  await mkdir(folder.path);
  for (const name of ["bin", "runtime", "examples", "rules", "deno.json", "deno.lock", "package.json"]) {
    // Binaries that were built here and data folders are in no clone.
    const filter = (path: string) => !/\/bin\/whenthen(-\w+)*$|\/\.whenthen$/.test(path);
    await cp(join(ROOT, name), join(folder.path, name), { recursive: true, filter });
  }
  await symlink(join(ROOT, "node_modules"), join(folder.path, "node_modules"));
  return { ...folder, [Symbol.asyncDispose]: remove };
}
