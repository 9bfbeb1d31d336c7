import assert from "node:assert/strict";
import { readSet } from "../../../runtime/folder/settings/config_layers.ts";
import { type ConfigBench, openConfigBench } from "../config_bench.ts";
import { ANNA, OPERATOR, Visitor } from "./visitor.ts";

const RULE = `name: Disk
when: { every: 5m }
then: [{ log: hi }]
editors: finance
config:
  limit: { type: integer, default: 10, max: 100, help: Of files }
  pace: { type: choice, choices: [slow, fast], default: slow }
  hosts: { type: list, of: ip, required: false }
  mail: { type: email, required: false, requires: [subject] }
  subject: { type: text, required: false }
`;
const FILES = {
  "ops/disk.yaml": RULE,
  "ops/other.yaml": RULE.replace("editors: finance\n", "").replace("Disk", "Other"),
  "plain.yaml": "when: { every: 5m }\nthen: [{ log: hi }]\n",
  "config.yaml": "ops/disk: { limit: 20 }\n",
  "whenthen.yaml": "people: { anna: { groups: [finance] } }\n",
};
const PATH = "/config/ops/disk";

function openConsole(options: Parameters<typeof openConfigBench>[2] = {}, files: Record<string, string> = FILES) {
  const people = [OPERATOR, ANNA, { ...ANNA, id: "ben", name: "Ben", email: "ben@example.org", groups: [] }];
  return openConfigBench(files, people.map((person) => structuredClone(person)), options);
}

async function visitorAs({ bench }: ConfigBench, name: string): Promise<Visitor> {
  const visitor = new Visitor(bench);
  await visitor.signIn(name);
  return visitor;
}

const inForce = (open: ConfigBench) => open.loaded().rules.get("ops/disk")!.config;
/** The visible text of a page. */
const seen = (html: string) =>
  html.replace(/<\/?(span|time)[^>]*>/g, "").replace(/<[^>]*>/g, " ").replaceAll(/\s+/g, " ");

Deno.test("/config lists the rules whose config the viewer may set; nobody learns of others", async () => {
  await using open = await openConsole();
  const anna = await visitorAs(open, "anna");
  const list = await anna.get("/config");
  assert.deepEqual([...list.text.matchAll(/href="(\/config\/[^"]+)"/g)].map(([, path]) => path), [PATH]);
  assert.equal((await anna.get(PATH)).status, 200);
  const others = [await anna.get("/config/ops/other"), await anna.get("/config/nope"), await anna.get("/config/plain")];
  assert.deepEqual(others.map(({ status }) => status), [403, 403, 403]);
  assert.equal(new Set(others.map(({ text }) => text)).size, 1);
  assert.equal((await anna.post(PATH.replace("disk", "other"), {})).status, 403);
  const ben = await visitorAs(open, "ben");
  assert.match((await ben.get("/config")).text, /There is nothing that you may set/);
  const olga = await visitorAs(open, "olga");
  const all = await olga.get("/config");
  assert.match(seen(all.text), /Disk operators, finance Other operators/);
  assert.equal((await olga.get("/config/plain")).status, 404);
  assert.match(
    (await olga.get("/rules/ops/disk?see=config")).text,
    /<a href="\/config\/ops\/disk">Set the config<\/a>/,
  );
  assert.match((await new Visitor(open.bench).get(PATH)).location!, /sign-in/);
});

Deno.test("what is typed over a value is in force at once, with who and when; the rest stays where it was", async () => {
  await using open = await openConsole();
  const anna = await visitorAs(open, "anna");
  assert.match(seen((await anna.get(PATH)).text), /Limit Of files From config\.yaml\. Instead of 10 \(the default\)\./);
  const fields = { limit: "5", pace: "slow", hosts: "192.0.2.1\r\n2001:db8::1", mail: "", subject: "" };
  const saved = await anna.submit(PATH, PATH, fields);
  assert.deepEqual([saved.status, saved.location], [303, `${PATH}?saved=1`]);
  assert.deepEqual(inForce(open), {
    limit: 5,
    pace: "slow",
    hosts: ["192.0.2.1", "2001:db8::1"],
    mail: null,
    subject: null,
  });
  const keys = (await open.bench.store.listConfig()).map(({ key, by }) => `${key} ${by}`);
  assert.deepEqual(keys, ["hosts anna", "limit anna"]);
  const page = await anna.get(saved.location!);
  assert.match(page.text, /<p role="status">Saved/);
  assert.match(seen(page.text), /Set by anna, 08:00:00\. Without it: 20 \(from config\.yaml\)\./);
});

Deno.test("a value is removed, and an earlier one is used again", async () => {
  await using open = await openConsole();
  const anna = await visitorAs(open, "anna");
  await anna.submit(PATH, PATH, { limit: "5" });
  await anna.submit(PATH, PATH, { limit: "6" });
  const { text } = await anna.get(PATH);
  const [, undo] = /name="config-undo" value="([^"]+)">Use this again/.exec(text)!;
  assert.match(text, /<button form="earlier" name="config-remove" value="limit">Remove, so that/);
  assert.equal((await anna.submit(PATH, PATH, { "config-remove": "limit" })).status, 303);
  assert.equal(inForce(open).limit, 20);
  assert.equal((await anna.submit(PATH, PATH, { "config-undo": undo })).status, 303);
  assert.equal(inForce(open).limit, 5);
  assert.match(seen((await anna.get(PATH)).text), /Earlier values \(3\) Removed, anna.*6, anna.*5, anna/);
  const gone = await anna.submit(PATH, PATH, { "config-undo": "limit@1" });
  assert.deepEqual([gone.status, inForce(open).limit], [409, 5]);
});

