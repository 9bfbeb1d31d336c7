import assert from "node:assert/strict";
import process from "node:process";
import { rulesFolder } from "../folder.ts";
import { type Answered, type Program, start } from "../program.ts";
import { until, within } from "../until.ts";
import { type Seen, WebServer } from "../web_server.ts";
import { Customers, type Order } from "./customers.ts";
import { eightAtATime, listAll } from "./provider.ts";
import { between, pause, size } from "./size.ts";

const RULES = ["interpreted", "replayed"];

/** The same process in YAML and TypeScript. It fetches a token first and sends it last; in between are all kinds of waits. */
const files = (peer: string) => ({
  "whenthen.yaml": "people: { anna: { email: anna@example.org } }\n",
  "interpreted.yaml": `
when: { webhook: /interpreted, auth: none, dedupe: event.data.id }
limit: none
max: 1000
then:
  - id: make
    http: POST ${peer}/interpreted/make
    json: { id: "\${{ event.data.id }}" }
  - id: pause
    wait: 100ms
  - id: both
    parallel:
      paid:
        - id: payment
          waitFor: paid
          match: { data.id: event.data.id }
        - id: book
          http: POST ${peer}/interpreted/paid
          json: { id: "\${{ event.data.id }}", amount: "\${{ steps.payment.data.amount }}" }
      asked:
        - id: approval
          form: Approve \${{ event.data.id }}?
          to: anna
          fields: { amount: { type: number } }
          notify:
            - id: notice
              http: POST ${peer}/interpreted/notice
              json: { id: "\${{ event.data.id }}" }
        - id: confirm
          http: POST ${peer}/interpreted/approved
          json: { id: "\${{ event.data.id }}", amount: "\${{ steps.approval.amount }}" }
      items:
        - id: each
          each: "[1, 2, 3]"
          max: 2
          then:
            - id: ship
              http: POST ${peer}/interpreted/item\${{ item }}
              json: { id: "\${{ event.data.id }}" }
            - id: cool
              wait: 50ms
  - id: rest
    wait: 30d
  - id: end
    http: POST ${peer}/interpreted/end
    json: { id: "\${{ event.data.id }}", token: "\${{ steps.make.body.token }}" }
`,
  "replayed.ts": `
import { rule, webhook } from "whenthen";
export default rule({
  when: webhook("/replayed", { auth: "none", dedupe: "event.data.id" }),
  limit: "none",
  max: 1000,
  then: async ({ event, step }) => {
    const { id } = event.data as { id: number };
    const tell = (name: string, path: string, more = {}) =>
      step.http<{ token: string }>(name, "POST ${peer}/replayed/" + path, { json: { id, ...more } });
    const { body: { token } } = await tell("make", "make");
    await step.wait("pause", "100ms");
    await step.all("both", {
      paid: async () => {
        const paid = await step.waitFor<{ amount: number }>("payment", "paid", { match: { "data.id": id } });
        await tell("book", "paid", { amount: paid!.data.amount });
      },
      asked: async () => {
        const { amount } = await step.form("approval", "Approve " + id + "?", {
          to: "anna",
          fields: { amount: { type: "number" } },
        });
        await tell("confirm", "approved", { amount });
      },
      items: () => step.each("each", [1, 2, 3], async (item) => {
        await tell("ship", "item" + item);
        await step.wait("cool", "50ms");
      }, { max: 2 }),
    });
    await step.wait("rest", "30d");
    await tell("end", "end", { token });
  },
});
`,
});

Deno.test("processes with waits, forms and branches, killed or cut from power at random moments: each wait ends once, each form is answered once, no run is stuck", async () => {
  let tokens = 0;
  await using peer = await WebServer.start((_, response) => {
    response.setHeader("content-type", "application/json");
    response.end(JSON.stringify({ token: `t${++tokens}` }));
  });
  await using folder = await rulesFolder(files(peer.url));
  using customers = new Customers(12, RULES);
  for (let life = 0; life < size(8, 100); life++) {
    // Every other time its disk loses unsynced data.
    const env = { WHENTHEN_TEST_DISK: `forget:${between(1, 1e9)}` };
    await using program = start(folder.rules, { data: folder.data, ...life % 2 === 1 && { env } });
    await program.url();
    customers.program = program;
    await pause(between(50, 1_500));
    if (life % 4 === 3) {
      process.kill(program.child.pid!, "SIGTERM");
      await pause(between(0, 400));
    }
    customers.program = undefined;
    assert.doesNotMatch(program.output, /DAMAGED|recovered|Cannot/);
    await program.kill();
  }
  await using program = start(folder.rules, { data: folder.data });
  await program.url();
  customers.program = program;
  await within(300_000, "the end of all orders", customers.end());
  console.log(`${customers.orders.size} orders`);
  const forms = Map.groupBy<string, Answered>(await allForms(program), ({ run }) => run);
  await eightAtATime(customers.orders.values(), async (order) => {
    for (const rule of RULES) await checkRun(program, rule, order, forms.get(order.runs[rule]) ?? []);
  });
  const seen = Map.groupBy(peer.seen.map((seen, at) => ({ ...seen, at })), ({ path, body }) => {
    return `${path} ${JSON.parse(body).id}`;
  });
  for (const [id, order] of customers.orders) {
    for (const rule of RULES) checkSeen(order.forms[rule], id, (path) => seen.get(`/${rule}/${path} ${id}`) ?? []);
  }
  for (const rule of RULES) {
    const runs = await listAll(program, "runs", rule);
    assert.equal(runs.length, customers.orders.size);
    assert.deepEqual(runs.filter(({ state }) => state !== "succeeded"), [], "no run is stuck");
  }
  assert.deepEqual(await program.api("runs?waiting=true"), []);
  assert.doesNotMatch(program.output, /DAMAGED|recovered|Cannot/);
});

