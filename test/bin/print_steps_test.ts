import assert from "node:assert/strict";
import { printSteps, printTrace } from "../../bin/cli/print/trace.ts";
import type { Terminal } from "../../bin/cli/print/terminal.ts";
import { printWaits } from "../../bin/cli/print/listings.ts";
import type { Run, StepRecord, StepWait } from "../../runtime/model/run.ts";

const NOW = Date.parse("2026-11-21T08:00:00Z");
const DAY = 86_400_000;

function printed(print: (terminal: Terminal) => void, width = Infinity): string {
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
  printed((terminal) => printSteps(terminal, steps, waits));

const RUN: Run = {
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
  const other = { ...RUN, id: "02run", waits: [PAYMENT] };
  assert.equal(
    printed((terminal) =>
      printWaits(terminal, [{ ...RUN, waits: [APPROVAL, { ...PAYMENT, step: "both/paid" }] }, other])
    ),
    `
RUN    RULE    STEP           SINCE   UNTIL                         WAITS FOR
01run  refund  both/approval  1d ago  2026-11-23 08:00:00Z (in 2d)  form "Refund 250 EUR?" for finance
01run  refund  both/paid      1m ago                                paid with data.id "A1"
02run  refund  paid           1m ago                                paid with data.id "A1"
`,
  );
  assert.equal(printed((terminal) => printWaits(terminal, [])), "\nNo run waits\n");
});

Deno.test("show: what a run waits for is shown above the steps and at each waiting step", () => {
  const steps = [
    record("both/approval", { kind: "form", state: "waiting", endedAt: undefined, due: NOW + 2 * DAY }),
    record("both/crm/post", { kind: "http" }),
  ];
  const text = printed((terminal) =>
    printTrace(terminal, { run: { ...RUN, waits: [APPROVAL, PAYMENT] }, steps, notes: [] })
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
