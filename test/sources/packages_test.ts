import assert from "node:assert/strict";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { collect } from "../../bin/cli/commands/pack.ts";
import { openApp } from "../../runtime/app/open_app.ts";
import { checkFolder } from "../../runtime/app/check_folder.ts";
import { placePrebuilt } from "../../runtime/folder/typescript/typescript_files.ts";
import { formatProblem } from "../../runtime/model/problem.ts";
import { action, type Json, poll, rule, source, type } from "../../runtime/sdk/mod.ts";
import { type Answered, ask, Folder, installed, json, Peer } from "./app.ts";

/** A package with a source and an action, in TypeScript, with a dependency of its own. */
const TASKS = (url: string) => ({
  ...installed("whenthen-tasks", {
    "mod.ts": `
import { action, source } from "whenthen";
import { shout } from "shouting";
export interface Task { gid: string; name: string }
export const tasks = source({
  inputs: { project: { type: "text" }, limit: 100 },
  key: "item.gid",
  ignore: ["modified_at"],
  read: async ({ inputs, http }) => {
    const { body } = await http<Task[]>("GET ${url}/tasks", { query: { project: inputs.project, limit: inputs.limit } });
    return { items: body, complete: true };
  },
});
export const comment = action({
  inputs: { text: { type: "text", min: 1 }, task: { type: "text", required: false } },
  run: async ({ inputs, http }) => {
    const { body } = await http<{ id: number }>("POST ${url}/comments", { json: { text: shout(inputs.text), task: inputs.task } });
    return { id: body.id };
  },
});
export const plain = () => [{ gid: "1" }];
`,
  }),
  ...installed("shouting", { "index.js": "export const shout = (text) => text.toUpperCase();" }, "0.1.0"),
});

const YAML = `
when:
  poll: { call: whenthen-tasks#tasks, with: { project: "77" } }
  first: emit
then:
  - id: say
    call: whenthen-tasks#comment
    with: { text: "new: \${{ event.data.new.name }}" }
`;

const TYPESCRIPT = `
import { poll, rule } from "whenthen";
import { comment, tasks } from "whenthen-tasks";
export default rule({
  when: poll(tasks({ project: "88" }), { every: "5m", first: "emit" }),
  then: async ({ event, step }) => await step.call(comment, "say", { text: event.data.new!.name, task: event.subject! }),
});
`;

Deno.test("a source and an action of an npm package work in YAML and in TypeScript, with its dependencies", async () => {
  await using peer = await Peer.start();
  const comments: Answered[] = [];
  peer.answer = (request, response, body) => {
    const { pathname, searchParams } = new URL(request.url!, "http://x");
    if (pathname === "/tasks") return json(response, [{ gid: "1", name: `of ${searchParams.get("project")}` }]);
    comments.push({ ...JSON.parse(body), key: request.headers["idempotency-key"] !== undefined });
    json(response, { id: comments.length });
  };
  await using folder = await Folder.with({ ...TASKS(peer.url), "a.yaml": YAML, "b.ts": TYPESCRIPT });
  const { failures, failed } = await folder.once();
  assert.deepEqual([failures, failed], [[], []]);
  assert.deepEqual(comments.toSorted((a, b) => a.text < b.text ? -1 : 1), [
    { text: "NEW: OF 77", task: null, key: true },
    { text: "OF 88", task: "1", key: true },
  ]);
  assert.equal(new URL(peer.requests[0].url!, "http://x").searchParams.get("limit"), "100", "a default");
});

