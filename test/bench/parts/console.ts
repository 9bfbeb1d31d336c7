import { type Lab, liveRuns, metric } from "../lab.ts";
import { quantile } from "../numbers.ts";
import { type Aim, aimFor, type Part, type Row } from "../report.ts";
import type { Server } from "../server.ts";
import { Operator, type Visit } from "../operator.ts";

const RUNS = 100_000;
/** A shorter benchmark stores fewer. */
const SHORT = 10_000;
/** Webhooks a second while the store is filled, and while pages are measured. */
const FILL = 3_000;
const RATE = 1_000;
const BYTES = 350;
const RULES = 10;
const TURNS = 1_000;
/** Milliseconds between two pages. */
const PAUSE = 20;
/** Each has four live pages, the limit for a session. */
const SESSIONS = 5;
/** A period without streams is paired with one with them; the next pair is in the other order. */
const PAIRS = 6;
const TIMEOUT = 180_000;

/** Four of nine orders start a run; the others do not fulfil the condition. */
const ORDERS = (path: string) =>
  `when: { webhook: ${path}, auth: none }
if: event.data.amount > 60
limit: none
then:
  - log: Order \${{ event.data.id }}
`;

const LOOP = `when: { webhook: /loop, auth: none }
then:
  - id: look
    each: event.data.items
    max: 50
    onError: continue
    then:
      - if: item % 100 == 7
        run: ["false"]
        retry: { attempts: 1 }
      - log: Item \${{ item }}
`;

/** The password is "correct horse battery", hashed at the lowest cost. */
const PEOPLE = `retention: { bytes: 1GB }
people:
  anna:
    name: Anna
    groups: [operators]
    password: scrypt.10.8.1.AAAAAAAAAAAAAAAAAAAAAA.AsWvwMY_76m6UtetkFvlJIEPTCAm8Pu2vkYrRktx10s
`;

/** Pages with a target for the 95th percentile, in milliseconds. */
interface Measured {
  what: string;
  path: string;
  most: number;
}

/** How long operators wait and what their pages cost, with many stored runs and incoming events. */
export async function console(lab: Lab): Promise<Part> {
  const count = lab.seconds < 60 ? SHORT : RUNS;
  const names = Array.from({ length: RULES }, (_, index) => `orders${index}`);
  const rules = Object.fromEntries(names.map((name) => [`${name}.yaml`, ORDERS(`/${name}`)]));
  await using server = await lab.start(lab.binary, { ...rules, "loop.yaml": LOOP, "whenthen.yaml": PEOPLE });
  const run = await loop(server);
  lab.say(`filling a store with ${count.toLocaleString("en")} runs`);
  const paths = names.map((name) => `/hooks/${name}`);
  await fill(lab, server, paths, count);
  const operators = await Promise.all(Array.from({ length: SESSIONS }, () => Operator.signIn(server, "anna")));
  const pages = [
    { what: "overview", path: "/", most: 50 },
    { what: "runs of a rule", path: "/runs?rule=orders3", most: 100 },
    { what: "events by verdict", path: "/events?verdict=condition", most: 100 },
    { what: "a run of 1,000 turns", path: `/runs/${run}`, most: 100 },
  ];
  const lookFor = Math.min(40, lab.seconds / 4);
  const phase = Math.min(5, lab.seconds / 20);
  lab.say(
    `pages for ${lookFor} s, then ${4 * SESSIONS} streams on and off for ${
      phase * 2 * PAIRS
    } s, under ${RATE} events/s`,
  );
  const load = lab.load(server, {
    paths,
    rate: RATE,
    connections: 32,
    bytes: BYTES,
    seconds: lookFor + phase * 2 * PAIRS + 5,
  });
  const visits = await visitPages(operators[0], pages, lookFor);
  const streams = await costOfStreams(server, operators, phase);
  const sizes = await sizesOf(operators[0]);
  const { rate, failed } = await load;
  if (failed > 0) throw new Error(`${failed} webhooks were not accepted while pages were shown`);
  const times = pages.map((page) => timesOf(page, visits.get(page.path)!, count));
  return {
    title: `Console: ${count.toLocaleString("en")} stored runs, ${Math.round(rate)} events/s`,
    rows: [...times.flatMap(({ rows }) => rows), ...streams.rows, ...sizes.rows],
    aims: [...times.flatMap(({ aims }) => aims), ...streams.aims, ...sizes.aims],
  };
}

/** @returns the id of an ended run with this many turns */
async function loop(server: Server): Promise<string> {
  const items = Array.from({ length: TURNS }, (_, index) => index);
  const headers = { "content-type": "application/json" };
  const response = await fetch(`${server.url}/hooks/loop`, {
    method: "POST",
    headers,
    body: JSON.stringify({ items }),
  });
  const { runs: [run] } = await response.json() as { runs: string[] };
  await until(async () => await liveRuns(server) === 0);
  if (await metric(server, 'runs{state="succeeded"}') !== 1) throw new Error("The run of many turns did not succeed");
  return run;
}

async function fill(lab: Lab, server: Server, paths: string[], count: number): Promise<void> {
  const ended = () => metric(server, 'runs{state="succeeded"}');
  for (let left = count - await ended(); left > 0; left = count - await ended()) {
    const seconds = Math.ceil(Math.max(1, left / FILL));
    const { failed, failure } = await lab.load(server, { paths, rate: FILL, connections: 64, bytes: BYTES, seconds });
    if (failed > 0) throw new Error(`${failed} webhooks were not accepted: ${failure}`);
    await until(async () => await liveRuns(server) === 0);
  }
}

