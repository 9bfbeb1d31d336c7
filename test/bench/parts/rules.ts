import type { Lab } from "../lab.ts";
import type { Load } from "../load/job.ts";
import { median } from "../numbers.ts";
import type { Part, Row } from "../report.ts";
import type { Server } from "../server.ts";

const COUNTS = [10, 1_000, 10_000];
const CONNECTIONS = 16;
const ROUNDS = 5;
/** How far the rate may fall from the fewest rules to the most and still be noise. */
const NOISE = 0.8;

/** Each rule has a path and an event type of its own. */
function ruleFile(index: number): string {
  return `when:
  - webhook: /hook${index}
    auth: none
  - event: type${index}
limit: none
max: 256
then:
  - log: Order \${{ event.data.id }}
`;
}

interface Way {
  what: string;
  job(count: number): { paths: string[]; event?: string };
}

const WAYS: Way[] = [
  { what: "webhook", job: (count) => ({ paths: [`/hooks/hook${count - 1}`] }) },
  { what: "event", job: (count) => ({ paths: ["/events"], event: `type${count - 1}` }) },
];

/** An event with many rules, one of which listens. */
export async function rules(lab: Lab): Promise<Part> {
  const seconds = Math.max(1, lab.seconds / 60);
  await using started = new AsyncDisposableStack();
  const servers = new Map<number, Server>();
  for (const count of COUNTS) {
    lab.say(`starting with ${count.toLocaleString("en")} rules`);
    const files = Array.from({ length: count }, (_, index) => [`rule${index}.yaml`, ruleFile(index)]);
    servers.set(count, started.use(await lab.start(lab.binary, Object.fromEntries(files))));
  }
  const loads = new Map<string, Load[]>();
  // They alternate, so that a busy minute affects all alike; the first round warms up.
  for (let round = 0; round <= ROUNDS; round++) {
    lab.say(`round ${round} of ${ROUNDS}, ${seconds} s each`);
    for (const { what, job } of WAYS) {
      for (const [count, server] of servers) {
        const load = await lab.load(server, { ...job(count), connections: CONNECTIONS, seconds });
        const name = nameOf(count, what);
        if (round > 0) loads.set(name, [...loads.get(name) ?? [], load]);
      }
    }
  }
  const rows = WAYS.flatMap(({ what }) => COUNTS.map((count) => row(nameOf(count, what), loads)));
  const growth = WAYS.map(({ what }) => {
    const [least, most] = [COUNTS[0], COUNTS.at(-1)!].map((count) => row(nameOf(count, what), loads).value);
    return most / least;
  });
  const worst = Math.min(...growth);
  return {
    title: `Rules: an event with many rules of which one listens, ${CONNECTIONS} connections`,
    rows,
    aims: [{
      aim: "rules: 10,000 as fast as 10, but for noise",
      came: `× ${worst.toFixed(2)}`,
      reached: worst >= NOISE,
    }],
  };
}

function nameOf(count: number, what: string): string {
  return `${what}, ${count.toLocaleString("en")} rules`;
}

function row(what: string, all: Map<string, Load[]>): Row {
  const loads = all.get(what)!;
  const failed = loads.reduce((sum, load) => sum + load.failed, 0);
  const note = `p50 ${median(loads.map(({ p50 }) => p50)).toFixed(1)} ms${failed > 0 ? `, ${failed} FAILED` : ""}`;
  return { what, value: median(loads.map(({ rate }) => rate)), unit: "/s", note };
}
