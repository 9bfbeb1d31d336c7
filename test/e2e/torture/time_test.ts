import assert from "node:assert/strict";
import { join } from "node:path";
import process from "node:process";
import { TestClock } from "../clock.ts";
import { rulesFolder } from "../folder.ts";
import { type Answered, type Program, start } from "../program.ts";
import { until } from "../until.ts";
import { WebServer } from "../web_server.ts";

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** The program with a clock that the test sets. */
async function withClock(
  files: Record<string, string>,
  at: string,
  work: (program: Program, set: (time: number) => Promise<void>) => Promise<void>,
): Promise<void> {
  await using folder = await rulesFolder(files);
  const clock = await TestClock.in(join(folder.rules, ".."), Date.parse(at));
  await using program = start(folder.rules, { data: folder.data, env: clock.env });
  await program.url();
  await work(program, (time) => clock.set(time));
  assert.doesNotMatch(program.output, /"level":"ERROR"/);
  assert.equal(await program.stop(), 0);
}

/** The times at which a rule's timetable had an occurrence, in order. */
async function occurrences(program: Program, rule: string): Promise<number[]> {
  const events = await program.api(`events?rule=${rule}&limit=1000`);
  return events.map(({ event }: Answered) => Date.parse(event.id)).sort((a: number, b: number) => a - b);
}

/** Waits until a timetable has reached a time. */
function reached(program: Program, rule: string, time: number): Promise<number[]> {
  return until(
    `${rule} at ${new Date(time).toISOString()}`,
    () => occurrences(program, rule),
    (all) => all.at(-1)! >= time,
  );
}

/** Daylight saving changes, with a daily time that is missing or repeated on that day. */
const CHANGES: [zone: string, daily: string, at: string][] = [
  ["America/New_York", "30 2", "2026-03-08T07:00:00Z"],
  ["Europe/Berlin", "30 2", "2026-03-29T01:00:00Z"],
  ["Australia/Lord_Howe", "45 1", "2026-04-04T15:00:00Z"],
  ["Australia/Lord_Howe", "15 2", "2026-10-03T15:30:00Z"],
  ["Europe/Berlin", "30 2", "2026-10-25T01:00:00Z"],
  ["America/New_York", "30 1", "2026-11-01T06:00:00Z"],
];

Deno.test("daylight saving changes in three zones: a daily cron once each day, an hourly one each hour", async () => {
  const rule = (cron: string, timezone: string) =>
    `when: { cron: "${cron}", timezone: ${timezone}, missed: all, window: 3d }\nlimit: none\nthen:\n  - log: x\n`;
  const daily = CHANGES.map(([zone, time], index) => [`daily${index}.yaml`, rule(`${time} * * *`, zone)]);
  const hourly = { "hourly.yaml": rule("0 * * * *", "Europe/Berlin") };
  await withClock({ ...Object.fromEntries(daily), ...hourly }, "2026-03-01T00:00:00Z", async (program, set) => {
    for (const [index, [zone, , text]] of CHANGES.entries()) {
      const at = Date.parse(text);
      const whole = Math.floor(at / HOUR) * HOUR;
      for (const step of [-25, -24, -23, -2, -1, 0, 1, 2, 23, 24, 25]) {
        await set(whole + step * HOUR + 1_000);
        await reached(program, "hourly", whole + step * HOUR);
      }
      const day = new Intl.DateTimeFormat("sv-SE", { timeZone: zone, dateStyle: "short" });
      const around = async () =>
        (await occurrences(program, `daily${index}`)).filter((time) => Math.abs(time - at) < 1.5 * DAY);
      const times = await until("three days", around, ({ length }) => length >= 3);
      const days = [-1, 0, 1].map((days) => day.format(at + days * DAY));
      assert.deepEqual(
        times.map((time) => day.format(time)),
        days,
        `${zone}: ${times.map((time) => new Date(time).toISOString())}`,
      );
      const hours = (await occurrences(program, "hourly")).filter((time) => Math.abs(time - whole) <= 2 * HOUR);
      assert.deepEqual(hours.map((time) => (time - whole) / HOUR), [-2, -1, 0, 1, 2], zone);
    }
  });
});

