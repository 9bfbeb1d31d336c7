import assert from "node:assert/strict";
import { causeOf, CauseSigner } from "../../runtime/ingest/cause.ts";

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
  assert.deepEqual(causeOf({ id: "r1", event }), { depth: 1, run: "r1" });
  assert.deepEqual(causeOf({ id: "r2", event: { ...event, cause: { depth: 1, run: "r1" } } }), { depth: 2, run: "r2" });
});