Deno.test("all that is wrong stands beside its field, what was typed stays, and nothing is set", async () => {
  await using open = await openConsole();
  const anna = await visitorAs(open, "anna");
  const fields = { limit: "500", pace: "slow", hosts: "nowhere", mail: "a@example.org", subject: "" };
  const { status, text } = await anna.submit(PATH, PATH, fields);
  assert.equal(status, 422);
  assert.match(text, /<title>Error: Config of Disk/);
  assert.match(text, /id="field-limit-error">Expected at most 100, got 500</);
  assert.match(text, /id="field-hosts-error">Item 1: expected an IP address/);
  assert.match(text, /name="limit"[^>]*value="500"/);
  const relation = await anna.submit(PATH, PATH, { ...fields, limit: "20", hosts: "" });
  assert.match(relation.text, /id="field-subject-error">A value is needed|subject is missing: mail requires subject/i);
  const emptied = await anna.submit(PATH, PATH, { limit: "" });
  assert.match(emptied.text, /id="field-limit-error">It cannot be emptied here: 20 comes from below \(config\.yaml\)/);
  assert.deepEqual(await open.bench.store.listConfig(), []);
});

Deno.test("a page that is older than somebody else's change changes nothing: 409 with who and when", async () => {
  await using open = await openConsole();
  const [anna, olga] = [await visitorAs(open, "anna"), await visitorAs(open, "olga")];
  const { text } = await anna.get(PATH);
  await olga.submit(PATH, PATH, { limit: "7" });
  const form = Object.fromEntries(
    [...text.split('method="post" action="/config')[1].matchAll(/type="hidden" name="([^"]+)" value="([^"]*)"/g)]
      .map(([, name, value]) => [name, value]),
  );
  const late = await anna.post(PATH, { ...form, limit: "8" });
  assert.equal(late.status, 409);
  assert.match(seen(late.text), /Nothing was changed olga changed “Limit” meanwhile, 08:00:00/);
  assert.equal(inForce(open).limit, 7);
  // Another field is nobody's business.
  assert.equal((await anna.post(PATH, { ...form, limit: "20", pace: "fast" })).status, 303);
  assert.deepEqual([inForce(open).limit, inForce(open).pace], [7, "fast"]);
});

Deno.test("a change in a file between page and save is not overwritten by what the page still shows", async () => {
  await using open = await openConsole();
  const anna = await visitorAs(open, "anna");
  const { text } = await anna.get(PATH);
  const form = Object.fromEntries(
    [...text.split('method="post" action="/config')[1].matchAll(/type="hidden" name="([^"]+)" value="([^"]*)"/g)]
      .map(([, name, value]) => [name, value]),
  );
  await open.folder.write({ "config.yaml": "ops/disk: { limit: 30 }\n" });
  await open.reload();
  assert.equal((await anna.post(PATH, { ...form, limit: "20", pace: "fast" })).status, 303);
  assert.deepEqual([inForce(open).limit, inForce(open).pace], [30, "fast"]);
});