/** All forms so far, page by page. */
async function allForms(program: Program): Promise<Answered[]> {
  const all: Answered[] = [];
  for (const state of ["open", "answered", "expired", "cancelled"]) {
    for (let page: Answered[] = [{}]; page.length > 0;) {
      const after = page[0].id === undefined ? "" : `&after=${page.at(-1)!.id}`;
      page = await program.api(`forms?state=${state}&limit=1000${after}`);
      all.push(...page);
    }
  }
  return all;
}

const PATHS = [
  "both",
  "both/asked/approval",
  "both/asked/confirm",
  "both/items/each",
  ...[0, 1, 2].flatMap((index) => ["cool", "ship"].map((step) => `both/items/each[${index}]/${step}`)),
  "both/paid/book",
  "both/paid/payment",
  "end",
  "make",
  "pause",
  "rest",
];

/** Each step is in the trace once, with the right state. */
async function checkRun(program: Program, rule: string, order: Order, forms: Answered[]): Promise<void> {
  const look = () => program.api(`runs/${order.runs[rule]}`);
  const { run, steps, notes } = await until("the run's end", look, ({ run }) => run.state === "succeeded");
  const told = steps.filter(({ path }: Answered) => !path.includes("/notify/"));
  assert.deepEqual(told.map(({ path }: Answered) => path).sort(), PATHS, run.id);
  for (const { path, state } of told) {
    assert.equal(state, path === "rest" ? "skipped" : "succeeded", `${path} of ${run.id}`);
  }
  const texts: string[] = notes.map(({ text }: Answered) => text);
  assert.equal(texts.filter((text) => /skipped by anna/.test(text)).length, 1, texts.join("; "));
  assert.equal(texts.filter((text) => /answered by anna/.test(text)).length, 1, texts.join("; "));
  assert.deepEqual(forms.map(({ id, state }) => [id, state]), [[order.forms[rule].id, "answered"]], run.id);
  const { amount } = forms[0].answer.values;
  const { sent, accepted } = order.forms[rule];
  assert.ok(
    accepted === undefined ? sent.slice(0, -1).includes(amount) : amount === accepted,
    `${amount} in ${run.id}`,
  );
  assert.equal(steps.find(({ path }: Answered) => path === "both/asked/approval").output.amount, amount);
}

type At = Seen & { at: number };

/** The executed steps are the recorded ones, in the order of the process: no step was executed again after a later one. */
function checkSeen({ accepted }: Order["forms"][string], id: number, seen: (path: string) => At[]): void {
  const middle = ["paid", "approved", "item1", "item2", "item3"];
  for (const path of ["make", ...middle, "end"]) {
    assert.ok(seen(path).length > 0, `${path} of ${id}`);
    assert.equal(new Set(seen(path).map(({ headers }) => headers["idempotency-key"])).size, 1, `${path} of ${id}`);
    assert.equal(new Set(seen(path).map(({ body }) => body)).size, 1, `${path} of ${id}`);
  }
  assert.ok(new Set(seen("notice").map(({ headers }) => headers["idempotency-key"])).size <= 1, `${id} is told once`);
  const stages = [["make"], middle, ["end"]].map((paths) => paths.flatMap(seen).map(({ at }) => at));
  for (const [index, stage] of stages.slice(1).entries()) {
    assert.ok(Math.max(...stages[index]) < Math.min(...stage), `a recorded step of ${id} was computed again`);
  }
  assert.equal(JSON.parse(seen("paid")[0].body).amount, id * 10);
  if (accepted !== undefined) assert.equal(JSON.parse(seen("approved")[0].body).amount, accepted);
}
