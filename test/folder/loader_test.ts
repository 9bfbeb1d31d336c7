import assert, { deepEqual, equal, match } from "node:assert/strict";
import { createHash } from "node:crypto";
import { chmod, mkdir, readFile, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describeReload, diff } from "../../runtime/folder/live_rules.ts";
import type { Step } from "../../runtime/model/rule.ts";
import { heads, shown, TestFolder } from "./loading.ts";

const every = (text = "hi") => `when:\n  every: 5m\nthen:\n  - log: ${text}\n`;
const hook = (path: string, auth: string) => `when:\n  webhook: ${path}\n  ${auth}\nthen:\n  - log: hi\n`;

Deno.test("a rule's id is its path without extension, or its id", async () => {
  await using folder = await TestFolder.with({
    "a.yaml": every(),
    "deep/er/b.yml": every(),
    "c.yaml": `id: other/name\n${every()}`,
  });
  const { rules, problems } = await folder.load();
  assert.deepEqual([...rules.keys()].sort(), ["a", "deep/er/b", "other/name"]);
  assert.deepEqual(problems, []);
  assert.equal(rules.get("deep/er/b")!.file, "deep/er/b.yml");
});

Deno.test("hidden files, node_modules, the data folder, tests, settings and config are not rules", async () => {
  await using folder = await TestFolder.with({
    "a.yaml": every(),
    ".hidden.yaml": "x",
    ".git/b.yaml": "x",
    "node_modules/c/c.yaml": "x",
    ".whenthen/d.yaml": "x",
    "a.test.ts": "x(",
    "types.d.ts": "x(",
    "config.yaml": "all: {}\n",
    "config.live.yaml": "nonsense: [",
    "whenthen.yaml": "port: 80\n",
    "README.md": "x",
  });
  const loaded = await folder.load();
  assert.deepEqual(shown(loaded), []);
  assert.deepEqual([...loaded.rules.keys()], ["a"]);
  assert.equal(loaded.settings.port, 80);
});

Deno.test("two files with one id are a problem in both, each naming the other", async () => {
  await using folder = await TestFolder.with({ "a.yaml": every(), "a.yml": every(), "b.yaml": `id: a\n${every()}` });
  const loaded = await folder.load();
  assert.deepEqual(heads(loaded), [
    'a.yaml:1:1: the rule id "a" is also that of a.yml, b.yaml',
    'a.yml:1:1: the rule id "a" is also that of a.yaml, b.yaml',
    'b.yaml:1:5: the rule id "a" is also that of a.yaml, a.yml',
  ]);
  assert.equal(loaded.rules.size, 0);
});

Deno.test("one webhook path with two kinds of auth is a problem in both places", async () => {
  await using folder = await TestFolder.with({
    "a.yaml": hook("/in/:x", "auth: none"),
    "b.yaml": hook("/in/:y", "auth: standard\n  secret: S"),
    "c.yaml": hook("/other", "auth: none"),
    "d.yaml": hook("/other", "auth: none"),
  }, { environment: { S: "whsec_dGVzdA==" } });
  const loaded = await folder.load();
  assert.deepEqual(heads(loaded), [
    "a.yaml:2:3: the webhook /in/:x has another auth or secret in b.yaml:2",
    "b.yaml:2:3: the webhook /in/:y has another auth or secret in a.yaml:2",
  ]);
  assert.deepEqual([...loaded.rules.keys()].sort(), ["c", "d"]);
});

Deno.test("a rule that conflicts with a loaded one does not replace it", async () => {
  await using folder = await TestFolder.with({ "a.yaml": hook("/in", "auth: none") });
  const before = await folder.load();
  await folder.write({ "b.yaml": hook("/in", "auth: standard\n  secret: S") });
  const after = await folder.load();
  assert.equal(after.rules.get("a"), before.rules.get("a"));
  assert.equal(after.rules.has("b"), false);
});

