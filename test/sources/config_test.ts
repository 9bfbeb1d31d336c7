import assert from "node:assert/strict";
import { rename } from "node:fs/promises";
import { valuesIn } from "../../runtime/engine/config_reader.ts";
import type { Json } from "../../runtime/model/json.ts";
import { ask, Folder, holds, installed } from "./app.ts";

const DISK = `when: { start: true }
then: [{ log: hi }]
config:
  limit: { type: integer, default: 10, max: 100 }
  place: here
`;
const ALERT = `when: { event: [whenthen.poll.failed, whenthen.poll.recovered, whenthen.config.refused] }
then: [{ log: told }]
`;
/** Returns what a file beside the rules says: the test changes it. */
const READ = `import { readFileSync } from "node:fs";
export function read({ file }: { file: string }) {
  return JSON.parse(readFileSync(file, "utf8"));
}
`;

async function folderWith(answer: unknown, files: Record<string, string> = {}) {
  const folder = await Folder.with({ "ops/disk.yaml": DISK, "alert.yaml": ALERT, "config/read.ts": READ, ...files });
  const file = `${folder.root}/answer.json`;
  const say = (value: unknown) => Deno.writeTextFile(file, JSON.stringify(value));
  await say(answer);
  await folder.write({
    "whenthen.yaml": `config: { call: ./config/read.ts#read, with: { file: "${file}" }, every: 1s }\n`,
    ...files,
  });
  return { folder, file, say };
}

Deno.test("config is read from a platform: it applies at once, above the files, and stays while the platform fails", async () => {
  const { folder, file, say } = await folderWith({ values: { "ops/disk": { limit: 20 }, "gone": { x: 1 } } }, {
    "config.yaml": "ops/disk: { limit: 15 }\n",
  });
  await using _ = folder;
  const told = async (app: Awaited<ReturnType<Folder["open"]>>) => {
    const events = await ask(app, "/api/events?limit=50");
    // deno-lint-ignore no-explicit-any
    return events.map(({ event }: any) => `${event.type} ${event.subject}`).filter((text: string) =>
      text.startsWith("whenthen.")
    ).toReversed();
  };
  // deno-lint-ignore no-explicit-any
  const limit = async (app: Awaited<ReturnType<Folder["open"]>>): Promise<any> =>
    (await ask(app, "/api/rules/ops/disk/config"))[0];
  const app = await folder.open();
  try {
    await app.start();
    await holds("the first values", async () => (await limit(app)).value === 20);
    const { from, below } = await limit(app);
    assert.deepEqual([from, below.from, below.value], ["source", "config.yaml", 15]);
    await holds("the warning", async () => (await told(app)).includes("whenthen.config.refused gone"));
    await say([
      { rule: "ops/disk", values: { limit: 30 }, by: "anna" },
      { rule: "ops/disk", values: { limit: 500 } },
      7,
    ]);
    // The second entry for the key is bad, and costs itself.
    await holds("the new value", async () => (await limit(app)).value === 30);
    assert.deepEqual([(await limit(app)).by, (await limit(app)).refused.reason], [
      "anna",
      "expected at most 100, got 500",
    ]);
    await Deno.remove(file);
    await holds("the failure", async () => (await told(app)).includes("whenthen.poll.failed whenthen.yaml"));
    assert.equal((await limit(app)).value, 30);
  } finally {
    await app.stop();
  }
  const again = await folder.open();
  try {
    await again.start();
    assert.equal((await limit(again)).value, 30, "the last good value, before the platform answers");
    await say({ items: [{ rule: "ops/disk", values: { limit: 40 } }] });
    await holds("its answer", async () => (await limit(again)).value === 40);
    await holds("the recovery", async () => (await told(again)).includes("whenthen.poll.recovered whenthen.yaml"));
    const failed = (await told(again)).filter((text: string) => text.startsWith("whenthen.poll.failed"));
    assert.equal(failed.length, 1, "told once, also after the restart");
  } finally {
    await again.stop();
  }
});

