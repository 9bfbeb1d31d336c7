import assert from "node:assert/strict";
import fc from "fast-check";
import { Identities, type Identity } from "../../runtime/store/ledger/identities.ts";

Deno.test("identities are found as stored, while their table grows, compacts, expires and undoes", () => {
  const step = fc.record({
    kind: fc.constantFrom("put", "put", "put", "put", "reserve", "expire", "remove"),
    from: fc.nat(20_000),
    count: fc.nat(2_000),
    within: fc.constantFrom(undefined, undefined, 5, 70_000),
  });
  fc.assert(
    fc.property(fc.array(step, { minLength: 5, maxLength: 30 }), (steps) => {
      const identities = new Identities();
      identities.keyBy("00ff");
      const known = new Map<string, Identity>();
      const hash = (index: number) => identities.hashOf("/s", `e${index}`);
      let at = 0;
      for (const { kind, from, count, within } of steps) {
        at += 1_000;
        if (kind === "reserve") identities.reserve(count);
        if (kind === "expire") {
          const isKnown = (own: number | undefined, received: number) => received + (own ?? 8_000) > at;
          identities.expire((_key, received, own) => isKnown(Number.isNaN(own) ? undefined : own, received));
          for (const [key, { at: received, within: own }] of known) if (!isKnown(own, received)) known.delete(key);
        }
        for (let index = from; kind === "put" && index < from + count; index++) {
          const identity = {
            key: index + 1,
            at,
            ...within !== undefined && { within },
            runs: index % 7,
            replied: index % 3 === 0,
          };
          identities.put(hash(index), identity);
          known.set(hash(index), identity);
        }
        if (kind === "remove" && known.has(hash(from))) {
          identities.remove(hash(from));
          known.delete(hash(from));
        }
      }
      for (const [key, identity] of known) assert.deepEqual(identities.get(key), identity);
      assert.equal(identities.get(hash(99_999)), undefined);
    }),
    { numRuns: 60 },
  );
});

Deno.test("a million identities take less than 70 MB", () => {
  const identities = new Identities();
  const hash = new Uint32Array(4);
  identities.reserve(900_000);
  for (let index = 0; index < 1_000_000; index++) {
    // Spread over all values, as those of SHA-256 are.
    for (let word = 0; word < 4; word++) hash[word] = Math.imul(index * 4 + word + 1, 0x9e3779b1);
    identities.load(hash, index + 1, index, NaN, 1, 0);
  }
  assert.equal(identities.size, 1_000_000);
  assert.ok(identities.bytes < 70_000_000, `${identities.bytes} bytes`);
});
