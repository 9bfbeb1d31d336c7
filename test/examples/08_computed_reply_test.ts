import assert from "node:assert/strict";
import { start } from "../e2e/program.ts";
import { copyExample } from "./example.ts";

Deno.test("example 08: the caller gets the computed reply, or an error that says what is wrong", async () => {
  await using folder = await copyExample("08-computed-reply");
  await using program = start(folder.rules, { data: folder.data });
  const quote = (items: unknown) => program.post("/hooks/quote", { items });
  assert.deepEqual(await quote([{ price: 2.5, count: 4 }, { price: 0.99, count: 1 }]), {
    status: 200,
    body: { net: 10.99, gross: 13.08, shipping: 4.9, pieces: 5 },
  });
  assert.equal((await quote([{ price: 60, count: 1 }])).body.shipping, 0);
  assert.equal((await quote([])).status, 400);
  assert.equal((await quote([{ price: 1, count: 0 }])).status, 400);

  const loan = await program.fetch("/hooks/loan/12000?months=24");
  assert.equal(loan.status, 200);
  assert.deepEqual(await loan.json(), { amount: 12_000, months: 24, payment: 518.97 });
  const refused = await program.fetch("/hooks/loan/lots");
  assert.equal(refused.status, 400);
  await refused.body?.cancel();
});
