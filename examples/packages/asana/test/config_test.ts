import assert from "node:assert/strict";
import { Asana } from "./asana.ts";
import { ask } from "../../../../test/sources/app.ts";
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

Deno.test("config: of the operations missing and stamp, the unknown one costs itself and one warning, and stamp runs", async () => {
  await using asana = await Asana.start();
  asana.add({ gid: "900", name: "Operations" });
  for (const name of ["missing", "stamp"]) asana.add({ name, parent: "900" });
  const operation = (name: string) => `{ if: config.${name}, log: "does ${name}" }`;
  await using folder = await rulesFor(asana, {
    "operations.yaml": `when: { start: true }
config: { stamp: { type: boolean, default: false }, tidy: { type: boolean, default: false } }
then: [${operation("stamp")}, ${operation("tidy")}]
`,
    "told.yaml": "when: { event: whenthen.config.refused }\nthen: [{ log: told }]\n",
  });
  const given = `{ task: "900", rule: operations, url: "${asana.url}" }`;
  await folder.write({
    "whenthen.yaml": `connections: { asana: { bearer: ASANA_PAT, hosts: ["${asana.host}"] } }
config: { call: whenthen-asana#config, with: ${given}, auth: { connection: asana } }
`,
  });
  // The second pass tells nothing again.
  for (const pass of [1, 2]) {
    const app = await folder.open();
    try {
      const { broken } = await app.once();
      assert.deepEqual(broken, []);
      const problems: { severity: string; message: string }[] = await ask(app, "/api/problems");
      assert.deepEqual(problems.map(({ severity }) => severity), ["warning"], JSON.stringify(problems));
      assert.match(problems[0].message, /missing/);
      const events = await ask(app, "/api/events?type=whenthen.config.refused&limit=9");
      assert.equal(events.length, 1);
      assert.deepEqual([events[0].event.data.key, events[0].event.data.from], ["missing", "source"]);
      const runs: { id: string; state: string }[] = await ask(app, "/api/runs?rule=operations");
      assert.deepEqual(runs.map(({ state }) => state), Array(pass).fill("succeeded"));
      const { steps } = await ask(app, `/api/runs/${runs[0].id}`);
      assert.deepEqual(steps.map(({ kind, state }: { kind: string; state: string }) => `${kind} ${state}`), [
        "log succeeded",
        "log skipped",
      ]);
    } finally {
      await app.stop();
    }
  }
});
