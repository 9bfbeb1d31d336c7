import assert from "node:assert/strict";
import { findMismatches } from "../../runtime/language/expectation.ts";
import type { Seen, SeenStep } from "../../runtime/model/test.ts";

/** A test's view of a run with these steps, all of them succeeded. */
function seenWith(paths: string[]): Seen {
  const steps = paths.map((step): SeenStep => ({
    step,
    kind: "log",
    state: "succeeded",
    attempts: 1,
    input: null,
    output: null,
    error: null,
  }));
  return { steps } as Seen;
}

const ok = (expected: string[], seen: string[], exact = true) =>
  findMismatches({ steps: expected }, seenWith(seen), exact).length === 0;

Deno.test("steps: those of one branch come in their order", () => {
  assert.ok(ok(["get", "put"], ["get", "put"]));
  assert.ok(!ok(["put", "get"], ["get", "put"]));
  assert.ok(!ok(["put", "get"], ["week/call/get", "week/call/put"]));
  assert.ok(!ok(["announce", "get"], ["week/call/get", "announce"]));
  assert.ok(!ok(["get"], ["get", "put"]));
  assert.ok(ok(["get"], ["get", "put"], false));
  assert.ok(!ok(["get", "get"], ["week/call/get"], false));
});

Deno.test("steps: those of different branches and iterations come in any order", () => {
  const seen = ["announce", "week/mails/get", "week/mails/hourly[0]/tell", "week/call/get", "week/call/block", "end"];
  assert.ok(ok(["announce", "call/get", "block", "mails/get", "tell", "end"], seen));
  assert.ok(ok(["announce", "call/get", "mails/get", "block", "tell", "end"], seen));
  assert.ok(!ok(["announce", "block", "call/get", "mails/get", "tell", "end"], seen));
  assert.ok(!ok(["announce", "call/get", "block", "mails/get", "end", "tell"], seen));
  assert.ok(ok(["orders[1]/pay", "orders[0]/pay"], ["orders[0]/pay", "orders[1]/pay"]));
});
