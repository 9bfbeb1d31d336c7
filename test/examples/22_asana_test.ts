import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { Asana, TOKEN } from "../../examples/packages/asana/test/asana.ts";
import { start, whenthen } from "../e2e/program.ts";
import { until } from "../e2e/until.ts";
import { copyExample, ROOT } from "./example.ts";

const PROJECT = "1200000000000001";
const STATUS = "1200000000000900";
const COMMENT = /^POST .tasks.\d+.stories/;

/** Commits a rules folder. @returns the short name of the revision */
async function commit(folder: string): Promise<string> {
  const git = async (...words: string[]) => {
    const who = ["-c", "user.name=Ann", "-c", "user.email=ann@example.org"];
    const { stdout } = await promisify(execFile)("git", ["-C", folder, ...who, ...words]);
    return stdout.trim();
  };
  await git("init", "-q");
  await git("add", "changes.yaml");
  await git("commit", "-q", "-m", "Rules");
  return await git("rev-parse", "--short", "HEAD");
}

/** The example, looking at the stand-in each second. */
async function exampleAt(asana: Asana) {
  const example = join(ROOT, "examples/22-asana");
  const read = (name: string) => readFile(join(example, name), "utf8");
  const faster = async (name: string) => [name, (await read(name)).replace(/every: ("?)1m/, "every: $11s")];
  const settings = (await read("whenthen.yaml")).replace("[app.asana.com]", `["${asana.host}"]`);
  return await copyExample("22-asana", {
    "whenthen.yaml": settings,
    ...Object.fromEntries(await Promise.all(["changes.yaml", "done_in_code.ts"].map(faster))),
  });
}

Deno.test("example 22: the same rules by once and by run; killed after the first of eight runs, the rest runs, none twice", async () => {
  await using asana = await Asana.start();
  asana.add({ gid: STATUS, name: "Status", notes: "Ours" });
  const gids = Array.from({ length: 8 }, (_, index) => asana.add({ gid: `${index + 1}`, in: [PROJECT] }).gid);
  await using folder = await exampleAt(asana);
  const revision = await commit(folder.rules);
  const env = { ASANA_URL: asana.url, ASANA_PAT: TOKEN };
  const once = async () => {
    const { code, stdout, stderr } = await whenthen(["once", folder.rules, "--data", folder.data], { env });
    assert.equal(code, 0, stdout + stderr);
  };
  const comments = (gid: string) => [...asana.stories.values()].filter(({ target }) => target.gid === gid);
  const all = () => gids.flatMap(comments).length;

  await once();
  assert.equal(all(), 0, "the first look learns what is there");
  for (const gid of gids) asana.change(gid, { name: `Renamed ${gid}` });
  asana.holdAfter(1, COMMENT);
  {
    await using program = start(folder.rules, { data: folder.data, env });
    await program.waitForMessage("changes succeeded");
    await asana.got(COMMENT, 2);
    await program.kill();
  }
  assert.equal(all(), 1);
  asana.release();
  {
    await using program = start(folder.rules, { data: folder.data, env });
    await until("eight comments", () => Promise.resolve(all()), (count) => count === 8);
    asana.change("1", { completed: true });
    await until(
      "the move",
      () => Promise.resolve(asana.tasks.get("1")!),
      ({ memberships }) => memberships[0].section.gid === "12000000000000019",
    );
    const noted = () => Promise.resolve(asana.tasks.get(STATUS)!.notes);
    await until("both statuses", noted, (notes) => notes.includes("changes ──") && notes.includes("done_in_code ──"));
    assert.equal(await program.stop(), 0);
  }
  assert.deepEqual(gids.map((gid) => comments(gid).filter(({ text }) => text.includes(`Renamed ${gid}`)).length), [
    ...gids.map(() => 1),
  ]);
  const { notes } = asana.tasks.get(STATUS)!;
  assert.ok(notes.includes(`Rules: revision ${revision}`), notes);
  assert.match(notes, /^Ours\n\n── whenthen: changes ──\nsucceeded\nLast run: \w+ at .*\nConfig:\n {2}project: 12/);

  const before = comments("8").length;
  for (const name of ["A", "B", "C"]) asana.change("8", { name });
  await once();
  await once();
  const told = comments("8").slice(before).map(({ text }) => text);
  assert.deepEqual(told, ['Changed: {"name":["Renamed 8","C"]}']);
});