Deno.test("a rule that does not load keeps its last good version, even if its id can no longer be read", async () => {
  await using folder = await TestFolder.with({ "a.yaml": `id: named\n${every()}`, "b.yaml": every() });
  const before = await folder.load();
  await folder.write({ "a.yaml": "id: [", "b.yaml": "when:\n  evry: 5m\nthen: []\n" });
  const after = await folder.load();
  assert.equal(after.rules.get("named"), before.rules.get("named"));
  assert.equal(after.rules.get("b"), before.rules.get("b"));
  assert.deepEqual([...after.broken], [["a.yaml", "named"], ["b.yaml", "b"]]);
  assert.deepEqual(diff(before, after), { loaded: [], kept: ["named", "b"], failed: [], removed: [], unchanged: [] });
  await folder.write({ "a.yaml": `id: named\n${every()}`, "b.yaml": every("new") });
  const mended = await folder.load();
  assert.deepEqual(diff(after, mended), { loaded: ["b"], kept: [], failed: [], removed: [], unchanged: ["named"] });
});

Deno.test("each rule gets one line about a reload, with the problems of kept versions, and only once", async () => {
  await using folder = await TestFolder.with({
    "a.yaml": every(),
    "b.yaml": every(),
    "c.yaml": `enabled: false\n${every()}`,
  });
  const first = await folder.load();
  assert.deepEqual(describeReload(undefined, first).map(({ text }) => text), [
    "loaded a (every 5m)",
    "loaded b (every 5m)",
    "loaded c (every 5m), disabled",
  ]);
  await folder.write({ "a.yaml": every("new"), "b.yaml": "when:\n  evry: 5m\nthen: []\n", "d.yaml": "then: [" });
  await folder.remove("c.yaml");
  const second = await folder.load();
  const lines = describeReload(first, second);
  assert.deepEqual(lines.map(({ what, rule }) => `${what} ${rule}`), ["loaded a", "kept b", "failed d", "removed c"]);
  assert.match(
    lines[1].text,
    /^kept b: the last good version stays live\nb\.yaml:2:3: expected one of .* got "evry"\n/,
  );
  assert.deepEqual(describeReload(second, await folder.load()), []);
});

Deno.test("a version changes with the file, its config and what it calls, and with nothing else", async () => {
  await using folder = await TestFolder.with({
    "a.yaml": `${every()}  - call: ./lib/tell.yaml\nconfig:\n  x: 1\n`,
    "lib/tell.yaml": "inputs: {}\nthen:\n  - call: ./deep.yaml\n",
    "lib/deep.yaml": "inputs: {}\nthen:\n  - log: one\n",
    "b.yaml": every(),
  });
  const version = async () => (await folder.load()).rules.get("a")!.version;
  const first = await version();
  assert.match(first, /^[0-9a-f]{16}$/);
  assert.deepEqual(Object.keys(folder.loaded!.rules.get("a")!.actions), ["lib/tell.yaml", "lib/deep.yaml"]);
  const versions = [first];
  const changes: Record<string, string>[] = [
    { "lib/deep.yaml": "inputs: {}\nthen:\n  - log: two\n" },
    { "config.yaml": "a:\n  x: 2\n" },
    { "config.yaml": "a:\n  x: 2\n  enabled: false\n" },
    { "a.yaml": `${every()}  - call: ./lib/tell.yaml\nconfig:\n  x: 1\n# changed\n` },
  ];
  for (const change of changes) {
    await folder.write(change);
    versions.push(await version());
  }
  assert.equal(new Set(versions).size, versions.length);
  await folder.write({ "b.yaml": every("other") });
  assert.equal(await version(), versions.at(-1));
  folder.reopen();
  assert.equal(await version(), versions.at(-1));
});

Deno.test("an action is checked even if nothing calls it, and if it is bad, so are its callers", async () => {
  await using folder = await TestFolder.with({
    "a.yaml": `${every()}  - call: ./lib/tell.yaml\n`,
    "lib/tell.yaml": "inputs: {}\nthen:\n  - lgo: hi\n",
    "lib/alone.yaml": "inputs: {}\nthen:\n  - log: ${{ inputs.x }}\n",
  });
  const loaded = await folder.load();
  assert.deepEqual(heads(loaded).map((head) => head.split(",")[0]), [
    "a.yaml:5:11: ./lib/tell.yaml does not load",
    "lib/alone.yaml:3:14: unknown inputs.x",
    'lib/tell.yaml:3:5: expected one of "http"',
  ]);
  assert.deepEqual([...loaded.broken.keys()], ["a.yaml"]);
});

