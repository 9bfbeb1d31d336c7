import assert from "node:assert/strict";
import { printSummary, resultPrinter } from "../../bin/cli/print/checks.ts";
import { withWords } from "../../bin/cli/print/cron.ts";
import { printEvents, printRules, printRuns, printWaits } from "../../bin/cli/print/listings.ts";
import {
  absoluteTime,
  deadline,
  fit,
  hasColours,
  oneLine,
  prepareWidths,
  printTable,
  relativeTime,
  type Terminal,
  visible,
} from "../../bin/cli/print/terminal.ts";
import { Progress } from "../../bin/cli/print/progress.ts";
import { printSteps, printTrace } from "../../bin/cli/print/trace.ts";
import type { RecordedError } from "../../runtime/model/errors.ts";
import type { Event } from "../../runtime/model/event.ts";
import type { Run, StepRecord, StepWait } from "../../runtime/model/run.ts";
import type { TestFailure, TestResult } from "../../runtime/model/test.ts";
import type { EventRecord, Trace } from "../../runtime/store/store.ts";

const NOW = Date.parse("2026-11-21T08:00:00Z");

/** What is printed on a terminal of that width. */
function printed(width: number, print: (terminal: Terminal) => void, colours = false): string {
  let text = "";
  print({ write: (part) => text += part, width, colours, now: NOW });
  return "\n" + text;
}

const EVENT: Event = {
  id: "72d3",
  source: "/hooks/github",
  type: "github.push",
  subject: "octo/repo",
  time: "2026-11-21T07:57:00.000Z",
  data: { ref: "refs/heads/main", size: 2 },
};

const RUN: Run = {
  id: "01run",
  rule: "ops/disk",
  version: "0123456789abcdef",
  trigger: "webhook /github",
  event: EVENT,
  state: "succeeded",
  createdAt: NOW - 180_000,
  startedAt: NOW - 180_000,
  endedAt: NOW - 178_000,
  spent: 1_500,
};

Deno.test("times are relative, or exact to the second", () => {
  const shown = [-200, -59_000, -90_000, 3_600_000, 3 * 86_400_000, 5 * 86_400_000 - 300].map((offset) =>
    relativeTime(NOW + offset, NOW)
  );
  assert.deepEqual(shown, ["now", "59s ago", "1m ago", "in 1h", "in 3d", "in 5d"]);
  assert.equal(absoluteTime(NOW + 999), "2026-11-21 08:00:00Z");
  assert.equal(deadline(NOW + 90 * 3_600_000, NOW), "2026-11-25 02:00:00Z (in 3d18h)");
  assert.equal(deadline(NOW - 5, NOW), "2026-11-21 07:59:59Z (now)");
});

Deno.test("data from outside cannot control the terminal", () => {
  assert.equal(oneLine("a\n\tb\x1b[2Jc\u202ed"), "a b�[2Jc�d");
  assert.equal(visible("a\r\n\tb\x9bc"), "a\n\tb�c");
  assert.equal(fit("äöü😀!", 5), "äöü😀!");
  assert.equal(fit("äöü😀!", 4), "äöü…");
});

Deno.test("a table is aligned; on a terminal its last column is cut, ids never are", () => {
  const table = (terminal: Terminal) =>
    printTable(terminal, ["RUN", "STATE", "EVENT"], [["1", "failed", "a very long description"], [
      "long-id",
      "ok",
      "b",
    ]]);
  assert.equal(
    printed(Infinity, table),
    `
RUN      STATE   EVENT
1        failed  a very long description
long-id  ok      b
`,
  );
  assert.equal(
    printed(30, table),
    `
RUN      STATE   EVENT
1        failed  a very long …
long-id  ok      b
`,
  );
});

Deno.test("colours appear only on terminals that have them", () => {
  const print = (terminal: Terminal) => printTable(terminal, ["A"], [[{ text: "x", colour: "green" }]]);
  assert.equal(printed(80, print), "\nA\nx\n");
  assert.equal(printed(80, print, true), "\n\x1b[2mA\x1b[22m\n\x1b[32mx\x1b[39m\n");
});

