import assert from "node:assert/strict";
import { readdirSync, watch } from "node:fs";
import process from "node:process";
import { rulesFolder } from "../folder.ts";
import { type Answered, type Program, start } from "../program.ts";
import { until, within } from "../until.ts";
import { type Seen, WebServer } from "../web_server.ts";
import { eightAtATime, listAll, Provider } from "./provider.ts";
import { between, pause } from "./size.ts";

/**
 * When the program is killed: at work, while it starts, reloads, stops, folds a segment or merges under load; at `end` it
 * gets a SIGTERM and must end in time while the load continues.
 */
export type Moment = "work" | "start" | "reload" | "stop" | "fold" | "merge" | "end";

/** Bytes of an event that stays live. */
const KEPT = 900_000;

/** Milliseconds within which the program ends on SIGTERM. */
const LONGEST_STOP = 25_000;

export interface Plan {
  /** One after the other, each one start of the program. */
  moments: Moment[];
  /** Events in flight at a time. @default 4 */
  senders?: number;
  /** Where the state lives. @default a folder */
  data?: string;
  /** The environment of each start. */
  env?: (life: number) => Record<string, string>;
}

/** Each rule fetches a token in its first step and sends it in its second; YAML is interpreted, TypeScript replayed. */
const rules = (peer: string) => ({
  "whenthen.yaml": "retention: { bytes: 1.5GB }\n",
  "interpreted.yaml": `
when: { webhook: /in, auth: none, dedupe: event.data.id }
limit: none
then:
  - id: make
    http: POST ${peer}/make/interpreted
    json: { id: "\${{ event.data.id }}" }
  - http: POST ${peer}/tell/interpreted
    json: { id: "\${{ event.data.id }}", token: "\${{ steps.make.body.token }}" }
`,
  "ballast.yaml": `
when: { webhook: /ballast, auth: none }
limit: none
if: event.data.id == 0
then: [{ log: never }]
`,
  // Its runs stay live, with their large events.
  "kept.yaml": `
when: { webhook: /kept, auth: none }
limit: none
then:
  - wait: 30d
`,
  "replayed.ts": `
import { rule, webhook } from "whenthen";
export default rule({
  when: webhook("/in", { auth: "none", dedupe: "event.data.id" }),
  limit: "none",
  then: async ({ event, step }) => {
    const { id } = event.data as { id: number };
    const { token } = await step.do("make", async () => {
      const response = await fetch("${peer}/make/replayed", { method: "POST", body: JSON.stringify({ id }) });
      return await response.json();
    });
    await step.http("tell", "POST ${peer}/tell/replayed", { json: { id, token } });
  },
});
`,
});

/**
 * Kills the program at all those moments while a provider sends and repeats, then checks from outside that each event is
 * there once, has run once for each rule, and that no recorded step was executed again.
 */
export async function survive(plan: Plan): Promise<void> {
  let tokens = 0;
  await using peer = await WebServer.start((_, response) => {
    response.setHeader("content-type", "application/json");
    response.end(JSON.stringify({ token: `t${++tokens}` }));
  });
  await using folder = await rulesFolder(rules(peer.url));
  const launch = (life: number) => start(folder.rules, { data: plan.data ?? folder.data, env: plan.env?.(life) });
  using provider = new Provider({ path: "/hooks/in", runs: 2, senders: plan.senders ?? 4 });
  const kept: string[] = [];
  let startup = 1_000;
  for (const [life, moment] of plan.moments.entries()) {
    const began = performance.now();
    await using program = launch(life);
    if (moment === "start") await pause(between(0, startup));
    else {
      await program.url();
      startup = performance.now() - began;
      provider.program = program;
      await pause(between(10, 600));
      if (moment === "reload") {
        await folder.write(`extra${life % 3}.yaml`, `when: { event: life${life} }\nthen:\n  - log: life ${life}\n`);
        await pause(between(0, 150));
      }
      if (moment === "stop") {
        process.kill(program.child.pid!, "SIGTERM");
        await pause(between(0, 400));
      }
      if (moment === "fold") await foldUnderLoad(program);
      if (moment === "merge") await mergeUnderLoad(program, kept);
      if (moment === "end") await stopInTime(program);
    }
    provider.program = undefined;
    assert.doesNotMatch(program.output, /DAMAGED|recovered|Cannot/);
    await program.kill();
  }
  await using program = launch(plan.moments.length);
  await program.url();
  provider.program = program;
  await within(300_000, "all answers", provider.end());
  console.log(`${provider.sent.size} events over ${plan.moments.length} lives of the program`);
  assert.doesNotMatch(program.output, /DAMAGED|recovered|Cannot/);
  await provider.checkKnown(program);
  await checkRuns(program, provider, peer);
  await checkKept(program, kept);
}