Deno.test("a call must lead to an action or an export; the problem says what exists", async () => {
  await using folder = await TestFolder.with({
    "a.yaml": `${every()}  - call: ./b.yaml\n  - call: ./lib/tel.yaml\n  - call: ./gone.ts#read\n`,
    "b.yaml": every(),
    "lib/tell.yaml": "inputs: {}\nthen:\n  - log: hi\n",
  });
  assert.deepEqual(
    shown(await folder.load()).map((text) => text.split("\n").filter((_, line) => line !== 1 && line !== 2)),
    [
      ["a.yaml:5:11: ./b.yaml is not an action", "    an action has inputs and then, and no when"],
      ["a.yaml:6:11: ./lib/tel.yaml does not exist", '    did you mean "./lib/tell.yaml"?'],
      [
        "a.yaml:7:11: ./gone.ts does not exist",
        "    nothing in this folder can be called; targets are relative to the file they stand in",
      ],
      [
        "lib/tell.yaml:2:1: warning: nothing calls this action, so it never runs",
        "    a rule needs when: and then:; to start it by hand: when: manual",
      ],
    ],
  );
});

Deno.test("actions that call each other in a cycle are problems, each with the path of the cycle", async () => {
  const action = (target: string) => `inputs: {}\nthen:\n  - call: ./${target}.yaml\n`;
  await using folder = await TestFolder.with({
    "a.yaml": action("b"),
    "b.yaml": action("c"),
    "c.yaml": action("b"),
    "self.yaml": action("self"),
  });
  assert.deepEqual(heads(await folder.load()), [
    "a.yaml:3:11: ./b.yaml does not load",
    "b.yaml:3:11: this action calls itself: b.yaml → c.yaml → b.yaml",
    "c.yaml:3:11: this action calls itself: c.yaml → b.yaml → c.yaml",
    "self.yaml:3:11: this action calls itself: self.yaml → self.yaml",
  ]);
});

Deno.test("a secret that is not set is a warning until it is set", async () => {
  await using folder = await TestFolder.with({
    "a.yaml": `${every("${{ secrets.TOKEN }}")}`,
    "whenthen.yaml": "secrets:\n  files: ./more.env\n  folders: ./mounted\n",
  });
  const warned = await folder.load();
  assert.match(heads(warned)[0], /^a\.yaml:4:14: warning: the secret TOKEN is not set/);
  assert.ok(warned.rules.has("a"));
  assert.deepEqual(warned.secretNames, ["TOKEN"]);
  for (const file of [".env", "more.env"]) {
    await folder.write({ [file]: "TOKEN=abcdef12\n" });
    assert.deepEqual(heads(await folder.load()), []);
    await folder.remove(file);
    assert.deepEqual(shown(await folder.load()), shown(warned), "a file that is checked again has its positions");
  }
  await folder.write({ "mounted/TOKEN": "abcdef12\n" });
  assert.deepEqual(heads(await folder.load()), []);
});

Deno.test("a secret that is short or a common word is a warning until it is stronger", async () => {
  await using folder = await TestFolder.with({
    "a.yaml": `${every("${{ secrets.REGION }}")}`,
    ".env": "REGION=lisbon\n",
  });
  const warned = heads(await folder.load());
  assert.match(warned[0], /^a\.yaml:4:14: warning: the secret REGION has under 8 characters: .* shown as \*\*\*/);
  await folder.write({ ".env": "REGION=lisbonporto\n" });
  assert.match(heads(await folder.load())[0], /warning: the secret REGION is a word of under 12 letters/);
  await folder.write({ ".env": "REGION=lisbonporto1\n" });
  assert.deepEqual(heads(await folder.load()), []);
});

Deno.test("actions outside of the folder can be called; their files are watched", async () => {
  await using shared = await TestFolder.with({ "tell.yaml": "inputs: {}\nthen:\n  - log: hi\n" });
  const target = join("..", shared.path.split("/").at(-1)!, "tell.yaml");
  await using folder = await TestFolder.with({ "a.yaml": `${every()}  - call: ${target}\n` });
  const loaded = await folder.load();
  assert.deepEqual(shown(loaded), []);
  assert.deepEqual(Object.keys(loaded.rules.get("a")!.actions), [target]);
  assert.ok(loaded.outside.includes(join(shared.path, "tell.yaml")));
});

