import assert from "node:assert/strict";
import { type Answered, ask, Folder, json, Peer } from "./app.ts";
import type { Json, JsonObject } from "../../runtime/model/json.ts";
import { applyMergePatch } from "../../runtime/model/merge_patch.ts";

const SOURCE = (url: string) => `
import { source } from "whenthen";
interface Task { gid: string; status: string; notes: string; changes: number }
export const tasks = source({
  key: "item.gid",
  ignore: ["changes"],
  read: async ({ http }) => ({ items: (await http<Task[]>("GET ${url}/tasks")).body, complete: true }),
  one: async ({ key, http }) => (await http<Task | null>(\`GET ${url}/tasks/\${key}\`)).body,
  update: async ({ key, patch, http }) => (await http<Task>(\`PATCH ${url}/tasks/\${key}\`, { json: patch })).body,
});
`;

/** A service with tasks, which counts their changes. */
class Tasks implements AsyncDisposable {
  readonly items = new Map<string, JsonObject>();
  /** The patches that were sent, oldest first. */
  readonly patches: Json[] = [];
  /** The values of the header `authorization` that came. */
  readonly tokens: (string | undefined)[] = [];
  /** What a patch is answered with, if not with the item. */
  answers: (() => Json) | undefined;
  /** Called before a patch is answered, after it was applied. */
  onPatch: () => void = () => {};

  private constructor(private readonly peer: Peer) {
    peer.answer = ({ method, url, headers }, response, body) => {
      this.tokens.push(headers.authorization);
      const gid = url!.split("/")[2] && decodeURIComponent(url!.split("/")[2]);
      if (gid === undefined) return json(response, [...this.items.values()]);
      if (method === "PATCH") {
        this.patches.push(JSON.parse(body));
        this.set(gid, JSON.parse(body));
        this.onPatch();
        if (this.answers) return json(response, this.answers());
      }
      json(response, this.items.get(gid) ?? null);
    };
  }

  static async start(count = 1): Promise<Tasks> {
    const tasks = new Tasks(await Peer.start());
    for (let gid = 1; gid <= count; gid++) {
      tasks.set(`${gid}`, { gid: `${gid}`, status: "open", notes: "", changes: 0 });
    }
    return tasks;
  }

  get url(): string {
    return this.peer.url;
  }

  /** Somebody changes a task. */
  set(gid: string, patch: JsonObject): void {
    const task = applyMergePatch(this.items.get(gid), patch) as JsonObject;
    this.items.set(gid, { ...task, changes: task.changes as number + 1 });
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.peer[Symbol.asyncDispose]();
  }
}

const RULE = (then: string) => `
when: { poll: { call: "./source.ts#tasks" } }
then:
${then}
`;

/** The results of the steps of the newest run. */
async function steps(folder: Folder): Promise<Answered[]> {
  const app = await folder.open();
  try {
    await app.serveCommand();
    const [{ id }] = await ask(app, "/api/runs?limit=1");
    return (await ask(app, `/api/runs/${id}`)).steps.map(({ output, error }: Answered) => output ?? error);
  } finally {
    await app.stop();
  }
}

Deno.test("a poll rule that patches what it polls runs once a change, and what somebody else changed meanwhile is told", async () => {
  await using tasks = await Tasks.start(2);
  await using folder = await Folder.with({
    "source.ts": SOURCE(tasks.url),
    "a.yaml": RULE('  - patch: { notes: "Seen ${{ event.data.new.status }}" }'),
  });
  await folder.once();
  tasks.set("1", { status: "done" });
  // Somebody changes another field while the rule writes.
  tasks.onPatch = () => tasks.set("1", { status: "reopened" });
  assert.equal((await folder.once()).outputs.length, 1);
  assert.deepEqual((await steps(folder)).map(({ key, sent }) => ({ key, sent })), [
    { key: "1", sent: { notes: "Seen done" } },
  ]);
  tasks.onPatch = () => {};
  assert.equal((await folder.once()).outputs.length, 2, "the other's change of the status is told");
  for (let look = 0; look < 3; look++) assert.equal((await folder.once()).outputs.length, 2, "its own are not");
  assert.deepEqual(tasks.patches, [{ notes: "Seen done" }, { notes: "Seen reopened" }]);
});