Deno.test("a leap day comes in leap years, and in no others", () =>
  withClock(
    {
      "leap.yaml": 'when: { cron: "0 12 29 2 *", missed: all, window: 3d }\nthen:\n  - log: x\n',
      "last.yaml": 'when: { cron: "0 12 L 2 *", missed: all, window: 3d }\nthen:\n  - log: x\n',
      "at.yaml": "when: { at: 2028-02-29T12:00:00Z }\nthen:\n  - log: x\n",
    },
    "2027-02-27T00:00:00Z",
    async (program, set) => {
      for (
        const time of [
          "2027-02-28T13:00:00Z",
          "2027-03-02T00:00:00Z",
          "2028-02-28T13:00:00Z",
          "2028-02-29T13:00:00Z",
          "2028-03-01T13:00:00Z",
        ]
      ) {
        await set(Date.parse(time));
        if (time === "2027-02-28T13:00:00Z") await reached(program, "last", Date.parse("2027-02-28T12:00:00Z"));
      }
      const leap = Date.parse("2028-02-29T12:00:00Z");
      for (const rule of ["leap", "at"]) assert.deepEqual(await reached(program, rule, leap), [leap], rule);
      assert.deepEqual(await reached(program, "last", leap), [Date.parse("2027-02-28T12:00:00Z"), leap]);
    },
  ));

/** Something of each kind that depends on the time. */
const files = (peer: string) => ({
  "every.yaml": "when: { every: 10m }\nlimit: none\nthen:\n  - log: x\n",
  "hourly.yaml": 'when: { cron: "0 * * * *" }\nlimit: none\nthen:\n  - log: x\n',
  "poll.yaml": `when: { poll: "${peer}/items", every: 5m, key: item.id }\nlimit: none\nthen:\n  - log: x\n`,
  "in.yaml": "when: { webhook: /in, auth: none, dedupe: event.data.id }\nlimit: 10/m\nthen:\n  - log: x\n",
  "slow.yaml":
    `when: { webhook: /slow, auth: none }\nlimit: none\nthen:\n  - http: POST ${peer}/slow\n    timeout: 10m\n    retry: 1\n`,
  "again.yaml":
    `when: { webhook: /again, auth: none }\nlimit: none\nthen:\n  - http: POST ${peer}/again\n    retry: { attempts: 100, delay: 20s, max: 40s }\n`,
  "digest.yaml":
    "when: { webhook: /digest, auth: none, batch: { quiet: 1m, within: 5m } }\nlimit: none\nthen:\n  - log: x\n",
});

/** A peer that delays slow requests, refuses those to be retried, and counts polls. */
async function startPeer() {
  const held: (() => void)[] = [];
  const state = { refuses: true, price: 1 };
  const peer = await WebServer.start(({ path }, response) => {
    if (path === "/slow") return void held.push(() => response.end("{}"));
    if (path === "/again" && state.refuses) return void response.writeHead(503).end();
    response.setHeader("content-type", "application/json");
    response.end(path === "/items" ? JSON.stringify([{ id: 1, price: state.price }]) : "{}");
  });
  return Object.assign(peer, { state, release: () => held.splice(0).forEach((answer) => answer()) });
}

const post = async (program: Program, path: string, body: unknown = {}) => {
  const answer = await program.post(`/hooks/${path}`, body);
  assert.ok(answer.status < 300, `${path}: ${answer.status}`);
  return answer;
};

/** Waits until the runs of a rule are in these states, newest first. */
function states(program: Program, rule: string, ...expected: string[]): Promise<string[]> {
  const look = async () => (await program.api(`runs?rule=${rule}`)).map(({ state }: Answered) => state);
  return until(`the runs of ${rule}`, look, (seen) => JSON.stringify(seen) === JSON.stringify(expected));
}

/** Sets the clock back, and waits until that is noticed: the interval restarts from now. */
async function setBack(program: Program, set: (time: number) => Promise<void>, now: number): Promise<void> {
  const before = program.lines.length;
  await set(now);
  const notice = () =>
    Promise.resolve(program.lines.slice(before).some(({ message }) => /^every: .* in the future/.test(message)));
  await until("the notice of the interval", notice, (there) => there);
}

/** Everything that depends on the time works from here. */
async function goesOn(
  program: Program,
  set: (time: number) => Promise<void>,
  peer: Awaited<ReturnType<typeof startPeer>>,
  now: number,
): Promise<number> {
  for (let step = 1; step <= 7; step++) {
    await set(now += 11 * MINUTE);
    const near = (all: number[]) => all.some((time) => time > now - 11 * MINUTE && time <= now + MINUTE);
    await until("the interval", () => occurrences(program, "every"), near);
  }
  const inTheLastHour = (hours: number[]) => hours.some((time) => time > now - HOUR && time <= now);
  await until("the cron to continue", () => occurrences(program, "hourly"), inTheLastHour);
  const polls = () => Promise.resolve(peer.seen.filter(({ path }) => path === "/items").length);
  const before = await polls();
  await set(now += 6 * MINUTE);
  await until("a poll", polls, (count) => count > before);
  peer.state.refuses = false;
  await set(now += MINUTE);
  const again = async () => (await program.api("runs?rule=again&state=succeeded")).length;
  await until("what is attempted again", again, (count) => count > 0);
  const held = async () =>
    (await program.api("runs?rule=in")).filter(({ state }: Answered) => state !== "succeeded").length;
  for (let minute = 0; minute < 5; minute++) await set(now += MINUTE);
  await until("what the limit held", held, (count) => count === 0);
  const digests = async () => (await program.api("runs?rule=digest&state=succeeded")).length;
  await until("the batch", digests, (count) => count > 0);
  await post(program, "in", { id: `fresh${now}` });
  await set(now += MINUTE);
  await until("what comes now", held, (count) => count === 0);
  return now;
}