Deno.test("every verdict of an event is a sentence", () => {
  const record: EventRecord = {
    key: "k",
    event: EVENT,
    receivedAt: NOW - 180_000,
    deliveries: 2,
    delivery: "accepted",
    verdicts: [
      { rule: "a", trigger: "t", verdict: { kind: "started", run: "01run" } },
      { rule: "b", trigger: "t", verdict: { kind: "condition", reason: "size > 5 is false", values: { size: 2 } } },
      { rule: "c", trigger: "t", verdict: { kind: "held", run: "02run", reason: "above 10/m", until: NOW + 30_000 } },
      { rule: "d", trigger: "t", verdict: { kind: "busy", reason: "run 03run of the same key is not done" } },
      { rule: "e", trigger: "t", verdict: { kind: "disabled", reason: "the rule has enabled: false" } },
      { rule: "f", trigger: "t", verdict: { kind: "looped", reason: "17 runs in a row" } },
      { rule: "g", trigger: "t", verdict: { kind: "error", reason: "no such key: x" } },
      {
        rule: "h",
        trigger: "t",
        verdict: { kind: "batched", reason: "Collected; 2 events so far", until: NOW + 60_000 },
      },
      {
        rule: "i",
        trigger: "t",
        verdict: { kind: "batched", reason: "Run 04run answers it", until: NOW, run: "04run" },
      },
    ],
    ended: [],
  };
  const unmatched: EventRecord = { ...record, deliveries: 1, delivery: "unmatched", verdicts: [] };
  const awaited: EventRecord = {
    ...unmatched,
    delivery: "accepted",
    ended: [{ rule: "pay", run: "05run", step: "a/paid" }],
  };
  assert.equal(
    printed(100, (terminal) => printEvents(terminal, [record, unmatched, awaited])),
    `
github.push  octo/repo  id 72d3  from /hooks/github  3m ago, delivered 2 times and accepted once
  a started run 01run
  b did not start, the condition does not hold: size > 5 is false (size is 2)
  c delayed as run 02run: above 10/m, starts in 30s
  d did not start, the rule is busy: run 03run of the same key is not done
  e did not start: the rule has enabled: false
  f did not start, this would loop for ever: 17 runs in a row
  g did not start because of an error: no such key: x
  h joined a batch: Collected; 2 events so far, closes in 1m
  i joined a batch: Run 04run answers it
github.push  octo/repo  id 72d3  from /hooks/github  3m ago
  no rule listens to it, and no run waited for it
github.push  octo/repo  id 72d3  from /hooks/github  3m ago
  pay was waiting for it: step "a/paid" of run 05run
`,
  );
  assert.equal(printed(100, (terminal) => printEvents(terminal, [])), "\nNo events yet\n");
});

Deno.test("runs are listed with what they wait for or why they failed", () => {
  const waiting: Run = { ...RUN, id: "02run", state: "waiting", waitingFor: "a retry of tell", due: NOW + 60_000 };
  const failed: Run = { ...RUN, id: "03run", state: "failed", error: { name: "Error", message: "HTTP\n500" } };
  const queued: Run = { ...RUN, id: "04run", state: "queued", startedAt: undefined };
  assert.equal(
    printed(200, (terminal) => printRuns(terminal, [RUN, waiting, failed, queued])),
    `
RUN    RULE      STATE      CREATED  TOOK  EVENT
01run  ops/disk  succeeded  3m ago   1.5s  github.push octo/repo
02run  ops/disk  waiting    3m ago   1.5s  github.push octo/repo; waits for a retry of tell; resumes in 1m
03run  ops/disk  failed     3m ago   1.5s  github.push octo/repo; HTTP 500
04run  ops/disk  queued     3m ago         github.push octo/repo
`,
  );
});

Deno.test("a cron is shown in words if they are known, and never wrong or as an error", () => {
  const ids: [id: string, shown: string][] = [
    ["cron @daily UTC", "cron @daily UTC (at 00:00)"],
    ["cron 0 0 * * 5L UTC", "cron 0 0 * * 5L UTC (at 00:00, on the last Friday of the month)"],
    ["cron */10 * * * * * UTC", "cron */10 * * * * * UTC (every 10 seconds)"],
    ["cron 0 0 13 * +5 UTC", "cron 0 0 13 * +5 UTC"],
    ["cron jobs at night", "cron jobs at night"],
    ["every 5m", "every 5m"],
  ];
  assert.deepEqual(ids.map(([id]) => withWords(id)), ids.map(([, shown]) => shown));
});