Deno.test("only what differs is sent, and nothing if nothing differs", async () => {
  await using tasks = await Tasks.start();
  await using folder = await Folder.with({
    "source.ts": SOURCE(tasks.url),
    "a.yaml": RULE('  - patch: { status: done, notes: "x" }\n  - patch: { notes: "x" }'),
  });
  await folder.once();
  tasks.set("1", { status: "done" });
  await folder.once();
  assert.deepEqual((await steps(folder)).map(({ sent, item }) => [sent, item.notes]), [[{ notes: "x" }, "x"], [
    {},
    "x",
  ]]);
  assert.deepEqual(tasks.patches, [{ notes: "x" }]);
});

Deno.test("a field that somebody changed since the event fails the step, is left, or is overwritten", async () => {
  const run = async (ifChanged: string) => {
    await using tasks = await Tasks.start();
    await using folder = await Folder.with({
      "source.ts": SOURCE(tasks.url),
      "a.yaml": RULE(
        `  - run: [curl, -sS, -X, PATCH, -d, '{"notes":"theirs"}', ${tasks.url}/tasks/1]
  - patch: { notes: ours }
    ifChanged: ${ifChanged}`,
      ),
    });
    await folder.once();
    tasks.set("1", { status: "done" });
    const { broken } = await folder.once();
    assert.deepEqual(broken, []);
    return { step: (await steps(folder)).at(-1), notes: tasks.items.get("1")!.notes };
  };
  const failed = await run("fail");
  assert.match(
    failed.step.message,
    /item 1 of \.\/source\.ts#tasks: somebody has changed "notes" since the event.*theirs/,
  );
  assert.equal(failed.notes, "theirs");
  const skipped = await run("skip");
  assert.deepEqual([skipped.step.skipped, skipped.step.sent, skipped.notes], [["notes"], {}, "theirs"]);
  assert.equal((await run("overwrite")).notes, "ours");
});

Deno.test("two patches of one run do not take each other for somebody else", async () => {
  await using tasks = await Tasks.start();
  await using folder = await Folder.with({
    "source.ts": SOURCE(tasks.url),
    "a.yaml": RULE("  - patch: { notes: first }\n  - patch: { notes: second }"),
  });
  await folder.once();
  tasks.set("1", { status: "done" });
  assert.deepEqual((await folder.once()).failed, []);
  assert.deepEqual(tasks.patches, [{ notes: "first" }, { notes: "second" }]);
  assert.equal((await folder.once()).outputs.length, 1);
});

Deno.test("a function changes the item as it is now; a batch names its items by key", async () => {
  await using tasks = await Tasks.start(2);
  await using folder = await Folder.with({
    "source.ts": SOURCE(tasks.url),
    "a.ts": `
import { poll, rule } from "whenthen";
import { tasks } from "./source.ts";
export default rule({
  when: poll(tasks()),
  then: async ({ step }) => {
    const { sent } = await step.patch<{ notes: string }>("stamp", (task) => ({ ...task, notes: task.notes + "!" }));
    return sent;
  },
});
`,
    "b.yaml": `
when: { poll: { call: "./source.ts#tasks" }, batch: { every: 1s } }
then:
  - each: \${{ event.data.events }}
    then:
      - patch: { stamp: "\${{ item.subject }}" }
        key: \${{ item.subject }}
`,
  });
  await folder.once();
  tasks.set("1", { status: "done" });
  tasks.set("2", { status: "done" });
  const { outputs, failed } = await folder.once();
  assert.deepEqual(failed, []);
  assert.ok(outputs.some((sent) => sent?.notes === "!"), JSON.stringify(outputs));
});

