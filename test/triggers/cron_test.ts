import assert from "node:assert/strict";
import { StoreFullError } from "../../runtime/store/store.ts";
import { at, cron, every, nextTimes } from "../../runtime/triggers/cron_every_at.ts";
import { Program, START } from "./fake_context.ts";

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

Deno.test("a cron emits each occurrence with its scheduled time as id, and moves its mark with it", async () => {
  const program = new Program(cron, { cron: "*/5 * * * *" });
  await program.attach();
  await program.clock.advanceTo(START + 11 * MINUTE);
  assert.deepEqual(program.ids, ["2026-11-23T07:05:00.000Z", "2026-11-23T07:10:00.000Z"]);
  assert.equal(program.store.mark, "2026-11-23T07:10:00.000Z");
  assert.deepEqual(program.events[0], {
    id: "2026-11-23T07:05:00.000Z",
    type: "cron",
    time: "2026-11-23T07:05:00.000Z",
    data: { scheduled: "2026-11-23T07:05:00.000Z" },
  });
  await program.detach();
  await program.clock.advanceTo(START + HOUR);
  assert.equal(program.events.length, 2, "detached, it is silent");
});

Deno.test("a cron catches up nothing at first load", async () => {
  const program = new Program(cron, { cron: "0 7 * * *" });
  program.clock.jumpTo(START + 30 * MINUTE);
  await program.attach();
  await program.clock.advanceTo(START + 23 * HOUR);
  assert.deepEqual(program.ids, []);
  await program.detach();
});

Deno.test("a cron emits no occurrence twice across restarts and reloads", async () => {
  let program = new Program(cron, { cron: "* * * * *" });
  const ids: string[] = [];
  for (let restart = 1; restart <= 10; restart++) {
    await program.attach();
    await program.clock.advanceTo(START + restart * 30_000);
    await program.detach();
    ids.push(...program.ids);
    assert.equal(program.duplicates.length, 0);
    program = program.restarted();
  }
  assert.deepEqual(ids, [1, 2, 3, 4, 5].map((minute) => new Date(START + minute * MINUTE).toISOString()));
});

for (
  const [missed, expected] of [
    ["skip", []],
    ["last", ["2026-11-23T09:50:00.000Z"]],
    ["all", [
      "2026-11-23T09:00:00.000Z",
      "2026-11-23T09:10:00.000Z",
      "2026-11-23T09:20:00.000Z",
      "2026-11-23T09:30:00.000Z",
      "2026-11-23T09:40:00.000Z",
      "2026-11-23T09:50:00.000Z",
    ]],
  ] as const
) {
  Deno.test(`a cron with "missed: ${missed}" after two hours and fifty-five minutes down`, async () => {
    const program = new Program(cron, { cron: "*/10 * * * *", missed });
    await program.attach();
    await program.detach();
    const later = program.restarted();
    later.clock.jumpTo(START + 2 * HOUR + 55 * MINUTE);
    await later.attach();
    await later.clock.advanceTo(START + 2 * HOUR + 56 * MINUTE);
    assert.deepEqual(later.ids, expected);
    await later.clock.advanceTo(START + 3 * HOUR);
    assert.equal(later.ids.at(-1), "2026-11-23T10:00:00.000Z");
    assert.equal(later.events.length, expected.length + 1);
    await later.detach();
  });
}

Deno.test("an occurrence that fell into a restart of half a minute is on time, also with missed: skip", async () => {
  const program = new Program(cron, { cron: "0 8 * * *", missed: "skip" });
  await program.attach();
  await program.detach();
  const later = program.restarted();
  later.clock.jumpTo(START + HOUR + 30_000);
  await later.attach();
  await later.until(() => later.events.length === 1);
  await later.detach();
});

Deno.test("a missed occurrence older than the window is skipped", async () => {
  const program = new Program(cron, { cron: "0 8 * * *" });
  await program.attach();
  await program.detach();
  const later = program.restarted();
  later.clock.jumpTo(START + HOUR + 61 * MINUTE);
  await later.attach();
  await later.clock.advanceTo(START + 3 * HOUR);
  assert.deepEqual(later.ids, []);
  await later.detach();
});

Deno.test("a pass of `once` fires what fell due since the last pass, however long ago", async () => {
  const program = new Program(cron, { cron: "0 8 * * *" });
  await program.pass();
  assert.deepEqual(program.ids, []);
  program.clock.jumpTo(START + 2 * DAY + 5 * HOUR);
  await program.pass();
  assert.deepEqual(program.ids, ["2026-11-25T08:00:00.000Z"]);
  await program.pass();
  assert.equal(program.events.length, 1);
});