Deno.test("rules are listed with failures and the reason why one is off", () => {
  const rule = {
    id: "a",
    file: "a.yaml",
    triggers: [{ id: "cron 30 8 * * 1-5 Europe/Berlin", kind: "cron" }],
    verdicts: { started: 3 },
  };
  const poll = { id: "poll https://x", kind: "poll", failure: "HTTP 500" };
  assert.equal(
    printed(200, (terminal) =>
      printRules(terminal, [
        { ...rule, state: "on" },
        { ...rule, id: "b", state: "paused", reason: "it eats memory", triggers: [poll], verdicts: {} },
      ])),
    `
RULE  STATE   RUNS  WHEN
a     on      3     cron 30 8 * * 1-5 Europe/Berlin (at 08:30, Monday through Friday)
b     paused  0     poll https://x (failed: HTTP 500); it eats memory
`,
  );
});

Deno.test("a run is shown in a readable form", () => {
  const trace: Trace = {
    run: {
      ...RUN,
      state: "failed",
      replayOf: "00run",
      event: { ...EVENT, cause: { run: "00up", depth: 2 } },
      error: { name: "HttpError", message: "The answer was 500" },
    },
    steps: [
      {
        path: "disks",
        kind: "run",
        state: "succeeded",
        attempts: 1,
        startedAt: NOW - 180_000,
        endedAt: NOW - 179_960,
        input: { run: ["df", "-P"] },
        output: { code: 0, stdout: "x".repeat(80), stderr: "", json: null },
      },
      {
        path: "tell",
        kind: "http",
        state: "failed",
        attempts: 3,
        startedAt: NOW - 179_960,
        endedAt: NOW - 178_000,
        failures: [1, 2].map((attempt) => ({
          attempt,
          startedAt: NOW - 179_960,
          endedAt: NOW - 179_900,
          error: { name: "Error", message: `No answer ${attempt}` },
        })),
        input: { method: "POST", url: "https://hooks.example.org/ops?key=***" },
        error: { name: "HttpError", message: "The answer was 500", detail: { status: 500 } },
      },
      { path: "log", kind: "log", state: "skipped", attempts: 0, startedAt: NOW - 178_000, endedAt: NOW - 178_000 },
      {
        path: "rule.onError",
        kind: "onError",
        state: "failed",
        attempts: 1,
        startedAt: NOW - 178_000,
        endedAt: NOW - 178_000,
        input: { step: "tell" },
        error: { name: "HttpError", message: "The answer was 500" },
      },
      {
        path: "rule.onError/log",
        kind: "log",
        state: "succeeded",
        attempts: 1,
        startedAt: NOW - 178_000,
        endedAt: NOW - 178_000,
      },
    ],
    notes: [{ at: NOW - 180_000, text: "replayed by an operator" }],
  };
  assert.equal(
    printed(100, (terminal) => printTrace(terminal, trace)),
    `
run 01run  failed
rule     ops/disk, version 0123456789ab
created  2026-11-21 07:57:00Z (3m ago)
ended    2026-11-21 07:57:02Z (2m ago) after 1.5s of work
replays  run 00run
verdict  started by the trigger webhook /github

event
  type     github.push
  subject  octo/repo
  id       72d3 from /hooks/github
  time     2026-11-21T07:57:00.000Z
  cause    run 00up, 2 deep
  data     {"ref":"refs/heads/main","size":2}

steps
  disks  run  succeeded  40ms
    input    {"run":["df","-P"]}
    output   {
               "code": 0,
               "stdout": "${"x".repeat(80)}",
               "stderr": "",
               "json": null
             }
  tell  http  failed  2s  3 attempts
    input    {"method":"POST","url":"https://hooks.example.org/ops?key=***"}
    #1       No answer 1
    #2       No answer 2
    error    HttpError: The answer was 500
    detail   {"status":500}
  log  skipped  0ms  its if does not hold
  rule.onError  handles the failure of "tell"
    log  succeeded  0ms

notes
  2026-11-21 07:57:00Z  replayed by an operator
error    The answer was 500
`,
  );
});