Deno.test("links to files and folders are followed, cycles and dead links are not", async () => {
  await using folder = await TestFolder.with({ "real/a.yaml": every() });
  await symlink("real", join(folder.path, "linked"));
  await symlink("..", join(folder.path, "real/circle"));
  await symlink("nowhere.yaml", join(folder.path, "dead.yaml"));
  await mkdir(join(folder.path, "x.yaml"));
  const loaded = await folder.load();
  assert.deepEqual([...loaded.rules.keys()].sort(), ["linked/a", "real/a"]);
  assert.deepEqual(heads(loaded), ["dead.yaml:1:1: this link leads to no file"]);
});

Deno.test("an empty file is a warning, not a rule", async () => {
  await using folder = await TestFolder.with({ "a.yaml": "# nothing yet\n" });
  const loaded = await folder.load();
  assert.deepEqual(heads(loaded), ["a.yaml:1:1: warning: this file is empty"]);
  assert.equal(loaded.broken.size, 0);
});

Deno.test("one save among 1,000 rules (time is printed, not judged)", async () => {
  const names = Array.from({ length: 1_000 }, (_, index) => `team${index % 20}/rule${index}.yaml`);
  const text =
    "name: A rule\nwhen:\n  webhook: /in/PATH\n  auth: none\nif: event.data.total > config.least\nconfig:\n  least: 5\n" +
    'then:\n  - id: tell\n    http: POST https://example.org/${{ event.data.id }}\n    json: { text: "${{ event.data.name }}" }\n';
  const files = Object.fromEntries(names.map((name) => [name, text.replace("PATH", name)]));
  await using folder = await TestFolder.with(files);
  const timed = async () => {
    const start = performance.now();
    await folder.load();
    return Math.round(performance.now() - start);
  };
  const first = await timed();
  const before = folder.loaded;
  const times: number[] = [];
  for (let save = 0; save < 5; save++) {
    await folder.write({ [names[7]]: text.replace("PATH", `new${save}`) });
    times.push(await timed());
  }
  console.log(`1,000 rules: first load ${first} ms, one save each ${times.join(", ")} ms`);
  assert.deepEqual(diff(before, folder.loaded!).loaded, ["team7/rule7"]);
});

Deno.test("the log line of a rule stays one line, whatever its triggers are called", async () => {
  await using folder = await TestFolder.with({
    "a.yaml": "when:\n  poll:\n    run: |\n      echo 1\n      echo 2\n  key: item\nthen:\n  - log: hi\n",
  });
  const lines = describeReload(undefined, await folder.load()).map(({ text }) => text);
  assert.deepEqual(lines, ["loaded a (poll run echo 1 echo 2)"]);
});

Deno.test("a file of secrets that everybody can read is a warning", async () => {
  await using folder = await TestFolder.with({ "a.yaml": every("${{ secrets.TOKEN }}"), ".env": "TOKEN=abcdef12\n" });
  assert.deepEqual(heads(await folder.load()), []);
  await chmod(join(folder.path, ".env"), 0o644);
  const loaded = await folder.load();
  assert.deepEqual(heads(loaded), [".env:1:1: warning: every user of this machine can read the secrets in this file"]);
  assert.ok(loaded.rules.has("a"));
});

const RULE = `when:
  cron: 0 8 * * *
if: event.data.n > 1
then:
  - log: \${{ event.id }} in \${{ config.room }}
config:
  room: { type: text, default: hall }
`;

async function folderWith(files: Record<string, string>): Promise<TestFolder> {
  const folder = await TestFolder.with(files, { build: "one", environment: { ZONE: "Europe/Berlin" } });
  await mkdir(join(folder.path, ".whenthen"));
  return folder;
}

function kept(folder: TestFolder): string {
  return join(folder.path, ".whenthen/cache/rules.checked");
}

/** The cache as the next start of a program of this build finds it. */
async function restart(folder: TestFolder, build = "one") {
  folder.loaded = undefined;
  folder.reopen({ build });
  return await folder.load();
}

async function read(folder: TestFolder): Promise<string> {
  return (await readFile(kept(folder), "utf8")).split("\n")[1];
}

/** Changes the name in the cache, which shows whether the cache is used. */
async function mark(folder: TestFolder): Promise<void> {
  const json = (await read(folder)).replaceAll('"mode":"parallel"', '"mode":"parallel","name":"kept"');
  await writeFile(kept(folder), `${createHash("sha256").update(json).digest("base64url")}\n${json}`);
}