Deno.test("check lists the packages with their versions, and what is wrong with a use of one", async () => {
  await using folder = await Folder.with({
    ...TASKS("http://127.0.0.1:1"),
    "a.yaml": YAML,
    "absent.yaml": "when: { poll: { call: whenthen-nowhere#tasks } }\nthen: [{ log: x }]\n",
    "export.yaml": "when: { poll: { call: whenthen-tasks#task } }\nthen: [{ log: x }]\n",
    "inputs.yaml":
      "when:\n  poll: { call: whenthen-tasks#tasks, with: { projct: '7', limit: many } }\nthen: [{ log: x }]\n",
    "kinds.yaml":
      "when:\n  poll: { call: whenthen-tasks#comment, with: { text: x } }\nthen:\n  - call: whenthen-tasks#tasks\n    with: { project: x }\n",
    "ok.yaml": "when: { poll: { call: whenthen-tasks#plain }, key: item.gid }\nthen: [{ log: x }]\n",
  });
  const { problems, packages } = await checkFolder({ folder: folder.rules, data: `${folder.root}/data` });
  assert.deepEqual(packages, { shouting: "0.1.0", "whenthen-tasks": "1.2.3" });
  const said = problems.map((problem) => `${formatProblem(problem).split("\n")[0]} → ${problem.hint ?? ""}`);
  assert.deepEqual(said, [
    'absent.yaml:1:23: cannot find the package "whenthen-nowhere" → ' +
    "type npm install whenthen-nowhere in the rules folder; nothing is installed by itself",
    'export.yaml:1:23: whenthen-tasks exports no "task" → it exports: comment, plain, tasks',
    "inputs.yaml:2:39: project is missing: expected text → ",
    'inputs.yaml:2:47: unknown key "projct" → did you mean "project"?',
    'inputs.yaml:2:67: expected a number, got "many" → ',
    "kinds.yaml:2:17: this is an action, which a step calls → poll a source",
    "kinds.yaml:4:11: this is a source, which a poll reads → write it under when: poll:",
  ]);
});

Deno.test("a folder with package.json below the rules folder is a package, by its name and by its path", async () => {
  await using folder = await Folder.with({
    "packages/notes/package.json": JSON.stringify({ name: "our-notes", version: "0.0.1", main: "./mod.ts" }),
    "packages/notes/mod.ts": `
import { source } from "whenthen";
import { list } from "./list.ts";
export const notes = source({ key: "item.id", read: () => ({ items: list, complete: true }) });
`,
    "packages/notes/list.ts": `export const list = [{ id: "n1" }];\n`,
    "name.yaml": "when: { poll: { call: our-notes#notes }, first: emit }\nthen: [{ log: x }]\n",
    "sub/path.yaml": "when: { poll: { call: ../packages/notes#notes }, first: emit }\nthen: [{ log: x }]\n",
    "code.ts": `
import { poll, rule } from "whenthen";
import { notes } from "our-notes";
export default rule({ when: poll(notes(), { first: "emit" }), then: ({ event }) => event.data.new!.id });
`,
  });
  const { outputs, failures, broken } = await folder.once();
  assert.deepEqual([failures, broken], [[], []]);
  assert.equal(outputs.length, 3);
  assert.ok(outputs.includes("n1"));
  const { packages } = await checkFolder({ folder: folder.rules, data: `${folder.root}/data2` });
  assert.deepEqual(packages, { "our-notes": "0.0.1" });
});

Deno.test("CommonJS packages can be called; a package that is installed later is found at the next load", async () => {
  await using folder = await Folder.with({
    "a.yaml": "when: { poll: { call: old-school#read }, key: item.id, first: emit }\nthen: [{ log: x }]\n",
  });
  assert.deepEqual((await folder.once()).broken, ["a.yaml"]);
  await folder.write({
    "node_modules/old-school/package.json": JSON.stringify({ name: "old-school", version: "1.0.0", main: "main.js" }),
    "node_modules/old-school/main.js": "exports.read = async () => [{ id: 1 }, { id: 2 }];\n",
  });
  const { outputs, broken } = await folder.once();
  assert.deepEqual([outputs.length, broken], [2, []]);
});

