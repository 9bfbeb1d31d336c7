import assert from "node:assert/strict";
import { type Call, checkHistory, type Expected, type History } from "./check_history.ts";
import type { Delivered } from "./senders.ts";

const EXPECTED: Expected = { steps: new Map([["one", ["make", "tell"]], ["queued", ["work"]]]), queued: "queued" };

/** Two events of one key, each with its two runs, all as it should be. */
function right(): { delivered: Delivered[]; history: History } {
  const ids = ["k1-1", "k1-2"];
  const call = (rule: string, step: string, event: string, token?: string): Call => {
    return {
      rule,
      step,
      event,
      key: "k1",
      idempotencyKey: `${event} ${rule} ${step}`,
      isLate: false,
      ...token && { token },
    };
  };
  return {
    delivered: ids.map((id) => ({ id, key: "k1", accepted: 1, runs: [`${id}-one`, `${id}-queued`] })),
    history: {
      events: new Map([["one", [...ids]], ["queued", [...ids]]]),
      runs: ids.flatMap((event) => [
        { id: `${event}-one`, rule: "one", event, state: "succeeded", steps: ["make", "tell"], token: `t-${event}` },
        { id: `${event}-queued`, rule: "queued", event, state: "succeeded", steps: ["work"] },
      ]),
      calls: ids.flatMap((event) => [
        call("one", "make", event),
        call("queued", "work", event),
        call("one", "tell", event, `t-${event}`),
      ]),
    },
  };
}

/** Does something to a right history. @returns what the check finds */
function found(change: (history: History, delivered: Delivered[]) => void): string {
  const { delivered, history } = right();
  change(history, delivered);
  return checkHistory(delivered, history, EXPECTED).join("; ");
}

Deno.test("the check of a history finds nothing in a right one", () => {
  assert.equal(found(() => {}), "");
  // It was attempted again before it was recorded.
  assert.equal(found(({ calls }) => calls.splice(1, 0, { ...calls[0] })), "");
});

Deno.test("the check of a history finds an event that is lost, and one that is there twice", () => {
  assert.match(found(({ events }) => events.get("one")!.pop()), /event k1-2 is 0 times at one/);
  assert.match(found(({ events }) => events.get("queued")!.push("k1-1")), /event k1-1 is 2 times at queued/);
  assert.match(found(({ events }) => events.get("one")!.push("k1-3")), /event k1-3 at one was never sent/);
  assert.match(found((_, [first]) => first.accepted = 2), /event k1-1 was accepted 2 times/);
});

Deno.test("the check of a history finds a run that is lost, doubled, another than the acknowledged one, or has not ended", () => {
  assert.match(found(({ runs }) => runs.pop()), /event k1-2 has 0 runs of queued/);
  assert.match(found(({ runs }) => runs.push({ ...runs[0], id: "again" })), /event k1-1 has 2 runs of one/);
  assert.match(
    found(({ runs }) => runs[0].id = "other"),
    /k1-1 was acknowledged with the runs k1-1-one,k1-1-queued, and has other/,
  );
  assert.match(found(({ runs }) => runs[3].state = "running"), /run k1-2-queued of queued is running/);
});

Deno.test("the check of a history finds a step that is recorded twice, was lost, or was executed again", () => {
  assert.match(found(({ runs }) => runs[0].steps.unshift("make")), /run k1-1-one of one has the steps make,make,tell/);
  assert.match(found(({ calls }) => calls.splice(2, 1)), /step tell of one for k1-1 was never executed/);
  assert.match(found(({ calls }) => calls.push({ ...calls[0] })), /step make of one for k1-1 was executed again after/);
  assert.match(
    found(({ calls }) => calls.push({ ...calls[2], token: "t2" })),
    /step tell of one for k1-1 sent t-k1-1,t2; recorded is t-k1-1/,
  );
  assert.match(found(({ calls }) => calls[2].token = "t2"), /step tell of one for k1-1 sent t2; recorded is t-k1-1/);
  assert.match(found(({ calls }) => calls.push({ ...calls[2], idempotencyKey: "x" })), /under different keys/);
});

Deno.test("the check of a history finds runs of a key that were executed in another order", () => {
  assert.match(found(({ calls }) => calls.push({ ...calls[1] })), /event k1-1 of key k1 was worked on after k1-2/);
  assert.equal(found(({ calls }) => calls.push({ ...calls[1], isLate: true })), "");
});
