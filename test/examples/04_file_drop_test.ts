import assert from "node:assert/strict";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { type Program, start } from "../e2e/program.ts";
import { copyExample } from "./example.ts";

const count = (program: Program, text: string) => program.lines.filter(({ message }) => message.includes(text)).length;

Deno.test("example 04: a dropped file becomes an event for each row and is moved; a repeated order becomes none", async () => {
  await using folder = await copyExample("04-file-drop");
  await using program = start(folder.rules, { data: folder.data });
  await program.url();
  await folder.write("inbox/monday.csv", "order,customer,amount\nA1,Ada,12.5\nA2,Bob,30\n");
  await program.waitForMessage("Ada ordered for 12.5 EUR (A1)");
  await program.waitForMessage("Bob ordered for 30 EUR (A2)");
  await program.waitForMessage("import succeeded");
  assert.deepEqual((await readdir(join(folder.rules, "done"))).sort(), [".gitignore", "monday.csv"]);
  assert.deepEqual(await readdir(join(folder.rules, "inbox")), [".gitignore"]);

  await folder.write("inbox/tuesday.csv", "order;customer;amount\nA2;Bob;30\nA3;Eve;7\n");
  await program.waitForMessage("Eve ordered for 7 EUR (A3)");
  await program.waitFor("a second import", () => count(program, "import succeeded") === 2);
  assert.equal((await program.api("runs?rule=total")).length, 3, "a known order starts nothing");

  await folder.write("inbox/broken.csv", 'order,customer\n"A3,');
  const failed = await program.waitForMessage("import failed");
  assert.match(failed.message, /broken\.csv: expected CSV/);
});
