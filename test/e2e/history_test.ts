import assert from "node:assert/strict";
import { readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { rulesFolder } from "./folder.ts";
import { type Answered, type Program, start } from "./program.ts";
import { until } from "./until.ts";

/** A segment is folded once it has 6 MB: seven events of this size. */
const LARGE = "x".repeat(900_000);

const RULES = {
  "end.yaml": "when: { webhook: /end, auth: none, dedupe: event.data.id }\nlimit: none\nthen:\n  - log: ended\n",
  "stay.yaml": "when: { webhook: /stay, auth: none, dedupe: event.data.id }\nlimit: none\nthen:\n  - wait: 30d\n",
};

async function accept(program: Program, path: string, id: string, ballast = ""): Promise<string> {
  const { status, body } = await program.post(path, { id, ballast });
  assert.equal(status, 202, id);
  return body.runs[0];
}

const partsOf = async (data: string) => (await readdir(data)).filter((name) => /^part-.*\.sqlite$/.test(name));

/** Resolves when the log's oldest frames are in parts and their segment is removed. */
async function folded(program: Program): Promise<void> {
  const isFolded = (names: string[]) =>
    names.some((name) => name.startsWith("delta-") && !name.endsWith(".tmp")) && !names.includes("log-000000000001");
  await until("the fold of the first segment", () => readdir(program.data), isFolded);
}

async function ended(program: Program, runs: string[]): Promise<void> {
  for (const id of runs) {
    await until(`the end of ${id}`, () => program.api(`runs/${id}`), ({ run }) => run.state === "succeeded");
  }
}

/** All pages of a listing, with the last item of each as the beginning of the next one. */
async function pages(program: Program, query: string): Promise<Answered[]> {
  const all: Answered[] = [];
  for (let page: Answered[] = [undefined]; page.length > 0; all.push(...page)) {
    const last = all.at(-1);
    page = await program.api(`${query}&limit=3${last ? `&before=${last.key ?? last.id}` : ""}`);
  }
  return all;
}

Deno.test("identities and live state survive the deletion of all parts between two starts; the start names each part", async () => {
  await using folder = await rulesFolder(RULES);
  const runs = new Map<string, string>();
  let stays: string;
  {
    await using program = start(folder.rules, { data: folder.data });
    stays = await accept(program, "/hooks/stay", "stays");
    for (let at = 0; at < 9; at++) runs.set(`e${at}`, await accept(program, "/hooks/end", `e${at}`, LARGE));
    await folded(program);
    await program.kill();
  }
  {
    // If the program is killed before it has noted a part, it finds the part at the next start and notes it with the next frame.
    await using program = start(folder.rules, { data: folder.data });
    runs.set("last", await accept(program, "/hooks/end", "last"));
    await program.kill();
  }
  const parts = await partsOf(folder.data);
  assert.ok(parts.length > 0);
  for (const name of parts) await rm(join(folder.data, name));

  await using program = start(folder.rules, { data: folder.data });
  for (const [id, run] of runs) {
    const { status, body } = await program.post("/hooks/end", { id });
    assert.deepEqual([status, body.duplicate, body.runs], [200, true, [run]], id);
  }
  assert.equal((await program.api(`runs/${stays}`)).run.state, "waiting");
  for (const name of parts) {
    await program.waitForMessage(`Cannot find ${name}, a part of history: its history is no longer shown`);
  }
  const listed = (await program.api("runs")).map(({ id }: Answered) => id);
  for (const id of [stays, runs.get("last")]) assert.ok(listed.includes(id), "unfolded runs are listed");
  assert.ok(!listed.includes(runs.get("e0")), "runs in the removed part are not");
});

Deno.test("listings page in order of creation over live, unfolded and folded runs, each of them once", async () => {
  await using folder = await rulesFolder(RULES);
  const end: string[] = [];
  const stay: string[] = [];
  const names: string[] = [];
  const acceptBoth = async (program: Program, name: string, ballast = "") => {
    names.push(name);
    stay.push(await accept(program, "/hooks/stay", name));
    end.push(await accept(program, "/hooks/end", name, ballast));
  };
  const cancelled: string[] = [];
  const check = async (program: Program) => {
    const idsOf = async (query: string) => (await pages(program, query)).map(({ id }: Answered) => id);
    assert.deepEqual(await idsOf("runs?"), [...end, ...stay].sort().reverse());
    assert.deepEqual(await idsOf("runs?rule=end"), end.toReversed());
    assert.deepEqual(await idsOf("runs?rule=stay"), stay.toReversed());
    assert.deepEqual(await idsOf("runs?state=succeeded"), end.toReversed());
    assert.deepEqual(await idsOf("runs?state=cancelled"), cancelled.toReversed());
    assert.deepEqual(await idsOf("runs?state=waiting"), stay.filter((id) => !cancelled.includes(id)).reverse());
    for (const rule of ["end", "stay"]) {
      const events = (await pages(program, `events?rule=${rule}`)).map(({ event }: Answered) => event.data.id);
      assert.deepEqual(events, names.toReversed(), rule);
    }
  };
  {
    await using program = start(folder.rules, { data: folder.data });
    for (let at = 0; at < 9; at++) await acceptBoth(program, `large ${at}`, LARGE);
    await folded(program);
    for (let at = 0; at < 5; at++) await acceptBoth(program, `small ${at}`);
    // These began in a folded segment, and end in an unfolded one.
    for (const id of [stay[1], stay[3]]) {
      assert.equal((await program.post(`/api/runs/${id}/cancel`, { by: "a test" })).status, 200);
      cancelled.push(id);
    }
    await ended(program, end);
    await check(program);
    await program.kill();
  }
  await using program = start(folder.rules, { data: folder.data });
  await check(program);
  const before = await partsOf(folder.data);
  for (let at = 9; at < 18; at++) await acceptBoth(program, `large ${at}`, LARGE);
  await until("another fold", () => partsOf(folder.data), ({ length }) => length > before.length);
  await ended(program, end);
  await check(program);
});
