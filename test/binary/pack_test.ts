import assert from "node:assert/strict";
import { appendFile, chmod, mkdir, open, readdir, readFile, rename, rm, stat, truncate } from "node:fs/promises";
import { join } from "node:path";
import { Program } from "../e2e/program.ts";
import { WebServer } from "../e2e/web_server.ts";
import { binaryTest, launchAlone, type Machine, machine, runAlone } from "./binary.ts";

/** Everything that a folder may need: a package, a helper, a called function, a command, an asset, config, an action. */
const FILES = {
  "node_modules/greeting/package.json": `{ "name": "greeting", "version": "1.2.3", "main": "index.js" }`,
  "node_modules/greeting/index.js": `exports.greet = (name) => "Hello, " + name;`,
  "node_modules/whenthen-list/package.json":
    `{ "name": "whenthen-list", "version": "1.0.0", "type": "module", "exports": "./mod.ts" }`,
  "node_modules/whenthen-list/mod.ts": `
import { action, source } from "whenthen";
export const list = source({ key: "item.id", read: () => ({ items: [{ id: "x" }], complete: true }) });
export const next = action({ inputs: { n: 0 }, run: ({ inputs }) => inputs.n + 1 });
`,
  "shop/list.yaml": `
when: { poll: { call: whenthen-list#list }, first: emit }
then:
  - { id: next, call: whenthen-list#next, with: { n: 1 } }
  - log: "\${{ event.type }} \${{ event.subject }} \${{ steps.next }}"
`,
  "shop/greet.ts": `
import { readFileSync } from "node:fs";
import { rule, webhook } from "whenthen";
import { greet } from "npm:greeting@1";
export default rule({
  when: webhook("/greet", { auth: "none" }),
  config: { mark: "?" },
  then: async ({ event, step, config }) => {
    const end = await step.do("read", () => readFileSync(new URL("../end.txt", import.meta.url), "utf8"));
    await step.log("tell", greet((event.data as { name: string }).name) + config.mark + end);
  },
});
`,
  "shop/add.yaml": `
when: { webhook: /add, auth: none }
then:
  - id: sum
    call: ../lib/sum.ts#sum
    with: { numbers: "\${{ event.data }}" }
  - id: print
    run: [../print.awk, ../end.txt]
  - call: ../lib/tell.yaml
    with: { text: "\${{ steps.sum }} \${{ steps.print.stdout }}" }
`,
  "lib/sum.ts": `export const sum = ({ numbers }: { numbers: number[] }) => numbers.reduce((a, b) => a + b);`,
  "lib/tell.yaml": "inputs: { text: { type: text } }\nthen: [{ log: '${{ inputs.text }}' }]\n",
  "print.awk": "#!/usr/bin/awk -f\n{ print $1 }\n",
  "end.txt": "the-end\n",
  "config.yaml": "shop/greet: { mark: '!' }\n",
  ".env": "SHOP_TOKEN=correct-horse-battery\n",
};

/** A machine with a packed file on it; the source folder was removed. */
async function packedMachine(files: Record<string, string>) {
  const alone = await machine(files);
  const folder = { ...alone, packed: join(alone.home, "packed") };
  // They are packed by another user.
  for (const name of Object.keys(files)) await chmod(join(alone.rules, name), name.endsWith(".awk") ? 0o755 : 0o644);
  const { code, stdout } = await pack(alone, folder.packed);
  assert.equal(code, 0, stdout);
  await rename(alone.rules, join(alone.root, "gone"));
  return folder;
}

function pack(alone: Machine, out: string) {
  return runAlone(alone, ["pack", alone.rules, "-o", out, "--data", alone.data]);
}

function startPacked(alone: Machine & { packed: string }, args: string[], env = {}): Program {
  const child = launchAlone({ ...alone, binary: alone.packed }, [...args, "--port", "0", "--log", "json"], env);
  return new Program(child, alone.data);
}

function runPacked(alone: Machine & { packed: string }, args: string[], env = {}) {
  return runAlone({ ...alone, binary: alone.packed }, args, env);
}

/** The unpacked folder in a cache. */
async function unpackedIn(cache: string): Promise<string> {
  const names = (await readdir(cache)).filter((name) => name !== "rules.checked");
  assert.equal(names.length, 1, `nothing but the folder is unpacked, no esbuild either: ${names}`);
  assert.match(names[0], /^folder-[0-9a-f]{16}$/);
  return join(cache, names[0]);
}