Deno.test("values that are not used are shown with the reason, and can be removed; --set cannot be changed here", async () => {
  await using open = await openConsole({ set: [readSet("ops/disk.pace=fast")!] });
  const anna = await visitorAs(open, "anna");
  await anna.submit(PATH, PATH, { limit: "90" });
  const files = { "ops/disk.yaml": RULE.replace("max: 100", "max: 50").replace("  subject:", "  topic:") };
  await open.folder.write(files);
  await open.bench.store.setConfig({ rule: "ops/disk", set: { subject: "old" }, by: "olga" }, 0);
  await open.folder.write({
    "ops/disk.yaml": files["ops/disk.yaml"].replace("requires: [subject]", "requires: [topic]"),
  });
  await open.reload();
  const page = seen((await anna.get(PATH)).text);
  assert.match(page, /Not used: 90\. Set by anna, 08:00:00: expected at most 50, got 90\. Remove it/);
  assert.match(page, /For fields that the rule does not have Not used: subject\. Set by olga/);
  assert.match(page, /Pace fast Given with --set when the program was started/);
  assert.doesNotMatch((await anna.get(PATH)).text, /name="pace"/);
  assert.match(seen((await anna.get("/config")).text), /Disk.*2 not used/);
  await anna.submit(PATH, PATH, { "config-remove": "limit" });
  await anna.submit(PATH, PATH, { "config-remove": "subject" });
  assert.doesNotMatch((await anna.get(PATH)).text, /Not used/);
});

Deno.test("a rule that does not load for want of a value gets it here", async () => {
  const rule = "when: { every: 5m }\nthen: [{ log: hi }]\neditors: finance\nconfig:\n  place: { type: text }\n";
  await using open = await openConsole({}, { ...FILES, "ops/disk.yaml": rule });
  assert.ok(!open.loaded().rules.has("ops/disk"));
  const anna = await visitorAs(open, "anna");
  assert.match((await anna.get(PATH)).text, /role="alert">ops\/disk\.yaml does not load/);
  await anna.submit(PATH, PATH, { place: "here" });
  assert.deepEqual(inForce(open), { place: "here" });
});

Deno.test("a form that is not from our own page changes nothing; text is escaped, secrets in values are not shown", async () => {
  await using open = await openConsole();
  const anna = await visitorAs(open, "anna");
  assert.equal((await anna.post(PATH, { limit: "5", "was-limit": "20" })).status, 403);
  await anna.submit(PATH, PATH, { subject: '<b>"hi"</b>' });
  assert.match((await anna.get(PATH)).text, /value="&lt;b&gt;&quot;hi&quot;&lt;\/b&gt;"/);
  await anna.submit(PATH, PATH, { subject: "hook-secret" });
  const page = (await anna.get(PATH)).text;
  assert.doesNotMatch(page, /hook-secret/);
  // Nothing was typed over it.
  await anna.submit(PATH, PATH, { limit: "9", subject: "" });
  assert.deepEqual([inForce(open).limit, inForce(open).subject], [9, "hook-secret"]);
});

Deno.test("values with which the rule does not load are kept, and the page says so and what is wrong", async () => {
  const rule = RULE.replace("every: 5m", 'cron: "${{ config.subject }}"')
    .replace("subject: { type: text, required: false }", 'subject: { type: text, default: "0 8 * * *" }');
  await using open = await openConsole({}, { ...FILES, "ops/disk.yaml": rule });
  const anna = await visitorAs(open, "anna");
  const { status, text } = await anna.submit(PATH, PATH, { subject: "0 0 31 2 *" });
  assert.equal(status, 409);
  assert.match(seen(text), /Saved, but not in force .*ops\/disk\.yaml does not load: .*never fires/);
  assert.equal(inForce(open).subject, "0 8 * * *");
  assert.match(seen((await anna.get(PATH)).text), /Set by anna, 08:00:00.* Remove, so that/);
});