Deno.test("once reads the config first, a package's source too, page by page; if that fails, so does the pass", async () => {
  const source = `import { source } from "whenthen";
export const config = source({
  inputs: { task: { type: "text" } },
  read: async ({ cursor, inputs }) => cursor === null
    ? { items: [{ rule: "ops/disk", values: { limit: 21 } }], cursor: "2", more: true }
    : { items: [{ rule: "ops/disk", values: { place: inputs.task + cursor } }] },
});
export const broken = async () => { throw new Error("no such task"); };
`;
  const { folder } = await folderWith({}, {
    ...installed("whenthen-tasks", { "index.ts": source }),
    "whenthen.yaml": "config: { call: whenthen-tasks#config, with: { task: t }, every: 5m }\n",
  });
  await using _ = folder;
  const { failures, broken, failed } = await folder.once();
  assert.deepEqual([failures, broken, failed], [[], [], []]);
  const app = await folder.open();
  try {
    await app.serveCommand();
    const entries = await ask(app, "/api/rules/ops/disk/config");
    // deno-lint-ignore no-explicit-any
    assert.deepEqual(entries.map(({ key, value, from }: any) => [key, value, from]), [
      ["limit", 21, "source"],
      ["place", "t2", "source"],
    ]);
  } finally {
    await app.stop();
  }
  await folder.write({ "whenthen.yaml": "config: { call: whenthen-tasks#broken }\n" });
  assert.match((await folder.once()).failures.join(), /no such task/);
});

Deno.test("a source that does not load is a problem with its position in whenthen.yaml", async () => {
  const { folder } = await folderWith({});
  await using _ = folder;
  const problems = async (config: string) => {
    await folder.write({ "whenthen.yaml": `config: ${config}\n` });
    const app = await folder.open();
    try {
      await app.serveCommand();
      const all = await ask(app, "/api/problems");
      // deno-lint-ignore no-explicit-any
      return all.map(({ file, at, message }: any) => `${file}:${at.line}:${at.column}: ${message}`);
    } finally {
      await app.stop();
    }
  };
  assert.deepEqual(await problems("{ call: ./config/read.ts#red }"), [
    'whenthen.yaml:1:17: ./config/read.ts exports no "red"',
  ]);
  assert.deepEqual(await problems("{ call: ./read.yaml }"), [
    "whenthen.yaml:1:17: expected a function or a source, such as ./config.ts#read or package#export",
  ]);
  assert.deepEqual(await problems("{ call: ./config/read.ts#read, every: soon }"), [
    "whenthen.yaml:1:47: expected a duration such as 5m",
  ]);
  assert.match(
    (await problems("{ call: ./config/read.ts#read, auth: { connection: none } }")).join(),
    /whenthen\.yaml:1:/,
  );
});

Deno.test("values and items are read; a bad entry costs itself, anything else is a failure", () => {
  const read = (...pages: Parameters<typeof valuesIn>[0]) =>
    valuesIn(pages).values.map(({ rule, key }) => `${rule}.${key}`);
  assert.deepEqual(read({ values: { a: { x: 1, y: 2 }, b: {} } }), ["a.x", "a.y"]);
  assert.deepEqual(read([{ rule: "a", values: { x: 1 } }], { items: [{ rule: "b", values: { y: null } }] }), [
    "a.x",
    "b.y",
  ]);
  const { values, wrong } = valuesIn([{ values: { a: 5, b: { x: 1 } } }, [7, { rule: "c" }, {
    rule: "d",
    values: { z: 1 },
  }]]);
  assert.deepEqual(values.map(({ rule }) => rule), ["b", "d"]);
  assert.equal(wrong.length, 3);
  for (const bad of [null, 5, "text", {}, { values: 5 }] as Json[]) {
    assert.throws(() => valuesIn([bad]), /Cannot read config/);
  }
});

Deno.test("a reload that fails is not called accepted: the API says that the values are stored, and the next reload applies them", async () => {
  await using folder = await Folder.with({ "ops/disk.yaml": DISK });
  const app = await folder.open();
  try {
    await app.start();
    await rename(folder.rules, `${folder.root}/away`);
    const set = async (limit: number) => {
      const body = JSON.stringify({ set: { limit } });
      const headers = { host: "127.0.0.1:8080", "content-type": "application/json" };
      const url = "http://127.0.0.1:8080/api/rules/ops/disk/config";
      const answer = await app.web.fetch(new Request(url, { method: "POST", headers, body }), () => "127.0.0.1");
      return { status: answer.status, body: await answer.json() };
    };
    const failed = await set(30);
    assert.equal(failed.status, 500);
    assert.match(failed.body.error, /^The values are stored, but not in force: the reload failed: .*ENOENT/);
    assert.equal((await ask(app, "/api/rules/ops/disk/config"))[0].value, 10);
    await rename(`${folder.root}/away`, folder.rules);
    await set(40);
    assert.deepEqual((await ask(app, "/api/rules/ops/disk/config"))[0].value, 40);
  } finally {
    await app.stop();
  }
});
