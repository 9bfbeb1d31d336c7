import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { Seal } from "../../runtime/connections/seal.ts";
import { newKey, openConnections } from "./harness.ts";

Deno.test("Seal opens what it has sealed, under the same name only, and nothing that was changed", () => {
  const seal = Seal.of(newKey()) as Seal;
  const sealed = seal.seal("asana", "token ü");
  assert.equal(seal.open("asana", sealed), "token ü");
  assert.equal(seal.open("github", sealed), undefined);
  assert.notEqual(seal.seal("asana", "token ü"), sealed);
  for (const at of [0, 5, 16, 30, sealed.length - 1]) {
    const changed = sealed.slice(0, at) + (sealed[at] === "A" ? "B" : "A") + sealed.slice(at + 1);
    // The last character has unused bits.
    if (at < sealed.length - 1) assert.equal(seal.open("asana", changed), undefined, `changed at ${at}`);
  }
  assert.equal((Seal.of(newKey()) as Seal).open("asana", sealed), undefined);
});

Deno.test("Seal takes keys of 32 bytes in base64 and hex, and says how to make one", () => {
  const key = randomBytes(32);
  const sealed = (Seal.of(key.toString("hex")) as Seal).seal("a", "x");
  assert.equal((Seal.of(key.toString("base64url")) as Seal).open("a", sealed), "x");
  for (const [text, says] of [[undefined, "WHENTHEN_KEY is not set"], ["short", "not a key of 32 bytes"]] as const) {
    assert.match(Seal.of(text) as string, new RegExp(`${says}.*openssl rand -base64 32`));
  }
  assert.match(Seal.of(`${newKey()}, secret`) as string, /^Key 2 of WHENTHEN_KEY/);
});

Deno.test("without a key nothing is connected; a key is replaced by two of them for one start", async () => {
  await using bench = await openConnections();
  const { WHENTHEN_KEY: old } = bench.environment;
  delete bench.environment.WHENTHEN_KEY;
  await bench.restart();
  await assert.rejects(bench.connect(), /Cannot connect "asana": WHENTHEN_KEY is not set: make a key with: openssl/);
  bench.environment.WHENTHEN_KEY = old;
  await bench.restart();
  await bench.connect();
  const token = await bench.token();

  const next = bench.environment.WHENTHEN_KEY = newKey();
  await bench.restart();
  await assert.rejects(
    bench.token(),
    /its tokens were sealed with another WHENTHEN_KEY; add that one after the new one/,
  );
  assert.equal(bench.connections.list()[0].state, "locked");
  bench.environment.WHENTHEN_KEY = `${next},${old}`;
  await bench.restart();
  assert.equal(await bench.token(), token);
  bench.environment.WHENTHEN_KEY = next;
  await bench.restart();
  assert.equal(await bench.token(), token);
  assert.equal(bench.lost.size, 0);
});