binaryTest("a packed file runs alone, as another user, without environment, from a read-only folder", async () => {
  await using alone = await packedMachine(FILES);
  await rm(alone.data, { recursive: true });
  await using program = startPacked(alone, ["run", "--data", alone.data]);
  assert.equal((await program.post("/hooks/greet", { name: "Ada" })).status, 202);
  await program.waitForMessage("Hello, Ada!the-end");
  assert.equal((await program.post("/hooks/add", [1, 2, 39])).status, 202);
  await program.waitForMessage("42 the-end");
  await program.waitForMessage("added x 2");
  const folder = await unpackedIn(join(alone.data, "cache"));
  assert.deepEqual((await readdir(folder)).sort(), ["config.yaml", "end.txt", "lib", "print.awk", "shop"]);
  assert.equal((await stat(folder)).mode & 0o777, 0o555);
  assert.equal((await stat(join(folder, "end.txt"))).mode & 0o777, 0o444);

  const commands = [["rules", "--data", alone.data], ["runs", "--data", alone.data], ["check", "--data", alone.data]];
  for (const words of commands) {
    const { code, stdout } = await runPacked(alone, words);
    assert.equal(code, 0, stdout);
    assert.match(stdout, words[0] === "check" ? /^3 rules, 0 problems$/m : /shop\/greet/);
  }
  assert.equal(await program.stop(), 0);
  const { code, stdout } = await runPacked(alone, ["--data", alone.data, "start", "shop/greet"]);
  assert.equal(code, 0, `a command that opens the store itself: ${stdout}`);
});

binaryTest(
  "without arguments a packed file runs its folder, with its data in .whenthen of the working directory",
  async () => {
    await using alone = await packedMachine({ "hello.yaml": "when: start\nthen: [{ log: hello }]\n" });
    await using program = startPacked({ ...alone, empty: alone.home }, []);
    await program.waitForMessage("hello");
    assert.equal(await program.stop(), 0);
    assert.ok((await stat(join(alone.home, ".whenthen/cache"))).isDirectory());
  },
);

binaryTest("a packed file that cannot store its state says so", async () => {
  await using alone = await packedMachine({ "hello.yaml": "when: start\nthen: [{ log: hello }]\n" });
  const { code, stdout } = await runPacked(alone, ["run", "--port", "0"]);
  assert.equal(code, 64, stdout);
  assert.match(stdout, /^Cannot create the data folder \S+\/empty\/\.whenthen: .+; name another with --data$/m);
});

