import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { rulesFolder } from "./folder.ts";
import { start, whenthen } from "./program.ts";

Deno.test("a rule written for Deno reads and writes files and its environment, but no secret", async () => {
  await using folder = await rulesFolder({
    "keep.ts": `
import { rule, webhook } from "whenthen";
export default rule({
  when: webhook("/keep", { auth: "bearer", secret: "HOOK_TOKEN" }),
  then: async ({ step }) => {
    const seen = await step.do("keep", async () => {
      const path = import.meta.dirname + "/kept.txt";
      await Deno.writeTextFile(path, Deno.env.get("GREETING") ?? "nothing");
      return { text: await Deno.readTextFile(path), secret: Deno.env.get("HOOK_TOKEN") ?? null };
    });
    await step.log("tell", JSON.stringify(seen));
  },
});
`,
  });
  const env = { GREETING: "good morning", HOOK_TOKEN: "t0k3n-of-the-hook" };
  await using program = start(folder.rules, { data: folder.data, env });
  const { status } = await program.post("/hooks/keep", {}, { authorization: `Bearer ${env.HOOK_TOKEN}` });
  assert.equal(status, 202);
  await program.waitForMessage('{"text":"good morning","secret":null}');
  assert.equal(await readFile(join(folder.rules, "kept.txt"), "utf8"), "good morning");
});

Deno.test("APIs that rule code may not use are refused at load, with the alternative", async () => {
  await using folder = await rulesFolder({
    "a.ts": `import { spawn } from "node:child_process";\nexport default () => spawn("ls");\n`,
    "b.ts": `Deno.serve(() => new Response("no"));\nnew Deno.Command("ls");\n`,
    "use.yaml": "when: manual\nthen:\n  - call: ./a.ts#default\n  - call: ./b.ts#x\n",
  });
  const { code, stdout, stderr } = await whenthen(["check", folder.rules, "--data", folder.data]);
  assert.equal(code, 2);
  const output = stdout + stderr;
  assert.match(output, /a\.ts:1:\d+: rule code cannot use "node:child_process"[^]*step\.run/);
  assert.match(output, /b\.ts:1:1: rule code cannot use Deno\.serve[^]*use a webhook trigger/);
  assert.match(output, /b\.ts:2:5: rule code cannot use Deno\.Command[^]*step\.run/);
});
