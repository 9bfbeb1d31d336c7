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

/** One of the two rules, with the paths of the first steps executed at each moment. */
interface Version {
  rule: string;
  file: string;
  moments: string[][];
  /** An edit that renames steps. */
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

/** Requests to the list and the calendar when a discussion begins. */
function begun(week: string): string[] {
  return ["POST /list/announcements", `GET /calendar/calls?week=${week}`, "POST /calendar/block", "GET /list/pending"];
}

/** Requests to the list until it ends. */
const WHOLE = [
  ...["POST /list/publish", "POST /list/announcements", "POST /list/evaluations"],
  ...Array(4).fill("GET /list/pending"),
];

/** The mailing list and the calendar of one rule. */
interface Peer extends AsyncDisposable {
  server: WebServer;
  /** Mails on the list without a decision. */
  pending: typeof MAIL[];
}

async function startPeer(): Promise<Peer> {
  const server = await WebServer.start(({ method, path }, response) => {
    const body = method === "POST" ? {} : path.startsWith("/calendar") ? [CALL] : peer.pending;
    response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(body));
  });
  const peer: Peer = { server, pending: [], [Symbol.asyncDispose]: () => server[Symbol.asyncDispose]() };
  return peer;
}

/** The two lists, and the folder and the clock of the two discussions, which are beside each other in one program. */
async function prepare() {
  await using stack = new AsyncDisposableStack();
  const peers: Record<string, Peer> = {};
  for (const { rule } of VERSIONS) peers[rule] = stack.use(await startPeer());
  const config = Object.entries(peers).map(([rule, { server: { url } }]) =>
    `${rule}: { list: "${url}/list", calendar: "${url}/calendar" }\n`
  );
  const folder = stack.use(
    await copyExample("13-issue-discussion", { "config.yaml": config.join(""), "whenthen.yaml": PEOPLE }),
  );
  const clock = await TestClock.in(dirname(folder.rules), T0 - MINUTE);
  const owned = stack.move();
  return {
    peers,
    folder,
    clock,
    start: () => start(folder.rules, { data: folder.data, env: clock.env }),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/** Waits until the run waits for steps of these names, and compares the requests with the expected ones. */
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
async function answer(program: Program, run: string): Promise<void> {
  const forms = await program.api("forms");
  const { id } = forms.find((form: Answered) => form.run === run);
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
  const runs = await until("the first run", () => program.api(`runs?rule=${rule}`), ({ length }) => length > 0);
  return runs[0].id;
}

/** Changes the rule's file, and waits until the program has seen it. */
async function change(program: Program, rule: string, execute: () => Promise<void>): Promise<void> {
  const before = program.lines.length;
  await execute();
  const isNews = ({ message }: LogLine) => new RegExp(`^(loaded|removed) ${rule}\\b`).test(message);
  await program.waitFor("a reload", (line) => isNews(line) && program.lines.indexOf(line) >= before);
}

/** A discussion that is under way: how far it should be, and how far it is. */
class Discussion {
  #steps: string[] = [];
  #moment = 0;
  #run = "";

  constructor(
    private readonly version: Version,
    readonly peer: Peer,
    private readonly folder: Awaited<ReturnType<typeof copyExample>>,
  ) {}

  async begins(program: Program): Promise<void> {
    this.#run = await begin(program, this.version.rule);
    await this.goesOn(program, "sixDays", "wait", "hour");
  }

  /** It executes the steps of the next moment, and waits then. */
  async goesOn(program: Program, ...waits: string[]): Promise<void> {
    this.#steps.push(...this.version.moments[this.#moment++]);
    await this.waits(program, ...waits);
  }

  async waits(program: Program, ...waits: string[]): Promise<void> {
    await see(program, this.#run, waits, this.#steps);
  }

  async edit(program: Program): Promise<void> {
    const { rule, file, edit } = this.version;
    const edited = edit(await readFile(join(this.folder.rules, file), "utf8"));
    await change(program, rule, () => this.folder.write(file, edited));
  }

  async remove(program: Program): Promise<void> {
    await change(program, this.version.rule, () => rm(join(this.folder.rules, this.version.file)));
  }

  async answered(program: Program): Promise<void> {
    await answer(program, this.#run);
    this.peer.pending = [];
    await this.goesOn(program, "sixDays", "wait", "hour");
  }

  async ends(program: Program, isEdited: boolean): Promise<void> {
    const { rule, moments } = this.version;
    const look = (): Promise<Answered> => program.api(`runs/${this.#run}`);
    const ended = await until("the end", look, ({ run: { state } }) => /succeeded|failed|cancelled/.test(state));
    assert.equal(ended.run.state, "succeeded", JSON.stringify(ended.run));
    assert.deepEqual(doneIn(ended), [...this.#steps, ...moments[this.#moment]].sort());
    // The cron begins the next one, if its rule still exists.
    const next = rule === "discussion" && !isEdited ? begun("2027-01-11") : [];
    const expected = [...begun("2027-01-04"), ...WHOLE, ...next];
    const seen = await this.peer.server.waitFor(expected.length);
    assert.deepEqual(seen.map(({ method, path }) => `${method} ${path}`).sort(), expected.sort());
  }
}

/**
 * One week. The program is killed and restarted at each moment, a little later than at the previous one, so that work due an
 * hour later is due.
 */
async function journey(isEdited: boolean): Promise<void> {
  await using world = await prepare();
  const { clock, folder, peers } = world;
  const both = VERSIONS.map((version) => new Discussion(version, peers[version.rule], folder));
  let moment = 0;
  const at = async (time: number, execute: (discussion: Discussion, program: Program) => Promise<void>) => {
    await clock.set(T0 + time + moment++ * MINUTE);
    await using program = world.start();
    await program.url();
    // The first start is a minute before Monday, so that the cron fires while the program runs.
    if (moment === 1) await clock.set(T0);
    await Promise.all(both.map((discussion) => execute(discussion, program)));
  };

  await at(-MINUTE, (discussion, program) => discussion.begins(program));
  for (const { peer } of both) peer.pending = [MAIL];
  await at(HOUR, (discussion, program) => discussion.goesOn(program, "sixDays", "wait", "moderate"));
  await at(3 * HOUR, async (discussion, program) => {
    await discussion.waits(program, "sixDays", "wait", "moderate");
    if (isEdited) await discussion.edit(program);
    await discussion.answered(program);
  });
  await at(4 * HOUR, async (discussion, program) => {
    await discussion.goesOn(program, "sixDays", "wait", "hour");
    if (isEdited) await discussion.remove(program);
  });
  await at(6 * DAY, (discussion, program) => discussion.goesOn(program, "wait", "hour"));
  await at(7 * DAY - 30 * MINUTE, (discussion, program) => discussion.goesOn(program, "wait", "hour"));
  await at(7 * DAY, (discussion, program) => discussion.ends(program, isEdited));
}

Deno.test("example 13, in YAML and in code: killed between all steps, each request is made once", () => journey(false));

Deno.test("example 13, in YAML and in code: the files are edited, then deleted; the runs continue on their version", () =>
  journey(true));
