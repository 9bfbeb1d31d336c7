import assert from "node:assert/strict";
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { cp, mkdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import process from "node:process";
import type { z } from "zod";
import { batchSchema } from "../runtime/language/fields/batch.ts";
import { STEP_OPTIONS } from "../runtime/language/checker/check_steps.ts";
import { testKinds, testSchema } from "../runtime/language/checker/test_kinds.ts";
import { stepKinds } from "../runtime/engine/index.ts";
import { triggerKinds } from "../runtime/triggers/index.ts";
import { temporaryFolder, whenthen } from "./e2e/program.ts";
import { TIMEOUT } from "./e2e/until.ts";

const ROOT = new URL("..", import.meta.url).pathname;
const readme = await readFile(join(ROOT, "README.md"), "utf8");
const blocks = [...readme.matchAll(/^```(\w+)\n(.*?)^```$/gms)].map(([, language, text]) => ({ language, text }));
const linesOf = (language: string) =>
  blocks.filter((block) => block.language === language).flatMap(({ text }) => text.trimEnd().split("\n"));

/** Commands that end only when told to, and those that would run this test again. */
const STARTS = ["npm start", "deno task start"];
const TESTS = ["npm test", "deno task test"];
/** What needs minutes or the binary; test/binary/readme_test.ts runs the binary's commands. */
const COMPILE = "npm run compile";
const isOfBinary = (line: string) => line === COMPILE || line.startsWith("bin/whenthen");

Deno.test("README: every rule, action and setting in it loads, and its TypeScript has the right types", async () => {
  await using folder = await temporaryFolder();
  const files = blocks.filter(({ language }) => language === "yaml" || language === "ts");
  for (const { text } of files) {
    const name = /^(?:#|\/\/) (\S+\.(?:yaml|ts))\n/.exec(text)?.[1];
    assert.ok(name, `a file's name in the first line of:\n${text}`);
    await mkdir(dirname(join(folder.path, name)), { recursive: true });
    await writeFile(join(folder.path, name), text);
  }
  const data = join(folder.path, ".data");
  const { code, stdout } = await whenthen(["check", folder.path, "--data", data], {
    env: { SHOP_TOKEN: "correct-horse-battery" },
  });
  assert.equal(code, 0, stdout);
  assert.match(stdout, /^6 rules, 0 problems$/m);
  const check = `deno check --config ${join(ROOT, "deno.json")} ${join(folder.path, "**/*.ts")}`;
  const types = await shell(`shopt -s globstar; ${check}`, folder.path);
  assert.equal(types.code, 0, types.output);
});

Deno.test("README: the tables of triggers and steps name all kinds and options that there are, and no others", () => {
  for (const [title, kinds] of [["Triggers", triggerKinds], ["Steps", stepKinds]] as const) {
    const section = readme.split(`\n### ${title}\n`)[1].split("\n### ")[0];
    const rows = section.split("\n").filter((line) => /^\| `/.test(line));
    const named = rows.map((row) => /^\| `(\w+)/.exec(row)![1]);
    assert.deepEqual([...new Set(named)].sort(), Object.keys(kinds).sort(), title);
    for (const [name, { options, children = [] }] of Object.entries(kinds)) {
      const row = rows[named.indexOf(name)];
      const own = Object.keys(options).filter((option) => !STEP_OPTIONS.includes(option));
      for (const option of [...own, ...children]) {
        assert.match(row, new RegExp(`\`${option}\\b`), `${option} in the row of ${name}`);
      }
    }
  }
});

Deno.test("README: the section on batches names all options of batch", () => {
  const section = readme.split("\n### Batches\n")[1].split("\n### ")[0];
  for (const option of Object.keys(batchSchema.shape)) assert.match(section, new RegExp(`\\b${option}\\b`), option);
});

Deno.test("README: the section on tests names all that a test can say", () => {
  const section = readme.split("\n### Tests\n")[1].split("\n## ")[0];
  const parts = Object.keys((testKinds.expect.main as z.ZodObject).shape);
  const options = Object.values(testKinds).flatMap(({ kind, options }) => [kind, ...Object.keys(options)]);
  for (const name of [...Object.keys(testSchema.shape), ...options, ...parts]) {
    assert.match(section, new RegExp("[`{ ]" + name + "\\b"), name);
  }
});

Deno.test("README: the list of commands is that of the program", async () => {
  const listed = linesOf("text").map((line) => /^whenthen (\w+)/.exec(line)![1]);
  const { stdout } = await whenthen(["--help"]);
  const commands = [...stdout.split("Commands:")[1].matchAll(/^ {2}(\w+)/gm)].map(([, name]) => name);
  assert.deepEqual(listed.sort(), commands.filter((name) => name !== "help").sort());
});

Deno.test("README: every command in it runs, in a copy of the project", async () => {
  await using copy = await projectCopy();
  const commands = linesOf("sh");
  for (const command of [...STARTS, ...TESTS, COMPILE]) assert.ok(commands.includes(command), command);
  const { scripts } = JSON.parse(await readFile(join(ROOT, "package.json"), "utf8"));
  const { tasks } = JSON.parse(await readFile(join(ROOT, "deno.json"), "utf8"));
  for (const name of ["start", "test", "compile"]) {
    assert.ok(scripts[name].endsWith(`deno@2.9.6 task ${name}`) && tasks[name]);
  }

  for (const command of STARTS) {
    await using program = await running(command, copy.path);
    if (command !== STARTS[0]) continue;
    // Something is alive before anybody does anything, and not only when the first minute is over.
    await program.shown("Pulse 1: ");
    const pulses = await (await fetch(`${program.url}/api/runs?rule=pulse`)).json();
    assert.equal(pulses.at(-1).trigger, "start");
    for (const line of commands.filter((line) => ![...STARTS, ...TESTS].includes(line) && !isOfBinary(line))) {
      const { code, output } = await shell(line.replaceAll("http://127.0.0.1:8080", program.url), copy.path);
      assert.equal(code, 0, `${line}\n${output}`);
      assert.ok(!/^\{"error"/m.test(output), `${line}\n${output}`);
    }
    await program.shown("(Ada was greeted 1 times so far)");
    await program.shown("(Bob was greeted 1 times so far)");
    await program.shown("more.csv has 3 rows, 32 pieces in all");
  }
});

/** What a clone of the project has that its commands need; packages are linked, not copied. */
async function projectCopy() {
  const folder = await temporaryFolder();
  for (const name of ["bin", "runtime", "examples", "rules", "deno.json", "deno.lock", "package.json"]) {
    await cp(join(ROOT, name), join(folder.path, name), { recursive: true });
  }
  await rm(join(folder.path, "examples/.whenthen"), { recursive: true, force: true });
  await symlink(join(ROOT, "node_modules"), join(folder.path, "node_modules"));
  return folder;
}

function environment(): NodeJS.ProcessEnv {
  const PATH = `${dirname(Deno.execPath())}:${process.env.PATH}`;
  return { ...process.env, PATH, PORT: "0", WHENTHEN_TOKEN: "", NO_COLOR: "1" };
}

function shell(line: string, cwd: string): Promise<{ code: number; output: string }> {
  return new Promise((resolve) => {
    execFile("bash", ["-c", line], { cwd, env: environment() }, (error, stdout, stderr) => {
      resolve({ code: error ? Number(error.code) : 0, output: stdout + stderr });
    });
  });
}

/** A command that goes on until it is told to stop, once it listens; in a process group of its own, as npm starts others. */
async function running(command: string, cwd: string) {
  const child: ChildProcess = spawn("bash", ["-c", command], {
    cwd,
    env: environment(),
    detached: true,
    stdio: ["ignore", "pipe", "pipe"],
  });
  let output = "";
  const watchers = new Set<() => void>();
  const read = (text: string) => {
    output += text;
    watchers.forEach((look) => look());
  };
  child.stdout!.setEncoding("utf8").on("data", read);
  child.stderr!.setEncoding("utf8").on("data", read);
  const ended = new Promise<void>((resolve) => child.on("close", () => resolve()));
  const program = {
    url: "",
    /** Waits until it has printed this. */
    shown: (text: string) =>
      new Promise<void>((resolve, reject) => {
        const look = () => {
          if (output.includes(text)) finish(resolve);
        };
        const fail = () => finish(() => reject(new Error(`${command} did not print "${text}":\n${output}`)));
        const timer = setTimeout(fail, TIMEOUT);
        const finish = (settle: () => void) => {
          clearTimeout(timer);
          watchers.delete(look);
          settle();
        };
        watchers.add(look);
        ended.then(fail);
        look();
      }),
    async [Symbol.asyncDispose]() {
      process.kill(-child.pid!, "SIGTERM");
      await ended;
    },
  };
  try {
    await program.shown("Listening on ");
    program.url = /Listening on (http:\/\/[^\s"]+)/.exec(output)![1];
    return program;
  } catch (error) {
    await program[Symbol.asyncDispose]();
    throw error;
  }
}