Deno.test("a run whose function if returned false shows its verdict", () => {
  const asked = {
    path: "if",
    kind: "if",
    state: "succeeded",
    attempts: 1,
    startedAt: NOW,
    endedAt: NOW,
    output: false,
  } as const;
  const text = printed(100, (terminal) => printTrace(terminal, { run: RUN, steps: [asked], notes: [] }));
  assert.match(text, /verdict {2}condition: the function if returned false/);
});

Deno.test("an error shows where in rule code it was thrown", () => {
  const stack = "TypeError: no\n    at then (rules/a.ts:3:9)";
  const run: Run = { ...RUN, state: "failed", error: { name: "TypeError", message: "no", stack } };
  const text = printed(100, (terminal) => printTrace(terminal, { run, steps: [], notes: [] }));
  assert.match(text, /\nerror {4}TypeError: no\n {13}at then \(rules\/a\.ts:3:9\)\n$/);
  const step = { path: "a", kind: "http", state: "failed", attempts: 1, startedAt: NOW, endedAt: NOW } as const;
  const ended = (error: RecordedError) =>
    printed(100, (terminal) => printTrace(terminal, { run, steps: [{ ...step, error }], notes: [] }));
  const called = ended({ name: "TypeError", message: "no", detail: { status: 500 } });
  assert.match(called, /detail {3}\{"status":500\}\nerror {4}no\n {13}at then \(rules\/a\.ts:3:9\)\n$/, "the call");
  assert.match(ended(run.error!), /\nerror {4}no\n$/, "it was shown at the step");
});

Deno.test("long JSON is broken into parts that fit on a line; an event shows its request", () => {
  const output = { status: 200, list: [1, 2, 3], body: { text: "x".repeat(80), ok: true } };
  const step = { path: "ask", kind: "http", state: "succeeded", attempts: 1, startedAt: NOW, endedAt: NOW } as const;
  const http = { method: "GET", path: "/price/7", params: { sku: "7" }, query: { in: "EUR" }, headers: {} };
  const run: Run = { ...RUN, event: { ...EVENT, http } };
  const text = printed(100, (terminal) => printTrace(terminal, { run, steps: [{ ...step, output }], notes: [] }));
  assert.match(text, /\n {2}http {5}GET \/hooks\/price\/7\?in=EUR\n/);
  assert.match(text, /"list": \[1,2,3\],\n {15}"body": \{\n {17}"text": "x{80}",\n {17}"ok": true\n {15}\}/);
});

const DAY = 86_400_000;

function printedSteps(print: (terminal: Terminal) => void, width = Infinity): string {
  let text = "";
  print({ write: (part) => text += part, width, colours: false, now: NOW });
  return "\n" + text;
}

/** A record that succeeded within 5 ms, unless overridden. */
function record(path: string, changes: Partial<StepRecord> = {}): StepRecord {
  const [, id] = /([^/]+?)(?:\[\d+\])?$/.exec(path)!;
  return { path, kind: id, state: "succeeded", attempts: 1, startedAt: NOW, endedAt: NOW + 5, ...changes };
}

const stepsOf = (steps: StepRecord[], waits: StepWait[] = []) =>
  printedSteps((terminal) => printSteps(terminal, steps, waits));

const REFUND: Run = {
  id: "01run",
  rule: "refund",
  version: "0123456789abcdef",
  trigger: "event refund",
  event: { id: "e1", source: "/shop", type: "refund", time: "2026-11-21T07:57:00.000Z", data: {} },
  state: "waiting",
  createdAt: NOW - DAY,
  spent: 5,
  waitingFor: "a form",
  due: NOW + DAY,
};

const APPROVAL: StepWait = {
  step: "both/approval",
  kind: "form",
  what: 'form "Refund 250 EUR?" for finance',
  since: NOW - DAY,
  until: NOW + 2 * DAY,
};
const PAYMENT: StepWait = { step: "paid", kind: "event", what: 'paid with data.id "A1"', since: NOW - 60_000 };

