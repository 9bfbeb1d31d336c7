import type { Lab } from "../lab.ts";
import type { Part, Row } from "../report.ts";

const COUNTS = [10, 1_000, 10_000];
const CONNECTIONS = 16;
/** What the rate may fall by from the fewest rules to the most and still be noise. */
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

/** An event among many rules of which one listens. */
export async function rules(lab: Lab): Promise<Part> {
  const seconds = Math.max(3, lab.seconds / 20);
  const rows: Row[] = [];
  for (const count of COUNTS) {
    lab.say(`${count} rules, ${seconds} s each way`);
    const files = Array.from({ length: count }, (_, index) => [`rule${index}.yaml`, ruleFile(index)]);
    await using server = await lab.start(lab.binary, Object.fromEntries(files));
    const measure = async (what: string, job: { paths: string[]; event?: string }) => {
      await lab.load(server, { ...job, connections: CONNECTIONS, seconds: Math.min(5, seconds) });
      const { rate, p50, failed } = await lab.load(server, { ...job, connections: CONNECTIONS, seconds });
      const note = `p50 ${p50.toFixed(1)} ms${failed > 0 ? `, ${failed} FAILED` : ""}`;
      rows.push({ what: `${count.toLocaleString("en")} rules, ${what}`, value: rate, unit: "/s", note });
    };
    await measure("webhook", { paths: [`/hooks/hook${count - 1}`] });
    await measure("event", { paths: ["/events"], event: `type${count - 1}` });
  }
  const fall = (what: string) => {
    const rates = rows.filter((row) => row.what.endsWith(what)).map(({ value }) => value);
    return rates.at(-1)! / rates[0];
  };
  const worst = Math.min(fall("webhook"), fall("event"));
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
