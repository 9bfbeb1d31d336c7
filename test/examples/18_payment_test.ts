import assert from "node:assert/strict";
import { dirname } from "node:path";
import { TestClock } from "../e2e/clock.ts";
import { type Answered, type Program, start } from "../e2e/program.ts";
import { until } from "../e2e/until.ts";
import { type Seen, WebServer } from "../e2e/web_server.ts";
import { copyExample } from "./example.ts";

const MINUTE = 60_000;
const DAY = 24 * 60 * MINUTE;
const T0 = Date.parse("2027-01-04T08:00:00Z");

const asked = ({ method, path }: Seen) => `${method} ${path}`;

for (const [type, language] of [["order.placed", "YAML"], ["order.wanted", "TypeScript"]]) {
  Deno.test(`example 18 in ${language}: paid before the wait, during it, twice, and never; killed meanwhile`, async () => {
    let isSlow = true;
    await using warehouse = await WebServer.start((seen, response) => {
      if (isSlow && asked(seen) === "POST /reservations/early") return;
      response.writeHead(201).end();
    });
    await using folder = await copyExample("18-payment", {
      "config.yaml": `all: { warehouse: "${warehouse.url}" }\n`,
    });
    const clock = await TestClock.in(dirname(folder.rules), T0);
    const begin = async () => {
      const program = start(folder.rules, { data: folder.data, env: clock.env });
      await program.url();
      return program;
    };
    const place = (program: Program, id: string) => program.post("/events", { type, data: { id, amount: 40 } });
    const pay = async (program: Program, order: string, id: string) => {
      const { status, body } = await program.post("/events", { type: "payment.received", id, data: { order } });
      return `${status} ${body.duplicate}`;
    };
    const states = async (program: Program) => {
      const runs: Answered[] = await program.api("runs");
      return runs.map(({ event, state }) => `${event.data.id} ${state}`).sort().join();
    };
    const see = (program: Program, wanted: string) => until(wanted, () => states(program), (seen) => seen === wanted);

    {
      await using program = await begin();
      for (const id of ["early", "late", "never", "twice"]) assert.equal((await place(program, id)).status, 202);
      await warehouse.waitFor(4);
      assert.equal(await pay(program, "early", "p1"), "202 false");
      await see(program, "early running,late waiting,never waiting,twice waiting");
      await program.kill();
    }
    isSlow = false;
    {
      await using program = await begin();
      await see(program, "early succeeded,late waiting,never waiting,twice waiting");
      assert.equal(await pay(program, "twice", "p2"), "202 false");
      assert.equal(await pay(program, "twice", "p2"), "200 true");
      assert.equal(await pay(program, "twice", "p3"), "202 false");
      await see(program, "early succeeded,late waiting,never waiting,twice succeeded");
      await program.kill();
    }
    await clock.set(T0 + 2 * DAY);
    await using program = await begin();
    await pay(program, "late", "p4");
    await see(program, "early succeeded,late succeeded,never waiting,twice succeeded");
    await clock.set(T0 + 3 * DAY + MINUTE);
    await see(program, "early succeeded,late succeeded,never succeeded,twice succeeded");
    await pay(program, "never", "p5");

    const [reserved, ...others] = warehouse.seen.filter(({ path }) => path.endsWith("/early"));
    // It had no response when the program was killed.
    assert.equal(others[0].headers["idempotency-key"], reserved.headers["idempotency-key"]);
    assert.deepEqual(
      warehouse.seen.filter((seen) => seen !== reserved).map(asked).sort(),
      [
        ...["early", "late", "never", "twice"].map((id) => `POST /reservations/${id}`),
        ...["early", "late", "twice"].map((id) => `POST /shipments/${id}`),
        "DELETE /reservations/never",
      ].sort(),
    );
    const shipped: Answered[] = await program.api("events?type=order.shipped");
    assert.deepEqual(shipped.map(({ event }) => event.subject).sort(), ["early", "late", "twice"]);
  });
}
