import assert from "node:assert/strict";
import {
  hashPassword,
  hashToken,
  isPasswordHash,
  isTokenHash,
  newToken,
  verifyPassword,
  verifyToken,
} from "../../runtime/secrets/passwords.ts";

Deno.test("a password matches its hash, a wrong one does not; two hashes of one password differ", async () => {
  const hash = await hashPassword("correct horse ü");
  assert.ok(isPasswordHash(hash), hash);
  assert.equal(await verifyPassword("correct horse ü", hash), true);
  assert.equal(await verifyPassword("correct horse u\u0308", hash), true, "composed of other characters");
  for (const wrong of ["", "correct horse u", "correct horse ü "]) {
    assert.equal(await verifyPassword(wrong, hash), false);
  }
  assert.notEqual(await hashPassword("correct horse ü"), hash);
});

Deno.test("a hash of another cost is valid; one of excessive cost is not", async () => {
  const weak = "scrypt.10.8.1.AAAAAAAAAAAAAAAAAAAAAA.";
  const { scryptSync } = await import("node:crypto");
  const key = scryptSync("old", new Uint8Array(16), 32, { N: 1_024, r: 8, p: 1 }).toString("base64url");
  assert.equal(await verifyPassword("old", weak + key), true);
  for (const cost of ["9.8.1", "18.8.1", "15.17.1", "15.8.9", "15.8.0"]) {
    assert.equal(isPasswordHash(`scrypt.${cost}.${"s".repeat(22)}.${"k".repeat(43)}`), false, cost);
  }
});

Deno.test("a token matches its hash", () => {
  const token = newToken();
  assert.match(token, /^wt_[\w-]{43}$/);
  assert.ok(isTokenHash(hashToken(token)));
  assert.equal(verifyToken(token, hashToken(token)), true);
  assert.equal(verifyToken(newToken(), hashToken(token)), false);
});
