import { ask, until } from "../e2e/forms.ts";
import type { Program } from "../e2e/program.ts";
import type { WebServer } from "../e2e/web_server.ts";

/** What the pictures show on a page of its own. */
export interface Shop {
  /** A run with a loop and branches, one of which waits. */
  waiting: string;
  /** The key of the event that started it. */
  order: string;
  /** An open form. */
  form: string;
}

const CUSTOMERS = ["Ada", "Grace", "Edsger", "Barbara", "Donald", "Radia", "Alan", "Frances"];

/** A busy minute of the example shop, with events of every outcome. */
export async function runShop(program: Program, peer: WebServer): Promise<Shop> {
  peer.answer(({ path }, response) => {
    response.statusCode = isDown(path, peer) ? 503 : 200;
    // A label takes its time, so that bars can be seen.
    setTimeout(() => response.end('{"ok":true}'), path.startsWith("/labels") ? 60 : 15);
  });
  await until("the rules", async () => (await program.fetch("/readyz")).ok || undefined);
  await program.post("/api/rules/shop/newsletter/pause", { reason: "the texts are being translated" });
  await changeStock(program, 0, 9);
  await order(program, CUSTOMERS.slice(0, 5), 1_040);
  const [waiting] = await waitingRuns(program, 3);
  await program.post("/api/emit", { type: "bank.booked", subject: "A-1042" });
  await until("a row of pulses", async () => await count(program, "rule=ops/pulse") >= 12 || undefined);
  await order(program, CUSTOMERS.slice(5), 1_045);
  await waitingRuns(program, 5);
  await program.fetch("/hooks/orders", { method: "POST", body: "not JSON", headers: JSON_TYPE });
  await program.fetch("/hooks/parcels", { method: "POST" });
  await program.post("/api/rules/ops/backup/start", {});
  await ask(program, "R-1");
  const form = await ask(program, "R-2", "refund.requested", { amount: 420 });
  await until("a failed backup", async () => await count(program, "rule=ops/backup&state=failed") > 0 || undefined);
  await changeStock(program, 9, 15);
  const events: { key: string }[] = await program.api("events?type=order.accepted");
  return { waiting, order: events[0].key, form };
}

async function order(program: Program, customers: string[], first: number): Promise<void> {
  for (const [index, customer] of customers.entries()) {
    const number = first + index;
    const parcels = Array.from({ length: 8 * (number % 4) }, (_, at) => at + 1);
    const data = { id: `A-${number}`, customer, amount: 95 + (number % 10) * 40, lines: number % 4, parcels };
    await program.post("/hooks/orders", data);
  }
}

/** The orders that wait for the bank, once there are this many. */
function waitingRuns(program: Program, least: number): Promise<string[]> {
  return until("orders that wait", async () => {
    const runs: { id: string }[] = await program.api("runs?rule=shop/fulfil&state=waiting");
    return runs.length >= least ? runs.map(({ id }) => id) : undefined;
  });
}

async function count(program: Program, query: string): Promise<number> {
  return (await program.api(`runs?limit=100&${query}`)).length;
}

const JSON_TYPE = { "content-type": "application/json" };

/** A warehouse that answers the third attempt, and labels that cannot be printed. */
function isDown(path: string, peer: WebServer): boolean {
  if (path.startsWith("/reservations")) return peer.seen.filter((seen) => seen.path === path).length < 3;
  return path === "/labels/7" || path === "/labels/16";
}

async function changeStock(program: Program, from: number, to: number): Promise<void> {
  for (let at = from; at < to; at++) {
    const subject = ["coffee", "sugar", "milk"][at % 3];
    await program.post("/api/emit", { type: "stock.changed", subject, data: { left: at % 4 === 3 ? 40 : 4 } });
  }
}