Deno.test("a clock that goes to 2099 and back stops no cron, and a mark in the future is reset with a warning", async () => {
  const program = new Program(cron, { cron: "0 * * * *" });
  await program.attach();
  await program.clock.advanceTo(START + HOUR);
  const year2099 = Date.parse("2099-06-01T00:30:00Z");
  await program.clock.advanceTo(START + HOUR + 1);
  program.clock.jumpTo(year2099);
  await program.clock.advanceTo(year2099 + HOUR);
  assert.equal(program.ids.at(-1), "2099-06-01T01:00:00.000Z");
  program.clock.jumpTo(START + 90 * MINUTE);
  await program.until(() => program.warnings.length === 1);
  assert.match(program.warnings[0], /2099-06-01T01:00:00.000Z, which is in the future/);
  await program.clock.advanceTo(START + 2 * HOUR);
  assert.equal(program.ids.at(-1), "2026-11-23T09:00:00.000Z");
  await program.detach();
});

Deno.test("a clock set back by an hour emits no occurrence of that hour again", async () => {
  const program = new Program(cron, { cron: "*/15 * * * *" });
  await program.attach();
  await program.clock.advanceTo(START + HOUR);
  program.clock.jumpTo(START);
  await program.clock.advanceTo(START + HOUR + 15 * MINUTE);
  assert.deepEqual(program.ids, [15, 30, 45, 60, 75].map((minute) => new Date(START + minute * MINUTE).toISOString()));
  await program.detach();
});

Deno.test("an occurrence that the store refuses is attempted again, not lost", async () => {
  const program = new Program(cron, { cron: "0 8 * * *" });
  await program.attach();
  await program.clock.advanceTo(START + 1);
  program.failing = new StoreFullError("Cannot take it in: the store is full", 60);
  await program.clock.advanceTo(START + HOUR);
  assert.equal(program.reports.at(-1), "Cannot take it in: the store is full");
  await program.clock.advanceTo(START + HOUR + MINUTE);
  assert.deepEqual(program.ids, ["2026-11-23T08:00:00.000Z"]);
  assert.equal(program.reports.at(-1), null);
  await program.detach();
});

Deno.test("missed: all catches up at most a thousand occurrences, and says so", async () => {
  const program = new Program(cron, { cron: "* * * * * *", missed: "all" });
  await program.attach();
  await program.detach();
  const later = program.restarted();
  later.clock.jumpTo(START + HOUR);
  await later.attach();
  await later.until(() => later.events.length > 0);
  assert.equal(later.events.length, 1_000);
  assert.equal(later.ids.at(-1), "2026-11-23T08:00:00.000Z");
  assert.match(later.warnings[0], /missed more than 1000 occurrences/);
  await later.detach();
});

const zones: [string, string, string, string, string[]][] = [
  [
    "spring in Berlin: 02:30 is not there and fires when the hour is over",
    "Europe/Berlin",
    "30 2 * * *",
    "2027-03-27T12:00Z",
    [
      "2027-03-28T01:00:00.000Z",
      "2027-03-29T00:30:00.000Z",
    ],
  ],
  ["autumn in Berlin: 02:30 occurs twice and fires once", "Europe/Berlin", "30 2 * * *", "2027-10-30T12:00Z", [
    "2027-10-31T00:30:00.000Z",
    "2027-11-01T01:30:00.000Z",
  ]],
  ["spring in New York: a list of hours is not skipped", "America/New_York", "30 2,14 * * *", "2027-03-14T01:00Z", [
    "2027-03-14T07:00:00.000Z",
    "2027-03-14T18:30:00.000Z",
  ]],
  [
    "autumn in New York: every half hour continues through the repeated hour",
    "America/New_York",
    "*/30 * * * *",
    "2027-11-07T04:59Z",
    [
      "2027-11-07T05:00:00.000Z",
      "2027-11-07T05:30:00.000Z",
      "2027-11-07T06:00:00.000Z",
      "2027-11-07T06:30:00.000Z",
      "2027-11-07T07:00:00.000Z",
    ],
  ],
  [
    "Lord Howe moves by half an hour: 02:15 fires when that is over",
    "Australia/Lord_Howe",
    "15 2 * * *",
    "2027-10-02T00:00Z",
    [
      "2027-10-02T15:30:00.000Z",
      "2027-10-03T15:15:00.000Z",
    ],
  ],
  [
    "the 13th that is a Friday, with +",
    "UTC",
    "0 0 13 * +5",
    "2026-11-23T00:00Z",
    ["2027-08-13T00:00:00.000Z", "2028-10-13T00:00:00.000Z"],
  ],
  [
    "the first Monday of a month at seven, with seconds in front and +",
    "UTC",
    "0 0 7 1-7 * +MON",
    "2026-11-23T00:00Z",
    ["2026-12-07T07:00:00.000Z", "2027-01-04T07:00:00.000Z"],
  ],
  [
    "the 13th, and every Friday, without +",
    "UTC",
    "0 0 13 * 5",
    "2026-11-28T00:00Z",
    ["2026-12-04T00:00:00.000Z", "2026-12-11T00:00:00.000Z", "2026-12-13T00:00:00.000Z"],
  ],
  ["a leap day", "UTC", "0 12 29 2 *", "2026-11-23T00:00Z", ["2028-02-29T12:00:00.000Z", "2032-02-29T12:00:00.000Z"]],
];
for (const [name, timezone, pattern, from, expected] of zones) {
  Deno.test(`cron: ${name}`, () => {
    const times = nextTimes({ cron: pattern, timezone }, Date.parse(from), expected.length);
    assert.deepEqual(times.map((time) => new Date(time).toISOString()), expected);
  });
}