Deno.test("a connection of a poll or a step is that of the requests that its code sends", async () => {
  await using peer = await Peer.start();
  const seen: (string | undefined)[] = [];
  peer.answer = (request, response) => {
    seen.push(request.headers.authorization);
    json(response, [{ gid: "1" }]);
  };
  await using folder = await Folder.with({
    ...TASKS(peer.url),
    "whenthen.yaml": `connections: { tasks: { bearer: TASKS_PAT, hosts: ["${
      new URL(peer.url).host
    }"] } }\nsecrets: { files: [./.env] }\n`,
    ".env": "TASKS_PAT=a-token-that-nobody-guesses\n",
    "a.yaml": `
when:
  poll: { call: whenthen-tasks#tasks, with: { project: "77" }, auth: { connection: tasks } }
  first: emit
then: [{ call: whenthen-tasks#comment, with: { text: x } }]
`,
    "b.ts": `
import { poll, rule } from "whenthen";
import { comment, tasks } from "whenthen-tasks";
export default rule({
  when: poll(tasks({ project: "88" }), { first: "emit", auth: { connection: "tasks" } }),
  then: ({ step }) => step.call(comment, "say", { text: "y" }, { auth: { connection: "tasks" } }),
});
`,
    "unknown.yaml": "when: { poll: { call: whenthen-tasks#plain, auth: { connection: task } } }\nthen: [{ log: x }]\n",
  });
  const { failures, broken } = await folder.once();
  assert.deepEqual([failures, broken], [[], ["unknown.yaml"]]);
  const token = "Bearer a-token-that-nobody-guesses";
  assert.deepEqual(seen.toSorted(), [token, token, token, undefined].toSorted());
});

Deno.test("a secret that a source or an action is given is masked in failures and traces, and never on disk", async () => {
  const token = "token-of-the-shop-4711";
  await using peer = await Peer.start();
  peer.answer = ({ url }, response) => json(response, { error: `wrong key in ${url}` }, 403);
  await using folder = await Folder.with({
    ".env": `SHOP_TOKEN=${token}\n`,
    "shop.ts": `
import { action, source } from "whenthen";
const inputs = { key: { type: "text" } } as const;
export const tasks = source({
  inputs,
  read: async ({ inputs, http }) => ({ items: (await http<[]>(\`GET ${peer.url}/tasks?key=\${inputs.key}\`)).body }),
});
export const say = action({
  inputs,
  run: async ({ inputs, http }) => (await http(\`POST ${peer.url}/say\`, { json: { key: inputs.key } })).body,
});
`,
    "a.yaml":
      `when: { poll: { call: "./shop.ts#tasks", with: { key: "\${{ secrets.SHOP_TOKEN }}" } } }\nthen: [{ log: x }]\n`,
    "b.yaml": `when: { start: true }
then: [{ id: say, call: "./shop.ts#say", with: { key: "\${{ secrets.SHOP_TOKEN }}" }, retry: 1 }]
`,
  });
  const { failures, failed } = await folder.once();
  assert.match(failures.join(), /GET http.*403.*\*\*\*/);
  assert.match(failed.join(), /POST http.*403/);
  assert.ok(peer.requests.some(({ url }) => url!.endsWith(`key=${token}`)), "the service itself gets it");
  const app = await folder.open();
  try {
    await app.serveCommand();
    const [{ id }] = await ask(app, "/api/runs?rule=b");
    const shown = JSON.stringify([await ask(app, `/api/runs/${id}`), await ask(app, "/api/rules"), failures, failed]);
    assert.ok(!shown.includes(token), shown);
  } finally {
    await app.stop();
  }
  const data = `${folder.root}/data`;
  const names = await readdir(data, { recursive: true, withFileTypes: true });
  for (const file of names.filter((each) => each.isFile())) {
    assert.ok(!(await readFile(`${file.parentPath}/${file.name}`, "latin1")).includes(token), file.name);
  }
});

interface Task {
  gid: string;
  done: boolean;
}

