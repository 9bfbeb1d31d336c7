import assert from "node:assert/strict";
import { outcomes, simulate } from "./simulating.ts";

const SOURCE = `
import { source } from "whenthen";
export const tasks = source({
  inputs: { project: { type: "text" } },
  key: "item.gid",
  ignore: ["modified_at"],
  at: "item.modified_at",
  read: () => { throw new Error("a test does not touch the world"); },
  one: () => { throw new Error("a test does not touch the world"); },
});
`;

const RULE = (when: string, tests: string, then = '{ log: "${{ event.type }} ${{ event.subject }}" }') => `
when: { poll: { call: "./tasks.ts#tasks", with: { project: "1" } }, every: 1h, ${when} }
then: [${then}]
tests:
${tests}
`;

const task = (gid: number, more = "") => `{ gid: "${gid}", name: Task ${gid}${more} }`;
const tasks = (count: number) => `[${Array.from({ length: count }, (_, gid) => task(gid)).join(", ")}]`;

async function testing(rule: string): Promise<string[]> {
  return outcomes(await simulate({ "tasks.ts": SOURCE, "a.yaml": rule }));
}

Deno.test("of 250 open tasks all are told, or only the first 50", async () => {
  const stub = `  - name: told\n    stub: { poll: { items: ${tasks(250)}, complete: true } }\n    do:\n`;
  const newest = (gid: number) => `      - expect: { logs: [added ${gid}] }\n`;
  const counting = (count: number) => `      - expect: { state: { count: ${count} } }\n`;
  const count = '{ state: count, value: "${{ default(state.count, 0) + 1 }}" }, { log: "added ${{ event.subject }}" }';
  assert.deepEqual(
    await testing(
      RULE("first: emit", stub + counting(250) + newest(249), count).replace("then:", "mode: queued\nthen:"),
    ),
    ["told"],
  );
  assert.deepEqual(
    await testing(
      RULE("first: emit, take: 50", stub + counting(50) + newest(49), count).replace("then:", "mode: queued\nthen:"),
    ),
    ["told"],
  );
});

Deno.test("3 open and 2 completed tasks are 3 or 5, by the filter that the source is given or the rule has", async () => {
  const items = [1, 2, 3].map((gid) => task(gid)).concat([4, 5].map((gid) => task(gid, ", completed: true")));
  const test = (count: number) => `
  - name: all
    stub: { poll: { items: [${items.join(", ")}], complete: true } }
    do: [{ expect: { runs: [${Array(count).fill("succeeded").join(", ")}] } }]
`;
  assert.deepEqual(await testing(RULE("first: emit", test(5))), ["all"]);
  assert.deepEqual(await testing(RULE('first: emit, if: "!has(event.data.new.completed)"', test(3))), ["all"]);
});

Deno.test("7 was changed three times, 8 added, 9 deleted: a run each", async () => {
  const rule = RULE(
    "on: [added, changed, removed]",
    `
  - name: one run each
    stub:
      poll:
        - { items: [${task(7)}, ${task(9)}], complete: true, cursor: a }
        - { items: [${task(7, ", v: 1")}, ${task(7, ", v: 2")}, ${task(8)}, ${
      task(7, ", v: 3")
    }], removed: ["9"], cursor: b }
        - { items: [], cursor: c }
    do:
      - look: poll
      - expect: { runs: [succeeded, succeeded, succeeded], logs: [changed 7, added 8, removed 9] }
        exact: true
      - look: poll
      - expect: { runs: [succeeded, succeeded, succeeded] }
        exact: true
`,
  );
  assert.deepEqual(await testing(rule), ["one run each"]);
});

Deno.test("A→B→C before the look is one event, whose diff is only the status", async () => {
  const item = (status: string, at: number) => task(1, `, status: ${status}, modified_at: "2027-01-04T08:0${at}:00Z"`);
  const rule = RULE(
    "on: [changed]",
    `
  - name: one event
    stub:
      poll:
        - { items: [${item("A", 0)}], complete: true }
        - { items: [${item("C", 2)}], complete: true }
    do:
      - look: poll
      - expect: { logs: ['{"status":["A","C"]}'], runs: [succeeded] }
        exact: true
`,
    '{ log: "${{ json(event.data.diff) }}" }',
  );
  assert.deepEqual(await testing(rule), ["one event"]);
});