Deno.test("runs --waiting: a line for each step that waits, with what it waits for and until when", () => {
  const other = { ...REFUND, id: "02run", waits: [PAYMENT] };
  assert.equal(
    printedSteps((terminal) =>
      printWaits(terminal, [{ ...REFUND, waits: [APPROVAL, { ...PAYMENT, step: "both/paid" }] }, other])
    ),
    `
RUN    RULE    STEP           SINCE   UNTIL                         WAITS FOR
01run  refund  both/approval  1d ago  2026-11-23 08:00:00Z (in 2d)  form "Refund 250 EUR?" for finance
01run  refund  both/paid      1m ago                                paid with data.id "A1"
02run  refund  paid           1m ago                                paid with data.id "A1"
`,
  );
  assert.equal(printedSteps((terminal) => printWaits(terminal, [])), "\nNo run waits\n");
});

Deno.test("show: what a run waits for is shown above the steps and at each waiting step", () => {
  const steps = [
    record("both/approval", { kind: "form", state: "waiting", endedAt: undefined, due: NOW + 2 * DAY }),
    record("both/crm/post", { kind: "http" }),
  ];
  const text = printedSteps((terminal) =>
    printTrace(terminal, { run: { ...REFUND, waits: [APPROVAL, PAYMENT] }, steps, notes: [] })
  );
  assert.match(
    text,
    /\nwaits\n {2}both\/approval {2}waits for form "Refund 250 EUR\?" for finance until 2026-11-23 08:00:00Z \(in 2d\), since 2026-11-20 08:00:00Z \(1d ago\)\n {2}paid {2}waits for paid with data\.id "A1", since/,
  );
  assert.doesNotMatch(text, /waits for a form/);
  assert.match(
    text,
    /steps\n {2}both\n {4}approval {2}form {2}waiting {2}waits for form "Refund 250 EUR\?" for finance until .*\(in 2d\)\n {4}crm\/post {2}http {2}succeeded {2}5ms\n/,
  );
});

Deno.test("a wait for a time says until when", () => {
  const wait: StepWait = { step: "nap", kind: "time", what: "a time", since: NOW, until: NOW + 90_000 };
  const text = stepsOf([record("nap", { kind: "wait", state: "waiting", endedAt: undefined, due: NOW + 90_000 })], [
    wait,
  ]);
  assert.equal(text, "\n  nap  wait  waiting  waits until 2026-11-21 08:01:30Z (in 1m30s)\n");
});

Deno.test("steps are indented below the step that contains them; cancelled and skipped steps say why", () => {
  const error = { name: "Cancelled", message: 'Branch "crm" was first' };
  const text = stepsOf([
    record("both/crm/post", { kind: "http" }),
    record("both/crm/tell", { kind: "log" }),
    record("both/mail", { kind: "parallel", state: "cancelled", error }),
    record("both/wait/pause", { kind: "wait", state: "skipped", output: null }),
    record("both", { kind: "parallel", output: { crm: 1, mail: null } }),
    record("check", { kind: "if", output: true }),
    record("check/then/note", { kind: "log", state: "skipped", attempts: 0 }),
    record("approval/notify/mail", { kind: "mail" }),
    record("approval", { kind: "form", output: { decision: "approve", by: "anna", at: "2026-11-21T08:00:00.000Z" } }),
    record("approval/remind@1/mail", { kind: "mail", state: "failed", error: { name: "Error", message: "no route" } }),
  ]);
  assert.equal(
    text,
    `
  both  parallel  succeeded  5ms
    output   {"crm":1,"mail":null}
    crm
      post  http  succeeded  5ms
      tell  log  succeeded  5ms
    mail  parallel  cancelled  5ms  Branch "crm" was first
    wait/pause  wait  skipped  5ms  by an operator
  check  if  succeeded  5ms
    output   true
    then/note  log  skipped  5ms  its if does not hold
  approval  form  succeeded  5ms  answered by anna
    output   {"decision":"approve","by":"anna","at":"2026-11-21T08:00:00.000Z"}
    notify/mail  mail  succeeded  5ms
    remind@1/mail  mail  failed  5ms
      error    no route
`,
  );
});