// ── pages ────────────────────────────────────────────────────────────────────────────────────────────────────────────

/** Opens the pages in turn, one at a time, as an operator does. */
async function visitPages(operator: Operator, pages: Measured[], seconds: number): Promise<Map<string, Visit[]>> {
  const visits = new Map<string, Visit[]>(pages.map(({ path }) => [path, []]));
  // The first request for each page includes one-time loading.
  for (const { path } of pages) await operator.open(path);
  for (const end = performance.now() + seconds * 1_000; performance.now() < end;) {
    for (const { path } of pages) {
      visits.get(path)!.push(await operator.open(path));
      await pause(PAUSE);
    }
  }
  return visits;
}

function timesOf({ what, most }: Measured, visits: Visit[], count: number): { rows: Row[]; aims: Aim[] } {
  const times = visits.map(({ ms }) => ms);
  const [p50, p95] = [quantile(times, 0.5), quantile(times, 0.95)];
  const note = `p50 ${p50.toFixed(1)} ms, longest ${Math.max(...times).toFixed(0)} ms, of ${times.length}`;
  return {
    rows: [{ what: `${what}, p95`, value: p95, unit: "ms", note }],
    // The targets assume this many; fewer prove nothing.
    aims: aimFor(
      `console: ${what}, p95 ${most} ms`,
      count === RUNS ? p95 : undefined,
      (value) => value <= most,
      (value) => `${value.toFixed(1)} ms`,
    ),
  };
}

// ── streams ──────────────────────────────────────────────────────────────────────────────────────────────────────────

/** The last two find nothing new, so they check again after each change. */
const LIVE = ["/events", "/runs", "/runs?rule=loop", "/events?verdict=refused"];

async function costOfStreams(
  server: Server,
  operators: Operator[],
  seconds: number,
): Promise<{ rows: Row[]; aims: Aim[] }> {
  const cpu = { without: 0, with: 0 };
  let patches = 0;
  const quiet = async () => void (cpu.without += await cpuFor(server, seconds));
  const watched = async () => {
    const streams = await Promise.all(operators.flatMap((operator) => LIVE.map((path) => operator.watch(path))));
    cpu.with += await cpuFor(server, seconds);
    patches = Math.max(patches, ...streams.map(({ patches }) => patches / seconds));
    await Promise.all(streams.map((stream) => stream.close()));
  };
  for (let pair = 0; pair < PAIRS; pair++) {
    for (const measure of pair % 2 === 0 ? [quiet, watched] : [watched, quiet]) await measure();
  }
  const share = (ms: number) => ms / (seconds * PAIRS * 10);
  const more = (cpu.with / cpu.without - 1) * 100;
  const streams = LIVE.length * operators.length;
  return {
    rows: [
      { what: "processor without streams", value: share(cpu.without), unit: "%" },
      {
        what: `processor with ${streams} streams`,
        value: share(cpu.with),
        unit: "%",
        note: `${more.toFixed(1)} % more`,
      },
      { what: "patches of a stream, most", value: patches, unit: "/s" },
    ],
    aims: [
      ...aimFor(
        `console: ${streams} streams, 3 % more`,
        more,
        (value) => value <= 3,
        (value) => `${value.toFixed(1)} %`,
      ),
      ...aimFor("console: 2 patches/s a page", patches, (value) => value <= 2.2, (value) => `${value.toFixed(1)} /s`),
    ],
  };
}

/** Milliseconds of processor time of the program. */
async function cpuFor(server: Server, seconds: number): Promise<number> {
  const before = await server.processorTime();
  await pause(seconds * 1_000);
  return await server.processorTime() - before;
}

// ── sizes ────────────────────────────────────────────────────────────────────────────────────────────────────────────

/** What a browser loads, gzipped, and how many elements it then has. */
async function sizesOf(operator: Operator): Promise<{ rows: Row[]; aims: Aim[] }> {
  const home = await operator.open("/");
  const [script, style] = await Promise.all(
    [/<script src="([^"]+)"/, /<link rel="stylesheet" href="([^"]+)"/].map((of) =>
      operator.open(of.exec(home.text)![1])
    ),
  );
  const pages = await Promise.all(
    ["/", "/runs", "/events"].map(async (path) => ({ path, ...await operator.open(path) })),
  );
  const [html, nodes] = [Math.max(...pages.map(({ kB }) => kB)), Math.max(...pages.map(({ elements }) => elements))];
  const size = (aim: string, value: number, most: number) =>
    aimFor(`console: ${aim} ${most} kB gzipped`, value, (value) => value <= most, (value) => `${value.toFixed(1)} kB`);
  return {
    rows: [
      { what: "script, gzipped", value: script.kB, unit: "kB" },
      { what: "style, gzipped", value: style.kB, unit: "kB" },
      ...pages.map(({ path, kB, elements }) => ({
        what: `${path}, gzipped`,
        value: kB,
        unit: "kB",
        note: `${elements} nodes`,
      })),
    ],
    aims: [
      ...size("script", script.kB, 20),
      ...size("style", style.kB, 6),
      ...size("a page", html, 15),
      ...aimFor("console: 1,500 nodes a page", nodes, (value) => value <= 1_500, String),
    ],
  };
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

async function until(holds: () => Promise<boolean>): Promise<void> {
  for (const end = performance.now() + TIMEOUT; performance.now() < end; await pause(200)) {
    if (await holds()) return;
  }
  throw new Error(`It takes longer than ${TIMEOUT / 1_000} s`);
}
