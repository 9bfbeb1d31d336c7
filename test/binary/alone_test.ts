import assert from "node:assert/strict";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import process from "node:process";
import { binaryTest, launchAlone, machine, runAlone, startAlone } from "./binary.ts";

/** A rule in TypeScript with a package, a helper and a called module: everything that has to be found and started. */
const FILES = {
  "node_modules/greeting/package.json": `{ "name": "greeting", "version": "1.2.3", "main": "index.js" }`,
  "node_modules/greeting/index.js": `exports.greet = (name) => "Hello, " + name;`,
  "greet.ts": `
import { rule, webhook } from "whenthen";
import { greet } from "npm:greeting@1";
import { shout } from "./lib/shout.ts";
export default rule({
  when: webhook("/greet", { auth: "none" }),
  if: ({ event }) => (event.data as { name: string }).name !== "nobody",
  then: async ({ event, step }) => {
    const text = await step.do("greet", () => shout(greet((event.data as { name: string }).name)));
    const { stdout } = await step.run("echo", ["echo", text]);
    await step.log("tell", stdout.trim());
  },
});
`,
  "lib/shout.ts": `export const shout = (text: string) => text.toUpperCase();`,
  "sum.ts": `export const sum = ({ numbers }: { numbers: number[] }) => numbers.reduce((a, b) => a + b);`,
  "add.yaml":
    "when: { webhook: /add, auth: none }\nthen:\n  - id: sum\n    call: ./sum.ts#sum\n    with: { numbers: '${{ event.data }}' }\n  - log: 'the sum is ${{ steps.sum }}'\n",
};

binaryTest(
  "alone, without environment, in a folder that cannot be written, as another user: everything works",
  async () => {
    await using alone = await machine(FILES);
    await using program = startAlone(alone);
    assert.equal((await program.post("/hooks/greet", { name: "Ada" })).status, 202);
    await program.waitForMessage("HELLO, ADA");
    assert.equal((await program.post("/hooks/add", [1, 2, 39])).status, 202);
    await program.waitForMessage("the sum is 42");
    const unpacked = (await readdir(join(alone.data, "cache"))).filter((name) => name.startsWith("esbuild-"));
    assert.equal(unpacked.length, 1, "it unpacks into the data folder if the user has no cache");
    assert.equal(await program.stop(), 0);
  },
);

binaryTest("a package that is not installed is a problem that says which command installs it", async () => {
  const { "node_modules/greeting/package.json": _, "node_modules/greeting/index.js": __, ...files } = FILES;
  await using alone = await machine(files);
  const { code, stdout } = await runAlone(alone, ["check", alone.rules, "--data", alone.data]);
  assert.equal(code, 2);
  assert.match(stdout, /greet\.ts:3:23: cannot find the package "npm:greeting@1"[^]*npm install greeting@1/);
});

binaryTest("processes that unpack at the same time do not disturb each other, and leave one file", async () => {
  await using alone = await machine(FILES);
  const env = { XDG_CACHE_HOME: join(alone.home, "cache") };
  const checks = Array.from({ length: 4 }, () => runAlone(alone, ["check", alone.rules, "--data", alone.data], env));
  for (const { code, stdout } of await Promise.all(checks)) assert.equal(code, 0, stdout);
  const names = await readdir(join(env.XDG_CACHE_HOME, "whenthen"));
  assert.deepEqual(names.map((name) => name.replace(/[0-9a-f]{16}$/, "HASH")), ["esbuild-HASH"]);
});

binaryTest("check works if only temporary files can be written", async () => {
  await using alone = await machine(FILES);
  const nowhere = join(alone.empty, "data");
  const env = { TMPDIR: alone.home, XDG_CACHE_HOME: alone.empty };
  const { code, stdout } = await runAlone(alone, ["check", alone.rules, "--data", nowhere], env);
  assert.equal(code, 0, stdout);
  assert.deepEqual(await readdir(alone.home), [`whenthen-${process.getuid!() || 65534}`]);
});

binaryTest(
  "--version says version, commit and target; init writes the types of its own build; licenses are inside",
  async () => {
    await using alone = await machine({});
    const { stdout } = await runAlone(alone, ["--version"]);
    assert.match(stdout, /^\d+\.\d+\.\d+ \(commit (unknown|[0-9a-f]{10}(-dirty)?), (linux|darwin)-(x64|arm64)\)\n$/);
    const licenses = await runAlone(alone, ["licenses"]);
    assert.equal(licenses.code, 0, licenses.stdout);
    for (const name of ["whenthen", "Bun", "esbuild", "zod"]) {
      assert.match(licenses.stdout, new RegExp(`^${name} \\S+, [A-Z]`, "m"));
    }
    const made = join(alone.home, "rules");
    assert.equal((await runAlone(alone, ["init", made])).code, 0);
    assert.ok((await readdir(join(made, ".editor/whenthen/sdk"))).includes("mod.ts"));
    const { code, stdout: checked } = await runAlone(alone, ["check", made, "--data", alone.data]);
    assert.equal(code, 0, checked);
  },
);

binaryTest("no file in the working directory is read as the program's own", async () => {
  await using alone = await machine({
    ".env": "PORT=1\n",
    "bunfig.toml": 'preload = ["./evil.ts"]\n',
    "evil.ts": 'console.log("evil");',
    "package.json": "no JSON",
    "tsconfig.json": "no JSON",
  });
  const child = launchAlone({ ...alone, empty: alone.rules }, ["--version"]);
  const output: string[] = [];
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk) => output.push(String(chunk)));
  assert.equal(await new Promise((resolve) => child.on("close", resolve)), 0);
  assert.match(output.join(""), /^\d+\.\d+\.\d+ \([^\n]+\)\n$/);
});
