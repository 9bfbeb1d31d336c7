import assert from "node:assert/strict";
import { readSet } from "../../runtime/folder/settings/config_layers.ts";
import type { Ingest } from "../../runtime/ingest/ingest.ts";
import type { Person } from "../../runtime/model/form.ts";
import { hashToken } from "../../runtime/secrets/passwords.ts";
import type { ConfigListing } from "../../runtime/web/config_api.ts";
import { openConfigBench } from "./config_bench.ts";
import { NOW } from "./harness.ts";

const RULE = `when: { every: 5m }
then: [{ log: hi }]
editors: ops
config:
  limit: { type: integer, default: 10, max: 100 }
  mail: { type: email, required: false, requires: [subject] }
  subject: { type: text, required: false }
`;
const FILES = {
  "ops/disk.yaml": RULE,
  "ops/other.yaml": RULE.replace("editors: ops\n", ""),
  "config.yaml": "ops/disk: { limit: 20 }\n",
  "whenthen.yaml": "people: { anna: { groups: [ops] }, ben: {} }\n",
};
const person = (id: string, ...groups: string[]): Person => ({ id, name: id, groups, token: hashToken(`${id}-token`) });
const PEOPLE = [person("anna", "ops"), person("ben")];
const as = (id: string) => ({ authorization: `Bearer ${id}-token` });
const OPERATOR = { authorization: "Bearer operators-token" };
const withoutField = ({ field: _, ...entry }: ConfigListing) => entry;
const PATH = "/api/rules/ops/disk/config";

Deno.test("the config of a rule is listed with where each value comes from, and set by whom its editors name", async () => {
  await using open = await openConfigBench(FILES, PEOPLE);
  const { bench } = open;
  const before = await bench.ask("GET", PATH, { headers: as("anna") });
  assert.equal(before.headers.get("etag"), '"0"');
  assert.equal(before.body[0].field.max, 100);
  assert.deepEqual(before.body.map(withoutField), [
    { key: "limit", value: 20, from: "config.yaml", below: { value: 10, from: "default" } },
    { key: "mail", value: null, from: "default" },
    { key: "subject", value: null, from: "default" },
  ]);
  const set = await bench.post(PATH, { set: { limit: 5 } }, as("anna"));
  assert.equal(set.status, 200);
  assert.deepEqual(withoutField(set.body[0]), {
    key: "limit",
    value: 5,
    from: "page",
    by: "anna",
    at: NOW,
    below: { value: 20, from: "config.yaml", below: { value: 10, from: "default" } },
  });
  assert.equal(set.headers.get("etag"), `"${NOW}"`);
  assert.equal(open.loaded().rules.get("ops/disk")!.config.limit, 5);
  const init = { method: "PUT", headers: { ...OPERATOR, "content-type": "application/json" } };
  const removed = await bench.ask("PUT", PATH, { ...init, body: JSON.stringify({ set: { limit: null }, by: "root" }) });
  assert.deepEqual([removed.body[0].from, removed.body[0].value], ["config.yaml", 20]);
  assert.equal((await bench.store.listConfig())[0].by, "root");
});

Deno.test("others get 403 whether there is such a rule or not, and learn what they may set; 401 without a token", async () => {
  await using open = await openConfigBench(FILES, PEOPLE);
  const { bench } = open;
  const ben = await bench.post(PATH, { set: { limit: 5 } }, as("ben"));
  assert.deepEqual([ben.status, ben.body.error], [
    403,
    'ben may not set the config of "ops/disk"; what ben may set: none',
  ]);
  assert.equal((await bench.ask("GET", PATH, { headers: as("ben") })).status, 403);
  const other = await bench.post("/api/rules/ops/other/config", { set: { limit: 5 } }, as("anna"));
  assert.equal(other.body.error, 'anna may not set the config of "ops/other"; what anna may set: ops/disk');
  const none = await bench.post("/api/rules/ops/dsk/config", { set: {} }, as("anna"));
  assert.deepEqual([none.status, none.body.error], [
    403,
    'anna may not set the config of "ops/dsk"; what anna may set: ops/disk',
  ]);
  assert.equal((await bench.ask("GET", PATH)).status, 401);
  assert.deepEqual(await bench.store.listConfig(), []);
});

Deno.test("values that do not fit, alone or together, are 422 with all problems, and nothing is set", async () => {
  await using open = await openConfigBench(FILES, PEOPLE);
  const { bench } = open;
  const bad = await bench.post(PATH, { set: { limit: 500, limt: 1, subject: "hi" } }, as("anna"));
  assert.deepEqual([bad.status, bad.body.problems], [422, {
    limit: "limit: expected at most 100, got 500",
    limt: 'the rule declares no "limt"; did you mean "limit"?',
  }]);
  const alone = await bench.post(PATH, { set: { mail: "a@example.org" } }, as("anna"));
  assert.deepEqual(alone.body.problems, { subject: "subject is missing: mail requires subject" });
  assert.deepEqual(await bench.store.listConfig(), []);
  const both = await bench.post(PATH, { set: { mail: "a@example.org", subject: "hi" } }, as("anna"));
  assert.equal(both.status, 200);
  const half = await bench.post(PATH, { set: { subject: null } }, as("anna"));
  assert.equal(half.status, 422);
});