const tasks = source({
  inputs: { project: { type: "text" }, limit: 100, tag: { type: "text", required: false } },
  read: async ({ inputs, http, cursor }) => {
    const project: string = inputs.project;
    const limit: number = inputs.limit;
    const tag: string | null = inputs.tag;
    const { body } = await http<Task[]>("GET https://tasks.example", { query: { project, limit, tag, cursor } });
    return { items: body, complete: true };
  },
  one: ({ key }) => ({ gid: key, done: false }),
});

const messages = source({
  item: type<{ n: number }>(),
  listen: async ({ emit }) => await emit({ n: 1 }, { cursor: 1 }),
});

const comment = action({
  inputs: { text: { type: "text" } },
  run: ({ inputs }) => ({ id: inputs.text.length }),
});

Deno.test("sources and actions are typed: inputs, items, events, results", () => {
  const made = rule({
    when: [
      poll(tasks({ project: "77" }), { every: "5m", stagnant: "10m" }),
      poll(messages()),
    ],
    then: async ({ event, step }) => {
      if (event.type === "stagnant") {
        const stale: boolean | undefined = event.data.new?.done;
        // @ts-expect-error no such field
        event.data.new?.name;
        return stale;
      }
      const { id } = await step.call(comment, "say", { text: "x" });
      const count: number = id;
      // @ts-expect-error a text is needed
      await step.call(comment, "say", { text: 1 });
      // @ts-expect-error the text is missing
      await step.call(comment, "say", {});
      return count;
    },
  });
  // @ts-expect-error the project is missing
  const missing = () => tasks({});
  // @ts-expect-error the limit is a number
  const wrong = () => tasks({ project: "x", limit: "many" });
  // @ts-expect-error a source without inputs that are needed takes none
  const none = () => poll(tasks());
  // @ts-expect-error one returns an item as read does
  const other = () => source({ read: () => ({ items: [{ a: 1 }] }), one: () => ({ a: "1" }) });
  assert.equal([missing, wrong, none, other].length, 4);
  const batched = rule({
    when: poll(tasks({ project: "1", tag: "x" }), { batch: { every: "1h" } }),
    then: ({ event }) => event.data.events.map((each): boolean | undefined => each.data.new?.done) as Json,
  });
  assert.ok(made !== batched);
});

Deno.test("a packed folder has the packages that its rules call, without node_modules", async () => {
  const rules = {
    "a.yaml":
      "when: { poll: { call: whenthen-list#list }, first: emit }\nthen: [{ call: whenthen-list#shout, with: { n: 1 } }]\n",
    "b.ts": `
import { poll, rule } from "whenthen";
import { list } from "whenthen-list";
export default rule({ when: poll(list(), { first: "emit" }), then: ({ event }) => event.data.new!.id });
`,
  };
  const code = `
import { action, source } from "whenthen";
export const list = source({ key: "item.id", read: () => ({ items: [{ id: "x" }], complete: true }) });
export const shout = action({ inputs: { n: 0 }, run: ({ inputs }) => inputs.n + 1 });
`;
  await using made = await Folder.with({ ...rules, ...installed("whenthen-list", { "mod.ts": code }) });
  const { packed, problems } = await collect({
    folder: made.rules,
    data: join(made.root, "cache"),
    out: join(made.root, "packed"),
  });
  assert.deepEqual(problems, []);
  assert.deepEqual(packed!.files.map(({ path }) => path), ["a.yaml", "b.ts"]);
  await using other = await Folder.with(rules);
  const prebuilt = placePrebuilt(packed!.prebuilt, other.rules);
  const app = await openApp({ folder: other.rules, data: join(other.root, "data"), version: "test", prebuilt });
  try {
    const { failures, failedRuns, broken } = await app.once();
    assert.deepEqual([failures, failedRuns, broken], [[], [], []]);
    const runs: { output: unknown }[] = await ask(app, "/api/runs");
    assert.deepEqual(runs.map(({ output }) => output).filter((output) => output !== null), ["x"]);
    assert.equal(runs.length, 2);
  } finally {
    await app.stop();
  }
});