Deno.test("a start reuses an unchanged rule from the previous start, and it is equal", async () => {
  await using folder = await folderWith({ "a.yaml": RULE, "b.yaml": RULE });
  const first = await folder.load();
  const second = await restart(folder);
  deepEqual([...second.rules], [...first.rules]);
  deepEqual(second.problems, first.problems);
  await mark(folder);
  equal((await restart(folder)).rules.get("a")!.name, "kept");
});

Deno.test("a cached rule is ignored if the file, the config or the program changed", async () => {
  await using folder = await folderWith({ "a.yaml": RULE });
  await folder.load();
  await mark(folder);
  equal((await restart(folder, "two")).rules.get("a")!.name, undefined);
  await restart(folder);
  await mark(folder);
  await folder.write({ "a.yaml": RULE.replace("0 8", "0 9") });
  equal((await restart(folder)).rules.get("a")!.name, undefined);
  await mark(folder);
  await folder.write({ "config.yaml": "a: { room: attic }\n" });
  const { rules } = await restart(folder);
  deepEqual([rules.get("a")!.name, rules.get("a")!.config], [undefined, { room: "attic" }]);
});

Deno.test("a rule with problems, or that reads the environment or the clock, is not cached", async () => {
  await using folder = await folderWith({
    "broken.yaml": RULE.replace("log:", "lag:"),
    "zone.yaml": RULE.replace("0 8 * * *", '0 8 * * *\n  timezone: "${{ \\x65nv.ZONE }}"'),
    "clock.yaml": RULE.replace("event.id", "now()"),
    "fine.yaml": RULE,
  });
  await folder.load();
  equal(JSON.parse(await read(folder)).length, 1);
});

Deno.test("a damaged cache file is ignored", async () => {
  await using folder = await folderWith({ "a.yaml": RULE, "broken.yaml": RULE.replace("log:", "lag:") });
  const first = await folder.load();
  const whole = await readFile(kept(folder), "utf8");
  for (const damaged of ["", "\n[]", whole.slice(0, -1), whole.replace("0 8", "0 9")]) {
    await writeFile(kept(folder), damaged);
    const second = await restart(folder);
    deepEqual([...second.rules], [...first.rules]);
    match(shown(second).join(), /lag/);
  }
});

Deno.test("every file may have shared blocks under x-… keys, and a mistake in one is reported once, there", async () => {
  await using folder = await TestFolder.with({
    "rule.yaml": `x-slow: &slow
  timeout: 5m
  retry: 5
when: { every: 5m }
then:
  - http: POST https://a.example.org/
    <<: *slow
  - call: ./lib/act.yaml
    <<: *slow
    timeout: 1m
  - call: ./cmd.yaml
`,
    "lib/act.yaml":
      "x-text: &text { type: text, default: hi }\ninputs:\n  text: { <<: *text }\nthen:\n  - log: ${{ inputs.text }}\n",
    "cmd.yaml": "x-text: &text { type: text }\ncommand: echo\ninputs:\n  -a: { <<: *text, title: A }\n",
    "plant.yaml":
      "x-often: &often { every: 8s }\ndevices: [{ name: a }]\nkey: item.name\nping: { tcp: 'h:1', <<: *often }\n",
    "config.yaml": "x-on: &on { enabled: true }\nx-note: for people\nrule: { <<: *on }\n",
    "whenthen.yaml": "x-web: &web { host: 127.0.0.1 }\n<<: *web\nport: 8081\n",
    "bad.yaml":
      "x-slow: &slow { timeot: 5m }\nwhen: { every: 5m }\nthen:\n  - log: a\n    <<: *slow\n  - log: b\n    <<: *slow\n",
  });
  const loaded = await folder.load();
  const { rules, settings } = loaded;
  assert.deepEqual(shown(loaded), [
    'bad.yaml:1:17: unknown key "timeot"\n    x-slow: &slow { timeot: 5m }\n                    ^^^^^^\n    did you mean "timeout"?',
  ]);
  assert.equal(settings.host, "127.0.0.1");
  const [post, call] = rules.get("rule")!.then as Step[];
  assert.deepEqual([post.timeout, post.retry?.attempts, call.timeout, call.retry?.attempts], [300_000, 5, 60_000, 5]);
});
