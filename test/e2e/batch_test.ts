import assert from "node:assert/strict";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { command } from "./command.ts";
import { rulesFolder } from "./folder.ts";
import { type Answered, type Program, start, whenthen } from "./program.ts";

const IN_YAML = (batch: string) => `
when:
  webhook: /orders
  auth: none
  batch: ${batch}
if: event.data.total > 10
then:
  - log: "\${{ event.data.count }} orders: \${{ event.data.events.map(e, e.data.id).join(', ') }}"
`;

const IN_TYPESCRIPT = `
import { rule, type, webhook } from "whenthen";
export default rule({
  when: webhook("/orders", { auth: "none", batch: { every: "\${config.wait}", max: 2 } }, type<{ id: string; total: number }>()),
  config: { wait: "1h" },
  if: "event.data.total > 10",
  then: async ({ event, step }) => {
    const ids = event.data.events.map(({ data }) => data.id);
    await step.log("tell", "TypeScript: " + ids.join(", "));
  },
});
`.replace("${config.wait}", "${{ config.wait }}");

const order = (program: Program, id: string, total = 20) => program.post("/hooks/orders", { id, total });

const runsOf = async (program: Program, rule: string): Promise<Answered[]> => await program.api(`runs?rule=${rule}`);

Deno.test("a batch is one run with all events, in YAML and in TypeScript, and each event names that run", async () => {
  await using folder = await rulesFolder({
    "in_yaml.yaml": IN_YAML("{ every: 1h, max: 2 }"),
    "in_code.ts": IN_TYPESCRIPT,
  });
  await using program = start(folder.rules, folder);
  await program.url();
  const { status, body } = await order(program, "A");
  assert.deepEqual([status, body.runs, body.duplicate], [202, [], false]);
  await order(program, "B", 5);
  await order(program, "C");
  await program.waitForMessage("2 orders: A, C");
  await program.waitForMessage("TypeScript: A, C");
  const [run, ...more] = await runsOf(program, "in_yaml");
  assert.deepEqual(more, []);
  const { verdicts } = (await program.api("events?type=webhook")).at(-1);
  assert.deepEqual(verdicts.map(({ verdict }: Answered) => verdict.kind), ["batched", "batched"]);
  const ofYaml = verdicts.find(({ rule }: Answered) => rule === "in_yaml").verdict;
  assert.deepEqual([ofYaml.run, ofYaml.reason], [
    run.id,
    `Collected in a batch of 2 events, which run ${run.id} answers`,
  ]);
  const { stdout } = await command("events", "--data", folder.data, "--rule", "in_yaml");
  assert.match(stdout, /in_yaml joined a batch: Collected in a batch of 2 events/);
  assert.match(stdout, /in_yaml did not start, the condition does not hold/);
  assert.match(stdout, new RegExp(`in_yaml started run ${run.id}`));
});

Deno.test("collected events survive kill -9 at any moment, and become one run", async () => {
  await using folder = await rulesFolder({ "digest.yaml": IN_YAML("{ quiet: 1500ms, within: 1m }") });
  const sent: string[] = [];
  for (let round = 0; round < 4; round++) {
    await using program = start(folder.rules, folder);
    await program.url();
    for (const id of [`${round}a`, `${round}b`]) {
      await order(program, id);
      sent.push(id);
    }
    await program.kill();
  }
  await using program = start(folder.rules, folder);
  await program.waitFor("the last of them", ({ message }) => message.includes("3b"));
  const runs = await runsOf(program, "digest");
  // On a slow machine, the quiet period may have passed between two rounds.
  const events = runs.reverse().flatMap(({ event }: Answered) => event.data.events);
  assert.deepEqual(events.map(({ data }: Answered) => data.id), sent, "each event in one run, in order");
});

Deno.test("editing, deleting or restoring a rule file loses no collected event", async () => {
  await using folder = await rulesFolder({ "digest.yaml": IN_YAML("{ every: 1h }") });
  await using program = start(folder.rules, folder);
  await program.url();
  await order(program, "A");
  await folder.write("digest.yaml", IN_YAML("{ every: 2h, max: 3 }"));
  const loads = () => program.lines.filter(({ properties }) => properties.what === "loaded").length;
  await program.waitFor("a reload", () => loads() === 2);
  await order(program, "B");
  await rm(join(folder.rules, "digest.yaml"));
  await program.waitFor("the rule to go", ({ properties }) => properties.what === "removed");
  assert.equal((await order(program, "lost")).status, 404);
  await folder.write("digest.yaml", IN_YAML("{ every: 1ms }"));
  await program.waitForMessage("2 orders: A, B");
});

Deno.test("a report comes at the times of its cron, also without events", async () => {
  await using folder = await rulesFolder({
    "report.yaml": `
when: { event: sold, batch: { cron: "*/2 * * * * *", empty: true } }
then: [{ log: "\${{ event.data.count }} sold until \${{ event.data.scheduled }}" }]
`,
  });
  await using program = start(folder.rules, folder);
  const first = await program.waitForMessage("0 sold until ");
  await program.post("/events", { type: "sold", data: 1 });
  const next = await program.waitForMessage("1 sold until ");
  const times = [first, next].map(({ message }) => Date.parse(/until (\S+)/.exec(message)![1]));
  assert.ok(times.every((time) => time % 2_000 === 0) && times[1] > times[0]);
  const runs = await runsOf(program, "report");
  assert.equal(new Set(runs.map(({ event }) => event.id)).size, runs.length);
});

Deno.test("once closes the batches that are due", async () => {
  await using folder = await rulesFolder({
    "digest.yaml": `
when: { event: sold, batch: { every: 1ms } }
then: [{ log: "\${{ event.data.count }} sold" }]
`,
    "later.yaml": `
when: { event: sold, batch: { every: 1h } }
then: [{ log: never }]
`,
  });
  const once = () => whenthen(["once", folder.rules, "--data", folder.data, "--log", "json"]);
  assert.equal((await once()).code, 0);
  for (const id of ["1", "2"]) {
    const sent = await command("--data", folder.data, "emit", "sold", "--id", id);
    assert.equal(sent.code, 0, sent.stderr);
    assert.match(sent.stdout, /digest joined a batch: Collected until/);
  }
  const pass = await once();
  assert.equal(pass.code, 0, pass.stderr);
  const said = (pass.stdout + pass.stderr).match(/\d sold/g);
  assert.deepEqual(said?.reduce((sum, text) => sum + Number(text[0]), 0), 2);
  assert.ok(!(pass.stdout + pass.stderr).includes("never"));
});
