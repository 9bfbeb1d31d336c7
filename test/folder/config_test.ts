import assert from "node:assert/strict";
import { problemsOfSet, readSet } from "../../runtime/folder/settings/config_layers.ts";
import type { ConfigValue, UpperValue } from "../../runtime/model/config.ts";
import type { Json } from "../../runtime/model/json.ts";
import type { Isolates } from "../../runtime/workers/workers.ts";
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

/** A rule whose editors may set fields that decide a host. */
const hosting = (fields: string, body: string) =>
  `when: { every: 5m }
editors: [anna]
config: { ${fields} }
${body}
`;

Deno.test("a config value that decides the host of a request with a secret needs hosts on its field", async () => {
  const url = "url: https://api.example.org";
  const bound = "url: { type: url, hosts: [api.example.org], default: https://api.example.org/v1 }";
  const list = "urls: { type: list, of: url, default: [] }";
  const bearer = "auth: { bearer: '${{ secrets.KEY }}' }";
  const http = (address: string, more = bearer) => `then: [{ http: "${address}", ${more} }]`;
  await using folder = await TestFolder.with({
    "whenthen.yaml": PEOPLE,
    "a.yaml": hosting(url, http("POST ${{ config.url }}/items")),
    "b.yaml": hosting(
      "host: api.example.org",
      http("https://${{ config.host }}/x", "headers: { k: '${{ secrets.KEY }}' }"),
    ),
    "c.yaml": hosting("name: acme", http("https://${{ config.name }}.example.org/x?k=${{ secrets.KEY }}", "ok: [404]")),
    "d.yaml": hosting(url, "then: [{ call: ./x.yaml, with: { at: '${{ config.url }}', key: '${{ secrets.KEY }}' } }]"),
    "x.yaml": "inputs: { at: { type: url }, key: { type: text } }\nthen: [{ log: x }]\n",
    "e.yaml": hosting(url, "then: [{ log: x }]").replace(
      "every: 5m",
      `poll: "\${{ config.url }}", ${bearer}, key: item.id`,
    ),
    "f.yaml": hosting(url, "then: [{ log: x }]").replace(
      "every: 5m",
      `poll: https://a.example, key: item.id, one: { http: "\${{ config.url }}/\${{ key }}", ${bearer} }`,
    ),
    // An action may hold the secret itself; so may the items of a list be addresses.
    "g.yaml": hosting(url, "then: [{ call: ./send.yaml, with: { at: '${{ config.url }}' } }]"),
    "send.yaml": `inputs: { at: { type: url } }\nthen: [{ http: "POST \${{ inputs.at }}", ${bearer} }]\n`,
    "h.yaml": hosting(list, `then: [{ each: config.urls, then: [{ http: "POST \${{ item }}", ${bearer} }] }]`),
    "i.yaml": hosting(
      list,
      "then: [{ each: config.urls, as: at, then: [{ call: ./send.yaml, with: { at: '${{ at }}' } }] }]",
    ),
    // However method and scheme are written.
    "j.yaml": hosting(
      "host: api.example.org",
      `then: [{ http: "HTTPS://\${{ config.host }}/x", ${bearer} }, { http: " post  https:\${{ config.host }}", ${bearer} }]`,
    ),
    "k.yaml": hosting("ip: { type: ip, default: 192.0.2.1 }", http("https://${{ config.ip }}/x")),
    // No secret, the path only, a field that is limited, a choice, and a rule that only its operators configure.
    "ok/1.yaml": hosting(url, http("POST ${{ config.url }}/items", "ok: [404]")),
    "ok/2.yaml": hosting(url, http("POST https://api.example.org/${{ config.url }}")),
    "ok/3.yaml": hosting(bound, http("POST ${{ config.url }}/items")),
    "ok/4.yaml": hosting(
      "url: { type: choice, choices: [https://a.example, https://b.example] }",
      http("${{ config.url }}"),
    )
      .replace("] }", "], default: https://a.example }"),
    "ok/6.yaml": hosting(
      "urls: { type: list, hosts: [a.example], default: [] }, names: { type: list, of: text, default: [] }",
      `then: [{ each: config.urls, then: [{ http: "\${{ item }}", ${bearer} }] },
  { each: config.names, then: [{ http: "https://a.example/\${{ item }}", ${bearer} }, { call: ../x.yaml, with: { at: "https://a.example", key: "\${{ item }}" } }] }]`,
    ),
    "ok/5.yaml": hosting(url, http("POST ${{ config.url }}/items")).replace("editors: [anna]\n", ""),
  }, { isolates, environment: { KEY: "long enough" } });
  const problem = (place: string, key: string, how = "decides") =>
    `${place}: config.${key} ${how} which host gets a secret, and people may set it`;
  assert.deepEqual(heads(await folder.load()), [
    problem("a.yaml:4:26", "url"),
    problem("b.yaml:4:29", "host"),
    problem("c.yaml:4:29", "name"),
    problem("d.yaml:4:43", "url", "may decide"),
    problem("e.yaml:1:20", "url"),
    problem("f.yaml:1:66", "url"),
    problem("g.yaml:4:46", "url", "may decide"),
    problem("h.yaml:4:16", "urls", "may decide"),
    problem("i.yaml:4:16", "urls", "may decide"),
    problem("j.yaml:4:29", "host"),
    problem("j.yaml:4:116", "host"),
    problem("k.yaml:4:29", "ip"),
  ]);
  // A source may set the config of every rule.
  await folder.write({ "whenthen.yaml": SOURCE, ...READ });
  assert.ok(heads(await folder.load()).includes(problem("ok/5.yaml:3:26", "url")));
});

Deno.test("a value must be at one of its field's hosts wherever it is set, and be readable as an address or a host", async () => {
  const fields =
    "url: { type: url, hosts: [api.example.org, 'b.example:8443'] }, host: { type: text, hosts: [a.example] }";
  await using folder = await TestFolder.with({
    "whenthen.yaml": PEOPLE,
    "a.yaml": hosting(fields, "then: [{ log: x }]"),
    "b.yaml": hosting(
      "n: { type: number, hosts: [a] }, m: { type: url, hosts: ['https://a.example/'] }",
      "then: [{ log: x }]",
    ),
    "config.yaml": "a: { url: https://api.example.org/x, host: a.example }\n",
  });
  const loaded = await folder.load();
  assert.deepEqual(heads(loaded), [
    'b.yaml:3:30: "hosts" means nothing for a number',
    "b.yaml:3:68: expected a host without scheme, path and port 443; write a.example",
  ]);
  const { fields: declared, entries } = loaded.configs.get("a")!;
  const set = (values: Record<string, Json>) => problemsOfSet(declared, entries, values);
  assert.deepEqual(set({ url: "https://b.example:8443/y", host: "a.example" }), {});
  const expected = "expected the host api.example.org or b.example:8443";
  for (
    const bad of [
      "https://evil.example/",
      "http://api.example.org/",
      "https://api.example.org:81/",
      "https://api.example.org@evil.example",
    ]
  ) {
    assert.deepEqual(set({ url: bad }), { url: `url: ${expected}, got "${bad}"` });
  }
  assert.deepEqual(Object.keys(set({ host: "a.example.evil.org" })), ["host"]);
  const given = await folder.loader.load(loaded, [page("url", "https://evil.example/", "a"), page("host", "x", "a")]);
  assert.deepEqual(given.rules.get("a")!.config, { url: "https://api.example.org/x", host: "a.example" });
});
