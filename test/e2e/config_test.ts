import assert from "node:assert/strict";
import { rulesFolder } from "./folder.ts";
import { start, whenthen } from "./program.ts";

const DISK = `
when: { event: paid }
editors: finance
config:
  limit: { type: integer, default: 10, max: 100 }
  place: { type: text, default: here }
then:
  - log: "limit \${{ config.limit }} in \${{ config.place }}"
`;
const ALERT = `
when: { event: whenthen.config.refused }
then:
  - log: "told: \${{ event.data.key }} of \${{ event.subject }} by \${{ event.data.by }} (\${{ event.data.from }})"
`;

Deno.test("config that is set applies at once and after a restart; what a later file makes unfit is told once, and costs itself", async () => {
  await using folder = await rulesFolder({
    "ops/disk.yaml": DISK,
    "alert.yaml": ALERT,
    "config.yaml": "ops/disk: { limit: 20 }\n",
    "whenthen.yaml": "people: { anna: { groups: [finance] } }\n",
  });
  const config = async (...words: string[]) => {
    const { code, stdout, stderr } = await whenthen(["config", "ops/disk", ...words, "--data", folder.data]);
    return { code, stdout: stdout.replaceAll(/ +/g, " "), stderr };
  };
  const run = (...args: string[]) => start(folder.rules, { data: folder.data, args });
  {
    await using program = run("--set", "ops/disk.place=a.b=c");
    const paid = () => program.post("/events", { type: "paid", data: {} });
    await paid();
    await program.waitForMessage("limit 20 in a.b=c");
    const set = await config("limit=90");
    assert.match(set.stdout, /^limit 90 page, .+, (now|\ds ago), over 20 \(config\.yaml, over 10 \(default\)\)$/m);
    assert.match(set.stdout, /^place a\.b=c --set, over here \(default\)$/m);
    await paid();
    await program.waitForMessage("limit 90 in a.b=c");
    const [after, before] = (await program.api("runs?rule=ops/disk")).map(({ id }: { id: string }) => id);
    const show = async (run: string) => (await whenthen(["show", run, "--data", folder.data])).stdout;
    assert.match(await show(after), /^config +limit 90 \(page, .+, (now|\ds ago)\)$/m);
    assert.doesNotMatch(await show(before), /^config/m, "that run was not configured by anybody");
    const bad = await config("limit=many");
    assert.deepEqual([bad.code, bad.stderr], [
      1,
      'The config is not valid: limit: expected a whole number, got "many"\n',
    ]);
    await folder.write("ops/disk.yaml", DISK.replace("max: 100", "max: 50"));
    await program.waitFor("the event", ({ message }) => /^told: limit of ops\/disk by .+ \(page\)$/.test(message));
    program.forget();
    await paid();
    await program.waitForMessage("limit 20 in a.b=c");
    assert.match((await config()).stdout, /^ 90 not used: expected at most 50, got 90 \(page, /m);
  }
  {
    await using program = run();
    await program.url();
    await config("--remove", "limit");
    await config("limit=7");
    await program.post("/events", { type: "paid", data: {} });
    await program.waitForMessage("limit 7 in here");
    const told = program.lines.filter(({ message }) => message.startsWith("told: "));
    assert.deepEqual(told, [], "it was told before the restart, and then it was over");
  }
  const checked = await whenthen(["check", folder.rules, "--set", "ops/disk.limit=500", "--set", "ops/dsk.limit=5"]);
  assert.equal(checked.code, 0, checked.stdout);
  assert.match(checked.stdout, /warning: limit of ops\/disk, given with --set, is not used: expected at most 50/);
  assert.match(checked.stdout, /warning: limit of ops\/dsk, given with --set, is not used: there is no such rule/);
  const wrong = await whenthen(["once", folder.rules, "--set", "limit=5"]);
  assert.equal(wrong.code, 64);
  assert.match(wrong.stderr, /expected a rule, a key and a value, such as ops\/disk\.threshold=90/);
});
