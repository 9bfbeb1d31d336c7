import assert from "node:assert/strict";
import { readSet } from "../../runtime/folder/settings/config_layers.ts";
import type { ConfigValue, UpperValue } from "../../runtime/model/config.ts";
import type { Json } from "../../runtime/model/json.ts";
import type { Isolates } from "../../runtime/workers/workers.ts";
import { heads, shown, TestFolder } from "./loading.ts";

const RULE = `when:
  every: 5m
then:
  - log: hi
editors: [ops, carl@example.org]
config:
  limit: { type: integer, default: 10, max: 100 }
  size: 1
  note: { type: text, required: false }
`;
const PEOPLE = "people: { anna: { groups: [ops] } }\n";
/** Without a source of the config its values do not apply. */
const SOURCE = `${PEOPLE}config: { call: ./read.ts#read }\n`;
const READ = { "read.ts": "export const read = () => ({ values: {} });\n" };
const isolates = { describe: () => Promise.resolve({ exports: ["read"] }) } as unknown as Isolates;

const page = (key: string, is: Json, rule = "ops/disk", at = 7): UpperValue => {
  return { rule, key, value: { is }, from: "page", by: "anna", at };
};
const source = (key: string, is: Json, rule = "ops/disk"): UpperValue => {
  return { rule, key, value: { is }, from: "source" };
};

/** `3 page < 2 config.yaml < 10 default` */
function chain({ value, from, below }: ConfigValue): string {
  return `${value} ${from}${below ? ` < ${chain(below)}` : ""}`;
}

Deno.test("each layer overrides those below it: default, files, source, page, --set", async () => {
  await using folder = await TestFolder.with({
    "ops/disk.yaml": RULE,
    "whenthen.yaml": SOURCE,
    ...READ,
    "config.yaml": "all: { limit: 2 }\nops/disk: { limit: 3, size: 2 }\n",
    "config.live.yaml": "ops/disk: { limit: 4 }\n",
  }, { isolates, env: "live", set: [readSet("ops/disk.limit=7")!] });
  const load = async (upper: UpperValue[]) => folder.loaded = await folder.loader.load(folder.loaded, upper);
  const loaded = await load([source("limit", 5), page("limit", 6), page("note", "x")]);
  assert.deepEqual(shown(loaded), []);
  const { entries, editors } = loaded.configs.get("ops/disk")!;
  assert.deepEqual(entries.map((entry) => `${entry.key}: ${chain(entry)}`), [
    "limit: 7 --set < 6 page < 5 source < 4 config.live.yaml < 3 config.yaml < 2 config.yaml < 10 default",
    "size: 2 config.yaml < 1 default",
    "note: x page",
  ]);
  assert.deepEqual(loaded.rules.get("ops/disk")!.config, { limit: 7, size: 2, note: "x" });
  assert.deepEqual([entries[2].by, entries[2].at], ["anna", 7]);
  assert.deepEqual(editors, ["ops", "carl@example.org"]);

  // A new value is a new version; what does not change the values is none.
  const { version } = loaded.rules.get("ops/disk")!;
  assert.equal((await load([source("limit", 9), page("note", "x")])).rules.get("ops/disk")!.version, version);
  assert.notEqual((await load([page("note", "y")])).rules.get("ops/disk")!.version, version);

  await folder.write({ "whenthen.yaml": PEOPLE });
  const without = (await load([source("size", 9)])).configs.get("ops/disk")!.entries[1];
  assert.equal(chain({ ...without }), "2 config.yaml < 1 default", "what a source said that is not named any more");
});

Deno.test("a bad or unknown value above the files costs itself and one warning that names who set it", async () => {
  await using folder = await TestFolder.with({
    "ops/disk.yaml": RULE,
    "whenthen.yaml": SOURCE,
    ...READ,
    "config.yaml": "ops/disk: { limit: 3 }\n",
  }, { isolates, set: [readSet("ops/disk.size=big")!, readSet("ops/dsk.size=1")!] });
  const loaded = await folder.loader.load(undefined, [
    page("limit", 500),
    page("limits", 5),
    source("note", true),
    source("size", 4),
    page("x", 1, "gone"),
  ]);
  assert.deepEqual(heads(loaded), [
    "--set:1:1: warning: size of ops/dsk, given with --set, is not used: there is no such rule",
    "/config:1:1: warning: x of gone, set by anna at /config/gone, is not used: there is no such rule",
    "ops/disk.yaml:6:1: warning: limits of ops/disk, set by anna at /config/ops/disk, is not used: " +
    'the rule declares no "limits"',
    "ops/disk.yaml:7:3: warning: limit of ops/disk, set by anna at /config/ops/disk, is not used: " +
    "expected at most 100, got 500",
    'ops/disk.yaml:8:3: warning: size of ops/disk, given with --set, is not used: expected a number, got "big"',
    "ops/disk.yaml:9:3: warning: note of ops/disk, given by the source of config, is not used: expected text, got true",
  ]);
  assert.deepEqual(loaded.rules.get("ops/disk")!.config, { limit: 3, size: 4, note: null });
  assert.deepEqual(loaded.broken.size, 0);
  assert.deepEqual(loaded.refused.map(({ rule, key, from }) => `${rule} ${key} ${from}`).sort(), [
    "gone x page",
    "ops/disk limit page",
    "ops/disk limits page",
    "ops/disk note source",
    "ops/disk size --set",
    "ops/dsk size --set",
  ]);
});