Deno.test("another rule on the same source sees who wrote; two that undo each other end as looped", async () => {
  await using tasks = await Tasks.start();
  const flip = (from: string, to: string) => `
when: { poll: { call: "./source.ts#tasks" }, if: event.data.new.status == "${from}" }
then: [{ patch: { status: ${to} } }]
`;
  await using folder = await Folder.with({
    "source.ts": SOURCE(tasks.url),
    "a.yaml": flip("red", "green"),
    "b.yaml": flip("green", "red"),
  });
  await folder.once();
  tasks.set("1", { status: "red" });
  let runs = 0;
  for (let look = 0; look < 30; look++) {
    const count = (await folder.once()).outputs.length;
    if (count === runs) break;
    runs = count;
  }
  const app = await folder.open();
  try {
    await app.serveCommand();
    const events: Answered[] = await ask(app, "/api/events?limit=100");
    assert.ok(events.some(({ event }) => event.cause?.run !== undefined), "a change has the run that brought it about");
    assert.ok(events.some(({ verdicts }) => verdicts.some(({ verdict }: Answered) => verdict.kind === "looped")));
    assert.equal(runs, 17);
  } finally {
    await app.stop();
  }
});

Deno.test("a poll of a URL writes back by requests of its own, with the key percent-encoded", async () => {
  await using tasks = await Tasks.start();
  tasks.set("a b", { gid: "a b", status: "open", notes: "", changes: 0 });
  await using folder = await Folder.with({
    "a.yaml": `
when:
  poll: ${tasks.url}/tasks
  key: item.gid
  ignore: [changes]
  one: { http: "GET ${tasks.url}/tasks/\${{ key }}", value: body }
  update: { http: "PATCH ${tasks.url}/tasks/\${{ key }}", json: "\${{ patch }}" }
then: [{ patch: { notes: Seen } }]
`,
  });
  await folder.once();
  tasks.set("a b", { status: "done" });
  const { broken, failed } = await folder.once();
  assert.deepEqual([broken, failed], [[], []]);
  assert.deepEqual([tasks.patches, tasks.items.get("a b")!.notes], [[{ notes: "Seen" }], "Seen"]);
  assert.equal((await folder.once()).outputs.length, 1);
});

Deno.test("a field that a rule removes is not told to it, and an answer without the fields counts as sent", async () => {
  await using tasks = await Tasks.start();
  tasks.answers = () => ({});
  await using folder = await Folder.with({
    "source.ts": SOURCE(tasks.url),
    "a.yaml": RULE('  - patch: { notes: null, stamp: "${{ event.data.new.status }}" }'),
  });
  await folder.once();
  tasks.set("1", { status: "done" });
  assert.equal((await folder.once()).outputs.length, 1);
  assert.deepEqual(tasks.items.get("1"), { gid: "1", status: "done", changes: 3, stamp: "done" });
  assert.equal((await folder.once()).outputs.length, 1, "its own write is not told");
  tasks.set("1", { status: "reopened" });
  await folder.once();
  const app = await folder.open();
  try {
    await app.serveCommand();
    const [{ event }] = await ask(app, "/api/events?limit=1");
    assert.equal(event.cause, undefined, "what somebody changes in another field is theirs");
  } finally {
    await app.stop();
  }
});

Deno.test("one and update are sent with the poll's connection", async () => {
  await using tasks = await Tasks.start();
  await using folder = await Folder.with({
    "whenthen.yaml": `connections: { crm: { bearer: CRM_TOKEN, hosts: ["${new URL(tasks.url).host}"] } }\n`,
    ".env": "CRM_TOKEN=token-of-the-crm-123\n",
    "source.ts": SOURCE(tasks.url),
    "a.yaml": `
when: { poll: { call: "./source.ts#tasks", auth: { connection: crm } } }
then: [{ patch: { notes: Seen } }]
`,
  });
  const { failures, broken } = await folder.once();
  assert.deepEqual([failures, broken], [[], []]);
  tasks.set("1", { status: "done" });
  assert.deepEqual((await folder.once()).failed, []);
  assert.deepEqual([...new Set(tasks.tokens)], ["Bearer token-of-the-crm-123"]);
  assert.equal(tasks.patches.length, 1);
});
