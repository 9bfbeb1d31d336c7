import assert from "node:assert/strict";
import { rulesFolder } from "./folder.ts";
import { start, whenthen } from "./program.ts";

const SLOW = "([ab]{0,30}){30}[cd]";

const rules = {
  "slow.yaml": `
when:
  webhook: /slow
  auth: none
if: event.data.text.matches("${SLOW}")
then:
  - log: found
`,
  "quick.yaml": `
when:
  webhook: /quick
  auth: none
if: event.data.text.matches("a+b")
then:
  - log: found
`,
};

/** The largest allowed match: it takes about a second. */
const LONGEST = "ab".repeat(13_000);

Deno.test("a slow pattern: too long a text, or too much in a minute, gives a verdict; the rule is named; others continue", async () => {
  await using folder = await rulesFolder(rules);
  await using program = start(folder.rules, { data: folder.data });
  const send = async (path: string, text: string) => {
    const { status, body } = await program.post(`/hooks/${path}`, { text });
    assert.equal(status, 202);
    const events = await program.api(`events?rule=${path}&limit=1`);
    const event = events.find(({ id }: { id: string }) => id === body.event) ?? events[0];
    return event.verdicts.find(({ rule }: { rule: string }) => rule === path).verdict;
  };

  const tooLong = await send("slow", "ab".repeat(450_000));
  assert.equal(tooLong.kind, "error");
  assert.match(tooLong.reason, /1,863 instructions and the text has 900,000 characters/);

  assert.equal((await send("slow", LONGEST)).kind, "condition");
  const listed = (await program.api("rules")).find(({ id }: { id: string }) => id === "slow");
  assert.equal(listed.longest.expression, `event.data.text.matches("${SLOW}")`);
  assert.ok(listed.longest.ms >= 100);
  const { stdout } = await whenthen(["--data", folder.data, "rules"]);
  assert.match(stdout, /^slow .*slow: \d+ ms for event\.data\.text\.matches/m);
  assert.doesNotMatch(stdout, /^quick .*slow: /m);

  let verdict = tooLong;
  for (let count = 0; count < 200 && !/of the last minute/.test(verdict.reason); count++) {
    verdict = await send("slow", LONGEST);
  }
  assert.equal(verdict.kind, "error");
  assert.match(verdict.reason, /the expressions of the rule slow took [\d.]+ s of the last minute, and may take 10 s/);
  assert.equal((await send("quick", "aab")).kind, "started");
});