Deno.test("of 5,000 iterations only the notable ones are shown; the others are counted", () => {
  const steps = Array.from({ length: 5_000 }, (_, at) => {
    const failed = at % 500 === 77 && { state: "failed" as const, error: { name: "Error", message: `no ${at}` } };
    const open = at === 4_000 && { state: "retrying" as const, endedAt: undefined, due: NOW + 60_000 };
    return record(`lines[${at}]/save`, { kind: "http", ...failed, ...open });
  }).reverse();
  const text = stepsOf(steps);
  const lines = text.trim().split("\n").map((line) => line.trim());
  assert.ok(lines.length < 40, `${lines.length} lines`);
  assert.deepEqual(lines.slice(0, 4), [
    "lines",
    "[0]/save  http  succeeded  5ms",
    "[1]/save  http  succeeded  5ms",
    "… [2]/save to [76]/save: 75 done (--json shows all)",
  ]);
  assert.equal(lines.filter((line) => line.startsWith("error")).length, 5);
  assert.ok(lines.includes("[4000]/save  http  retrying  resumes in 1m"));
  assert.ok(lines.includes("… [2078]/save to [3999]/save: 1,919 done, 3 failed (--json shows all)"), text);
  assert.equal(lines.at(-1), "[4999]/save  http  succeeded  5ms");
});