Deno.test("on a day without 02:30 the running cron emits the times in the listing, once each", async () => {
  const program = new Program(cron, { cron: "30 2 * * *", timezone: "Europe/Berlin" });
  program.clock.jumpTo(Date.parse("2027-03-26T12:00Z"));
  await program.attach();
  await program.clock.advanceTo(Date.parse("2027-03-29T12:00Z"));
  assert.deepEqual(program.ids, ["2027-03-27T01:30:00.000Z", "2027-03-28T01:00:00.000Z", "2027-03-29T00:30:00.000Z"]);
  await program.detach();
});

Deno.test("a cron that can never fire, a bad pattern and a bad zone are problems", () => {
  const check = (args: { cron: string; timezone?: string }) => cron.check!(args, START)[0];
  assert.equal(
    check({ cron: "0 0 31 2 *" }),
    'the cron "0 0 31 2 *" never fires: there is no such date; write a day that one of its months has',
  );
  assert.match(
    check({ cron: "61 * * * *" }),
    /^expected a cron pattern such as "30 8 \* \* 1-5", got "61 \* \* \* \*": Invalid value for minute/,
  );
  assert.equal(
    check({ cron: "0 8 * * *", timezone: "Mars/Phobos" }),
    'expected a time zone such as Europe/Berlin, got "Mars/Phobos"',
  );
  assert.equal(check({ cron: "0 0 29 2 *" }), undefined);
  const own = "a cron has no @every; an interval is a trigger of its own: every:";
  assert.deepEqual(["@every 90s", "@every 1h30m", " @every"].map((cron) => check({ cron })), [
    `${own} 90s`,
    `${own} 5m`,
    `${own} 5m`,
  ]);
  assert.match(check({ cron: "@reboot" })!, /^a cron has no @reboot; .*: start$/);
  assert.equal(check({ cron: "@daily" }), undefined);
});

Deno.test("a cron is identified by its pattern and zone", () => {
  assert.equal(cron.address({ cron: "0 8 * * *", timezone: "Europe/Berlin" }), "cron 0 8 * * * Europe/Berlin");
});

const MOMENT = "2026-11-24T09:00:00+01:00";
const ID = "2026-11-24T08:00:00.000Z";

Deno.test("at emits once ever", async () => {
  let program = new Program(at, { at: MOMENT });
  await program.attach();
  await program.clock.advanceTo(START + 2 * DAY);
  assert.deepEqual(program.ids, [ID]);
  await program.detach();
  program = program.restarted();
  await program.attach();
  await program.clock.advanceTo(START + 3 * DAY);
  assert.deepEqual(program.ids, []);
  await program.detach();
});

Deno.test("at is caught up after any downtime", async () => {
  const program = new Program(at, { at: MOMENT });
  await program.attach();
  await program.detach();
  const later = program.restarted();
  later.clock.jumpTo(START + 30 * DAY);
  await later.pass();
  assert.deepEqual(later.ids, [ID]);
});