Deno.test("cached 12 minutes old: fresh 2 tells nothing, fresh 12 tells once", async () => {
  const item = (at: string) => task(1, `, modified_at: "2027-01-04T${at}:00Z"`);
  const test = (name: string, fresh: string, first: string) => `
  - name: ${name}
    stub:
      poll: { items: [${item("08:48")}], complete: true }
      one: ${item(fresh)}
    do:
      - expect: { logs: [${first}] }
        exact: true
      - look: poll
      - expect: { logs: [${first}] }
        exact: true
`;
  const tests = test("fresh 2", "08:58", "") + test("fresh 12", "08:48", "stagnant 1");
  assert.deepEqual(await testing(RULE("stagnant: 10m", tests)), ["fresh 2", "fresh 12"]);
});

Deno.test("stagnant through the clock of a test: told once while the condition holds, gone is removed", async () => {
  const rule = RULE(
    "on: [changed, removed], stagnant: 2h, if: \"event.type != 'stagnant' || event.data.new.open\"",
    `
  - name: once
    stub:
      poll: { items: [${task(1, ", open: true")}, ${task(2, ", open: false")}, ${
      task(3, ", open: true")
    }], complete: true }
      one: [${task(1, ", open: true")}, ${task(2, ", open: false")}, null, ${task(2, ", open: false")}, ${
      task(2, ", open: true")
    }]
    do:
      - advance: 1h
      - expect: { runs: [] }
      - advance: 1h
      - expect: { logs: [stagnant 1, removed 3] }
        exact: true
`,
  );
  assert.deepEqual(await testing(rule), ["once"]);
});

const REAL = `
import { action, source } from "whenthen";
interface Page { items: { gid: string }[]; cursor: number }
const URL = "https://api.example.org";
export const tasks = source({
  inputs: { project: { type: "text" } },
  key: "item.gid",
  read: async ({ cursor, inputs, http }) => {
    return (await http<Page>(\`GET \${URL}/\${inputs.project}\`, { query: { since: cursor } })).body;
  },
});
export const comment = action({
  inputs: { text: { type: "text" } },
  run: async ({ inputs, http }) => {
    const { status } = await http(\`POST \${URL}/comments\`, { json: { text: inputs.text }, ok: [409] });
    return { said: inputs.text, status };
  },
});
`;

Deno.test("with stubs for its requests only, the code of a source and of an action runs; without them it does not", async () => {
  const rule = (tests: string) => `
when: { poll: { call: "./tasks.ts#tasks", with: { project: "1" } }, every: 1h, on: [added] }
then:
  - { id: say, call: "./tasks.ts#comment", with: { text: "\${{ event.subject }}" } }
  - log: "\${{ steps.say.said }} \${{ steps.say.status }}"
tests:
${tests}`;
  const files = {
    "tasks.ts": REAL,
    "a.yaml": rule(`
  - name: it reads and says
    stub:
      poll/http:
        - { body: { items: [{ gid: "1" }], cursor: 7 } }
        - { body: { items: [{ gid: "2" }], cursor: 8 } }
      say/http: { status: 409 }
    do:
      - advance: 1h
      - expect: { run: succeeded, logs: ["2 409"], calls: [{ call: "./tasks.ts#comment", with: { text: "2" } }] }
        exact: true
  - name: too few answers
    stub: { poll/http: [{ body: { items: [], cursor: 1 } }] }
    do: [{ advance: 1h }]
  - name: not a response
    stub: { poll/http: { bdy: 1 } }
    do: [{ advance: 1h }]
`),
    "b.yaml": rule("  - { name: x, stub: { sya/http: {} }, do: [{ advance: 1h }] }\n"),
  };
  const { results, problems } = await simulate(files);
  assert.deepEqual(problems.map(({ file, message }) => `${file}: ${message}`), [
    'a.yaml: unknown key "bdy"',
    'b.yaml: the rule has no step "sya"',
  ]);
  assert.deepEqual(results.map(({ name, failure }) => [name, failure?.message]), [
    ["it reads and says", undefined],
    [
      "too few answers",
      'A request of the trigger "poll call ./tasks.ts#tasks" asks for answer 2 of the stub "poll/http", which has 1; add one',
    ],
  ]);
});

Deno.test("a test waits for a look that compares many items", async () => {
  const first = `{ items: ${tasks(5_000)}, complete: true }`;
  const second = `{ items: ${tasks(5_001)}, complete: true }`;
  const rule = RULE(
    "on: [added]",
    `
  - name: the new one
    stub: { poll: [${first}, ${second}] }
    do:
      - advance: 1h
      - expect: { run: succeeded, logs: [added 5000] }
`,
  );
  assert.deepEqual(await testing(rule), ["the new one"]);
});
