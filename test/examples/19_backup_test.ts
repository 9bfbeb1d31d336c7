import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { command } from "../e2e/command.ts";
import { start } from "../e2e/program.ts";
import { copyExample } from "./example.ts";

Deno.test("example 19: a backup is started with its inputs, and what does not fit is refused before anything happens", async () => {
  await using folder = await copyExample("19-backup");
  await using program = start(folder.rules, { data: folder.data });
  await program.url();
  const startIt = (...values: string[]) => command("--data", folder.data, "start", "backup", ...values);

  const refused = await startIt("name=Now!", "level=10", "folder=../x");
  assert.equal(refused.code, 1, refused.stdout);
  for (
    const words of [
      /folder: expected a relative path/,
      /level: expected at most 9, got 10/,
      /name: expected text that matches/,
    ]
  ) {
    assert.match(refused.stderr, words);
  }
  assert.deepEqual(await program.api("runs"), []);

  const [one, two] = await Promise.all([1, 2].map(() => startIt("name=now", "level=9", "--id", "once")));
  assert.deepEqual([one.code, two.code], [0, 0], one.stderr + two.stderr);
  await program.waitForMessage("backup succeeded");
  const archive = gunzipSync(await readFile(join(folder.rules, "backups/now.tar.gz")));
  assert.ok(archive.includes("data/notes.txt") && archive.includes("What is to be saved"));

  const runs = await program.api("runs");
  assert.equal(runs.length, 1, "two equal starts are one run");
  assert.deepEqual(runs[0].inputs, { name: "now", folder: "data", compress: true, level: 9 });
  const shown = await command("--data", folder.data, "show", runs[0].id);
  assert.match(shown.stdout, new RegExp(`by +${runs[0].event.by}`));
  assert.match(shown.stdout, /inputs/);
});
