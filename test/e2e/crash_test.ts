import assert from "node:assert/strict";
import { rulesFolder } from "./folder.ts";
import { type Answered, type Program, start } from "./program.ts";
import { type Seen, WebServer } from "./web_server.ts";

const KILLS = 15;
const SENDERS = 4;

/** Two rules on one path: YAML steps are interpreted, TypeScript is replayed. Each makes a token in its first step and tells it in its second. */
const rules = (peer: string) => ({
  "interpreted.yaml": `
when: { webhook: /in, auth: none, dedupe: event.data.id }
limit: none
then:
  - id: make
    http: POST ${peer}/make
    json: { id: "\${{ event.data.id }}" }
  - http: POST ${peer}/interpreted
    json: { id: "\${{ event.data.id }}", token: "\${{ steps.make.body.token }}" }
`,
  "replayed.ts": `
import { rule, webhook } from "whenthen";
export default rule({
  when: webhook("/in", { auth: "none", dedupe: "event.data.id" }),
  limit: "none",
  then: async ({ event, step }) => {
    const token = await step.do("make", () => crypto.randomUUID());
    await step.http("tell", "POST ${peer}/replayed", { json: { id: (event.data as { id: number }).id, token } });
  },
});
`,
});

interface Sent {
  accepted: number;
  runs: string[];
}

/** Sends new events, several at a time; one without an answer is sent again, as a provider does. */
class Load {
  readonly sent = new Map<number, Sent>();
  over = false;
  program: Program | undefined;

  async run(): Promise<void> {
    await Promise.all(Array.from({ length: SENDERS }, () => this.#send()));
  }

  async #send(): Promise<void> {
    while (!this.over) {
      const id = this.sent.size;
      const sent: Sent = { accepted: 0, runs: [] };
      this.sent.set(id, sent);
      while (!await this.#deliver(id, sent)) await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  /** @returns whether it was answered */
  async #deliver(id: number, sent: Sent): Promise<boolean> {
    const { program } = this;
    if (program === undefined) return false;
    const answer = await program.post("/hooks/in", { id }).catch(() => undefined);
    if (answer === undefined || answer.status === 503) return false;
    check(id, sent, answer);
    return true;
  }
}

function check(id: number, sent: Sent, { status, body }: { status: number; body: Answered }): void {
  assert.ok([200, 202].includes(status), `event ${id} was answered ${status}`);
  assert.equal(body.duplicate, status === 200, `event ${id}`);
  assert.equal(body.runs.length, 2, `event ${id} has a run for each rule`);
  if (status === 202) sent.accepted++;
  if (sent.runs.length > 0) assert.deepEqual(body.runs, sent.runs);
  sent.runs = body.runs;
}

Deno.test("killed at random moments under load: one run per event and rule, and no recorded step computed twice", async () => {
  let tokens = 0;
  await using peer = await WebServer.start((_, response) => {
    response.setHeader("content-type", "application/json");
    response.end(JSON.stringify({ token: `t${++tokens}` }));
  });
  await using folder = await rulesFolder(rules(peer.url));
  const load = new Load();
  const loading = load.run();
  const moments: number[] = [];
  for (let kill = 0; kill < KILLS; kill++) {
    await using program = start(folder.rules, { data: folder.data });
    await program.url();
    load.program = program;
    const moment = Math.round(10 + Math.random() * 400);
    moments.push(moment);
    await new Promise((resolve) => setTimeout(resolve, moment));
    load.program = undefined;
    await program.kill();
  }
  await using program = start(folder.rules, { data: folder.data });
  await program.url();
  load.program = program;
  load.over = true;
  await loading;
  const { sent } = load;
  console.log(`${sent.size} events, killed after ${moments.join(", ")} ms`);
  assert.equal(program.lines.filter(({ message }) => /DAMAGED|recovered/.test(message)).length, 0, program.output);

  for (const [id, known] of sent) {
    assert.ok(known.accepted <= 1, `event ${id} was accepted ${known.accepted} times`);
    const { status, body } = await program.post("/hooks/in", { id });
    assert.equal(status, 200, `event ${id} is known`);
    assert.deepEqual(body.runs, known.runs);
  }
  const told = (path: string) => (seen: Seen) => seen.path === path;
  await program.waitFor("the ends of all runs", () => peer.seen.filter(told("/interpreted")).length >= sent.size);
  const ids = [...sent.values()].flatMap(({ runs }) => runs);
  const traces = new Map<string, Answered>();
  for (const id of ids) traces.set(id, await ended(program, id));
  for (const path of ["/interpreted", "/replayed"]) {
    const tokensOf = Map.groupBy(
      peer.seen.filter(told(path)).map(({ body, headers }) => ({
        ...JSON.parse(body),
        key: headers["idempotency-key"],
      })),
      ({ id }) => id as number,
    );
    for (const [id, { runs }] of sent) {
      const trace = runs.map((run) => traces.get(run)).find(({ run }) => `/${run.rule}` === path);
      assert.equal(trace.run.state, "succeeded", JSON.stringify(trace.run));
      const { output } = trace.steps.find(({ path }: { path: string }) => path === "make");
      const recorded = output.body?.token ?? output;
      const seen = tokensOf.get(id) ?? [];
      assert.ok(seen.length >= 1, `${path} was told of event ${id}`);
      assert.deepEqual(
        [...new Set(seen.map(({ token }) => token))],
        [recorded],
        `what was recorded is what was told of ${id}`,
      );
      assert.equal(new Set(seen.map(({ key }) => key)).size, 1, "each attempt carries the same key");
    }
  }
});

async function ended(program: Program, id: string): Promise<Answered> {
  for (;;) {
    const trace = await program.api(`runs/${id}`);
    if (!["queued", "running", "waiting"].includes(trace.run.state)) return trace;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
