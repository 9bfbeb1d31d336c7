import type { Lab } from "../lab.ts";
import type { Part } from "../report.ts";
import type { Server } from "../server.ts";

const FORMS = 600;
/** Answers whose processor time is measured; earlier ones warm the program up. */
const MEASURED = 500;
const TIMEOUT = 60_000;

const RULE = `when:
  webhook: /ask
  auth: none
then:
  - id: all
    each: event.data.items
    max: ${FORMS}
    then:
      - form: May \${{ item }} go out?
        to: anna
        fields:
          approve: { type: boolean, title: Approve? }
  - log: All \${{ steps.all.total }} are answered
`;

const SETTINGS = "people:\n  anna: { name: Anna }\n";

/** The cost of an answer if one run asks hundreds of forms at once. */
export async function forms(lab: Lab): Promise<Part> {
  await using server = await lab.start(lab.binary, { "ask.yaml": RULE, "whenthen.yaml": SETTINGS });
  lab.say(`${FORMS} forms in one run, answered one after the other`);
  const items = Array.from({ length: FORMS }, (_, index) => `order ${index}`);
  const began = performance.now();
  await post(server, "/hooks/ask", { items });
  const ids = await openForms(server);
  const asked = performance.now() - began;
  for (const id of ids.slice(0, FORMS - MEASURED)) await answer(server, id);
  const before = await server.processorTime();
  const times: number[] = [];
  for (const id of ids.slice(FORMS - MEASURED)) {
    const sent = performance.now();
    await answer(server, id);
    times.push(performance.now() - sent);
  }
  await ended(server);
  const cpu = (await server.processorTime() - before) / MEASURED;
  return {
    title: `Forms: ${FORMS} in one run`,
    rows: [
      { what: "processor time an answer", value: cpu, unit: "ms" },
      { what: "an answer, mean", value: times.reduce((sum, time) => sum + time, 0) / MEASURED, unit: "ms" },
      { what: "until all were asked", value: asked, unit: "ms" },
      { what: "resident at the end", value: await server.memory(), unit: "MB" },
    ],
    aims: [{ aim: "forms: 2 ms of processor time an answer", came: `${cpu.toFixed(1)} ms`, reached: cpu <= 2 }],
  };
}

async function post(server: Server, path: string, body: unknown): Promise<void> {
  const headers = { "content-type": "application/json" };
  const response = await fetch(`${server.url}${path}`, { method: "POST", headers, body: JSON.stringify(body) });
  const text = await response.text();
  if (!response.ok) throw new Error(`${path} answers ${response.status}: ${text}`);
}

async function answer(server: Server, id: string): Promise<void> {
  await post(server, `/api/forms/${id}`, { as: "anna", values: { approve: true } });
}

/** The ids of all forms, after they are open. */
async function openForms(server: Server): Promise<string[]> {
  return await until(async () => {
    const forms = await (await fetch(`${server.url}/api/forms?limit=1000`)).json() as { id: string }[];
    return forms.length === FORMS ? forms.map(({ id }) => id) : undefined;
  });
}

async function ended(server: Server): Promise<void> {
  await until(async () => {
    const [run] = await (await fetch(`${server.url}/api/runs?limit=1`)).json() as { state: string }[];
    return run.state === "succeeded" || undefined;
  });
}

async function until<T>(look: () => Promise<T | undefined>): Promise<T> {
  for (const end = performance.now() + TIMEOUT; performance.now() < end;) {
    const found = await look();
    if (found !== undefined) return found;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  throw new Error(`It takes longer than ${TIMEOUT} ms`);
}