Deno.test("a change of what somebody changed since is 409 with who and when", async () => {
  await using open = await openConfigBench(FILES, PEOPLE);
  const { bench } = open;
  const seen = JSON.parse((await bench.ask("GET", PATH, { headers: as("anna") })).headers.get("etag")!.slice(1, -1));
  await bench.post(PATH, { set: { limit: 5 }, by: "root" }, OPERATOR);
  const late = await bench.post(PATH, { set: { limit: 6 }, seen }, as("anna"));
  assert.deepEqual([late.status, late.body], [409, {
    error: "Nothing was set: root changed limit at 2026-11-21T08:00:00.000Z",
    key: "limit",
    by: "root",
    at: NOW,
  }]);
  assert.equal((await bench.post(PATH, { set: { subject: "hi" }, seen }, as("anna"))).status, 200);
});

Deno.test("a value that is not used any more stands beside the one in force, and --set stays above what is set", async () => {
  await using open = await openConfigBench(FILES, PEOPLE, { set: [readSet("ops/disk.subject=fixed")!] });
  const { bench, folder } = open;
  await bench.post(PATH, { set: { limit: 90, subject: "hi" } }, as("anna"));
  assert.equal(open.loaded().rules.get("ops/disk")!.config.subject, "fixed");
  await folder.write({ "ops/disk.yaml": RULE.replace("max: 100", "max: 50") });
  await open.reload();
  const { body } = await bench.ask("GET", PATH, { headers: as("anna") });
  assert.deepEqual([body[0].value, body[0].refused], [20, {
    value: 90,
    from: "page",
    by: "anna",
    at: NOW,
    reason: "expected at most 50, got 90",
  }]);
  assert.deepEqual([body[2].value, body[2].below.value], ["fixed", "hi"]);
});

Deno.test("values with which the rule does not load are 409 and say that they are stored, and the last version stays in force", async () => {
  const rule = RULE.replace("every: 5m", 'cron: "${{ config.subject }}"')
    .replace("subject: { type: text, required: false }", 'subject: { type: text, default: "0 8 * * *" }');
  await using open = await openConfigBench({ ...FILES, "ops/disk.yaml": rule }, PEOPLE);
  const { bench } = open;
  const set = await bench.post(PATH, { set: { subject: "0 0 31 2 *" } }, as("anna"));
  assert.equal(set.status, 409);
  assert.match(
    set.body.error,
    /^The values are stored, but not in force: ops\/disk\.yaml does not load: .*never fires/,
  );
  assert.equal(set.body.stored, true);
  assert.equal(open.loaded().rules.get("ops/disk")!.config.subject, "0 8 * * *");
  assert.equal((await bench.store.listConfig())[0].value, "0 0 31 2 *");
  assert.equal((await bench.post(PATH, { set: { subject: "0 9 * * *" } }, as("anna"))).status, 200);
  assert.equal(open.loaded().rules.get("ops/disk")!.config.subject, "0 9 * * *");
});

Deno.test("a run has who configured it: as it was when the run was created, on pages and in a source of config", async () => {
  const source = { rule: "ops/disk", key: "subject", value: { is: "Hi" }, from: "source" as const, by: "carl" };
  const files = {
    ...FILES,
    "lib/read.ts": "export const read = () => [];\n",
    "whenthen.yaml": `${FILES["whenthen.yaml"]}config: { call: ./lib/read.ts#read }\n`,
  };
  await using open = await openConfigBench(files, PEOPLE, { sourced: [source] });
  const { bench } = open;
  const runIn = async (id: string) => {
    const rule = open.loaded().rules.get("ops/disk")!;
    await bench.store.changeVersions([rule], []);
    (bench.context.ingest as Ingest).setRules(open.loaded().rules);
    const [{ runs: [run] }] = await bench.context.ingest.fromTrigger({ rule: rule.id, trigger: rule.triggers[0].id }, [
      { id, type: "every", data: null },
    ]);
    return run;
  };
  const configured = async (run: string) => {
    const { body } = await bench.ask("GET", `/api/runs/${run}`, { headers: OPERATOR });
    return body.configured.map(({ key, value, from, by }: ConfigListing) => `${key} ${value} ${from} ${by}`);
  };
  const before = await runIn("1");
  await bench.clock.advanceTo(NOW + 60_000);
  await bench.post(PATH, { set: { limit: 5 } }, as("anna"));
  const first = await runIn("2");
  await bench.clock.advanceTo(NOW + 120_000);
  await bench.post(PATH, { set: { limit: 6 }, by: "root" }, OPERATOR);
  const second = await runIn("3");
  assert.deepEqual(await configured(before), ["subject Hi source carl"]);
  assert.deepEqual(await configured(first), ["limit 5 page anna", "subject Hi source carl"]);
  assert.deepEqual(await configured(second), ["limit 6 page root", "subject Hi source carl"]);
  const { body } = await bench.ask("GET", `/runs/${first}`, { headers: { ...OPERATOR, accept: "text/html" } });
  assert.match(
    body,
    /Config: <code>limit<\/code> 5, set by anna, [^]*<code>subject<\/code> Hi, from the source of config, carl/,
  );
});
