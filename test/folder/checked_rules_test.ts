import { deepEqual, equal, match } from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { shown, TestFolder } from "./loading.ts";

const RULE = `when:
  cron: 0 8 * * *
if: event.data.n > 1
then:
  - log: \${{ event.id }} in \${{ config.room }}
config:
  room: { type: text, default: hall }
`;

async function folderWith(files: Record<string, string>): Promise<TestFolder> {
  const folder = await TestFolder.with(files, { build: "one", environment: { ZONE: "Europe/Berlin" } });
  await mkdir(join(folder.path, ".whenthen"));
  return folder;
}

function kept(folder: TestFolder): string {
  return join(folder.path, ".whenthen/cache/rules.checked");
}

/** The cache as the next start of a program of this build finds it. */
async function restart(folder: TestFolder, build = "one") {
  folder.loaded = undefined;
  folder.reopen({ build });
  return await folder.load();
}

async function read(folder: TestFolder): Promise<string> {
  return (await readFile(kept(folder), "utf8")).split("\n")[1];
}

/** Changes the name in the cache, which shows whether the cache is used. */
async function mark(folder: TestFolder): Promise<void> {
  const json = (await read(folder)).replaceAll('"mode":"parallel"', '"mode":"parallel","name":"kept"');
  await writeFile(kept(folder), `${createHash("sha256").update(json).digest("base64url")}\n${json}`);
}

Deno.test("a start reuses an unchanged rule from the previous start, and it is equal", async () => {
  await using folder = await folderWith({ "a.yaml": RULE, "b.yaml": RULE });
  const first = await folder.load();
  const second = await restart(folder);
  deepEqual([...second.rules], [...first.rules]);
  deepEqual(second.problems, first.problems);
  await mark(folder);
  equal((await restart(folder)).rules.get("a")!.name, "kept");
});

Deno.test("a cached rule is ignored if the file, the config or the program changed", async () => {
  await using folder = await folderWith({ "a.yaml": RULE });
  await folder.load();
  await mark(folder);
  equal((await restart(folder, "two")).rules.get("a")!.name, undefined);
  await restart(folder);
  await mark(folder);
  await folder.write({ "a.yaml": RULE.replace("0 8", "0 9") });
  equal((await restart(folder)).rules.get("a")!.name, undefined);
  await mark(folder);
  await folder.write({ "config.yaml": "a: { room: attic }\n" });
  const { rules } = await restart(folder);
  deepEqual([rules.get("a")!.name, rules.get("a")!.config], [undefined, { room: "attic" }]);
});

Deno.test("a rule with problems, or that reads the environment or the clock, is not cached", async () => {
  await using folder = await folderWith({
    "broken.yaml": RULE.replace("log:", "lag:"),
    "zone.yaml": RULE.replace("0 8 * * *", '0 8 * * *\n  timezone: "${{ \\x65nv.ZONE }}"'),
    "clock.yaml": RULE.replace("event.id", "now()"),
    "fine.yaml": RULE,
  });
  await folder.load();
  equal(JSON.parse(await read(folder)).length, 1);
});

Deno.test("a damaged cache file is ignored", async () => {
  await using folder = await folderWith({ "a.yaml": RULE, "broken.yaml": RULE.replace("log:", "lag:") });
  const first = await folder.load();
  const whole = await readFile(kept(folder), "utf8");
  for (const damaged of ["", "\n[]", whole.slice(0, -1), whole.replace("0 8", "0 9")]) {
    await writeFile(kept(folder), damaged);
    const second = await restart(folder);
    deepEqual([...second.rules], [...first.rules]);
    match(shown(second).join(), /lag/);
  }
});
