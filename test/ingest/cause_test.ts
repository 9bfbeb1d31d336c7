import assert from "node:assert/strict";
import { CauseSigner, chainEnd } from "../../runtime/ingest/cause.ts";
import { causeOf } from "../../runtime/model/event.ts";

const key = new Uint8Array(32).fill(7);

Deno.test("a signed cause is read back unchanged; a forged, changed or foreign one is ignored", () => {
  const signer = new CauseSigner(key);
  const header = signer.sign({ depth: 3, run: "r1" });
  assert.deepEqual(signer.verify(header), { depth: 3, run: "r1" });
  for (const wrong of [undefined, "", "3.r1", header.replace("3.", "2."), `${header}x`, header.replace("r1", "r2")]) {
    assert.equal(signer.verify(wrong), undefined, `${wrong}`);
  }
  assert.equal(new CauseSigner(new Uint8Array(32).fill(8)).verify(header), undefined);
});

Deno.test("each run is one deeper than its event", () => {
  const event = { id: "1", source: "/a", type: "a", time: "2026-11-21T00:00:00Z", data: null };
  const caused = { ...event, cause: { depth: 1, run: "r1" } };
  assert.deepEqual(causeOf({ id: "r1", rule: "a", event }), { depth: 1, run: "r1" });
  assert.deepEqual(causeOf({ id: "r2", rule: "a", event: caused }), { depth: 2, run: "r2" });
});

Deno.test("a run that an own event started ends the chain at its rule, also after a request", () => {
  const event = { id: "1", source: "/whenthen", type: "whenthen.run.failed", time: "2026-11-21T00:00:00Z", data: null };
  const signer = new CauseSigner(key);
  const cause = signer.verify(signer.sign(causeOf({ id: "r1", rule: "ops/alert", event })))!;
  assert.deepEqual(cause, { depth: 1, run: "r1", own: ["ops/alert"] });
  const caused = { ...event, type: "noted", cause };
  assert.equal(chainEnd(caused, "ops/alert")?.kind, "looped");
  assert.equal(chainEnd(caused, "other"), undefined);
  assert.deepEqual(causeOf({ id: "r2", rule: "other", event: caused }).own, ["ops/alert"]);
});
