import assert from "node:assert/strict";
import { Asana } from "./asana.ts";
import { pass, rulesFor, tell } from "./rules.ts";

Deno.test("config: subtasks are names and values in their order, lists and objects; completed ones are off", async () => {
  await using asana = await Asana.start();
  asana.add({ gid: "900", name: "Config" });
  let next = 900;
  const below = (parent: string, name: string, more = {}) => asana.add({ gid: `${++next}`, parent, name, ...more }).gid;
  below("900", "greeting: Hello: welcome");
  below("900", "dry run");
  below("900", "off: yes", { completed: true });
  below("900", "letter", { notes: "Dear all,\n\nbye\n" });
  const hosts = below("900", "hosts:");
  for (const host of ["https://a.example", "b.example"]) below(hosts, host);
  below(hosts, "c.example", { completed: true });
  const rule = below("900", "welcome");
  below(rule, "days: 3");
  const people = below(rule, "people");
  for (const name of ["Ann", "Bob"]) below(people, name);
  below("900", "empty:");
  await using folder = await rulesFor(asana, { "a.ts": tell("config", 'task: "900"', 'first: "emit"') });
  const outputs = await pass(folder);
  assert.deepEqual(Object.fromEntries(outputs.map((each) => [each.new.name, each.new.value])), {
    greeting: "Hello: welcome",
    "dry run": "true",
    letter: "Dear all,\n\nbye",
    hosts: ["https://a.example", "b.example"],
    welcome: { days: "3", people: ["Ann", "Bob"] },
    empty: "",
  });
  assert.deepEqual(outputs.map((each) => each.new.name), [
    "greeting",
    "dry run",
    "letter",
    "hosts",
    "welcome",
    "empty",
  ]);

  asana.change("901", { name: "greeting: Hi" });
  asana.change("902", { completed: true });
  const [changed, removed] = await pass(folder);
  assert.deepEqual([changed.told, changed.diff, removed.told], [
    "changed greeting",
    { value: ["Hello: welcome", "Hi"] },
    "removed dry run",
  ]);
});

Deno.test("config: a rule's values come from a task, as its fields read them", async () => {
  await using asana = await Asana.start();
  asana.add({ gid: "900", name: "Config" });
  asana.add({ gid: "901", name: "a", parent: "900" });
  for (const name of ["days: 3", "greeting: 5", "loud: true"]) asana.add({ name, parent: "901" });
  const given = { days: 7, greeting: "Hello", loud: false };
  await using folder = await rulesFor(asana, {
    "a.ts": `import { rule, start } from "whenthen";
export default rule({ when: start(), config: ${JSON.stringify(given)}, then: ({ config }) => config });
`,
  });
  const source =
    `config: { call: whenthen-asana#config, with: { task: "900", url: "${asana.url}" }, auth: { connection: asana } }\n`;
  await folder.write({
    "whenthen.yaml": `connections: { asana: { bearer: ASANA_PAT, hosts: ["${asana.host}"] } }\n${source}`,
  });
  const { outputs, failures, broken } = await folder.once();
  assert.deepEqual([failures, broken], [[], []]);
  assert.deepEqual(outputs, [{ days: 3, greeting: "5", loud: true }]);
});
