import assert from "node:assert/strict";
import { readFile, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { TestClock } from "../e2e/clock.ts";
import { HASH, Visitor } from "../e2e/forms.ts";
import { type Answered, type LogLine, type Program, start } from "../e2e/program.ts";
import { until } from "../e2e/until.ts";
import { WebServer } from "../e2e/web_server.ts";
import { copyExample } from "./example.ts";

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
/** Monday, nine o'clock in Berlin. */
const T0 = Date.parse("2027-01-04T08:00:00Z");

const MAIL = { from: "ann", subject: "Hello" };
const CALL = { subject: "Talk", at: "2027-01-06" };
const PEOPLE = `people:
  mo: { name: Mo, groups: [moderators], password: ${HASH} }
  val: { name: Val, groups: [voters], password: ${HASH} }
`;

/** One of the two rules, with the paths of the steps that are done first at each moment. */
interface Version {
  rule: string;
  file: string;
  moments: string[][];
  /** Steps get other names. */
  edit(text: string): string;
}

const LOOP = "week/moderation/discussion/loop";
const turn = (index: number) => ["", "/mails", "/if"].map((step) => `${LOOP}/hourly[${index}]${step}`);
const JOINED = ["week/moderation/discussion/deadline/wait", "week/moderation/discussion", "week", "evaluate"];

const VERSIONS: Version[] = [{
  rule: "discussion",
  file: "discussion.yaml",
  moments: [
    ["announce", "week/call/calls", "week/call/block", ...turn(0)],
    [`${LOOP}/hourly[0]/hour`, ...turn(1)],
    [`${LOOP}/hourly[1]/if/then/moderate`, `${LOOP}/hourly[1]/if/then/tell`],
    [`${LOOP}/hourly[1]/hour`, ...turn(2)],
    [`${LOOP}/hourly[2]/hour`, ...turn(3), "week/warning/sixDays", "week/warning/warn"],
    [`${LOOP}/hourly[3]/hour`, ...turn(4)],
    JOINED,
  ],
  edit: (text) => text.split("\ntests:")[0].replaceAll(/\b(hour|sixDays|warn|evaluate)$/gm, "$1Renamed"),
}, {
  rule: "discussion_in_code",
  file: "discussion_in_code.ts",
  moments: [
    ["announce", "week/call/calls", "week/call/block", `${LOOP}/mails`],
    [`${LOOP}/hour`, `${LOOP}/mails#2`],
    [`${LOOP}/moderate`, `${LOOP}/tell`],
    [`${LOOP}/hour#2`, `${LOOP}/mails#3`],
    [`${LOOP}/hour#3`, `${LOOP}/mails#4`, "week/warning/sixDays", "week/warning/warn"],
    [`${LOOP}/hour#4`, `${LOOP}/mails#5`],
    JOINED,
  ],
  edit: (text) => text.replaceAll(/"(hour|sixDays|warn|evaluate)"/g, '"$1Renamed"'),
}];

/** What is asked of the list and the calendar when a discussion begins. */
function begun(week: string): string[] {
  return ["POST /list/announcements", `GET /calendar/calls?week=${week}`, "POST /calendar/block", "GET /list/pending"];
}

/** What is asked of the list until it ends. */
const WHOLE = [
  ...["POST /list/publish", "POST /list/announcements", "POST /list/evaluations"],
  ...Array(4).fill("GET /list/pending"),
];

/** The mailing list and the calendar, the folder and the clock of one discussion. */
async function prepare({ file }: Version) {
  await using stack = new AsyncDisposableStack();
  const peer = stack.use(
    await WebServer.start(({ method, path }, response) => {
      const body = method === "POST" ? {} : path.startsWith("/calendar") ? [CALL] : world.pending;
      response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(body));
    }),
  );
  const folder = stack.use(
    await copyExample("13-issue-discussion", {
      "config.yaml": `all: { list: "${peer.url}/list", calendar: "${peer.url}/calendar" }\n`,
      "whenthen.yaml": PEOPLE,
    }),
  );
  for (const { file: other } of VERSIONS) if (other !== file) await rm(join(folder.rules, other));
  const clock = await TestClock.in(dirname(folder.rules), T0 - MINUTE);
  const owned = stack.move();
  const world = {
    peer,
    folder,
    clock,
    /** Mails on the list that nobody has decided about. */
    pending: [] as typeof MAIL[],
    start: () => start(folder.rules, { data: folder.data, env: clock.env }),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
  return world;
}

/** Waits until the run waits for steps of these names, and holds what is done against what is to be done. */
async function see(program: Program, run: string, waits: string[], done: string[]): Promise<void> {
  const namesOf = ({ run: { state, waits = [] } }: Answered): string[] =>
    state === "waiting" ? waits.map(({ step }: Answered) => /(\w+)(#\d+)?$/.exec(step)![1]).sort() : [];
  const trace = await until(
    `a run that waits for ${waits}`,
    (): Promise<Answered> => program.api(`runs/${run}`),
    (trace) => namesOf(trace).join() === waits.toSorted().join(),
  );
  assert.deepEqual(doneIn(trace), done.toSorted());
}

function doneIn({ steps }: Answered): string[] {
  return steps.filter(({ state }: Answered) => state === "succeeded").map(({ path }: Answered) => path).sort();
}

/** Val may not answer, by the page or by the API; Mo does, on the page. */
async function answer(program: Program): Promise<void> {
  const [{ id }] = await program.api("forms");
  const values = { decision: "publish", note: "Fine" };
  const [val, mo] = [new Visitor(program), new Visitor(program)];
  assert.equal((await val.signIn("val")).status, 303);
  assert.equal((await val.get(`/forms/${id}`)).status, 403);
  assert.equal((await val.fill("/forms", values, `/forms/${id}`)).status, 403);
  assert.equal((await program.post(`/api/forms/${id}`, { as: "val", values })).status, 403);
  assert.equal((await mo.signIn("mo")).status, 303);
  assert.match((await mo.get("/forms")).text, /Mails to moderate: 1/);
  assert.equal((await mo.fill(`/forms/${id}`, values)).status, 303);
  assert.equal((await program.post(`/api/forms/${id}`, { as: "mo", values })).status, 409);
}

/** The Monday begins: by the cron, or by hand. */
async function begin(program: Program, rule: string): Promise<string> {
  if (rule === "discussion_in_code") {
    const { body } = await program.post(`/api/rules/${rule}/start`, {});
    return body.runs[0];
  }
  const [{ id }] = await until("the first run", () => program.api("runs"), (runs) => runs.length > 0);
  return id;
}

/** Changes the rule's file, and waits until the program has seen it. */
async function change(program: Program, rule: string, execute: () => Promise<void>): Promise<void> {
  const before = program.lines.length;
  await execute();
  const isNews = ({ message }: LogLine) => new RegExp(`^(loaded|removed) ${rule}\\b`).test(message);
  await program.waitFor("a reload", (line) => isNews(line) && program.lines.indexOf(line) >= before);
}

/**
 * One week. The program is killed and started anew at each moment, a little later than at the one before, so that what is due an
 * hour later is due.
 */
async function journey(version: Version, isEdited: boolean): Promise<void> {
  const { rule, file, moments, edit } = version;
  await using world = await prepare(version);
  const { peer, folder, clock } = world;
  const steps: string[] = [];
  let moment = 0;
  let run = "";
  const at = async (time: number, execute: (program: Program) => Promise<void>) => {
    await clock.set(T0 + time + moment * MINUTE);
    await using program = world.start();
    await program.url();
    await execute(program);
  };
  const goesOn = async (program: Program, ...waits: string[]) => {
    steps.push(...moments[moment++]);
    await see(program, run, waits, steps);
  };

  await at(-MINUTE, async (program) => {
    await clock.set(T0);
    run = await begin(program, rule);
    await goesOn(program, "sixDays", "wait", "hour");
  });
  world.pending = [MAIL];
  await at(HOUR, (program) => goesOn(program, "sixDays", "wait", "moderate"));
  await at(3 * HOUR, async (program) => {
    await see(program, run, ["sixDays", "wait", "moderate"], steps);
    const edited = edit(await readFile(join(folder.rules, file), "utf8"));
    if (isEdited) await change(program, rule, () => folder.write(file, edited));
    await answer(program);
    world.pending = [];
    await goesOn(program, "sixDays", "wait", "hour");
  });
  await at(4 * HOUR, async (program) => {
    await goesOn(program, "sixDays", "wait", "hour");
    if (isEdited) await change(program, rule, () => rm(join(folder.rules, file)));
  });
  await at(6 * DAY, (program) => goesOn(program, "wait", "hour"));
  await at(7 * DAY - 30 * MINUTE, (program) => goesOn(program, "wait", "hour"));
  await at(7 * DAY, async (program) => {
    const look = (): Promise<Answered> => program.api(`runs/${run}`);
    const ended = await until("the end", look, ({ run: { state } }) => /succeeded|failed|cancelled/.test(state));
    assert.equal(ended.run.state, "succeeded", JSON.stringify(ended.run));
    assert.deepEqual(doneIn(ended), [...steps, ...moments[moment]].sort());
    // The cron begins the next one, where its rule is still there.
    const expected = [
      ...begun("2027-01-04"),
      ...WHOLE,
      ...rule === "discussion" && !isEdited ? begun("2027-01-11") : [],
    ];
    const seen = await peer.waitFor(expected.length);
    assert.deepEqual(seen.map(({ method, path }) => `${method} ${path}`).sort(), expected.sort());
  });
}

for (const version of VERSIONS) {
  Deno.test(`example 13, ${version.rule}: killed between all moments, each request is made once`, () => {
    return journey(version, false);
  });
  Deno.test(`example 13, ${version.rule}: the file is edited, then deleted; the run goes on as it began`, () => {
    return journey(version, true);
  });
}