Deno.test("loops in a function (name, name#2, …) are folded, too; the last turn is marked", () => {
  const loop = Array.from({ length: 1_000 }, (_, at) => record(at === 0 ? "save" : `save#${at + 1}`, { kind: "do" }));
  assert.match(stepsOf(loop), /\n {2}… save#3 to save#995: 993 done \(--json shows all\)\n/);
  const turns = [
    record("mod[0]", { kind: "repeat", output: true }),
    record("mod[0]/ask", { kind: "log" }),
    record("mod[1]", { kind: "repeat", output: false }),
    record("mod", { kind: "repeat", output: { turns: 1 } }),
  ];
  assert.equal(
    stepsOf(turns),
    `
  mod  repeat  succeeded  5ms
    output   {"turns":1}
    [0]  repeat  succeeded  5ms
      ask  log  succeeded  5ms
    [1]  repeat  succeeded  5ms  no further turn
`,
  );
});

function printedTests(print: (terminal: Terminal) => void, colours = false): string {
  let text = "";
  print({ write: (part) => text += part, width: Infinity, colours, now: 0 });
  return "\n" + text;
}

const at = { line: 31, column: 9 };

function result(name: string, failure?: Partial<TestFailure>): TestResult {
  const whole = failure && { message: "not as expected", file: "a.yaml", at, mismatches: [], notes: [], ...failure };
  return { rule: "a", file: "a.yaml", at, name, took: 12.3, ...whole && { failure: whole } };
}

const calls = [1, 2, 3].map((n) => ({ http: `POST https://example.org/orders/${n}`, json: { n } }));

Deno.test("a failure is a diff: equal parts between the missing ones and those seen instead", () => {
  const failed = result("pays", {
    mismatches: [
      { part: "run", expected: "succeeded", seen: "failed" },
      { part: "calls", expected: [calls[0], calls[1]], seen: [calls[0], calls[2]] },
    ],
    notes: ["the run failed: gone\nfor good"],
  });
  const print = (terminal: Terminal) => [result("is well"), failed].forEach(resultPrinter(terminal));
  assert.equal(
    printedTests(print),
    `
a.yaml
  ✓ is well  12ms
  ✗ pays  12ms
    a.yaml:31:9: not as expected  - expected, + seen
      run
        - "succeeded"
        + "failed"
      calls
          {"http":"POST https://example.org/orders/1","json":{"n":1}}
        - {"http":"POST https://example.org/orders/2","json":{"n":2}}
        + {"http":"POST https://example.org/orders/3","json":{"n":3}}
      the run failed: gone for good
`,
  );
});

Deno.test("colours are for terminals; text from rules and tests cannot control the terminal", () => {
  const failed = result("\x1b[2Jpays", { message: "first\nsecond \x1b[0m", notes: ["\x1b]0;x"] });
  const plain = printedTests((terminal) => resultPrinter(terminal)(failed));
  // deno-lint-ignore no-control-regex
  assert.doesNotMatch(plain, /\x1b/);
  assert.match(plain, /^ {4}a\.yaml:31:9: first\n {6}second �\[0m$/m);
  assert.ok(printedTests((terminal) => resultPrinter(terminal)(failed), true).includes("\x1b[31m✗"));
});

Deno.test("a long part is cut with a hint at the rest; additional parts never hide missing ones", () => {
  const many = Array.from({ length: 100 }, (_, n) => `line ${n}`);
  const print = (expected: string[], seen: string[]) =>
    printedTests((terminal) =>
      resultPrinter(terminal)(result("long", { mismatches: [{ part: "logs", expected, seen }] }))
    );
  assert.match(print(many, ["x"]), /\n {8}… 61 more lines \(--json shows all\)\n$/);
  assert.equal(
    print(["line 50", "x"], many).split("logs\n")[1],
    `        + "line 0"
        + "line 1"
        + "line 2"
        + … 44 lines
        + "line 47"
        + "line 48"
        + "line 49"
          "line 50"
        - "x"
        + "line 51"
        + "line 52"
        + "line 53"
        + … 43 lines
        + "line 97"
        + "line 98"
        + "line 99"
`,
  );
});

Deno.test("the summary counts what passed, failed and does not load", () => {
  const problems = [{ severity: "error" as const, file: "b.yaml", at, message: "unknown key" }];
  const summary = (results: TestResult[], found = problems) =>
    printedTests((terminal) => printSummary(terminal, { results, problems: found }));
  assert.equal(summary([], []), "\n0 tests passed, 0 failed\n");
  assert.equal(summary([result("a")], []), "\n\n1 test passed, 0 failed\n");
  assert.equal(
    summary([result("a"), result("b"), result("c", {})]),
    "\n\nb.yaml:31:9: unknown key\n\n2 tests passed, 1 failed, 1 problem\n",
  );
});

Deno.test("FORCE_COLOR and NO_COLOR decide about colours, else the terminal does", () => {
  const cases: [isTTY: boolean, env: { FORCE_COLOR?: string; NO_COLOR?: string }, colours: boolean][] = [
    [true, {}, true],
    [false, {}, false],
    [true, { NO_COLOR: "1" }, false],
    [true, { NO_COLOR: "" }, true],
    [false, { FORCE_COLOR: "1" }, true],
    [false, { FORCE_COLOR: "3", NO_COLOR: "1" }, true],
    [true, { FORCE_COLOR: "0" }, false],
    [true, { FORCE_COLOR: "false" }, false],
    [false, { FORCE_COLOR: "" }, false],
  ];
  for (const [isTTY, env, colours] of cases) {
    const given = { FORCE_COLOR: undefined, NO_COLOR: undefined, ...env };
    assert.equal(hasColours({ isTTY }, given), colours, JSON.stringify({ isTTY, ...env }));
  }
});

Deno.test("progress is a line at the end of a terminal, below what else is written, and nothing elsewhere", () => {
  let seen = "";
  const stream = { isTTY: true, columns: 12, write: (text: string) => void (seen += text) };
  const progress = new Progress(stream, false);
  progress.above(() => stream.write("before\n"));
  progress.show("loading the rules");
  progress.above(() => stream.write("a line\n"));
  progress.end();
  progress.end();
  const shown = "loading th…";
  assert.equal(seen, `before\n\r\x1b[K${shown}\r\x1b[Ka line\n${shown}\r\x1b[K`);
  seen = "";
  for (const silent of [new Progress({ ...stream, isTTY: false }, false), new Progress(stream, true)]) {
    silent.show("loading");
    silent.above(() => stream.write("x"));
    silent.end();
  }
  assert.equal(seen, "xx");
});

// The last test of this file: the library stays loaded.
Deno.test("wide characters take two columns of a table, accents of their own none", async () => {
  const rows = [["注文", "a"], ["e\u0301te\u0301", "b"], ["👩‍💻", "日本語のタイトル"]];
  const table = (width: number) => printed(width, (terminal) => printTable(terminal, ["NAME", "TITLE"], rows));
  const before = table(Infinity);
  await prepareWidths("plain, äöü …".slice(0, 10));
  assert.equal(table(Infinity), before, "not loaded for such texts");
  await prepareWidths(JSON.stringify(rows));
  assert.equal(
    table(15),
    `
NAME  TITLE
注文  a
e\u0301te\u0301   b
👩‍💻    日本語の…
`,
  );
  assert.equal(fit("日本", 4), "日本");
  assert.equal(fit("日本", 3), "日…");
  assert.equal(fit("日本", 2), "…");
});
