import assert from "node:assert/strict";
import { heads, shown, TestFolder } from "./loading.ts";

const rule = (config: string) =>
  `when:\n  every: \${{ config.pace }}\nthen:\n  - log: hi\nconfig:\n  pace: 5m\n${config}`;

Deno.test("all: is for every rule that declares the key, a rule's block overrides it, the environment's file overrides both", async () => {
  await using folder = await TestFolder.with({
    "a.yaml": rule("  size: 1\n"),
    "ops/b.yaml": rule("  size: 1\n"),
    "c.yaml": rule(""),
    "config.yaml": "all:\n  size: 2\n  pace: 1h\nops/b:\n  size: 3\n  enabled: false\n",
    "config.live.yaml": "ops/b:\n  size: 4\n",
  });
  const configs = async () =>
    [...(await folder.load()).rules.values()].map(({ id, config, enabled }) => [id, config, enabled]);
  assert.deepEqual(await configs(), [
    ["a", { pace: "1h", size: 2 }, true],
    ["c", { pace: "1h" }, true],
    ["ops/b", { pace: "1h", size: 3 }, false],
  ]);
  assert.equal(folder.loaded!.rules.get("a")!.triggers[0].args.every, 3_600_000);
  folder.reopen({ env: "live" });
  assert.deepEqual((await configs())[2], ["ops/b", { pace: "1h", size: 4 }, false]);
  assert.deepEqual(shown(folder.loaded!), []);
});

Deno.test("unknown rules and keys are problems that suggest the nearest", async () => {
  await using folder = await TestFolder.with({
    "ops/disk.yaml": rule("  threshold: 1\n"),
    "config.yaml": "all:\n  pase: 5m\nops/dsk:\n  x: 1\nops/disk:\n  thresold: 2\n",
  });
  const loaded = await folder.load();
  assert.deepEqual(shown(loaded).map((text) => text.split("\n").filter((_, line) => line === 0 || line === 3)), [
    ['config.yaml:2:3: no rule declares "pase"', '    did you mean "pace"?'],
    ['config.yaml:3:1: there is no rule "ops/dsk"', '    did you mean "ops/disk"?'],
    ['config.yaml:6:3: the rule declares no "thresold"', '    did you mean "threshold"?'],
  ]);
  assert.ok(loaded.rules.has("ops/disk"));
});

Deno.test("a bad value keeps the last good one, the other values change", async () => {
  await using folder = await TestFolder.with({
    "a.yaml": rule("  size: 1\n  name: x\n"),
    "config.yaml": "a:\n  size: 7\n  enabled: false\n",
  });
  await folder.load();
  await folder.write({ "config.yaml": "a:\n  size: big\n  name: y\n  enabled: maybe\n" });
  const loaded = await folder.load();
  assert.deepEqual(heads(loaded), [
    'config.yaml:2:9: size of a: expected a number, got "big"',
    'config.yaml:4:12: enabled of a: expected true or false, got "maybe"',
  ]);
  assert.deepEqual(loaded.rules.get("a")!.config, { pace: "5m", size: 7, name: "y" });
  assert.equal(loaded.rules.get("a")!.enabled, false);
});

Deno.test("a bad value without an earlier good one keeps the rule from loading", async () => {
  await using folder = await TestFolder.with({ "a.yaml": rule("  size: 1\n"), "config.yaml": "a:\n  size: big\n" });
  const loaded = await folder.load();
  assert.equal(loaded.rules.size, 0);
  assert.deepEqual([...loaded.broken], [["a.yaml", "a"]]);
});

Deno.test("a config file with a syntax error changes nothing", async () => {
  await using folder = await TestFolder.with({ "a.yaml": rule("  size: 1\n"), "config.yaml": "a:\n  size: 7\n" });
  await folder.load();
  await folder.write({ "config.yaml": "a:\n  size: [\n", "b.yaml": rule("") });
  const loaded = await folder.load();
  assert.equal(loaded.problems.length, 1);
  assert.equal(loaded.rules.get("a")!.config.size, 7);
  assert.ok(loaded.rules.has("b"));
});

Deno.test("if a config file is invalid at the start no rule loads: it might disable one of them", async () => {
  await using folder = await TestFolder.with({ "a.yaml": rule(""), "config.yaml": "a:\n  enabled: [\n" });
  const loaded = await folder.load();
  assert.equal(loaded.rules.size, 0);
  assert.deepEqual([...loaded.broken.values()], ["a"]);
});

Deno.test("a required field without value is a problem of the rule until it is set", async () => {
  await using folder = await TestFolder.with({ "a.yaml": rule("  url: { type: url }\n") });
  assert.match(heads(await folder.load())[0], /^a\.yaml:7:3: config\.url: expected a URL/);
  await folder.write({ "config.yaml": "a:\n  url: https://example.org/\n" });
  const loaded = await folder.load();
  assert.deepEqual(shown(loaded), []);
  assert.equal(loaded.rules.get("a")!.config.url, "https://example.org/");
});

Deno.test("a config file in a subfolder is a problem that says where it belongs", async () => {
  await using folder = await TestFolder.with({ "ops/config.yaml": "all:\n  n: 1\n" });
  const loaded = await folder.load();
  assert.deepEqual(loaded.problems.map(({ file, message }) => `${file}: ${message}`), [
    "ops/config.yaml: config.yaml is read only at the top of the rules folder",
  ]);
});