Deno.test("at does not fire if its time was past at first load", async () => {
  const program = new Program(at, { at: "2020-01-01T00:00:00Z" });
  await program.attach();
  await program.clock.advanceTo(START + DAY);
  assert.deepEqual(program.ids, []);
  await program.detach();
});

Deno.test("at does not emit a second time after a clock error", async () => {
  const program = new Program(at, { at: MOMENT });
  await program.attach();
  await program.clock.advanceTo(START + 1);
  program.clock.jumpTo(Date.parse("2099-01-01T00:00:00Z"));
  await program.clock.advanceTo(Date.parse("2099-01-02T00:00:00Z"));
  program.clock.jumpTo(START);
  program.store.identities.clear();
  await program.clock.advanceTo(START + 2 * DAY);
  assert.deepEqual(program.ids, [ID]);
  await program.detach();
});

Deno.test("a time without offset, or an invalid one, is a problem", () => {
  for (const text of ["2027-01-01T09:00:00", "tomorrow", "2027-01-01"]) {
    assert.deepEqual(at.check!({ at: text }, START), [
      `expected a time with its offset such as 2027-01-01T09:00:00+01:00, got "${text}"`,
    ]);
  }
  for (
    const text of ["2027-13-01T00:00:00Z", "2027-02-29T09:00:00+01:00", "2027-04-31T00:00Z", "2027-01-01T24:00:00Z"]
  ) {
    assert.deepEqual(at.check!({ at: text }, START), [`there is no time ${text}; write a day that its month has`]);
  }
  assert.deepEqual(at.check!({ at: MOMENT }, START), []);
  assert.deepEqual(at.check!({ at: "2028-02-29T00:00:00Z" }, START), []);
});

Deno.test("a time in the past is a warning", () => {
  assert.deepEqual(at.warn!({ at: MOMENT }, START), []);
  assert.deepEqual(at.warn!({ at: MOMENT }, START + 2 * DAY), [
    `${MOMENT} is in the past: it fires only to catch up on a downtime; write a time to come, or remove it`,
  ]);
});

const timeAt = (minutes: number) => new Date(START + minutes * MINUTE).toISOString();

Deno.test("every emits first one interval after the first load, then at a true interval", async () => {
  const program = new Program(every, { every: "10m" });
  await program.attach();
  await program.clock.advanceTo(START + 35 * MINUTE);
  assert.deepEqual(program.ids, [timeAt(10), timeAt(20), timeAt(30)]);
  await program.detach();
});

Deno.test("every keeps its interval across restarts: times missed meanwhile are caught up once", async () => {
  assert.deepEqual(await afterDowntime({ every: "10m" }), [timeAt(40), timeAt(50)]);
});

/** Stops after 12 minutes and starts again after 47. @returns what the second program emits until minute 55 */
async function afterDowntime(args: ConstructorParameters<typeof Program>[1]): Promise<string[]> {
  const program = new Program(every, args);
  await program.attach();
  await program.clock.advanceTo(START + 12 * MINUTE);
  await program.detach();
  const later = program.restarted();
  later.clock.jumpTo(START + 47 * MINUTE);
  await later.attach();
  await later.clock.advanceTo(START + 55 * MINUTE);
  await later.detach();
  return later.ids;
}

Deno.test("every with missed: skip stays on its grid, with missed: all emits each", async () => {
  for (
    const [missed, expected] of [["skip", [timeAt(50)]], ["all", [
      timeAt(20),
      timeAt(30),
      timeAt(40),
      timeAt(50),
    ]]] as const
  ) {
    assert.deepEqual(await afterDowntime({ every: "10m", missed }), expected);
  }
});

Deno.test("every continues after a clock error into 2099", async () => {
  const program = new Program(every, { every: "10m" });
  await program.attach();
  await program.clock.advanceTo(START + 5 * MINUTE);
  program.clock.jumpTo(Date.parse("2099-01-01T00:00:00Z"));
  await program.clock.advanceTo(Date.parse("2099-01-01T00:20:00Z"));
  program.clock.jumpTo(START + 30 * MINUTE);
  await program.clock.advanceTo(START + 45 * MINUTE);
  assert.equal(program.warnings.length, 1);
  assert.equal(program.ids.at(-1), timeAt(40));
  await program.detach();
});

Deno.test("an interval of zero is a problem", () => {
  assert.deepEqual(every.check!({ every: 0 }, START), ["expected an interval of at least 100ms, got 0ms"]);
  assert.equal(every.address({ every: 5 * MINUTE }), "every 5m");
});