/** Sends large events that end at once until a segment is being folded. */
async function foldUnderLoad(program: Program): Promise<void> {
  const ballast = { id: 1, ballast: "x".repeat(900_000) };
  const send = () => program.post("/hooks/ballast", ballast);
  // Writing the part takes many steps, the other files few.
  const [kind, most] = [["part-", 16], ["ids-", 4], ["delta-", 4]][between(0, 2)] as [string, number];
  await sendUntil(program, (name) => name.startsWith(kind), between(1, most), send);
}

/** Sends large events that stay live until deltas are being merged. */
async function mergeUnderLoad(program: Program, kept: string[]): Promise<void> {
  const ballast = { ballast: "x".repeat(KEPT) };
  const send = async () => {
    const { status, body } = await program.post("/hooks/kept", ballast);
    if (status === 202) kept.push(body.runs[0]);
  };
  // The ids file comes first, in a few steps; then the base, in many.
  const times = Math.random() < 0.5 ? between(1, 6) : between(7, 40);
  await sendUntil(program, (name) => isOfMerge(program.data, name), times, send);
}

/** Whether it is a file that a merge writes. The ids file of the first segment begins with the same number. */
function isOfMerge(data: string, name: string): boolean {
  if (name.startsWith("base-")) return true;
  return /^ids-0*1-/.test(name) && readdirSync(data).some((other) => /^(base|delta-0*1)-/.test(other));
}

/** Sends until such files have changed so many times; resolves then, or a few milliseconds later. */
async function sendUntil(
  program: Program,
  isWatched: (name: string) => boolean,
  times: number,
  send: () => Promise<unknown>,
): Promise<void> {
  let seen = 0;
  const enough = Promise.withResolvers<void>();
  const watcher = watch(program.data, (event, name) => {
    if (seen === times || !name || !isWatched(name)) return;
    if (++seen < times) return;
    console.log(`taken away after ${times} changes, the last one to ${name} (${event})`);
    enough.resolve();
  });
  const end = performance.now() + 300_000;
  while (seen < times) {
    assert.ok(performance.now() < end, `${seen} of ${times} changes were seen within 300 s`);
    await Promise.race([enough.promise, send().catch(() => {})]);
  }
  watcher.close();
  await pause(between(0, 30));
}

async function stopInTime(program: Program): Promise<void> {
  const told = performance.now();
  assert.equal(await within(60_000, "the end of the program", program.stop()), 0, program.output);
  const took = performance.now() - told;
  assert.ok(took < LONGEST_STOP, `it stopped after ${took} ms`);
}

/** Everything answered with 202 is live and complete. */
async function checkKept(program: Program, kept: string[]): Promise<void> {
  await eightAtATime(kept, async (id) => {
    const { run } = await program.api(`runs/${id}`);
    assert.equal(run.state, "waiting");
    assert.equal(run.event.data.ballast.length, KEPT, id);
  });
}

async function checkRuns(program: Program, provider: Provider, peer: WebServer): Promise<void> {
  const { sent } = provider;
  const traces = new Map<string, Answered>();
  const runs = [...sent.values()].flatMap(({ runs }) => runs);
  await eightAtATime(runs, async (run) => void traces.set(run, await ended(program, run)));
  for (const rule of ["interpreted", "replayed"]) {
    assert.equal((await listAll(program, "events", rule)).length, sent.size, "each event is there once");
    assert.equal((await listAll(program, "runs", rule)).length, sent.size, "and has one run for each rule");
  }
  const told = Map.groupBy(peer.seen.map((seen, at) => ({ ...seen, at })), ({ path, body }) => {
    return `${path} ${JSON.parse(body).id}`;
  });
  for (const rule of ["interpreted", "replayed"]) {
    for (const [id, { runs }] of sent) {
      const trace = runs.map((run) => traces.get(run)).find(({ run }) => run.rule === rule);
      checkTrace(trace, told.get(`/make/${rule} ${id}`) ?? [], told.get(`/tell/${rule} ${id}`) ?? []);
    }
  }
}

/** The recorded token is the sent one, and after it could be sent it was not fetched again. */
function checkTrace(trace: Answered, made: (Seen & { at: number })[], told: (Seen & { at: number })[]): void {
  const { run, steps } = trace;
  assert.equal(run.state, "succeeded", JSON.stringify(run));
  const { output } = steps.find(({ path }: { path: string }) => path === "make");
  const token = (output.body ?? output).token;
  assert.ok(made.length >= 1 && told.length >= 1, `${run.rule} did both steps of ${run.id}`);
  assert.deepEqual([...new Set(told.map(({ body }) => JSON.parse(body).token))], [token], run.id);
  assert.ok(made.at(-1)!.at < told[0].at, `the recorded step of ${run.id} was computed again`);
  const keys = (all: Seen[]) => new Set(all.map(({ headers }) => headers["idempotency-key"])).size;
  assert.deepEqual([keys(made), keys(told)], [1, 1], "each attempt carries the same key");
}

async function ended(program: Program, id: string): Promise<Answered> {
  const isLive = ({ run }: Answered) => ["queued", "running", "waiting"].includes(run.state);
  return await until(`the end of run ${id}`, () => program.api(`runs/${id}`), (trace) => !isLive(trace), 300_000);
}