Deno.test("the clock set to 2099 and back: nothing is stuck, nothing fails, nothing runs twice", async () => {
  await using peer = await startPeer();
  const now = Date.parse("2026-06-01T12:34:00Z");
  await withClock(files(peer.url), "2026-06-01T12:34:00Z", async (program, set) => {
    for (let id = 0; id < 15; id++) await post(program, "in", { id });
    await post(program, "slow");
    await peer.waitFor(1, ({ path }) => path === "/slow");
    const far = Date.parse("2099-01-01T00:00:00Z");
    await set(far);
    await until("2099", () => occurrences(program, "every"), (all) => all.at(-1)! > far - DAY);
    for (let id = 15; id < 30; id++) await post(program, "in", { id });
    await post(program, "again");
    await peer.waitFor(1, ({ path }) => path === "/again");
    await post(program, "digest");
    // Long enough for retention to check what is old by this clock.
    await set(far + HOUR);
    await peer.waitFor(2, ({ path }) => path === "/again");
    for (let id = 30; id < 45; id++) await post(program, "in", { id });
    await post(program, "digest");
    await post(program, "again");
    await setBack(program, set, now + MINUTE);
    await goesOn(program, set, peer, now + MINUTE);
    assert.equal(
      (await program.api("runs?rule=slow"))[0].state,
      "running",
      "a step that takes its time has not taken 73 years",
    );
    peer.release();
    await states(program, "slow", "succeeded");
    for (let id = 0; id < 45; id++) {
      const { status, body } = await program.post("/hooks/in", { id });
      assert.deepEqual([status, body.duplicate], [200, true], `event ${id} is known`);
    }
  });
});

Deno.test("the clock set by an hour, back and forth: nothing is stuck, nothing runs twice", async () => {
  await using peer = await startPeer();
  let now = Date.parse("2026-06-01T12:34:00Z");
  await withClock(files(peer.url), "2026-06-01T12:34:00Z", async (program, set) => {
    for (const change of [-HOUR, HOUR, HOUR, -HOUR]) {
      peer.state.refuses = true;
      for (let id = 0; id < 12; id++) await post(program, "in", { id: `${now} ${id}` });
      await post(program, "digest");
      await post(program, "again");
      now += change;
      if (change < 0) await setBack(program, set, now);
      else await set(now);
      now = await goesOn(program, set, peer, now);
    }
    const all = await program.api("events?rule=hourly&limit=1000");
    assert.equal(new Set(all.map(({ event }: Answered) => event.id)).size, all.length);
    const runs = await program.api("runs?rule=hourly&limit=1000");
    assert.equal(new Set(runs.map(({ event }: Answered) => event.id)).size, runs.length, "one run for each occurrence");
  });
});

Deno.test("the machine sleeps for a day: an interval fires once, a cron for the times within its window, a running step does not fail", async () => {
  await using peer = await startPeer();
  const now = Date.parse("2026-06-01T12:34:00Z");
  // Between two occurrences of the interval, which began a moment after the program: none is due while the test looks.
  const woken = now + DAY - 5 * MINUTE;
  await withClock(files(peer.url), "2026-06-01T12:34:00Z", async (program, set) => {
    for (const path of ["slow", "again", "digest"]) await post(program, path);
    await peer.waitFor(1, ({ path }) => path === "/slow");
    process.kill(program.child.pid!, "SIGSTOP");
    await set(woken);
    process.kill(program.child.pid!, "SIGCONT");
    assert.deepEqual((await reached(program, "every", woken - 10 * MINUTE)).length, 1);
    assert.deepEqual(await reached(program, "hourly", woken - HOUR), [Math.floor(woken / HOUR) * HOUR]);
    assert.equal((await program.api("runs?rule=slow"))[0].state, "running");
    peer.release();
    await states(program, "slow", "succeeded");
    await goesOn(program, set, peer, woken);
  });
});