Deno.test("values that contradict the others are left out, one by one; a whole set that fits applies", async () => {
  const rule = `when: { every: 5m }
then: [{ log: hi }]
config:
  mail: { type: email, required: false, requires: [subject], conflicts: [phone] }
  subject: { type: text, required: false }
  phone: { type: text, required: false }
`;
  await using folder = await TestFolder.with({ "a.yaml": rule });
  const load = async (...upper: UpperValue[]) => {
    const loaded = folder.loaded = await folder.loader.load(folder.loaded, upper);
    return [loaded.rules.get("a")!.config, heads(loaded).map((head) => head.split("is not used: ")[1])];
  };
  const mail = page("mail", "a@example.org", "a", 1);
  const subject = page("subject", "hi", "a", 2);
  assert.deepEqual(await load(mail, subject), [{ mail: "a@example.org", subject: "hi", phone: null }, []]);
  assert.deepEqual(await load(mail), [{ mail: null, subject: null, phone: null }, [
    "subject is missing: mail requires subject",
  ]]);
  assert.deepEqual(await load(mail, subject, page("phone", "1", "a", 3)), [
    { mail: null, subject: "hi", phone: "1" },
    ["mail conflicts with phone"],
  ]);
});

Deno.test("a required value that no file sets can come from above, and the rule loads again", async () => {
  await using folder = await TestFolder.with({
    "a.yaml": "when: { every: 5m }\nthen: [{ log: hi }]\nconfig:\n  place: { type: text }\n",
  });
  const before = await folder.load();
  assert.deepEqual([...before.broken.values()], ["a"]);
  assert.deepEqual(before.configs.get("a")!.entries, [{ key: "place", value: null, from: "default" }]);
  const after = await folder.loader.load(before, [page("place", "52,13", "a")]);
  assert.deepEqual(shown(after), []);
  assert.deepEqual(after.rules.get("a")!.config, { place: "52,13" });
});

Deno.test("a bad value in a file keeps the last good one of the files, not one that a person had set", async () => {
  await using folder = await TestFolder.with({
    "a.yaml": "when: { every: 5m }\nthen: [{ log: hi }]\nconfig: { size: 1 }\n",
  });
  await folder.write({ "config.yaml": "a: { size: 2 }\n" });
  const before = await folder.loader.load(undefined, [page("size", 9, "a")]);
  await folder.write({ "config.yaml": "a: { size: big }\n" });
  const bad = await folder.loader.load(before, [page("size", 9, "a")]);
  assert.deepEqual(bad.rules.get("a")!.config, { size: 9 });
  const removed = await folder.loader.load(bad, []);
  assert.deepEqual(removed.rules.get("a")!.config, { size: 2 });
});

Deno.test("editors are people, groups or addresses that are known, of a rule that has config", async () => {
  const rule = (editors: string, config = "config: { size: 1 }") =>
    `when: { every: 5m }\nthen: [{ log: hi }]\neditors: ${editors}\n${config}\n`;
  await using folder = await TestFolder.with({
    "whenthen.yaml": PEOPLE,
    "a.yaml": rule("[ops, anna, x@example.org]"),
    "b.yaml": rule("opps"),
    "c.yaml": rule("5"),
    "d.yaml": rule("ops", ""),
  });
  assert.deepEqual(heads(await folder.load()), [
    'b.yaml:3:10: unknown person or group "opps"',
    "c.yaml:3:10: expected a person, a group or an e-mail address, or a list of them, got 5",
    "d.yaml:3:1: there is no config that they could set",
  ]);
});

Deno.test("--set: the key is what follows the last dot before the equals sign", () => {
  const parts = (text: string) => {
    const { rule, key, value } = readSet(text)!;
    return [rule, key, (value as { text: string }).text];
  };
  assert.deepEqual(parts("ops/disk.v2.limit=a.b=c"), ["ops/disk.v2", "limit", "a.b=c"]);
  assert.deepEqual(parts("a.note="), ["a", "note", ""]);
  for (const bad of ["limit=5", "a.limit", "=5", "a.=5", ""]) assert.equal(readSet(bad), undefined, bad);
});