binaryTest("a damaged packed file refuses every command, and says so", async () => {
  await using alone = await packedMachine(FILES);
  const size = (await stat(alone.packed)).size;
  const refused = async (why: RegExp) => {
    for (const words of [[], ["--version"], ["check", "--data", alone.data]]) {
      const { code, stdout } = await runPacked(alone, words);
      assert.equal(code, 1, stdout);
      assert.match(stdout, /^Cannot start \S+\/packed: the folder packed into it is damaged \([^\n]+$/m);
      assert.match(stdout, why);
      assert.equal(stdout.trim().split("\n").length, 1, stdout);
    }
  };
  const flip = async (position: number) => {
    await using file = await open(alone.packed, "r+");
    const { buffer } = await file.read({ buffer: new Uint8Array(1), position });
    await file.write(new Uint8Array([buffer[0] ^ 1]), 0, 1, position);
  };
  const positions: [number, RegExp][] = [[size - 60, /SHA-256/], [size - 1, /SHA-256/], [size - 33, /bytes long/], [
    size - 56,
    /end is missing/,
  ]];
  for (const [position, why] of positions) {
    await flip(position);
    await refused(why);
    await flip(position);
  }
  assert.equal((await runPacked(alone, ["--version"])).code, 0);
  for (const left of [size - 1, size - 60, (await stat(alone.binary)).size + 1]) {
    await truncate(alone.packed, left);
    await refused(/end is missing/);
  }
});

binaryTest("a folder with problems is not packed: they are shown as check shows them", async () => {
  await using alone = await machine({
    "a.yaml": "when: { crn: x }\nthen: []\n",
    "b.yaml": "when: start\nthen: [{ call: ../outside.yaml }]\n",
  });
  const out = join(alone.home, "packed");
  const broken = await pack(alone, out);
  assert.equal(broken.code, 2);
  assert.match(broken.stdout, /^a\.yaml:1:9: .*"crn"/m);
  await rm(join(alone.rules, "a.yaml"));
  await alone.write("../outside.yaml", "inputs: {}\nthen: [{ log: x }]\n");
  const outside = await pack(alone, out);
  assert.equal(outside.code, 2);
  assert.match(outside.stdout, /^b\.yaml:1:1: calls \.\.\/outside\.yaml, which lies outside of the folder/m);
  await assert.rejects(stat(out));
});

binaryTest("a packed file that packs another folder replaces its own", async () => {
  await using alone = await packedMachine(FILES);
  const folder = { "hello.yaml": "when: start\nthen: [{ log: hello }]\n" };
  await mkdir(alone.rules);
  for (const [name, text] of Object.entries(folder)) await alone.write(name, text);
  const [again, once] = [join(alone.home, "again"), join(alone.home, "once")];
  assert.equal((await runPacked(alone, ["pack", alone.rules, "-o", again, "--data", alone.data])).code, 0);
  assert.equal((await pack(alone, once)).code, 0);
  const [ofPacked, ofPlain] = await Promise.all([again, once].map((path) => readFile(path)));
  assert.ok(ofPacked.equals(ofPlain));
  // Onto itself: an earlier file in the folder is not packed into the next one.
  const inside = join(alone.home, "folder");
  await mkdir(inside);
  await chmod(inside, 0o777);
  await rename(join(alone.rules, "hello.yaml"), join(inside, "hello.yaml"));
  for (const _ of [1, 2]) assert.equal((await pack({ ...alone, rules: inside }, join(inside, "packed"))).code, 0);
  assert.equal((await stat(join(inside, "packed"))).size, ofPlain.length);
});

binaryTest("many processes unpack at once and leave one folder; changed files in it are restored", async () => {
  await using alone = await packedMachine(FILES);
  const env = { XDG_CACHE_HOME: join(alone.home, "cache") };
  const check = () => runPacked(alone, ["check", "--data", alone.data], env);
  for (const { code, stdout } of await Promise.all([1, 2, 3, 4].map(check))) assert.equal(code, 0, stdout);
  const folder = await unpackedIn(join(env.XDG_CACHE_HOME, "whenthen"));
  await chmod(folder, 0o755);
  await chmod(join(folder, "shop/add.yaml"), 0o644);
  await rm(join(folder, "end.txt"));
  await appendFile(join(folder, "shop/add.yaml"), "# more");
  for (const { code, stdout } of await Promise.all([1, 2].map(check))) assert.equal(code, 0, stdout);
  assert.equal(await unpackedIn(join(env.XDG_CACHE_HOME, "whenthen")), folder);
  assert.equal(await readFile(join(folder, "end.txt"), "utf8"), FILES["end.txt"]);
  assert.equal(await readFile(join(folder, "shop/add.yaml"), "utf8"), FILES["shop/add.yaml"]);
});

binaryTest(
  "a newer packed file on the same data finishes the running runs, with the rules that they started with",
  async () => {
    await using peer = await WebServer.start(() => {});
    const files = (text: string) => ({
      "held.ts": `
import { rule, webhook } from "whenthen";
import { text } from "./lib/text.ts";
export default rule({
  when: webhook("/held", { auth: "none" }),
  then: async ({ step }) => {
    await step.http("hold", "POST ${peer.url}/hold", { timeout: "1h" });
    await step.log("tell", text);
  },
});
`,
      "lib/text.ts": `export const text = ${JSON.stringify(text)};`,
    });
    await using alone = await packedMachine(files("by the first rules"));
    {
      await using program = startPacked(alone, ["--data", alone.data]);
      await program.post("/hooks/held", {});
      await peer.waitFor(1);
      await program.kill();
    }
    await mkdir(alone.rules);
    for (const [name, text] of Object.entries(files("by the second rules"))) await alone.write(name, text);
    assert.equal((await pack({ ...alone, data: join(alone.home, "other") }, alone.packed)).code, 0);
    peer.answer((_, response) => response.end("{}"));
    await using program = startPacked(alone, ["--data", alone.data]);
    await program.waitForMessage("by the first rules");
    await program.post("/hooks/held", {});
    await program.waitForMessage("by the second rules");
    assert.equal(await program.stop(), 0);
  },
);
